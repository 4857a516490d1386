"""A run's folder: the names of its files, and how they are read and written."""

import csv
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from recbole_dmf.errors import CannotResume, UserError
from recbole_dmf.files import atomic_path, write_text
from recbole_dmf.literals import load_yaml

CONFIG = "config.yaml"  # all options; repeats the run
RESULT = "result.json"  # appears last: a folder with it has a finished run
PER_USER = "per_user.csv"  # a row per tested user
HISTORY = "history.csv"  # a row per evaluated epoch
RUN_LOG = "run.log"  # what was printed; locked while a process is at work
CHECKPOINT = "model.pt"  # the best epoch
RESUME = "resume.pt"  # what an unfinished run is resumed from
BEFORE = "model-before.pt"  # resume.pt's best epoch, where model.pt is already a later one


def is_finished(folder: Path) -> bool:
    """Whether the run in a folder has ended."""
    return (folder / RESULT).is_file()


def config_file(folder: Path) -> Path:
    """The config.yaml of a run that is there.

    Raises:
        UserError: there is none.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise UserError(
            f"{folder} has no run to resume (there is no {path}); give the folder that a run "
            "named as its own, for example --resume=saved/DMF-ml-100k-20260131-120000-1a2b3c."
        )
    return path


def read_settings(folder: Path) -> dict[str, Any]:
    """The options of the run in a folder; {} if they cannot be read."""
    try:
        return load_yaml(folder / CONFIG)
    except UserError:
        return {}


def write_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write a run's options."""
    text = yaml.safe_dump(dict(settings), sort_keys=True, allow_unicode=True)
    write_text(folder / CONFIG, text)


def read_result(folder: Path) -> dict[str, Any]:
    """The result of a finished run.

    Raises:
        CannotResume: it cannot be read.
    """
    try:
        result = json.loads((folder / RESULT).read_bytes())
        if not isinstance(result["metrics"], dict):
            raise TypeError("metrics")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CannotResume(f"{folder / RESULT} is damaged.") from error
    return result


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Write a run's result, and remove what only an unfinished run needs."""
    write_text(folder / RESULT, json.dumps(result, indent=2, allow_nan=False))
    remove_resume_files(folder)


def write_rows(path: Path, columns: Mapping[str, Any]) -> None:
    """Write columns of equal length as CSV, atomically."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def remove_resume_files(folder: Path) -> None:
    """Remove what only an unfinished run needs."""
    for name in (RESUME, BEFORE):
        (folder / name).unlink(missing_ok=True)


def clear(folder: Path) -> None:
    """Remove a run's files; the log, which is locked, stays."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != RUN_LOG:
            path.unlink()
