"""Search for a model's options by validation alone, with Optuna.

Several processes may work on one folder, at the same time or one after another: its journal has
all trials. A trial's point depends on the trials before it and on its number, so a search that was
stopped continues as if it had not been.
"""

import csv
import io
import json
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import yaml
from tabulate import tabulate

from recbole_dmf.config import build_config, changes, replayable_settings, uses_our_split
from recbole_dmf.errors import (
    FAILED,
    INTERRUPTED,
    TERMINATED,
    Terminated,
    UserError,
    interruption,
)
from recbole_dmf.experiments.checked_files import one_line
from recbole_dmf.experiments.option_sources import BEST
from recbole_dmf.experiments.plan import (
    TUNED,
    Column,
    find_column,
    read_experiment,
)
from recbole_dmf.experiments.progress import duration
from recbole_dmf.experiments.run_metrics import metric_names
from recbole_dmf.experiments.search_space import (
    Space,
    as_options,
    as_point,
    corner,
    distributions,
    read_search_space,
)
from recbole_dmf.files import make_folder, write_text
from recbole_dmf.lock import is_held, locked
from recbole_dmf.run import run_in
from recbole_dmf.run_folder import CHECKPOINT, read_settings, remove_resume_files

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

INSTALL = "pip install 'recbole-dmf[tune]'"
METRIC = "ndcg@10"
TRIALS = "trials.csv"
_SHOWN = 10


@dataclass(frozen=True)
class Search:
    """A search, and this process's part in it."""

    study: "Study"
    space: Space
    fixed: Mapping[str, Any]  # options of all trials
    default: Mapping[str, Any]  # the first trial's point
    seed: int
    n_trials: int
    column: Column
    dataset: str
    folder: Path
    worker: Path  # a lock that this process holds for as long as it lives
    command: str

    def trials(self, *states: str) -> "list[FrozenTrial]":
        """Trials in any of these states; those whose process was killed are left out."""
        trials = self.study.get_trials(deepcopy=False)
        return [t for t in trials if t.state.name in states and not _is_dead(t)]

    def dead(self) -> "list[FrozenTrial]":
        """Trials whose process was killed."""
        return [trial for trial in self.study.get_trials(deepcopy=False) if _is_dead(trial)]

    def trial_folder(self, trial: "Trial | FrozenTrial") -> Path:
        """Where a trial's run is."""
        return self.folder / "trials" / f"{trial.number:04d}"

    def ranked(self) -> "list[FrozenTrial]":
        """Successful trials, best first."""
        return sorted(self.trials("COMPLETE"), key=lambda trial: (-trial.values[0], trial.number))

    def options(self, trial: "Trial | FrozenTrial") -> dict[str, Any]:
        """The searched options of a trial."""
        return as_options(self.space, trial.params)


def _is_dead(trial: "FrozenTrial") -> bool:
    return trial.state.name == "FAIL" and "message" not in trial.user_attrs


def tune(
    folder: Path,
    label: str,
    dataset: str,
    options: Mapping[str, Any],
    n_trials: int,
    search: Path | None = None,
    command: str = "",
) -> dict[str, Any]:
    """Search until there are `n_trials` trials, those of other processes included.

    Args:
        folder: of this search; may have an unfinished one.
        label: a model, or a column of Table 2.
        dataset: name of the data set.
        options: of all trials.
        n_trials: in all.
        search: file of the search space; by default the property file of the model.
        command: for best.yaml.

    Returns:
        The best options, `options` included.

    Raises:
        UserError: Optuna is not installed, an option cannot be used, the folder has another
            search, no trial succeeded, or Ctrl-C.
    """
    with open_search(folder, label, dataset, options, n_trials, search, command) as found:
        with stopped_in_words(found):
            take_trials(found)
        print("\n" + table_of(found))
        return best_options(found)


@contextmanager
def open_search(
    folder: Path,
    label: str,
    dataset: str,
    options: Mapping[str, Any],
    n_trials: int,
    search: Path | None = None,
    command: str = "",
) -> Iterator[Search]:
    """The search in a folder, which this process takes part in for the time of the block.

    Args, Raises: as of `tune`.
    """
    try:
        import optuna
    except ImportError as error:
        raise UserError(f"a search needs Optuna. Install it with: {INSTALL}") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    column = find_column(label, read_experiment(TUNED))
    fixed = {**column.options, **options}
    space = read_search_space(column.model, search, fixed)
    settings, default = _check_options(column.model, dataset, fixed, space)
    make_folder(folder / "workers")
    worker = folder / "workers" / uuid.uuid4().hex
    with ExitStack() as stack:
        stack.callback(worker.unlink, missing_ok=True)
        stack.enter_context(locked(worker))
        with locked(folder / ".lock"):
            study = _open(folder, {"space": space, "settings": settings})
        yield Search(
            study=study,
            space=space,
            fixed=fixed,
            default=default,
            seed=settings["seed"],
            n_trials=n_trials,
            column=Column(label, column.model, column.options),
            dataset=dataset,
            folder=folder,
            worker=worker,
            command=command,
        )


def best_options(search: Search) -> dict[str, Any]:
    """The options of the best trial, those of all trials included.

    Raises:
        UserError: no trial has succeeded.
    """
    best = search.ranked()
    if not best:
        failed = search.trials("FAIL")
        reason = f"; the last one: {failed[-1].user_attrs['message']}" if failed else " yet."
        raise UserError(f"no trial has succeeded{reason}", FAILED)
    return {**search.fixed, **search.options(best[0])}


def _check_options(
    model: str, dataset: str, fixed: Mapping[str, Any], space: Space
) -> tuple[dict[str, Any], dict[str, Any]]:
    """All settings of a run with the default options, and the point that stands for these."""
    config = build_config(model, dataset, None, dict(fixed))
    if not uses_our_split(config):
        raise UserError(
            "a search needs the paper's split, whose validation is apart from test; leave "
            "eval_args.split as it is."
        )
    if METRIC not in metric_names(config["metrics"], config["topk"]):
        raise UserError("a search goes by NDCG@10; leave NDCG in metrics and 10 in topk.")
    # a name that the model does not know is found before the first trial
    build_config(model, dataset, None, {**fixed, **as_options(space, corner(space))})
    return replayable_settings(config), as_point(space, config.final_config_dict)


def take_trials(search: Search) -> None:
    """Make trials until there are enough, those of other processes included."""
    while (trial := _next(search)) is not None:
        _try(search, trial)
        _write(search)


@contextmanager
def stopped_in_words(search: Search) -> Iterator[None]:
    """Ctrl-C as a UserError that says how to continue."""
    try:
        yield
    except KeyboardInterrupt as stop:
        what, code = interruption(stop)
        done = len(search.trials("COMPLETE", "FAIL"))
        raise UserError(
            f"{what}; {done} of {search.n_trials} trials are finished in {search.folder}. The same "
            "command continues from there.",
            code,
        ) from None


def _open(folder: Path, about: dict[str, Any]) -> "Study":
    import optuna
    from optuna.storages.journal import JournalFileBackend

    path = folder / "study.log"
    try:
        storage = optuna.storages.JournalStorage(JournalFileBackend(str(path)))
        study = optuna.create_study(
            storage=storage, study_name="tune", direction="maximize", load_if_exists=True
        )
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        raise UserError(
            f"{path} is no journal of a search, or is damaged ({type(error).__name__}: {error}); "
            "give another folder with --results."
        ) from error
    about = json.loads(json.dumps(about))
    there = study.user_attrs.get("about", about)
    difference = changes(there["settings"], about["settings"])
    difference = difference or changes(there["space"], about["space"])
    if difference:
        raise UserError(
            f"{folder} has a search with other options ({difference}); give another folder with "
            "--results."
        )
    if "about" not in study.user_attrs:
        study.set_user_attr("about", about)
    return study


def _next(search: Search) -> "Trial | None":
    """A new trial, or None if there are enough."""
    import optuna

    study = search.study
    with locked(search.folder / ".lock"):
        for running in search.trials("RUNNING"):
            owner = running.user_attrs.get("worker")
            if owner is None or not is_held(search.folder / "workers" / owner):
                study.tell(running.number, state=optuna.trial.TrialState.FAIL)
        n = len(search.trials("COMPLETE", "FAIL", "RUNNING"))
        if n >= search.n_trials:
            return None
        study.sampler = optuna.samplers.TPESampler(seed=search.seed + n)
        if n == 0:
            study.enqueue_trial(dict(search.default))
        trial = study.ask(distributions(search.space))
        trial.set_user_attr("worker", search.worker.name)
    print(f"\n[{n + 1}/{search.n_trials}] {format_options(search.options(trial))}", flush=True)
    return trial


def _try(search: Search, trial: "Trial") -> None:
    """Train once; what goes wrong is the trial's outcome."""
    import optuna

    options = {**search.fixed, **search.options(trial)}
    folder = search.trial_folder(trial)
    try:
        config = build_config(search.column.model, search.dataset, None, options)
        _continue_killed(search, folder, replayable_settings(config))
        result = run_in(make_folder(folder), config, phases=("valid",), start_over=True)["result"]
        value = result["metrics"]["valid"]["expected"][METRIC]
    except Exception as error:
        code = error.exit_code if isinstance(error, UserError) else FAILED
        if code in (INTERRUPTED, TERMINATED):
            raise (Terminated if code == TERMINATED else KeyboardInterrupt) from error
        message = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        print(f"FAILED: {message}", flush=True)
        trial.set_user_attr("message", message)
        search.study.tell(trial, state=optuna.trial.TrialState.FAIL)
    else:
        trial.set_user_attr("best_epoch", result["best_epoch"])
        trial.set_user_attr("seconds", result["seconds"]["total"])
        search.study.tell(trial, value)
        best = search.study.best_value
        print(f"valid NDCG@10 {value:.4f}; best so far {best:.4f}{trials_left(search)}", flush=True)
    remove_resume_files(folder)
    (folder / CHECKPOINT).unlink(missing_ok=True)  # a search may have hundreds of them
    shutil.rmtree(folder / "tensorboard", ignore_errors=True)


def trials_left(search: Search, jobs: int = 1) -> str:
    """ "; about 3 min left" for the trials that no process has begun."""
    seconds = [trial.user_attrs["seconds"] for trial in search.trials("COMPLETE")]
    n_open = search.n_trials - len(search.trials("COMPLETE", "FAIL", "RUNNING"))
    return (
        f"; about {duration(fmean(seconds) * n_open / jobs)} left" if seconds and n_open > 0 else ""
    )


def _continue_killed(search: Search, folder: Path, settings: Mapping[str, Any]) -> None:
    """Give a trial the unfinished run of an earlier one at the same point, if there is one.

    A trial whose process was killed is not counted, and the next one is asked for the same point.
    """
    for dead in search.dead():
        old = search.trial_folder(dead)
        try:
            there = read_settings(old)
            if there and not changes(there, settings):
                old.rename(folder)
                return
        except OSError:  # another process was faster
            continue


def _write(search: Search) -> None:
    """trials.csv, and best.yaml once there is a best trial."""
    attributes = ("best_epoch", "seconds", "message")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", f"valid_{METRIC}_expected", *attributes, *search.space])
    with locked(search.folder / ".lock"):
        finished = search.trials("COMPLETE", "FAIL")
        for trial in finished:
            value = trial.values[0] if trial.values else ""
            about = [trial.user_attrs.get(name, "") for name in attributes]
            point = [trial.params[name] for name in search.space]
            writer.writerow([trial.number, trial.state.name.lower(), value, *about, *point])
        write_text(search.folder / TRIALS, text.getvalue())
        if search.ranked():
            write_text(search.folder / BEST, _best_file(search, len(finished)))


def _best_file(search: Search, n_finished: int) -> str:
    """best.yaml: the best trial's options, as a file for --config_files."""
    best = search.ranked()[0]
    names = {"model": search.column.model, "dataset": search.dataset}
    options = {**names, **search.fixed, **search.options(best)}
    return (
        f"# {one_line(search.command, 1000)}\n"
        f"# valid NDCG@10 (expected) {best.value:.4f}, the best of {n_finished} trials\n"
        + yaml.safe_dump(options, sort_keys=False, allow_unicode=True)
    )


def format_options(options: Mapping[str, Any]) -> str:
    """Options for a line of progress."""
    shown = ((k, f"{v:.4g}" if isinstance(v, float) else v) for k, v in options.items())
    return ", ".join(f"{name}={value}" for name, value in shown)


def table_of(search: Search) -> str:
    """The best trials."""
    rows = [
        (t.number, t.values[0], t.user_attrs["best_epoch"], format_options(search.options(t)))
        for t in search.ranked()[:_SHOWN]
    ]
    failed, running = len(search.trials("FAIL")), len(search.trials("RUNNING"))
    header = ("Trial", "valid NDCG@10", "Best epoch", "Options")
    notes = [f"{n} {what}." for n, what in ((failed, "failed"), (running, "still running")) if n]
    return "\n".join([tabulate(rows, header, floatfmt=".4f"), *notes])
