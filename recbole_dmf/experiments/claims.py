"""The paper's claims, each judged by our runs: it holds, it doesn't, or that can't be told."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recbole_dmf.evaluation.significance import LEVEL, beyond_chance, holm
from recbole_dmf.experiments.claim_tables import (
    SEEDS,
    USERS,
    USERS_AND_SEEDS,
    Difference,
    MeasuredTable,
    difference,
    read_table,
)
from recbole_dmf.experiments.measured_figures import signed, signed_range
from recbole_dmf.experiments.run_metrics import DEFAULT as METRICS
from recbole_dmf.experiments.run_metrics import shown_name

MARGIN = 0.01  # of HR@10 or NDCG@10, ours: the paper has neg-5 .009 behind neg-9 on ml-1m
HOLDS, FAILS, OPEN, NOT_MEASURED = "holds", "doesn't hold", "can't be told", "not measured"


@dataclass(frozen=True)
class Claim:
    """One column of a table is better than each of the others, or nearly.

    Attributes:
        text: the claim.
        source: where the paper makes it.
        table: the experiment that has the columns.
        label: of the column that is claimed to be better.
        others: labels of those it is claimed to be better than.
        datasets: that the claim is about; None: all.
        nearly: whether the paper has the column about best, so that it may be `MARGIN` behind.
    """

    text: str
    source: str
    table: str
    label: str
    others: tuple[str, ...]
    datasets: tuple[str, ...] | None = None
    nearly: bool = False


_MOVIELENS, _MUSIC = ("ml-100k", "ml-1m"), ("amazon-music",)
_DEPTHS = ("DMF-1", "DMF-3", "DMF-4")
_NEGATIVES = tuple(f"neg-{n}" for n in (1, 2, 9, 10))
_FACTORS = tuple(f"factors-{n}" for n in (8, 16, 32, 64, 128))
CLAIMS = (
    *(
        Claim(f"DMF beats {rival}", "Sec. 4.2, Table 2", "table2", "DMF-2-nce", (rival,))
        for rival in ("NeuMF-p", "eALS", "ItemKNN", "ItemPop")
    ),
    Claim("nce beats ce", "Sec. 4.2, Table 2", "table2", "DMF-2-nce", ("DMF-2-ce",), _MOVIELENS),
    Claim("ce beats nce", "Sec. 4.2, Table 2", "table2", "DMF-2-ce", ("DMF-2-nce",), _MUSIC),
    Claim("Y beats random vectors", "Sec. 4.3, Table 3", "table3", "DMF-1-nce", ("LFM-nce",)),
    Claim(
        "about 5 negatives are best",
        "Sec. 4.4, Table 4",
        "table4",
        "neg-5",
        _NEGATIVES,
        nearly=True,
    ),
    Claim(
        "two layers are almost best",
        "Sec. 4.4, Figure 2",
        "figure2",
        "DMF-2",
        _DEPTHS,
        ("ml-100k",),
        nearly=True,
    ),
    Claim("two layers are best", "Sec. 4.4, Figure 2", "figure2", "DMF-2", _DEPTHS, ("ml-1m",)),
    Claim(
        "64 factors are best",
        "Sec. 4.4, Table 5",
        "table5",
        "factors-64",
        tuple(label for label in _FACTORS if label != "factors-64"),
        _MOVIELENS,
    ),
    Claim(
        "128 factors are best",
        "Sec. 4.4, Table 5",
        "table5",
        "factors-128",
        _FACTORS[:-1],
        _MUSIC,
    ),
)


@dataclass(frozen=True)
class Row:
    """A claim on one data set by one metric.

    Attributes:
        verdict: `HOLDS` if the column is better than each of the others beyond chance (p < .05
            after Holm's correction over all comparisons on the data set by the metric) and for
            every pair of runs or, where it is claimed to be nearly best, less than `MARGIN` behind
            each by the interval and for every pair of runs; `FAILS` if one of the others is better
            than it beyond chance and for every pair of runs; else `OPEN`.
        reading: of the figures.
        misleads: whether they mislead by the audit, and those to lead with were not measured.
        chance: the kinds of chance that p and the interval tell of; see `claim_tables`.
        other: the best of the others; the figures below are of the difference to it; None where the
            columns were not measured.
        paper: the difference in the paper; None where it draws curves.

    The other figures are those of `claim_tables.Difference`; an interval's ends are None where one
    run alone gives no interval.
    """

    claim: str
    source: str
    dataset: str
    metric: str
    verdict: str
    reading: str | None = None
    misleads: bool = False
    chance: str | None = None
    other: str | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    p_holm: float | None = None
    seed_low: float | None = None
    seed_high: float | None = None
    paper: float | None = None


def claims(results: Path, datasets: Sequence[str]) -> dict[str, Any]:
    """All claims on all data sets, from the comparisons in RESULTS/TABLE-DATASET.

    Returns:
        Plain data: `rows`, as of `Row`, and `sources`, by folder.

    Raises:
        UserError: a comparison's files are damaged.
    """
    rows: list[Row] = []
    sources: dict[str, Any] = {}
    for dataset in datasets:
        tables = {}
        for name in dict.fromkeys(claim.table for claim in CLAIMS):
            folder = results / f"{name}-{dataset}"
            table = read_table(folder, results / f"audit-{dataset}.json")
            if table is not None:
                tables[name] = table
                sources[folder.name] = table.source
        about = [c for c in CLAIMS if c.datasets is None or dataset in c.datasets]
        for metric in METRICS:
            rows += judge(about, tables, dataset, metric)
    return {"rows": [asdict(row) for row in rows], "sources": sources}


def judge(
    about: Sequence[Claim], tables: Mapping[str, MeasuredTable], dataset: str, metric: str
) -> list[Row]:
    """The claims on one data set by one metric, corrected over all of their comparisons."""
    pairs: list[tuple[Claim, str, Difference]] = []
    for claim in about:
        table = tables.get(claim.table)
        if table is not None and {claim.label, *claim.others} <= set(table.means):
            pairs += [(claim, o, difference(table, claim.label, o, metric)) for o in claim.others]
    corrected = holm([found.p_value for _, _, found in pairs])
    rows = []
    for claim in about:
        start = (claim.text, claim.source, dataset, metric)
        own = [n for n, (whose, _, _) in enumerate(pairs) if whose is claim]
        if not own:
            rows.append(Row(*start, NOT_MEASURED))
            continue
        signs = [_sign(pairs[n][2], corrected[n]) for n in own]
        holds = min(signs) > 0 or (claim.nearly and all(_is_near(pairs[n][2]) for n in own))
        verdict = HOLDS if holds else FAILS if min(signs) < 0 else OPEN
        shown = min(own, key=lambda n: pairs[n][2].mean)
        _, other, found = pairs[shown]
        table = tables[claim.table]
        rows.append(
            Row(
                *start,
                verdict,
                table.reading,
                table.misleads,
                table.chance((claim.label, other)),
                other,
                found.mean,
                _finite(found.low),
                _finite(found.high),
                found.p_value,
                float(corrected[shown]),
                found.seed_low,
                found.seed_high,
                _paper(table, claim.label, other, metric),
            )
        )
    return rows


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _sign(found: Difference, p_holm: float) -> int:
    """1 or -1 for a difference beyond chance, else 0."""
    certain = beyond_chance(p_holm, found.seed_low, found.seed_high)
    return int(np.sign(found.mean)) if certain else 0


def _is_near(found: Difference) -> bool:
    """Whether the column is less than `MARGIN` behind, whatever the users and the runs; not NaN."""
    return found.low > -MARGIN and found.seed_low > -MARGIN


def _paper(table: MeasuredTable, label: str, other: str, metric: str) -> float | None:
    ours, theirs = (table.expected.get(name, {}).get(metric) for name in (label, other))
    return None if ours is None or theirs is None else round(ours - theirs, 6)


INTRODUCTION = f"""\
Mean difference to the best rival that the claim names, its 95 % interval, and p, corrected after
Holm over all comparisons on a data set by one metric. A claim holds if each difference is above 0
(p < {LEVEL}) and above 0 for every pair of runs; it doesn't hold if one is below 0 in the same
sense; else it can't be told. Where the paper says "around 5" or "almost the best", the claim also
holds if it is less than {MARGIN} behind each rival, by the interval and for every pair of runs.

The pairs of runs are a check, not a test: three runs of two equal models have the same sign in all
pairs in one case of ten, and three against a model that has one run in one of four.

- {USERS_AND_SEEDS}: the interval is a bootstrap over users, p that of the paired permutation test
  of the means, and the range over pairs of runs tells of chance in training.
- {USERS}: the same with one run of a model, which tells nothing of chance in training.
- {SEEDS}: the figures of each user were not kept. The interval and p are Welch's over the runs, so
  the verdict is about these users; whether others would say the same, it doesn't tell.
- misleading: the audit says that the figures of this set mislead, and those to lead with (warm)
  were not measured.
"""


def claims_page(data: Mapping[str, Any]) -> str:
    """claims.md from what claims.json has."""
    lines = [
        "# The paper's claims",
        "",
        INTRODUCTION,
        "| Claim | Data set | Metric | Verdict | Chance in | Against | Difference | 95 % interval "
        "| p (Holm) | Over runs | Paper |",
        "|---|---|---|---|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in data["rows"]:
        metric = shown_name(row["metric"])
        cells = [row["claim"], row["dataset"], metric, row["verdict"]]
        lines.append("| " + " | ".join(cells + _measured_cells(row)) + " |")
    lines += ["", "Figures from:", ""]
    for folder, about in data["sources"].items():
        seeds = sorted({seed for group in about["seeds"].values() for seed in group})
        text = f"- `{folder}` ({about['from']}): seeds {', '.join(map(str, seeds))}"
        if "users" in about:
            text += f", {about['users']:,} users"
        if "candidates_sha256" in about:
            text += f", candidates {', '.join(h[:16] for h in about['candidates_sha256'])}"
        lines.append(text)
    lines += ["", f"Command: `{data['command']}`. Commit {data['commit']}."]
    return "\n".join(lines) + "\n"


def _measured_cells(row: Mapping[str, Any]) -> list[str]:
    if row["other"] is None:
        return [""] * 7
    p = "< 0.0001" if row["p_holm"] < 1e-4 else f"{row['p_holm']:.4f}"
    interval = "" if row["low"] is None else signed_range(row["low"], row["high"])
    return [
        ", ".join([row["chance"], row["reading"], *(["misleading"] if row["misleads"] else [])]),
        row["other"],
        signed(row["difference"], 4),
        interval,
        p,
        signed_range(row["seed_low"], row["seed_high"]),
        "" if row["paper"] is None else signed(row["paper"], 3),
    ]
