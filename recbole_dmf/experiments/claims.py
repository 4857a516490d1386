"""The paper's claims, each judged by our runs: it holds, it doesn't, or that can't be told."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recbole_dmf.evaluation.significance import (
    LEVEL,
    beyond_chance,
    bootstrap_interval,
    holm,
    mean_over_seeds,
    sign_flip_p,
)
from recbole_dmf.experiments.runs import Compared, read_comparison

METRICS = ("hit@10", "ndcg@10")
HOLDS, FAILS, OPEN, NOT_MEASURED = "holds", "doesn't hold", "can't be told", "not measured"


@dataclass(frozen=True)
class Claim:
    """One column of a table is better than each of the others.

    Attributes:
        text: the claim.
        source: where the paper makes it.
        table: the experiment that has the columns.
        label: of the column that is claimed to be better.
        others: labels of those it is claimed to be better than.
        datasets: that the claim is about; None: all.
    """

    text: str
    source: str
    table: str
    label: str
    others: tuple[str, ...]
    datasets: tuple[str, ...] | None = None


_MOVIELENS = ("ml-100k", "ml-1m")
_NEGATIVES = tuple(f"neg-{n}" for n in (1, 2, 9, 10))
_FACTORS = tuple(f"factors-{n}" for n in (8, 16, 32, 64, 128))
CLAIMS = (
    *(
        Claim(f"DMF beats {rival}", "Sec. 4.2, Table 2", "table2", "DMF-2-nce", (rival,))
        for rival in ("NeuMF-p", "eALS", "ItemKNN", "ItemPop")
    ),
    Claim("nce beats ce", "Sec. 4.2, Table 2", "table2", "DMF-2-nce", ("DMF-2-ce",)),
    Claim("Y beats random vectors", "Sec. 4.3, Table 3", "table3", "DMF-1-nce", ("LFM-nce",)),
    Claim("about 5 negatives are best", "Sec. 4.4, Table 4", "table4", "neg-5", _NEGATIVES),
    Claim(
        "two layers are best",
        "Sec. 4.4, Figure 2",
        "figure2",
        "DMF-2",
        ("DMF-1", "DMF-3", "DMF-4"),
        _MOVIELENS,
    ),
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
        ("amazon-music",),
    ),
)


@dataclass(frozen=True)
class Row:
    """A claim on one data set by one metric.

    Attributes:
        verdict: `HOLDS` if the column is better than each of the others beyond chance in the users
            (Holm-corrected over all comparisons on the data set) and for every pair of seeds;
            `FAILS` if one of the others is better than it in this sense; else `OPEN`.
        other: the best of the others; the figures below are of the difference to it, mean over the
            users; None where there are no runs.
        low, high: 95 % bootstrap interval over the users.
        p_value, p_holm: paired permutation test of the means.
        seed_low, seed_high: the range over pairs of runs.
        paper: the difference in the paper; None where it draws curves.
    """

    claim: str
    source: str
    dataset: str
    metric: str
    verdict: str
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
        Plain data: `rows`, as of `Row`, and `sources`, by folder: its runs' seeds, the candidates'
        hashes and the commits.

    Raises:
        UserError: a comparison's files are damaged.
    """
    rows: list[Row] = []
    sources: dict[str, Any] = {}
    for dataset in datasets:
        tables = {}
        for table in dict.fromkeys(claim.table for claim in CLAIMS):
            folder = results / f"{table}-{dataset}"
            if (folder / "runs").is_dir():
                tables[table] = read_comparison(folder, None)
                sources[folder.name] = _source(tables[table])
        about = [c for c in CLAIMS if c.datasets is None or dataset in c.datasets]
        for metric in METRICS:
            rows += judge(about, tables, dataset, metric)
    return {"rows": [asdict(row) for row in rows], "sources": sources}


def _source(table: Compared) -> dict[str, Any]:
    runs = [run for group in table.runs.values() for run in group]
    hashes = {run.result.get("candidates_sha256", {}).get("test") for run in runs}
    return {
        "seeds": {label: [run.seed for run in group] for label, group in table.runs.items()},
        "candidates_sha256": sorted(map(str, hashes)),
        "commits": sorted({str(run.result.get("commit")) for run in runs}),
        "users": len(runs[0].users),
    }


def judge(
    about: Sequence[Claim], tables: Mapping[str, Compared], dataset: str, metric: str
) -> list[Row]:
    """The claims on one data set by one metric, corrected over all of their comparisons."""
    pairs = []  # (place of the claim, other label, difference per user, differences of runs)
    missing = set()
    for place, claim in enumerate(about):
        runs = tables[claim.table].runs if claim.table in tables else {}
        if not all(runs.get(label) for label in (claim.label, *claim.others)):
            missing.add(place)
            continue
        first = _per_user(runs[claim.label], metric)
        for other in claim.others:
            difference = first - _per_user(runs[other], metric).reindex(first.index)
            means = [[r.metric(metric) for r in runs[k]] for k in (claim.label, other)]
            pairs.append((place, other, difference.to_numpy(), np.subtract.outer(*means)))
    raw = [float(sign_flip_p(difference[:, None])[0]) for _, _, difference, _ in pairs]
    corrected = holm(raw)
    rows = []
    for place, claim in enumerate(about):
        start = (claim.text, claim.source, dataset, metric)
        if place in missing:
            rows.append(Row(*start, NOT_MEASURED))
            continue
        own = [number for number, pair in enumerate(pairs) if pair[0] == place]
        signs = [_sign(pairs[n][2].mean(), corrected[n], pairs[n][3]) for n in own]
        verdict = HOLDS if min(signs) > 0 else FAILS if min(signs) < 0 else OPEN
        shown = min(own, key=lambda n: pairs[n][2].mean())
        _, other, difference, by_seed = pairs[shown]
        low, high = bootstrap_interval(difference)
        rows.append(
            Row(
                *start,
                verdict,
                other,
                float(difference.mean()),
                low,
                high,
                raw[shown],
                float(corrected[shown]),
                float(by_seed.min()),
                float(by_seed.max()),
                _paper(tables[claim.table], claim.label, other, metric),
            )
        )
    return rows


def _per_user(runs: Sequence[Any], metric: str) -> pd.Series:
    return mean_over_seeds([run.per_user(metric) for run in runs], [str(r.folder) for r in runs])


def _sign(mean: float, p_holm: float, by_seed: np.ndarray) -> int:
    """1 or -1 for a difference beyond chance in users and in training, else 0."""
    certain = beyond_chance(p_holm, by_seed.min(), by_seed.max())
    return int(np.sign(mean)) if certain else 0


def _paper(table: Compared, label: str, other: str, metric: str) -> float | None:
    ours, theirs = (table.expected.get(name, {}).get(metric) for name in (label, other))
    return None if ours is None or theirs is None else round(ours - theirs, 6)


def page(data: Mapping[str, Any]) -> str:
    """claims.md from what claims.json has."""
    lines = [
        "# The paper's claims",
        "",
        "Mean difference (expected reading) to the best rival that the claim names, 95 % bootstrap "
        "interval over users, and p of the paired permutation test of the means, corrected after "
        "Holm over all comparisons on a data set. A claim holds if each difference is above 0 "
        f"beyond chance in the users (p < {LEVEL}) and for every pair of seeds; it doesn't hold if "
        "one is below 0 in the same sense.",
        "",
        "| Claim | Data set | Metric | Verdict | Against | Difference | 95 % interval | p (Holm) "
        "| Over seeds | Paper |",
        "|---|---|---|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in data["rows"]:
        cells = [row["claim"], row["dataset"], row["metric"], row["verdict"]]
        if row["other"] is None:
            cells += ["", "", "", "", "", ""]
        else:
            p = "< 0.0001" if row["p_holm"] < 1e-4 else f"{row['p_holm']:.4f}"
            paper = "" if row["paper"] is None else f"{row['paper']:+.3f}"
            cells += [row["other"], f"{row['difference']:+.4f}"]
            cells += [f"{row['low']:+.4f} to {row['high']:+.4f}", p]
            cells += [f"{row['seed_low']:+.4f} to {row['seed_high']:+.4f}", paper]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "Runs:", ""]
    for folder, about in data["sources"].items():
        seeds = sorted({seed for group in about["seeds"].values() for seed in group})
        lines.append(
            f"- `{folder}`: {about['users']:,} users, seeds {', '.join(map(str, seeds))}, "
            f"candidates {', '.join(h[:16] for h in about['candidates_sha256'])}"
        )
    return "\n".join(lines) + "\n"
