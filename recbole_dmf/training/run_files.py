"""Files that training keeps in a run's folder."""

import csv
import os
import shutil
from pathlib import Path
from typing import Any

from recbole_dmf.errors import CannotResume
from recbole_dmf.files import atomic_path
from recbole_dmf.run_folder import BEFORE, CHECKPOINT, HISTORY
from recbole_dmf.training.checkpoint import load_checkpoint


def keep_checkpoint(folder: Path) -> None:
    """Give model.pt the second name `BEFORE`, under which it stays when a later one is written."""
    path, name = folder / CHECKPOINT, folder / BEFORE
    try:
        os.link(path, name)
    except OSError:  # a file system without links
        with atomic_path(name) as temporary:
            shutil.copyfile(path, temporary)


def restore_checkpoint(folder: Path, epoch: int) -> None:
    """Make model.pt the checkpoint of `epoch` (0: of none), and the only one.

    It is of a later epoch where the process was killed before it could write resume.pt anew.

    Raises:
        CannotResume: there is no checkpoint of this epoch.
    """
    best, before = folder / CHECKPOINT, folder / BEFORE
    if epoch and not _is_of(best, epoch):
        if not _is_of(before, epoch):
            raise CannotResume(
                f"{folder} cannot be resumed: {CHECKPOINT} is not that of epoch {epoch}, which "
                "was the best one. Start a new run."
            )
        before.replace(best)
    before.unlink(missing_ok=True)


def _is_of(path: Path, epoch: int) -> bool:
    return path.is_file() and load_checkpoint(path).get("epoch") == epoch


def write_history(folder: Path, history: list[dict[str, Any]]) -> None:
    """Write history.csv, a row per evaluated epoch."""
    with atomic_path(folder / HISTORY) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(history[0]))
        writer.writeheader()
        writer.writerows(history)
