"""A search by several processes at a time: each takes trials as a process of its own would."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recbole_dmf.errors import FAILED, UserError
from recbole_dmf.experiments.run_process import search_on_worker
from recbole_dmf.experiments.tune import (
    Search,
    best_options,
    format_options,
    open_search,
    stopped_in_words,
    table_of,
    trials_left,
)
from recbole_dmf.experiments.workers import Home, Jobs, Logs, outcomes, workers
from recbole_dmf.run_folder import RUN_LOG

if TYPE_CHECKING:
    from distributed import Client


def tune_in_parallel(
    folder: Path,
    label: str,
    dataset: str,
    options: Mapping[str, Any],
    n_trials: int,
    search: Path | None,
    command: str,
    jobs: Jobs,
) -> dict[str, Any]:
    """Search as `tune` does, by several processes at a time.

    Args:
        folder, label, dataset, options, n_trials, search, command: as of `tune`.
        jobs: how many processes, and where; a scheduler's workers all take part.

    Returns:
        The best options, `options` included.

    Raises:
        UserError: as `tune` and `workers`, or no process is left while trials are missing.
    """
    about = (label, dataset, dict(options), n_trials, search and search.resolve(), command)
    task = (str(folder.resolve()), *about)
    with open_search(folder, label, dataset, options, n_trials, search, command) as found:
        if _n_open(found):
            with stopped_in_words(found), workers(jobs, folder) as (client, home):
                reasons = _share(found, client, home, task)
            if reasons and (n_open := _n_open(found)):
                raise UserError(
                    f"{n_trials - n_open} of {n_trials} trials are finished in {folder}, and no "
                    f"process is left to make the others: {'; '.join(reasons)} The same command "
                    "continues from there.",
                    FAILED,
                )
        print("\n" + table_of(found))
        return best_options(found)


def _share(found: Search, client: "Client", home: Home, task: tuple[Any, ...]) -> list[str]:
    """Let processes take trials until there are enough; why some of them ended before that."""
    n_jobs = min(_n_open(found), sum(client.nthreads().values()))
    progress, reasons = _Progress(found, n_jobs), []
    with closing(outcomes(client, home, search_on_worker, [task] * n_jobs, progress.tell)) as ended:
        for number, reason in ended:
            if reason is not None:
                print(f"process {number + 1} of the search ended: {reason}", flush=True)
                reasons.append(reason)
    progress.tell(())
    return reasons


def _n_open(search: Search) -> int:
    """Trials that are not finished."""
    return max(0, search.n_trials - len(search.trials("COMPLETE", "FAIL")))


class _Progress:
    """Prints what the trials of all processes do."""

    def __init__(self, search: Search, n_jobs: int):
        self._search = search
        self._n_jobs = n_jobs
        self._logs = Logs()
        self._ended = {trial.number for trial in search.trials("COMPLETE", "FAIL")}
        self._begun = set(self._ended)

    def tell(self, _: Sequence[int]) -> None:
        """Print what is new."""
        search = self._search
        ended = search.trials("COMPLETE", "FAIL")
        for trial in [*search.trials("RUNNING"), *ended]:
            if trial.number in self._ended:
                continue
            name = f"trial {trial.number}"
            if trial.number not in self._begun:
                self._begun.add(trial.number)
                print(f"{name}: {format_options(search.options(trial))}", flush=True)
            self._logs.tell(search.trial_folder(trial) / RUN_LOG, name)
        for trial in ended:
            if trial.number not in self._ended:
                self._ended.add(trial.number)
                place = f"[{len(self._ended)}/{search.n_trials}] trial {trial.number}"
                if trial.values:
                    best = search.ranked()[0].values[0]
                    left = trials_left(search, self._n_jobs)
                    text = f"valid NDCG@10 {trial.values[0]:.4f}; best so far {best:.4f}{left}"
                else:
                    text = f"FAILED: {trial.user_attrs['message']}"
                print(f"{place}: {text}", flush=True)
