"""A comparison with several runs at a time beside the same one run after run.

Several runs on one machine share its memory as well as its cores, so the same training is timed
alone and beside others like it, as plain processes with one thread each, without Dask.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tabulate import tabulate

from recbole_dmf.run_folder import read_result

# The harness's models. SASRec is none of them: alone, it takes all cores, so that several at a time
# have nothing to gain.
MODELS = ("ItemPop", "ItemKNN", "EASE", "eALS", "NeuMF-p", "LFM", "DMF-2-ce", "DMF-2-nce", "BPR")
SEEDS = (1, 2, 3)
EPOCHS = 5
PRETRAIN_EPOCHS = 3  # of each of NeuMF-p's parts
_TRAIN = "from recbole_dmf.cli import run_recbole_main; run_recbole_main()"
_COMPARE = "from recbole_dmf.cli import recbole_dmf_main; recbole_dmf_main()"


def jobs_table(args) -> dict:
    """Both ways in turns, `--repeats` times, and what other trainings cost one."""
    scratch = Path(args.scratch)
    spent: dict[str, list[float]] = {}
    runs: dict[str, dict[str, list[float]]] = {model: {} for model in MODELS}
    for turn in range(args.repeats):
        for n in (1, args.jobs):
            folder = scratch / f"{turn}-{n}"
            command = [sys.executable, "-c", _COMPARE, "compare", *_options(args), f"--jobs={n}"]
            command += [f"--models={','.join(MODELS)}", f"--seeds={','.join(map(str, SEEDS))}"]
            command += [f"--set=NeuMF-p.pretrain_epochs={PRETRAIN_EPOCHS}", f"--results={folder}"]
            spent.setdefault(f"comparison, {n} at a time", []).append(_timed([command]))
            for result in map(read_result, (folder / "runs").iterdir()):
                of_model = runs[result["label"]].setdefault(f"{n} at a time", [])
                of_model.append(result["seconds"]["total"])
        for n in (1, args.jobs):
            folders = [scratch / f"{turn}-{n}-{number}" for number in range(n)]
            train = [sys.executable, "-c", _TRAIN, "--model=DMF", "--seed=1", *_options(args)]
            commands = [[*train, f"--checkpoint_dir={folder}"] for folder in folders]
            one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
            spent.setdefault(f"DMF, {n} at once", []).append(_timed(commands, one_thread))
    rows = {name: statistics.median(seconds) for name, seconds in spent.items()}
    print(tabulate(rows.items(), ["", "seconds"], floatfmt=".1f"))
    of_a_run = {
        model: {way: statistics.mean(seconds) for way, seconds in ways.items()}
        for model, ways in runs.items()
    }
    shown = [[f"a run of {model}", *ways.values()] for model, ways in of_a_run.items()]
    print(tabulate(shown, ["", "1 at a time", f"{args.jobs} at a time"], floatfmt=".1f"))
    several, one = (rows[f"comparison, {n} at a time"] for n in (args.jobs, 1))
    print(f"{args.jobs} at a time take {several / one:.2f} of the time")
    return {
        "jobs": args.jobs,
        "models": MODELS,
        "seeds": SEEDS,
        "epochs": args.epochs or EPOCHS,
        "seconds": rows,
        "turns": spent,
        "seconds_of_a_run": of_a_run,
        "ratio": several / one,
    }


def _options(args) -> list[str]:
    found = [f"--dataset={args.dataset}", f"--epochs={args.epochs or EPOCHS}"]
    return found + ([f"--data_path={args.data_path}"] if args.data_path else [])


def _timed(commands: list[list[str]], environment: dict[str, str] | None = None) -> float:
    """Seconds until all have ended."""
    start = time.perf_counter()
    running = [
        subprocess.Popen(
            command, env={**os.environ, **(environment or {})}, stdout=subprocess.DEVNULL
        )
        for command in commands
    ]
    codes = [process.wait() for process in running]
    if any(codes):
        raise SystemExit(f"exit codes {codes}, see the messages above")
    return time.perf_counter() - start


def plot_jobs(measured: dict, axes) -> None:
    """Seconds of each row."""
    rows = measured["seconds"]
    axes.barh(list(rows)[::-1], list(rows.values())[::-1], color="#0072B2")
    axes.set_xlabel("seconds until all have ended")
