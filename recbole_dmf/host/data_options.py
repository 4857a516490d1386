"""Options of a data set that do not fit its files, found before or while the files are read."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from recbole_dmf.data.header import header_fields
from recbole_dmf.errors import UserError
from recbole_dmf.options import Config


def check_columns(config: Config, paths: Iterable[Path], logger: logging.Logger) -> None:
    """Raise where named columns are not there; say of a column of labels that it is not read.

    Args:
        config: of the run.
        paths: of the files of interactions.
        logger: for what is said.

    Raises:
        UserError: load_col names no columns of the interactions, or an option that names a column
            names one that is not in a file.
    """
    load_col, label = config["load_col"], config["LABEL_FIELD"]
    chosen = "*" if load_col is None else load_col.get("inter")
    if not isinstance(chosen, list | tuple) and chosen != "*":
        raise UserError(
            f"load_col names no list of columns of the interactions: {load_col}. Write it as "
            f"{{inter: [{config['USER_ID_FIELD']}, {config['ITEM_ID_FIELD']}, ...]}}."
        )
    for path in paths:
        names = [field.name for field in header_fields(path, config["field_separator"])]
        for option, usual in (("RATING_FIELD", "rating"), ("TIME_FIELD", "timestamp")):
            if config[option] not in (usual, None, *names):
                raise UserError(
                    f"{path}, line 1: {option} is {config[option]!r}, but there is no such "
                    f"column; there are {', '.join(names)}. Correct the option, or leave it out."
                )
        unread = label in names and chosen != "*" and label not in chosen
        if unread and config["RATING_FIELD"] != label:
            logger.warning(
                f"{path} has a column {label}, which is not read, so every row counts as an "
                f"interaction. To leave out those of label 0: load_col: {{inter: [..., {label}]}} "
                f"and val_interval: {{{label}: '(0,inf)'}}."
            )


def check_labels(config: Config, interactions: Any) -> None:
    """Rows of label 0 are no interactions, but RecBole and this package would count them as such.

    Args:
        config: of the run.
        interactions: data frame, after filtering.

    Raises:
        UserError: there are such rows, and labels are not what is evaluated.
    """
    label, threshold = config["LABEL_FIELD"], config["threshold"]
    if label not in interactions or "labeled" in config["eval_args"]["mode"].values():
        return
    n_zero = int((interactions[label] == 0).sum())
    if not n_zero:
        return
    if threshold:
        ((field, least),) = threshold.items()
        by, remedy = " by threshold", f"{{{field}: '[{least},inf)'}} in its place"
    else:
        by, remedy = "", f"{{{label}: '(0,inf)'}}"
    raise UserError(
        f"{n_zero} of {len(interactions)} rows have {label} 0{by}, and would count as "
        f"interactions. Leave them out by val_interval: {remedy}."
    )
