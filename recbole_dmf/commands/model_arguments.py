"""What `compare`, `reproduce` and `tune` read from a command line besides options of all runs."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from recbole_dmf.errors import UserError
from recbole_dmf.experiments.workers import Jobs, require_dask
from recbole_dmf.literals import literal
from recbole_dmf.options import clip


def take_settings(argv: Sequence[str]) -> tuple[list[str], dict[str, dict[str, Any]]]:
    """Split `--set Label.option=value ...` from the other words.

    Returns:
        The other words, and the options by label.

    Raises:
        UserError: a value of --set has another form, or is given twice.
    """
    rest: list[str] = []
    chosen: dict[str, dict[str, Any]] = {}
    taking = False
    for word in argv:
        if word.startswith("--"):
            taking = word == "--set" or word.startswith("--set=")
            word = word.removeprefix("--set=")
            if word == "--set":
                continue
        if not taking:
            rest.append(word)
            continue
        found = re.fullmatch(r"([^=]+)\.([A-Za-z_]\w*)=(.*)", word, re.DOTALL)
        if found is None:
            raise UserError(f"--set {clip(word)}: write it as --set Model.option=value.")
        label, option, value = found.groups()
        if option in chosen.setdefault(label, {}):
            raise UserError(f"--set {label}.{option} is given twice.")
        chosen[label][option] = literal(value)
    if taking and not chosen:
        raise UserError("--set has no value; write --set Model.option=value.")
    return rest, chosen


def whole_numbers(text: str, option: str) -> list[int]:
    """'1,2,3' as distinct whole numbers.

    Raises:
        UserError: anything else.
    """
    words = [word.strip() for word in text.split(",")]
    if not all(re.fullmatch("[0-9]{1,9}", word) for word in words) or len(set(words)) < len(words):
        raise UserError(f"--{option}={text}: write different whole numbers as --{option}=1,2,3.")
    return [int(word) for word in words]


def jobs_of(named: Mapping[str, str]) -> Jobs:
    """How many runs at a time, from --jobs, or where, from --scheduler.

    Raises:
        UserError: both are given, or Dask, which they need, is not installed.
    """
    text, scheduler = named.get("jobs", "1"), named.get("scheduler")
    if scheduler is not None and "jobs" in named:
        raise UserError(
            "--jobs is for this machine; with --scheduler there are as many runs at a time as its "
            "workers take. Give one of them."
        )
    if not re.fullmatch("[1-9][0-9]{0,3}", text):
        raise UserError(f"--jobs={clip(text)}: give how many runs at a time, as --jobs=2.")
    jobs = Jobs(int(text), scheduler)
    if jobs.are_parallel:
        require_dask()
    return jobs
