#!/usr/bin/env python
"""Kills runs and comparisons with SIGKILL, resumes them and compares with undisturbed ones.

    python run_scripts/kill_test.py --kills=50 --same-seed=10 --out=kill-test.json

Each kill has a folder of its own and one of three kinds: `training`, at a random moment of a run;
`saving`, while a file is being written; `comparing`, at a random moment of `recbole-dmf compare`,
where the training process, the command or both are killed. After it every file is read; then the
run is resumed, and weights, history, metrics and every user's figures are compared bit for bit.
Linux only, since the processes of a comparison are found in /proc.
"""

import argparse
import csv
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from pathlib import Path

import torch
import yaml

from recbole_dmf.cli import guarded
from recbole_dmf.commands import run
from recbole_dmf.files import write_text
from recbole_dmf.manifest import versions
from recbole_dmf.training.checkpoint import load_checkpoint

KINDS = ("training", "saving", "comparing", "training", "saving")
MODELS = {
    "DMF": {"init": "xavier", "learning_rate": 0.001, "epochs": 12},
    "NeuMFp": {"pretrain_epochs": 4, "epochs": 6},
    "BPR": {"epochs": 30},
    "EALS": {"epochs": 30, "embedding_size": 32},
}
COMPARED = ("BPR", "DMF")
POLL = 0.0005  # seconds between looks for a file that is being written


def write_data(folder: Path, n_users: int = 300, n_items: int = 400, per_user: int = 20) -> None:
    """A random data set, FOLDER/random/random.inter."""
    draw = random.Random(0)
    lines = ["user_id:token\titem_id:token\trating:float\ttimestamp:float"]
    for user in range(n_users):
        items = draw.sample(range(n_items), per_user)
        lines += [f"u{user}\ti{i}\t{draw.randint(1, 5)}\t{9 * t + 1}" for t, i in enumerate(items)]
    (folder / "random").mkdir(parents=True)
    (folder / "random" / "random.inter").write_text("\n".join(lines) + "\n")


def options_of(model: str, args) -> dict:
    return {
        "data_path": str(args.data),
        "stopping_step": 100,
        "train_batch_size": 4096,
        "seed": 7,
        **MODELS[model],
    }


def words_of(options: dict) -> list[str]:
    return [f"--{name}={value}" for name, value in options.items()]


def start_run(words: list[str], log: Path) -> int:
    """`run_recbole WORDS` in a process that has everything imported already; its id."""
    process = os.fork()
    if process:
        return process
    os.setsid()
    sys.argv = ["run_recbole", *words]
    stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    code = 1
    try:
        code = guarded(run.main, words)
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def start_comparison(folder: Path, args, log: Path) -> subprocess.Popen:
    words = [f"{Path(sys.executable).parent}/recbole-dmf", "compare", "--dataset=random"]
    words += [f"--models={','.join(args.compared)}", "--seeds=7", f"--results={folder}"]
    for model in args.compared:
        chosen = {k: v for k, v in options_of(model, args).items() if k != "seed"}
        words += [word for k, v in chosen.items() for word in ("--set", f"{model}.{k}={v}")]
    with log.open("a") as stream:
        return subprocess.Popen(words, stdout=stream, stderr=stream, start_new_session=True)


def exit_code(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def is_running(process: int) -> bool:
    return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def read_everything(folder: Path) -> tuple[int, list[str]]:
    """How many finished files there are, and which of them cannot be read."""
    readers = {
        ".json": lambda path: json.loads(path.read_bytes()),
        ".yaml": lambda path: yaml.safe_load(path.read_text()),
        ".pt": load_checkpoint,
        ".csv": read_csv,
    }
    paths = [p for p in folder.rglob("*") if p.suffix in readers and p.is_file()]
    unreadable = []
    for path in paths:
        try:
            readers[path.suffix](path)
        except Exception as error:
            unreadable.append(f"{path.relative_to(folder)}: {error}")
    return len(paths), unreadable


def read_csv(path: Path) -> list[dict]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if any(None in row or None in row.values() for row in rows):
        raise ValueError("a row is not complete")
    return rows


def outcome(folder: Path) -> tuple[dict, dict]:
    """What must not depend on whether a run was killed: figures, and tensors."""
    result = json.loads((folder / "result.json").read_bytes())
    names = ("metrics", "best_epoch", "epochs_run", "candidates_sha256", "data_sha256", "seed")
    figures = {name: result[name] for name in names} | {"stages": result.get("stages")}
    for name in ("per_user.csv", "history.csv"):
        rows = read_csv(folder / name)
        figures[name] = [{k: v for k, v in r.items() if "seconds" not in k} for r in rows]
    content = load_checkpoint(folder / "model.pt")
    return figures | {"epoch": content["epoch"]}, content["state_dict"]


def are_equal(one: tuple[dict, dict], other: tuple[dict, dict]) -> bool:
    same = one[0] == other[0] and one[1].keys() == other[1].keys()
    return same and all(torch.equal(value, other[1][name]) for name, value in one[1].items())


def epochs_in(log: Path) -> list[int]:
    """Numbers of the epochs that a run's log tells of."""
    return [int(n) for n in re.findall(r"^epoch +(\d+) ", log.read_text(), re.MULTILINE)]


def saved_epochs(folder: Path) -> int:
    """How many epochs the resume file of a run has; 0 without one."""
    path = folder / "resume.pt"
    return load_checkpoint(path)["start_epoch"] if path.is_file() else 0


def repeated(run: Path, epochs_before: int, saved_before: int) -> tuple[int, int]:
    """Epochs made again although they had been saved, and those that had not been saved yet."""
    log = run / "run.log"
    again = epochs_in(log)[epochs_before:] if log.is_file() else []
    return sum(epoch <= saved_before for epoch in again), epochs_before - saved_before


def kill_run(kind: str, model: str, folder: Path, reference, args, draw) -> dict:
    runs, log = folder / "runs", folder / "output.txt"
    words = ["--dataset=random", f"--model={model}", f"--checkpoint_dir={runs}"]
    words += words_of(options_of(model, args))
    at = draw.uniform(0, reference["training"])
    process = start_run(words, log)
    while is_running(process) and not list(runs.glob("*/tensorboard")):  # which training opens
        time.sleep(POLL)
    start = time.perf_counter()
    while time.perf_counter() - start < at and is_running(process):
        time.sleep(POLL)
    while kind == "saving" and is_running(process) and not any(runs.rglob(".*.tmp")):
        time.sleep(POLL)
    at = time.perf_counter() - start
    os.kill(process, signal.SIGKILL)
    code = exit_code(process)
    begun = list(runs.glob("*/config.yaml"))
    n_files, unreadable = read_everything(folder)
    run = begun[0].parent if begun else None
    finished = run is not None and (run / "result.json").is_file()
    stamp = (run / "result.json").stat().st_mtime_ns if finished else None
    before = epochs_in(run / "run.log") if run else []
    saved = before[-1] if finished else saved_epochs(run) if run else 0
    last = start_run([f"--resume={run}"] if run else words, log)
    resumed = exit_code(last)
    run = next(runs.glob("*/result.json")).parent
    again, lost = repeated(run, len(before), saved)
    kept = not finished or (run / "result.json").stat().st_mtime_ns == stamp
    return {
        "killed": code == -signal.SIGKILL,
        "at_seconds": round(at, 3),
        "of_seconds": round(reference["training"], 3),
        "model": model,
        "files_read": n_files,
        "unreadable": unreadable,
        "epochs_logged": len(before),
        "epochs_saved": saved,
        "epochs_not_saved_yet": 0 if finished else lost,
        "finished_repeated": again + (not kept),
        "resumed": resumed == 0,
        "bit_equal": are_equal(outcome(run), reference["outcome"]),
    }


def kill_comparison(folder: Path, references: dict, args, draw) -> dict:
    log = folder / "output.txt"
    target = folder / "comparison"
    at = draw.uniform(0, references["seconds"])
    victim = draw.choice(("training process", "command", "all processes"))
    process = start_comparison(target, args, log)
    start = time.perf_counter()
    while time.perf_counter() - start < at and process.poll() is None:
        time.sleep(POLL)
    if victim == "training process":
        while process.poll() is None and not (found := training_processes(process.pid)):
            time.sleep(POLL)
        for child in found if process.poll() is None else ():
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
    elif victim == "command":
        process.kill()
    else:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    at = time.perf_counter() - start
    process.wait()
    stop = time.perf_counter() + 30
    while training_processes(process.pid) and time.perf_counter() < stop:
        time.sleep(0.01)
    n_files, unreadable = read_everything(folder)
    stamps = {p: p.stat().st_mtime_ns for p in target.glob("runs/*/result.json")}
    finished = {path.parent.name for path in stamps}
    before = {}
    for path in target.glob("runs/*/run.log"):
        name = path.parent.name.removeprefix(".unfinished-").removesuffix("-failed")
        if name not in finished:
            before[name] = (len(epochs_in(path)), saved_epochs(path.parent))
    resumed = start_comparison(target, args, log).wait()
    again = sum(path.stat().st_mtime_ns != stamp for path, stamp in stamps.items())
    lost = 0
    for name, (logged, saved) in before.items():
        twice, not_saved = repeated(target / "runs" / name, logged, saved)
        again, lost = again + twice, lost + not_saved
    runs = sorted(path.parent for path in target.glob("runs/*/result.json"))
    return {
        "killed": victim,
        "at_seconds": round(at, 3),
        "of_seconds": round(references["seconds"], 3),
        "files_read": n_files,
        "unreadable": unreadable,
        "runs_finished": len(finished),
        "epochs_saved": sum(saved for _, saved in before.values()),
        "epochs_not_saved_yet": lost,
        "finished_repeated": again,
        "resumed": resumed == 0,
        "bit_equal": len(runs) == len(args.compared)
        and all(are_equal(outcome(r), references[r.name.split("-")[0]]["outcome"]) for r in runs),
    }


def training_processes(session: int) -> list[int]:
    """Processes of a comparison that train: children of its fork server."""
    parents, servers = {}, set()
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                parents[int(path.name)] = int(fields[1])
                if b"forkserver" in (path / "cmdline").read_bytes():
                    servers.add(int(path.name))
    return [process for process, parent in parents.items() if parent in servers]


def undisturbed(model: str, folder: Path, args) -> dict:
    """A run that nobody kills: seconds from the start of its training on, and what comes out."""
    folder.mkdir()
    words = ["--dataset=random", f"--model={model}", f"--checkpoint_dir={folder}"]
    process = start_run([*words, *words_of(options_of(model, args))], folder / "output.txt")
    while is_running(process) and not list(folder.glob("*/tensorboard")):
        time.sleep(POLL)
    start = time.perf_counter()
    if exit_code(process):
        sys.exit((folder / "output.txt").read_text())
    training = time.perf_counter() - start
    return {"training": training, "outcome": outcome(next(folder.glob("*/result.json")).parent)}


def references_of(models: list[str], scratch: Path, args) -> dict:
    """What undisturbed runs take and give: by model, and the seconds of a comparison."""
    references: dict = {
        model: undisturbed(model, scratch / f"reference-{model}", args) for model in models
    }
    if "comparing" in KINDS[: args.kills]:
        start = time.perf_counter()
        if start_comparison(scratch / "compared", args, scratch / "compared.txt").wait():
            sys.exit((scratch / "compared.txt").read_text())
        references["seconds"] = time.perf_counter() - start
    return references


def killed(number: int, models: list[str], scratch: Path, references: dict, args, draw) -> dict:
    """One kill in a folder of its own, and what was found after it."""
    kind = KINDS[number % len(KINDS)]
    folder = scratch / f"kill-{number}"
    folder.mkdir()
    if kind == "comparing":
        found = kill_comparison(folder, references, args, draw)
    else:
        model = draw.choice(models)
        found = kill_run(kind, model, folder, references[model], args, draw)
    print(f"[{number + 1}/{args.kills}] {json.dumps({'kind': kind, **found})}", flush=True)
    if not (found["bit_equal"] and found["resumed"]):
        print((folder / "output.txt").read_text()[-3000:])
    return {"kind": kind, **found}


def summary_of(found: list[dict], same: list[bool]) -> dict:
    """The counts of all kills, and of the runs of one seed."""
    return {
        "kills": len(found),
        "files_read": sum(kill["files_read"] for kill in found),
        "unreadable_files": sum(len(kill["unreadable"]) for kill in found),
        "resumed": sum(kill["resumed"] for kill in found),
        "bit_equal": sum(kill["bit_equal"] for kill in found),
        "finished_repeated": sum(kill["finished_repeated"] for kill in found),
        "same_seed_runs": len(same),
        "same_seed_bit_equal": sum(same),
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--same-seed", type=int, default=10, help="runs of one seed to compare")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--out", help="JSON file of everything that was found")
    return parser.parse_args()


def main() -> int:
    args = arguments()
    models = args.models.split(",")
    args.compared = [model for model in models if model in COMPARED]
    torch.set_num_threads(1)
    draw = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        args.data = scratch / "data"
        write_data(args.data)
        references = references_of(models, scratch, args)
        expected = references[models[0]]["outcome"]
        same = [
            are_equal(undisturbed(models[0], scratch / f"same-{n}", args)["outcome"], expected)
            for n in range(args.same_seed)
        ]
        found = [
            killed(number, models, scratch, references, args, draw) for number in range(args.kills)
        ]
    summary = summary_of(found, same)
    print(json.dumps(summary, indent=2))
    if args.out:
        content = {
            "command": " ".join(["python", *sys.argv]),
            "seed": args.seed,
            "versions": versions(),
            "models": MODELS,
            "summary": summary,
            "kills": found,
        }
        write_text(Path(args.out), json.dumps(content, indent=2) + "\n")
    good = summary["bit_equal"] == summary["resumed"] == len(found) and all(same)
    return 0 if good and not summary["unreadable_files"] + summary["finished_repeated"] else 1


if __name__ == "__main__":
    sys.exit(main())
