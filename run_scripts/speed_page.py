"""The page of speed, drawn from the benchmarks' data files; `pages.py` writes it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.growth import seconds_of_run
from benchmarks.setting import PARTS

from recbole_dmf.experiments.checked_files import read_json
from recbole_dmf.experiments.measured_figures import markdown_table

SPEED = """\
# Speed

Drawn by `python run_scripts/pages.py`; do not edit. CPU, two cores; GPUs are not measured here.
Times depend on the machine: compare within a table only.
"""


def measured_rows(
    folder: Path, name: str, words: Mapping[str, str], formats: Mapping[str, str]
) -> list[list[str]]:
    """The rows of a benchmark's file that were measured on all sides.

    Args:
        folder: of the benchmarks' files.
        name: of the file.
        words: of the rows that are shown, by their names in the file.
        formats: of the sides' numbers, by their names in the file.
    """
    rows = _read(folder, name)["rows"]
    return [
        [text, *(f"{rows[row][side]:{shown}}" for side, shown in formats.items())]
        for row, text in words.items()
        if all(rows.get(row, {}).get(side) is not None for side in formats)
    ]


def cost_table(folder: Path) -> str:
    """RecBole's DMF beside ours on ml-1m, medians of three runs."""
    words = {
        "step_ms": "a training step, negatives included (ms)",
        "evaluation_seconds": "an evaluation, 101 candidates a user (s)",
        "full_ranking_seconds": "a full ranking (s); ours is the evaluation, which ranks all items",
        "start_seconds": "start to first training step (s)",
        "peak_memory_mb": "peak memory (MB)",
    }
    formats = {"recbole": ",.2f", "ours": ",.2f", "ratio": ".1f"}
    rows = measured_rows(folder, "ml-1m.json", words, formats)
    return markdown_table(["", "RecBole's DMF", "ours", "ratio"], rows)


def stages_table(folder: Path) -> str:
    """Where a step's processor time goes, beside what the machine could do at best."""
    stages = _read(folder, "ml-1m.json")["stages"]["stages"]
    rows = [[name, of["floor_ms"], of["ms"]] for name, of in stages.items()]
    rows.append(["all", *(sum(row[side] for row in rows) for side in (1, 2))])
    lines = [[name, f"{floor:.2f}", f"{ms:.2f}", f"{ms / floor:.1f}"] for name, floor, ms in rows]
    return markdown_table(["stage", "floor (ms)", "here (ms)", "ratio"], lines)


def quality_text(folder: Path) -> str:
    """Epochs and seconds until the quality that RecBole's DMF reaches at best."""
    data = _read(folder, "time-to-quality.json")
    target, ours = data["target"], data["ours"]
    first = next(n for n, value in enumerate(ours["ndcg"]) if value >= target)
    best = ours["ndcg"].index(max(ours["ndcg"]))
    return (
        f"The best validation NDCG@10 of RecBole's DMF function on ml-1m is {target:.4f}. "
        f"`--preset=dmf-fast` reaches it after {first + 1} epochs and {ours['seconds'][first]:.0f} "
        f"seconds; its best is {ours['ndcg'][best]:.3f} after {best + 1} epochs, and later ones "
        f"fall to {min(ours['ndcg'][best:]):.3f}, so it needs the choice by validation.\n"
    )


def growth_table(folder: Path, name: str, side: str, columns: Sequence[str]) -> str:
    """Seconds of each stage on generated sets; a stage that was not reached is empty."""
    rows = []
    for made in _read(folder, name)["sets"]:
        seconds = [made[side].get(f"{column}_seconds") for column in columns]
        memory = made[side].get("peak_memory_mb")
        rows.append(
            [f"{made['ratings']:,} ({made['users']:,} x {made['items']:,})"]
            + ["" if value is None else f"{value:,.2f}" for value in seconds]
            + ["" if memory is None else f"{memory:,.0f}"]
        )
    return markdown_table(
        ["ratings (users x items)", *(f"{c} (s)" for c in columns), "peak MB"], rows
    )


def growth_text(folder: Path) -> str:
    """What the table of growth is of, and how much more a rating costs in the larger sets."""
    data = _read(folder, "growth.json")
    seconds = {
        made["ratings"]: seconds_of_run(made["ours"]) / made["ratings"] for made in data["sets"]
    }
    million = min(seconds, key=lambda n: abs(n - 1_000_000))
    more = seconds[20_000_000] / seconds[million]
    largest = max(data["sets"], key=lambda made: made["ratings"])
    return (
        "## Growth\n\n"
        "Generated sets (`recbole-dmf generate`); the batch grows with the ratings, up "
        f"to {largest['large_batch']:,} instances, beyond which its vectors would take most of the "
        f"memory. From {million:,} to 20,000,000 ratings a rating costs {more:.2f} times as much, "
        f"read to evaluation; {largest['ratings']:,} ratings peak at "
        f"{largest['ours']['peak_memory_mb']:,.0f} MB.\n"
    )


def catalogue_text(folder: Path) -> str:
    """The top 100 and the expected reading over a large catalogue."""
    data = _read(folder, "catalogue.json")
    rows = []
    for row in data["rows"]:
        seconds, memory = row["build_seconds"], row["peak_memory_mb"]
        rows.append(
            [
                row["way"],
                f"{row['users']:,}",
                f"{row['users_per_second']:,.1f}",
                f"{row['cpu_ms_per_user']:,.2f}",
                f"{row['recall']:.3f}",
                "" if seconds is None else f"{seconds:,.0f}",
                f"{memory:,.0f}",
            ]
        )
    head = ["top 100", "users measured", "users a second", "CPU ms a user", "recall"]
    table = markdown_table([*head, "build (s)", "peak MB"], rows)
    found = data["runs"]["catalogue_expected"]
    by_rows, by_blocks = found["rows"], found["blocks"]
    faster = by_rows["cpu_ms_per_user"] / by_blocks["cpu_ms_per_user"]
    return (
        f"{data['users']:,} users, {data['items']:,} items, {data['factors']} factors, generated "
        f"around {data['centres']} centres; threads: {data['threads']}. On a busy machine, so "
        "compare the CPU times. Recall is against the exact top 100; nothing seen is left out. "
        "Other data have other recalls.\n\n"
        f"{table}\n"
        f"The expected reading of {by_blocks['users']:,} users takes {by_blocks['seconds']:,.0f} s "
        f"in blocks, {by_blocks['cpu_ms_per_user']:.2f} ms of CPU a user; in whole rows "
        f"{by_rows['cpu_ms_per_user']:.2f} ms ({by_rows['users']} users measured), {faster:.1f} "
        f"times as much. Of those users {found['users_that_differ']} have another count, by at "
        f"most {found['largest_difference']}: scores that rounding alone sets apart.\n"
    )


def jobs_text(folder: Path) -> str:
    """A comparison with several runs at a time beside the same one run after run."""
    data = _read(folder, "jobs.json")
    jobs, seconds = data["jobs"], data["seconds"]
    one, several = (seconds[f"comparison, {n} at a time"] for n in (1, jobs))
    ways = ("1 at a time", f"{jobs} at a time")
    rows = [
        [model, *(f"{of[way]:.1f}" for way in ways)]
        for model, of in data["seconds_of_a_run"].items()
    ]
    table = markdown_table(["a run of", *(f"{way} (s)" for way in ways)], rows)
    return (
        f"`--jobs={jobs}` on {data['cores']} cores: {len(data['models'])} models with "
        f"{len(data['seeds'])} seeds and {data['epochs']} epochs on {data['dataset']} take "
        f"{several:.0f} s, run after run {one:.0f} s: {data['ratio']:.2f} of the time, reading, "
        "audit and report included. A model that takes all cores alone, such as SASRec, gains "
        f"nothing.\n\n{table}"
    )


def sequential_table(folder: Path) -> str:
    """Our SASRec and `dmf-best` beside RecBole's SASRec on ml-1m."""
    words = {
        "epoch_seconds": "an epoch (s)",
        "epoch_cpu_seconds": "an epoch, of the processor (s)",
        "evaluation_seconds": "an evaluation, 101 candidates a user (s)",
        "full_ranking_seconds": "a full ranking (s)",
        "peak_memory_mb": "peak memory (MB)",
    }
    sides = ("recbole_sasrec", "our_sasrec", "dmf_best", "our_sasrec_ratio", "dmf_best_ratio")
    header = ["", "RecBole's SASRec", "our SASRec", "dmf-best", "ratio", "ratio of dmf-best"]
    rows = measured_rows(folder, "sequential-ml-1m.json", words, dict.fromkeys(sides, ",.1f"))
    return markdown_table(header, rows)


def speed_page(folder: Path) -> str:
    """The text of speed.md.

    Args:
        folder: of the benchmarks' files.
    """
    return "\n".join(
        [
            SPEED,
            "## Beside RecBole's DMF, ml-1m\n\nBatch 256, 7 negatives, layers 64/64, medians of "
            "three runs in turns.\n",
            cost_table(folder),
            "The stages of a step; the floor is what the bytes and products take at the speed that "
            "this machine reaches on large ones:\n",
            stages_table(folder),
            "Data: [benchmark/ml-1m.json](benchmark/ml-1m.json)\n",
            "## Time to quality, ml-1m\n",
            quality_text(folder),
            "Data: [benchmark/time-to-quality.json](benchmark/time-to-quality.json)\n",
            "## Models that read the order of time, ml-1m\n\nWindows of 50 items for both SASRecs; "
            "RecBole's epoch is four of its steps times their number.\n",
            sequential_table(folder),
            "Data: [benchmark/sequential-ml-1m.json](benchmark/sequential-ml-1m.json)\n",
            growth_text(folder),
            growth_table(folder, "growth.json", "ours", PARTS),
            "Data: [benchmark/growth.json](benchmark/growth.json)\n",
            "RecBole's DMF on the same sets, each beside ours in one run; its epoch is its step "
            "times the number of them, and an empty evaluation was stopped after 150 s.\n",
            growth_table(folder, "growth-recbole.json", "recbole", PARTS),
            "Data: [benchmark/growth-recbole.json](benchmark/growth-recbole.json)\n",
            "## Several runs at a time\n",
            jobs_text(folder),
            "Data: [benchmark/jobs.json](benchmark/jobs.json)\n",
            "## A large catalogue\n",
            catalogue_text(folder),
            "Data: [benchmark/catalogue.json](benchmark/catalogue.json)\n",
        ]
    )


def _read(folder: Path, name: str) -> dict[str, Any]:
    return read_json(folder / name, "run_scripts/benchmark.py makes it")
