#!/usr/bin/env python
"""Kills workers of `recbole-dmf compare --jobs=2` in the middle of their runs with SIGKILL.

    python run_scripts/dask_kill_test.py --kills=20 --out=run_scripts/measured/dask-kill-test.json

Each kill hits a worker whose run has saved an epoch, at a random moment. Comparisons are started
until there were enough kills; each must end well, repeat nothing that was finished, and give every
figure and weight of a comparison by one process, bit for bit. Linux only, since the workers are
found in /proc.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from kill_test import are_equal, outcome, write_data

from recbole_dmf.files import write_text
from recbole_dmf.manifest import versions

OPTIONS = {
    "DMF": {"init": "xavier", "learning_rate": 0.001, "epochs": 60},
    "BPR": {"epochs": 150},
}
POLL = 0.01  # seconds
AT_MOST = 3  # kills in a comparison: Dask gives a task up that has lost more workers


def start(folder: Path, args: argparse.Namespace, data: Path, jobs: int) -> subprocess.Popen:
    """A comparison in a process of its own."""
    words = [f"{Path(sys.executable).parent}/recbole-dmf", "compare", "--dataset=random"]
    words += [f"--models={','.join(OPTIONS)}", f"--results={folder}", f"--jobs={jobs}"]
    words += [f"--seeds={','.join(map(str, range(1, args.seeds + 1)))}", f"--data_path={data}"]
    words += ["--stopping_step=1000", "--train_batch_size=4096"]
    words += [f"--set={m}.{k}={v}" for m, of in OPTIONS.items() for k, v in of.items()]
    variables = {**os.environ, "OMP_NUM_THREADS": "1"}
    with Path(f"{folder}.txt").open("a") as log:
        return subprocess.Popen(words, stdout=log, stderr=log, env=variables)


def processes() -> dict[int, tuple[int, bytes]]:
    """Parent and command line of all processes, by id."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            if fields[0] != "Z":
                found[int(path.name)] = (int(fields[1]), (path / "cmdline").read_bytes())
    return found


def workers_that_train(command: int) -> list[int]:
    """Workers of a comparison that have a run: command > worker > fork server > run."""
    found = processes()
    workers = [p for p, (parent, what) in found.items() if parent == command and b"spawn" in what]
    servers = {p: parent for p, (parent, _) in found.items() if parent in workers}
    return sorted({servers[parent] for parent, _ in found.values() if parent in servers})


def kill_one(
    command: subprocess.Popen, folder: Path, draw: random.Random
) -> tuple[dict, dict[Path, int]] | None:
    """Kill a worker in mid-run: what it cost, and the finished results' times; None: too late."""
    while command.poll() is None and not list(folder.glob("runs/.unfinished-*/resume.pt")):
        time.sleep(POLL)
    stop = time.perf_counter() + draw.uniform(0, 3)
    while command.poll() is None and time.perf_counter() < stop:
        time.sleep(POLL)
    training = workers_that_train(command.pid) if command.poll() is None else []
    if not training:
        return None
    stamps = {p: p.stat().st_mtime_ns for p in folder.glob("runs/[!.]*-seed*/result.json")}
    saved = len(list(folder.glob("runs/.unfinished-*/resume.pt")))
    with suppress(ProcessLookupError):
        os.kill(draw.choice(training), signal.SIGKILL)
    about = {"workers_at_work": len(training), "runs_finished": len(stamps), "runs_saved": saved}
    return about, stamps


def compare_under_fire(
    folder: Path, args: argparse.Namespace, data: Path, n: int, draw: random.Random
) -> dict:
    """One comparison whose workers are killed up to `n` times."""
    command = start(folder, args, data, 2)
    kills, stamps = [], {}
    while len(kills) < n and command.poll() is None:
        if (one := kill_one(command, folder, draw)) is None:
            continue
        kills.append(one[0])
        stamps |= {path: stamp for path, stamp in one[1].items() if path not in stamps}
        victims = set(workers_that_train(command.pid))
        while command.poll() is None and set(workers_that_train(command.pid)) <= victims:
            time.sleep(POLL)  # until a new worker has taken over
    code = command.wait()
    again = sum(path.stat().st_mtime_ns != stamp for path, stamp in stamps.items())
    return {"exit_code": code, "kills": kills, "finished_repeated": again}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=4, help="runs of each model in a comparison")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--out", help="JSON file of everything that was found")
    return parser.parse_args()


def main() -> int:
    args, found, n_kills = arguments(), [], 0
    draw = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data"
        write_data(data)
        reference = Path(scratch) / "one"
        if start(reference, args, data, 1).wait():
            sys.exit(Path(f"{reference}.txt").read_text())
        names = sorted(path.parent.name for path in reference.glob("runs/*/result.json"))
        while n_kills < args.kills:
            folder = Path(scratch) / f"comparison-{len(found)}"
            one = compare_under_fire(folder, args, data, min(AT_MOST, args.kills - n_kills), draw)
            n_kills += len(one["kills"])
            runs = [(folder / "runs" / name, reference / "runs" / name) for name in names]
            one["runs"] = len(runs)
            one["runs_bit_equal"] = sum(
                (a / "result.json").is_file() and are_equal(outcome(a), outcome(b)) for a, b in runs
            )
            found.append(one)
            print(json.dumps(one), flush=True)
            if one["exit_code"]:
                print(Path(f"{folder}.txt").read_text()[-3000:])
    good = [f["exit_code"] == 0 and f["runs_bit_equal"] == f["runs"] for f in found]
    summary = {
        "kills": n_kills,
        "kills_survived": sum(len(f["kills"]) for f, ok in zip(found, good, strict=True) if ok),
        "runs": sum(f["runs"] for f in found),
        "runs_bit_equal": sum(f["runs_bit_equal"] for f in found),
        "finished_repeated": sum(f["finished_repeated"] for f in found),
    }
    print(json.dumps(summary, indent=2))
    if args.out:
        about = {"command": " ".join(["python", *sys.argv]), "versions": versions()}
        content = {**about, "options": OPTIONS, "summary": summary, "comparisons": found}
        write_text(Path(args.out), json.dumps(content, indent=2) + "\n")
    return 0 if all(good) and not summary["finished_repeated"] else 1


if __name__ == "__main__":
    sys.exit(main())
