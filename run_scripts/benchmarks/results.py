"""Writes what was measured: a JSON file and a plot of it."""

import json
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.setting import LAYERS
from recbole_dmf.files import make_folder, write_text
from recbole_dmf.manifest import device_name, versions


def write_results(args, name: str, measured: dict, plot: Callable) -> None:
    """Write NAME.json and, where matplotlib is installed, NAME.png into `--out`."""
    content = {
        "command": shlex.join(["python", *sys.argv]),
        "dataset": args.dataset,
        "batch_size": args.batch_size,
        "layers": LAYERS,
        "negatives": args.negatives,
        "cores": os.cpu_count(),
        "processor": device_name("cpu"),
        "load_average": os.getloadavg(),
        "versions": versions(),
        **measured,
    }
    folder = make_folder(Path(args.out))
    write_text(folder / f"{name}.json", json.dumps(content, indent=2) + "\n")
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("no plot: pip install '.[report]'", file=sys.stderr)
        return
    figure = Figure(figsize=(7, 4), layout="constrained")
    plot(measured, figure.subplots())
    figure.savefig(folder / f"{name}.png", dpi=120)
