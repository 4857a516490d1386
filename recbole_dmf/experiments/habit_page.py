"""The page of the habits, drawn from its data file."""

from typing import Any

from recbole_dmf.experiments.habits import BASE, HABITS
from recbole_dmf.experiments.measured_figures import signed

_TOTALS = {
    "sum": "all added up, but `training items`",
    "together": "all but `training items` in one protocol, the mean of the seeds",
    "together, best of seeds": "the same, the best of the seeds",
}


def habit_page(data: dict[str, Any]) -> str:
    """habits-DATASET.md from what habits-DATASET.json has."""
    n, base = len(data["seeds"]), data["base"]
    text = [f"# What habits of evaluation add: {data['model']} on {data['dataset']}", ""]
    text += [
        f"The figures by this project's protocol, means over {n} seeds: HR@10 {base[0]:.4f}, "
        f"NDCG@10 {base[1]:.4f} (epoch chosen by validation, {_listed(data['best_epochs'])} by "
        "seed; sampled reading, the mean over "
        f"{data['draws']} draws of 100 candidates; ties broken at random).",
        "",
    ]
    if data["paper"]:
        gap = [p - b for p, b in zip(data["paper"], base, strict=True)]
        text += [
            f"The paper has {data['paper'][0]:.3f} and {data['paper'][1]:.3f}: "
            f"{signed(gap[0], 4)} and {signed(gap[1], 4)}.",
            "",
        ]
    text += [
        "| Habit | Against | HR@10 | 95 % interval | NDCG@10 | 95 % interval |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for name, gain in data["gains"].items():
        what, against = HABITS.get(name, (_TOTALS.get(name, ""), BASE))
        cells = [f"{name}: {what}", "the protocol" if against == BASE else against]
        for side in (0, 1):
            low, high = gain["low"][side], gain["high"][side]
            cells += [signed(gain["mean"][side], 4), f"{signed(low, 4)} to {signed(high, 4)}"]
        text.append("| " + " | ".join(cells) + " |")
    text += ["", *_verdict(data), ""]
    options = ", ".join(f"{k} {v}" for k, v in data["options"].items() if k != "data_path")
    text += [
        "Intervals are of the mean over the seeds (Student's t); that of `best of seeds` is of the "
        "seeds' standard deviation times the mean of the greatest of as many normal numbers.",
        "",
        f"Settings: the paper's, but {options}. Seeds {_listed(data['seeds'])}. Versions: "
        + ", ".join(f"{k} {v}" for k, v in sorted(data["versions"].items()))
        + f". Commit {data['commit']}. Command: `{data['command']}`",
    ]
    return "\n".join(text) + "\n"


def _verdict(data: dict[str, Any]) -> list[str]:
    """Which part of the gap to the paper the habits explain."""
    if not data["paper"]:
        return []
    lines = []
    for side, metric in enumerate(("HR@10", "NDCG@10")):
        gap = data["paper"][side] - data["base"][side]
        gain = data["gains"]["together, best of seeds"]
        share = gain["mean"][side] / gap
        word = "all" if gain["low"][side] >= gap else "not all" if gain["high"][side] < gap else ""
        explained = f"{word} of the gap" if word else "perhaps all of the gap"
        left = gap - gain["mean"][side]
        lines.append(
            f"- {metric}: together, with the best of {len(data['seeds'])} seeds, the habits add "
            f"{signed(gain['mean'][side], 4)}, {share:.0%} of the gap of {signed(gap, 4)}: they "
            f"explain {explained}. {signed(left, 4)} is left."
        )
    return lines


def _listed(values: list) -> str:
    return ", ".join(map(str, values))
