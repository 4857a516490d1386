"""The page of the habits, drawn from its data file."""

from math import hypot
from typing import Any

from recbole_dmf.experiments.habits import BASE, EXPLAINS, HABITS
from recbole_dmf.experiments.measured_figures import signed, signed_range

_NORMAL = 1.96  # standard deviations on each side of a 95 % interval
_TOTALS = {
    "sum": "all added up, but `training items`",
    "together": "all but `training items` in one protocol, the mean of the seeds",
    EXPLAINS: "the same, the best of the seeds",
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
        gap = gap_to_paper(data)
        deviation = data["draw_deviation"]
        text += [
            f"The paper has {data['paper'][0]:.3f} and {data['paper'][1]:.3f}: "
            f"{signed(gap[0], 4)} and {signed(gap[1], 4)}. These are of one draw of candidates; "
            f"from draw to draw ours differ by a standard deviation of {deviation[0]:.4f} and "
            f"{deviation[1]:.4f}.",
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
            cells += [signed(gain["mean"][side], 4), signed_range(low, high)]
        text.append("| " + " | ".join(cells) + " |")
    text += ["", *_verdict(data), ""]
    options = ", ".join(f"{k} {v}" for k, v in data["options"].items() if k != "data_path")
    text += [
        "Intervals are of the mean over the seeds (Student's t); that of `best of seeds` is of the "
        "seeds' standard deviation times the mean of the greatest of as many normal numbers, and "
        "those of sums with it have the errors of both. What is left has the error of the gain and "
        "that of the paper's one draw.",
        "",
        f"Settings: the paper's, with {options}. Seeds {_listed(data['seeds'])}. Versions: "
        + ", ".join(f"{k} {v}" for k, v in sorted(data["versions"].items()))
        + f". Commit {data['commit']}. Command: `{data['command']}`",
    ]
    return "\n".join(text) + "\n"


def gap_to_paper(data: dict[str, Any]) -> list[float]:
    """How far the paper's HR@10 and NDCG@10 are ahead, from what habits-DATASET.json has."""
    return [paper - ours for paper, ours in zip(data["paper"], data["base"], strict=True)]


def left_of_gap(data: dict[str, Any], side: int, more: float = 0.0) -> tuple[float, float, float]:
    """What the habits and `more` leave of the gap to the paper, with its 95 % interval.

    Args:
        data: what habits-DATASET.json has.
        side: 0 for HR@10, 1 for NDCG@10.
        more: what something else adds.
    """
    gain = {name: value[side] for name, value in data["gains"][EXPLAINS].items()}
    left = gap_to_paper(data)[side] - gain["mean"] - more
    draw = _NORMAL * data["draw_deviation"][side]
    above = hypot(gain["mean"] - gain["low"], draw)
    return left, left - hypot(gain["high"] - gain["mean"], draw), left + above


def _verdict(data: dict[str, Any]) -> list[str]:
    """Which part of the gap to the paper the habits explain."""
    if not data["paper"]:
        return []
    lines = []
    for side, metric in enumerate(("HR@10", "NDCG@10")):
        gap = gap_to_paper(data)[side]
        gain = data["gains"][EXPLAINS]["mean"][side]
        left, low, high = left_of_gap(data, side)
        part = "all" if high <= 0 else "not all" if low > 0 else "perhaps all"
        lines.append(
            f"- {metric}: together, with the best of {len(data['seeds'])} seeds, the habits add "
            f"{signed(gain, 4)}, {gain / gap:.0%} of the gap of {signed(gap, 4)}: they explain "
            f"{part} of the gap. {signed(left, 4)} is left, {signed_range(low, high)}."
        )
    return lines


def _listed(values: list) -> str:
    return ", ".join(map(str, values))
