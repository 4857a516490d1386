"""users.csv.gz: what each user has of each model, so that tests over users outlive the runs."""

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from recbole_dmf.errors import UserError
from recbole_dmf.experiments.checked_files import read_csv
from recbole_dmf.experiments.finished_run import Run, mean_per_user
from recbole_dmf.experiments.run_metrics import DEFAULT

FILE = "users.csv.gz"


def means_by_user(
    runs: Mapping[str, Sequence[Run]], reading: str
) -> dict[str, dict[str, pd.Series]]:
    """By label and metric, float64 by user id: the mean over the model's runs.

    Labels without a run are left out.

    Raises:
        UserError: the runs of a model are not of the same users.
    """
    return {
        label: {metric: mean_per_user(group, metric, reading) for metric in DEFAULT}
        for label, group in runs.items()
        if group
    }


def users_csv(runs: Mapping[str, Sequence[Run]], reading: str) -> bytes:
    """The content of users.csv.gz: a line per user, a column per metric and label."""
    columns = {
        _column(metric, reading, label): values
        for label, by_metric in means_by_user(runs, reading).items()
        for metric, values in by_metric.items()
    }
    table = pd.DataFrame(columns).rename_axis("user_id")
    text = table.to_csv(float_format="%.6g", lineterminator="\n")
    # Without the time, the same figures give the same bytes.
    return gzip.compress(text.encode(errors="replace"), mtime=0)


def read_users(
    folder: Path, labels: Sequence[str], reading: str
) -> dict[str, dict[str, pd.Series]] | None:
    """What `means_by_user` gave when the file was written; None where there is no file.

    Raises:
        UserError: the file is damaged, a label or the reading is not in it, or a user is twice.
    """
    if not (folder / FILE).is_file():
        return None
    names = [_column(metric, reading, label) for label in labels for metric in DEFAULT]
    rows = read_csv(folder / FILE, ("user_id",), names).set_index("user_id")
    if rows.index.has_duplicates:
        user = rows.index[rows.index.duplicated()][0]
        raise UserError(
            f"{folder / FILE}: user_id '{user}' occurs twice; write the file again with "
            "`recbole-dmf report`, or delete it."
        )
    return {
        label: {metric: rows[_column(metric, reading, label)] for metric in DEFAULT}
        for label in labels
    }


def _column(metric: str, reading: str, label: str) -> str:
    return f"{metric} {reading}: {label}"
