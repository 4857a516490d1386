#!/usr/bin/env python
"""Draw the pages of run_scripts/measured/ and README's table from the data files there.

python run_scripts/pages.py
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import pandas as pd
from speed_page import speed_page

from recbole_dmf.evaluation.metrics import WARM
from recbole_dmf.experiments.claim_tables import difference, read_table
from recbole_dmf.experiments.claims import claims_page
from recbole_dmf.experiments.habit_page import gap_to_paper, habit_page, left_of_gap
from recbole_dmf.experiments.habits import EXPLAINS
from recbole_dmf.experiments.measured_figures import (
    METRICS,
    both_shares,
    figures_on_test,
    markdown_table,
    signed,
    signed_range,
)
from recbole_dmf.experiments.order_page import blocks_text, headline_table

ROOT = Path(__file__).resolve().parents[1]
MEASURED = ROOT / "run_scripts" / "measured"
START, END = "<!-- drawn by run_scripts/pages.py -->", "<!-- end -->"
HEADLINE = ("ml-100k", "ml-1m", "ml-latest-small", "amazon-music")  # data sets of README's table
CURVES = "validation_curves.png"
COMPARISONS = {  # folder -> heading
    "table2-ml-100k": "Table 2, ml-100k, and two columns more",
    "table2-ml-1m": "Table 2, ml-1m, and EASE",
    "table2-amazon-music": "Table 2, amazon-music, and EASE",
    "table2-ml-1m-raw": "Table 2, ml-1m, candidates from all raw ids as in the paper",
    "table2-amazon-movies-shape": "Table 2, generated ratings of the shape of Amazon Movies",
    "batch-ml-1m": "The paper's batch of 256 and the large one, ml-1m",
    "table3-ml-100k": "Table 3, ml-100k: input matrix against random vectors",
    "table3-ml-1m": "Table 3, ml-1m",
    "table3-amazon-music": "Table 3, amazon-music",
    "table4-ml-100k": "Table 4, ml-100k: negatives per positive",
    "table4-ml-1m": "Table 4, ml-1m",
    "table4-amazon-music": "Table 4, amazon-music",
    "table5-ml-100k": "Table 5, ml-100k: factors",
    "table5-ml-1m": "Table 5, ml-1m",
    "table5-amazon-music": "Table 5, amazon-music",
    "figure2-ml-100k": "Figure 2, ml-100k: depth",
    "figure2-ml-1m": "Figure 2, ml-1m",
    "figure2-amazon-music": "Depth, amazon-music (the paper has it for MovieLens alone)",
    "ablation-ml-100k": "Ablation, ml-100k",
    "ablation-amazon-music": "Ablation, amazon-music",
}
RESULTS = """\
# Results

Drawn by `python run_scripts/pages.py`; do not edit. HR@10 and NDCG@10 on test in the *expected*
reading ([protocol](protocol.md)), mean over seeds. "Paper" is Xue et al., IJCAI 2017. Each folder
has the data (`results.csv`) and `summary.md` with standard deviations, the other readings and the
paired tests per user, with the name of the test. The commands are in [README.md](README.md).

Models that read the order of time are in a block of their own, with its own tests: a lead over
models that don't says what the order is worth, not which model is better. The two blocks of a data
set have one split, that of `--protocol=validation-latest`, and one set of candidates.

What the tables say:

- The paper's claim that DMF is ahead of every baseline does not hold on these data: with options
  searched by validation eALS and NeuMF-p are ahead of DMF at the paper's settings in NDCG@10 on
  every set, beyond chance. DMF at the paper's settings was not searched.
- One layer is best on ml-100k, ml-1m and amazon-music, in NDCG@10 beyond chance, and on ml-1m each
  further one does harm; the paper has two ahead on ml-1m, and about level on ml-100k.
- More negatives than two do harm on amazon-music (warm); on MovieLens five to ten are level, and
  fewer are behind.
- More factors are better up to 64, but for HR@10 on amazon-music, which is level from 32 on; 128 is
  first, on ml-1m beyond chance, else it can't be told from 64. In the paper 64 is best on
  MovieLens.
- The input matrix Y is ahead of random vectors on ml-1m, as in the paper; it can't be told on
  ml-100k, and on amazon-music (warm) it is behind in NDCG@10.
- amazon-music misleads ([audit](audit-amazon-music.json)): many test items have no training
  interaction while most candidates have one, and models with target masking learn to put such items
  first: compare `no-preceding-items` with `no-target-masking` in the ablation. Do not expect these
  figures in a shop. The warm reading leads there, but the order of the file also tells.
- On generated ratings of the shape of Amazon Movies all columns of Table 2 run to the end; the
  table is about time and memory. DMF and NeuMF-p have the large batches of ml-1m, nothing was
  searched, DMF was best after its first epoch, and no model is ahead of ItemPop.
- Each claim of the paper, judged: [claims.md](claims.md).
"""


def figures(folder: Path, reading: str = "expected") -> dict[str, tuple[float, float, int]]:
    """{model: (HR@10, NDCG@10, seeds)} on test in a reading, means over seeds; {} without it."""
    return {
        model: (mean(of["hit@10"]), mean(of["ndcg@10"]), len(of["hit@10"]))
        for model, readings in figures_on_test(folder).items()
        if (of := readings.get(reading))
    }


def read_json(path: Path) -> dict[str, Any]:
    """The content of a data file."""
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def comparison_table(folder: Path) -> str:
    """A comparison's models beside the paper's figures, those that read the order last."""
    about, measured = read_json(folder / "comparison.json"), figures(folder)
    warm = figures(folder, WARM) if misleads(folder, about) else {}
    readers = about["reads_order"]
    models = sorted(about["models"], key=lambda model: model in readers)
    rows = []
    for model in models:
        hit, ndcg, seeds = measured[model]
        paper = about["expected"].get(model, {})
        ours = both_shares((hit, ndcg))
        theirs = both_shares(paper[metric] for metric in METRICS) if paper else ""
        count = "deterministic" if model in about["deterministic"] else str(seeds)
        order = "yes" if model in readers else "no"
        leading = [both_shares(warm[model][:2])] if warm else []
        rows.append([model, order, count, *leading, ours, theirs])
    names = ["HR@10 / NDCG@10 warm", "expected"] if warm else ["HR@10 / NDCG@10"]
    return markdown_table(["model", "reads order", "seeds", *names, "paper"], rows)


def not_stopped(folder: Path) -> str:
    """A line that names the models with runs which were best at the end; "" for none."""
    path = folder / "validation_curves.csv"
    if not path.is_file():
        return ""
    ends: dict[str, list[bool]] = {}
    for (model, _), run in pd.read_csv(path).groupby(["model", "seed"], sort=False):
        last = run.loc[run["kept"] == 1, "epoch"].max() == run["epoch"].max()
        ends.setdefault(str(model), []).append(bool(last))
    found = [f"{model} ({sum(of)} of {len(of)})" for model, of in ends.items() if any(of)]
    if not found:
        return ""
    return f"\nRuns whose last epoch was the best, so more may give more: {', '.join(found)}.\n"


def costs(folder: Path) -> str:
    """Means over the runs of what a model took, where the folder has costs.csv; else ""."""
    path = folder / "costs.csv"
    if not path.is_file():
        return ""
    names = {
        "train_seconds": "training (s)",
        "score_seconds": "validation and test (s)",
        "peak_memory_mb": "peak memory (MB)",
    }
    rows = []
    for model, runs in pd.read_csv(path).groupby("model", sort=False):
        best = ", ".join(f"{epoch:.0f}" for epoch in runs["best_epoch"].dropna())
        rows.append([str(model), *(f"{value:,.0f}" for value in runs[list(names)].mean()), best])
    return f"\n{markdown_table(['model', *names.values(), 'best epoch by run'], rows)}"


def misleads(folder: Path, about: dict[str, Any]) -> bool:
    """Whether the audit of a comparison's data has the warm figures lead."""
    path = folder / "audit.json"
    found = read_json(path) if path.is_file() else audit_of(about["dataset"])
    return bool(found["headline"] == WARM)


def audit_of(dataset: str) -> dict[str, Any]:
    """The audit of a data set under the paper's protocol."""
    return read_json(MEASURED / f"audit-{dataset}.json")


def caution(folder: Path) -> str:
    """What is to be said before a comparison's figures."""
    about = read_json(folder / "comparison.json")
    if not misleads(folder, about):
        return ""
    if figures(folder, WARM):
        return "**The expected figures mislead, see the audit; the warm ones lead.**\n\n"
    return "**These figures mislead, see the audit; the warm ones were not measured.**\n\n"


def habits_text() -> str:
    """How much of the gap to the paper the habits of evaluation explain on ml-100k."""
    data = read_json(MEASURED / "habits-ml-100k.json")
    added, gap = data["gains"][EXPLAINS]["mean"], gap_to_paper(data)
    measured = figures(MEASURED / "ablation-ml-100k")
    code, text = measured["dmf-author-code"], measured["dmf-paper"]
    more = [code[side] - text[side] for side in (0, 1)]
    left = [left_of_gap(data, side, more[side]) for side in (0, 1)]
    verdicts = [
        f"{metric} {'is not explained' if low > 0 else 'may be explained by both'}"
        for metric, (_, low, _) in zip(("HR@10", "NDCG@10"), left, strict=True)
    ]
    return (
        "- What usual habits of evaluation add to DMF-2-nce on ml-100k: "
        f"[habits-ml-100k.md](habits-ml-100k.md). Together, with the best of {len(data['seeds'])} "
        f"seeds, {both(added)} of the {both(gap)} that the paper is ahead. The first author's "
        f"later code (`dmf-author-code` in the ablation) is {both(more)} ahead of the paper's "
        f"text; with both {both([mean for mean, _, _ in left])} is left. By the 95 % interval, "
        f"which has the error of the paper's one draw of candidates, {' and '.join(verdicts)}.\n"
    )


def batch_text() -> str:
    """What the large batch does to DMF's figures on ml-1m."""
    table = read_table(MEASURED / "batch-ml-1m", MEASURED / "audit-ml-1m.json")
    if table is None:
        raise SystemExit(f"{MEASURED / 'batch-ml-1m'} has no figures.")
    found, ends = [], []
    for label in ("DMF-2-nce", "DMF-2-ce"):
        than = [difference(table, f"{label}-large-batch", label, metric) for metric in METRICS]
        ends += [abs(end) for d in than for end in (d.low, d.high)]
        changes = [f"{signed(d.mean, 4)} ({signed_range(d.low, d.high)})" for d in than]
        found.append(f"{label} by {' / '.join(changes)}")
    return (
        "- On ml-1m DMF is trained with a batch of 16,384, a learning rate of .006, chosen by "
        "validation, and Xavier's initialization, in place of the paper's 256, 1e-4 and N(0, .01²)."
        " That changes, with one seed each, a patience of 5 epochs for both and the 95 % interval "
        f"over users, {' and '.join(found)}: nothing, to {max(ends):.3f}. Other depths than two "
        f"layers were not compared.\n{patience_text()}"
    )


def patience_text() -> str:
    """What twice the patience does to DMF on ml-1m, where tables stop early."""
    more = figures(MEASURED / "table4-ml-1m-patience")
    less = figures(MEASURED / "table4-ml-1m")
    more["64 factors"] = figures(MEASURED / "figure2-ml-1m")["DMF-2"]
    less["64 factors"] = figures(MEASURED / "table5-ml-1m")["factors-64"]
    gains = [
        f"{label} {both([more[label][side] - less[label][side] for side in (0, 1)])}"
        for label in more
    ]
    return (
        "- On ml-1m Tables 2 and 3 and Figure 2 stop after 10 epochs without gain, Tables 4 and 5 "
        "and that with raw candidates after 5. With 10, three seeds each "
        "([data](table4-ml-1m-patience/results.csv)), the figures would be a little higher, but "
        f"all of them: {', '.join(gains)}.\n"
    )


def raw_text() -> str:
    """How near the figures on ml-1m come to the paper's with candidates from all raw ids."""
    folder = MEASURED / "table2-ml-1m-raw"
    measured, paper = figures(folder), read_json(folder / "comparison.json")["expected"]
    gaps = {
        label: both([measured[label][side] - of[metric] for side, metric in enumerate(METRICS)])
        for label, of in paper.items()
    }
    return (
        "- With candidates from all raw ids of ml-1m, those that nobody rated among them, the "
        "expected figures are, against the paper's, "
        f"{', '.join(f'{label} {gap}' for label, gap in gaps.items())}.\n"
    )


def both(values: Sequence[float]) -> str:
    """HR@10 and NDCG@10, signed."""
    return " / ".join(signed(value, 3).replace("0.", ".") for value in values)


def results_page() -> str:
    """The text of results.md."""
    parts = [RESULTS + batch_text() + raw_text() + habits_text(), blocks_text(MEASURED)]
    for name, heading in COMPARISONS.items():
        links = f"Data: [{name}/results.csv]({name}/results.csv), tests: "
        links += f"[summary.md]({name}/summary.md)\n"
        folder = MEASURED / name
        curves = f"\n![{heading}]({name}/{CURVES})\n" if (folder / CURVES).is_file() else ""
        table = f"{comparison_table(folder)}{costs(folder)}{not_stopped(folder)}{curves}"
        parts.append(f"## {heading}\n\n{caution(folder)}{table}\n{links}")
    return "\n".join(parts)


def readme_table() -> str:
    """README's tables: ml-100k beside the paper, and both blocks; expected reading."""
    folder = MEASURED / "table2-ml-100k"
    measured, paper = figures(folder), read_json(folder / "comparison.json")["expected"]
    names = {
        "ItemPop": "ItemPop",
        "ItemKNN": "ItemKNN",
        "EASE": "EASE",
        "NeuMF-p": "NeuMF-p",
        "eALS": "eALS",
        "DMF-2-nce": "DMF, the paper's settings",
        "dmf-scaled-cosine": "DMF, scaled cosine and target masking",
    }
    rows = []
    for model, words in names.items():
        hit, ndcg, _ = measured[model]
        theirs = paper.get(model)
        figure = both_shares(theirs[metric] for metric in METRICS) if theirs else ""
        rows.append([words, both_shares((hit, ndcg)), figure])
    beside = markdown_table(["ml-100k, HR@10 / NDCG@10", "here", "the paper"], rows)
    readings = {name: audit_of(name)["headline"] for name in HEADLINE}
    return f"{beside}\n{headline_table(MEASURED, readings)}"


def with_table(readme: str) -> str:
    """README's text with its table drawn again between the markers."""
    pattern = re.compile(f"{re.escape(START)}.*?{re.escape(END)}", re.DOTALL)
    if not pattern.search(readme):
        raise SystemExit(f"README.md has no lines {START} and {END} to put the table between.")
    return pattern.sub(lambda _: f"{START}\n{readme_table()}{END}", readme)


def pages() -> dict[Path, str]:
    """{file: its text} of all that is drawn."""
    readme = ROOT / "README.md"
    return {
        MEASURED / "results.md": results_page(),
        MEASURED / "speed.md": speed_page(MEASURED / "benchmark"),
        MEASURED / "habits-ml-100k.md": habit_page(read_json(MEASURED / "habits-ml-100k.json")),
        MEASURED / "claims.md": claims_page(read_json(MEASURED / "claims.json")),
        readme: with_table(readme.read_text()),
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text)
        print(path.relative_to(ROOT))
