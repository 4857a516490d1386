"""Data frames to CSV, JSON-lines or Parquet, by the file's name."""

from pathlib import Path

import pandas as pd

from recbole_dmf.errors import UserError
from recbole_dmf.files import atomic_path

SUFFIXES = (".csv", ".jsonl", ".parquet")


def check_output(path: Path) -> None:
    """Find out before the work whether `write_frame` can write `path`.

    Raises:
        UserError: unknown suffix, a missing package or folder, or `path` is a folder.
    """
    if path.suffix not in SUFFIXES:
        raise UserError(f"--output is {str(path)!r}; let it end in {', '.join(SUFFIXES)}.")
    if path.suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise UserError(
                f"Parquet needs pyarrow, which cannot be imported ({error}); "
                "pip install 'recbole-dmf[parquet]', or write .csv or .jsonl."
            ) from error
    try:
        parent, taken = path.parent.is_dir(), path.is_dir()
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}.") from error
    if not parent:
        raise UserError(f"cannot write {path}: there is no folder {path.parent}; make it first.")
    if taken:
        raise UserError(f"cannot write {path}: it is a folder; name a file.")


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """Write a data frame atomically, as UTF-8 CSV, JSON-lines or Parquet by its suffix."""
    with atomic_path(path) as temporary:
        if path.suffix == ".csv":
            frame.to_csv(temporary, index=False, lineterminator="\n", encoding="utf-8")
        elif path.suffix == ".jsonl":
            text = frame.to_json(
                orient="records", lines=True, force_ascii=False, double_precision=15
            )
            temporary.write_text(text, encoding="utf-8", newline="\n")
        else:
            frame.to_parquet(temporary, engine="pyarrow", index=False)
