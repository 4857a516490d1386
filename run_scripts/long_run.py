#!/usr/bin/env python
"""Many short epochs in one process: memory, open files and files on disk must not grow.

Linux only, since they are read from /proc.

python run_scripts/long_run.py --epochs=1000 --every=50 --out=long-run.json
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kill_test import read_csv, write_data

from recbole_dmf.files import write_text
from recbole_dmf.manifest import versions

LIMIT = 0.02  # growth of memory that counts as flat


def sample(process: int, folder: Path) -> dict:
    """Memory in MiB, open files, threads, and files on disk; the least of a few looks.

    A file that is being written is open, and has a temporary name, for a moment only.
    """
    looks = []
    for _ in range(10):
        status = Path(f"/proc/{process}/status").read_text().split("\n")
        values = dict(line.split(":\t", 1) for line in status if ":\t" in line)
        looks.append(
            {
                "memory_mb": round(int(values["VmRSS"].split()[0]) / 1024, 2),
                "open_files": len(os.listdir(f"/proc/{process}/fd")),
                "threads": int(values["Threads"]),
                "files": sum(path.is_file() for path in folder.rglob("*")),
            }
        )
        time.sleep(0.003)
    return {name: min(look[name] for look in looks) for name in looks[0]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="DMF")
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--every", type=int, default=50)
    parser.add_argument("--out", help="JSON file of all samples")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        write_data(scratch / "data")
        runs = scratch / "runs"
        command = [f"{Path(sys.executable).parent}/run_recbole", f"--model={args.model}"]
        command += ["--dataset=random", f"--data_path={scratch}/data", f"--checkpoint_dir={runs}"]
        command += [f"--epochs={args.epochs}", f"--stopping_step={args.epochs}"]
        command += ["--train_batch_size=4096"]
        if args.model == "DMF":
            command.append("--init=xavier")
        start = time.perf_counter()
        with (scratch / "output.txt").open("w") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
        samples: list[dict] = []
        while process.poll() is None:
            time.sleep(0.002)
            histories = list(runs.glob("*/history.csv"))
            epochs = len(read_csv(histories[0])) if histories else 0
            if epochs >= args.every * (len(samples) + 1):
                try:
                    samples.append({"epoch": epochs, **sample(process.pid, histories[0].parent)})
                except OSError:  # it has just ended
                    break
                print(samples[-1], flush=True)
        if process.wait():
            sys.exit((scratch / "output.txt").read_text())
        seconds = time.perf_counter() - start
    memory = [one["memory_mb"] for one in samples]
    summary = {
        "epochs": args.epochs,
        "seconds": round(seconds, 1),
        "memory_growth": round(memory[-1] / memory[0] - 1, 4),
        "memory_spread": round(max(memory) / min(memory) - 1, 4),
        "more_open_files": max(one["open_files"] for one in samples) - samples[0]["open_files"],
        "more_files": max(one["files"] for one in samples) - samples[0]["files"],
    }
    print(json.dumps(summary, indent=2))
    if args.out:
        content = {"command": " ".join(["python", *sys.argv]), "versions": versions()}
        content |= {"summary": summary, "samples": samples}
        write_text(Path(args.out), json.dumps(content, indent=2) + "\n")
    flat = summary["memory_spread"] <= LIMIT
    return 0 if flat and summary["more_open_files"] <= 0 and summary["more_files"] <= 1 else 1


if __name__ == "__main__":
    sys.exit(main())
