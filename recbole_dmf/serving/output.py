"""Tables to CSV, JSON-lines or Parquet by the file's name, or to standard output."""

import sys
from pathlib import Path

import pandas as pd
from tabulate import tabulate

from recbole_dmf.errors import UserError
from recbole_dmf.files import atomic_path

SUFFIXES = (".csv", ".jsonl", ".parquet")


def check_output(path: Path) -> None:
    """Find out before the work whether `write_table` can write `path`.

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


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a table atomically, as UTF-8 CSV, JSON-lines or Parquet by its suffix."""
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


def print_table(frame: pd.DataFrame) -> None:
    """Print a table; ids stay the text they are, floats get six digits."""
    shown = frame.copy()
    for name in shown.columns[[dtype.kind == "f" for dtype in shown.dtypes]]:
        shown[name] = [f"{value:.6g}" for value in shown[name]]
    right = {"rank", "score"}
    align = ["right" if name in right else "left" for name in shown.columns]
    table = tabulate(shown, list(shown), showindex=False, disable_numparse=True, colalign=align)
    encoding = sys.stdout.encoding or "utf-8"
    print(table.encode(encoding, "replace").decode(encoding))
