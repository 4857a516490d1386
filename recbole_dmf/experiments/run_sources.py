"""What the figures of a comparison come from, kept where the runs themselves are not."""

import json

from recbole_dmf.experiments.runs import Compared

FILE = "runs.jsonl"
_FIELDS = (  # of result.json
    "command",
    "model",
    "settings",
    "eval_args",
    "split_seed",
    "counts",
    "data_sha256",
    "files_sha256",
    "candidates_sha256",
    "versions",
    "commit",
    "device",
    "device_name",
    "threads",
)


def runs_jsonl(c: Compared) -> str:
    """runs.jsonl: a line per run with its command, settings, hashes, versions and device.

    A field that an early version did not write is left out.
    """
    lines = []
    for label, runs in c.runs.items():
        for run in runs:
            kept = {name: run.result[name] for name in _FIELDS if name in run.result}
            about = {"dataset": c.dataset, "label": label, "seed": run.seed}
            lines.append(json.dumps(about | kept))
    return "".join(f"{line}\n" for line in lines)
