"""Start or resume a run: settings -> data set -> split -> train -> evaluate -> files."""

import glob
import logging
import shlex
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from recbole_dmf.config import build_config, changes, replayable_settings, uses_our_split
from recbole_dmf.data.interactions import max_rating, train_matrix
from recbole_dmf.errors import (
    BAD_INPUT,
    DISK_FULL,
    INTERRUPTED,
    NOT_WRITABLE,
    OUT_OF_MEMORY,
    TERMINATED,
    CannotResume,
    UserError,
    interruption,
    is_out_of_memory,
    write_error,
)
from recbole_dmf.files import make_folder, remove_temporary_files
from recbole_dmf.host.config import set_seeds
from recbole_dmf.host.lookup import find_model, find_trainer, load_dataset
from recbole_dmf.host.recbole_evaluation import prepare_with_recbole
from recbole_dmf.installation import PACKAGE, other_copies
from recbole_dmf.lock import is_held, locked
from recbole_dmf.manifest import versions
from recbole_dmf.options import Config
from recbole_dmf.prepare import PHASES, prepare
from recbole_dmf.result import environment, make_result, outcome, result_table
from recbole_dmf.run_folder import (
    CONFIG,
    PER_USER,
    RUN_LOG,
    clear,
    config_file,
    is_finished,
    read_result,
    read_settings,
    remove_resume_files,
    write_result,
    write_rows,
    write_settings,
)
from recbole_dmf.run_log import run_log
from recbole_dmf.system import keep_freed_memory, return_freed_memory
from recbole_dmf.training import parallel
from recbole_dmf.training.trainer import RunTrainer, shows_progress, trainer_class

# Exit codes after which nothing but the outer circumstances has to change.
_CAN_GO_ON = (DISK_FULL, NOT_WRITABLE, OUT_OF_MEMORY, INTERRUPTED, TERMINATED)


def run_recbole(
    model: str | type | None = None,
    dataset: str | None = None,
    config_file_list: list[str] | None = None,
    config_dict: dict[str, Any] | None = None,
    saved: bool = True,
    resume: bool | str | Path = False,
) -> dict[str, Any]:
    """Train and test a model, as RecBole's function of the same name does.

    From then on the process keeps memory that it frees for itself (`system.keep_freed_memory`).

    Args:
        model: name of a recommender, a class of your own, or `module:Class`; may stand in the
            other arguments.
        dataset: name of a data set; may stand in the other arguments.
        config_file_list: YAML files of options, later ones win.
        config_dict: options, which win over the files.
        saved: kept for RecBole's callers; the best epoch is always written and tested.
        resume: a run's folder, to resume that run, whose options need not be given again;
            or True for the newest unfinished run in `checkpoint_dir` with the same options.

    Returns:
        RecBole's keys `best_valid_score`, `valid_score_bigger`, `best_valid_result` and
        `test_result` (the sampled reading), and `folder` and `result` (all of result.json).

    Raises:
        UserError: anything that the user can put right.
    """
    files = [str(file) for file in config_file_list or []]
    if not isinstance(resume, bool):
        files = [str(config_file(Path(resume))), *files]
    config = build_config(model, dataset, files, config_dict)
    parallel.join()
    try:
        if resume is True:
            folder = Path(parallel.share_text(str(newest_unfinished(config))))
        else:
            folder = Path(resume) if resume else _new_folder(config)
        try:
            return run_in(folder, config)
        except UserError as error:
            if error.exit_code not in _CAN_GO_ON:
                raise
            words = shlex.join(["run_recbole", f"--resume={folder}"])
            raise UserError(f"{error}\nTo resume it: {words}", error.exit_code) from error
    finally:
        parallel.leave()


def newest_unfinished(config: Config) -> Path:
    """The newest unfinished run with the same options; where all are finished, the newest.

    Raises:
        UserError: there is none, or another process is working on it.
    """
    settings = replayable_settings(config)
    parent = Path(config["checkpoint_dir"])
    paths = parent.glob(
        f"{glob.escape(config['model'])}-{glob.escape(config['dataset'])}-*/{CONFIG}"
    )
    newest = sorted(paths, key=lambda path: (path.stat().st_mtime_ns, path))[::-1]
    same = [path.parent for path in newest if not changes(read_settings(path.parent), settings)]
    unfinished = [folder for folder in same if not is_finished(folder)]
    free = [folder for folder in unfinished if not is_held(folder / RUN_LOG)]
    if same:
        return next(iter([*free, *unfinished, *same]))
    text = f"there is nothing to resume: {parent} has no run of {config['model']} on "
    text += f"{config['dataset']} with these options"
    if newest:
        text += f" (in {newest[0].parent} {changes(read_settings(newest[0].parent), settings)})"
    raise UserError(f"{text}. Start one without --resume.")


def run_in(
    folder: Path,
    config: Config,
    label: str | None = None,
    phases: tuple[str, ...] = PHASES,
    start_over: bool = False,
) -> dict[str, Any]:
    """Train and test with `config`; everything is written into `folder`.

    An unfinished run in the folder is resumed; a finished one is not repeated.

    Args:
        folder: of this run alone; result.json appears in it last.
        config: from `build_config`.
        label: the run's name in tables, by default the model's.
        phases: what is ranked; a search must not look at test: ("valid",).
        start_over: clear the folder if the run in it has other options or data, or another
            version made it; else that is an error.

    Returns:
        As `run_recbole`; `test_result` is None without test.

    Raises:
        UserError: as `run_recbole`.
    """
    label = label or config["model"]
    refusal = f"another process is working on the run in {folder}; wait for it, or end it."
    with ExitStack() as stack:
        if parallel.rank() == 0:
            stack.enter_context(locked(folder / RUN_LOG, refusal))
        stack.enter_context(
            run_log(folder, str(config["state"] or "INFO").upper(), parallel.rank() > 0)
        )
        try:
            return _run(config, folder, label, phases)
        except CannotResume as error:
            if not start_over:
                raise
            logging.getLogger().warning(f"{error} Starting over.")
            clear(folder)
            return _run(config, folder, label, phases)


def _new_folder(config: Config) -> Path:
    name = f"{config['model']}-{config['dataset']}-{time.strftime('%Y%m%d-%H%M%S')}"
    name = parallel.share_text(f"{name}-{uuid.uuid4().hex[:6]}")
    return make_folder(Path(config["checkpoint_dir"]) / name)


def _run(config: Config, folder: Path, label: str, phases: tuple[str, ...]) -> dict[str, Any]:
    start = time.perf_counter()
    settings = replayable_settings(config)
    if finished := _finished_before(config, folder, settings):
        return finished
    set_seeds(config)
    keep_freed_memory()
    dataset = load_dataset(config)
    prepared = (prepare if uses_our_split(config) else prepare_with_recbole)(config, dataset)
    _report(config, prepared)
    _report_copies()
    users, items = (
        dataset.field2id_token[f].tolist() for f in (dataset.uid_field, dataset.iid_field)
    )
    del dataset  # its interactions are copied in the parts of the split
    return_freed_memory()
    trainer = build_trainer(config, prepared.train)
    about = checkpoint_facts(config, settings, prepared, users, items)
    trainer.attach(folder, prepared, about, {**environment(config), **versions()}, start)
    trainer.resume()
    try:
        with _explained(trainer):
            loader = prepared.train_loader(config)
            trainer.fit(loader, True, verbose=False, show_progress=shows_progress(config))
            trainer.load_best()
            score_start = time.perf_counter()
            metrics = {phase: prepared.measure(trainer, phase) for phase in phases}
            trainer.seconds["score"] += time.perf_counter() - score_start
    finally:
        trainer.close()
    result = make_result(config, label, prepared, trainer, metrics)
    if parallel.rank() == 0:
        columns = prepared.per_user(config, "test") if "test" in phases else None
        if columns:
            write_rows(folder / PER_USER, columns)
        write_result(folder, result)
    logging.getLogger().info(result_table(result) + f"\nresults in {folder}")
    return outcome(config, str(folder), result)


def _finished_before(
    config: Config, folder: Path, settings: dict[str, Any]
) -> dict[str, Any] | None:
    """The outcome of a run that has ended; None for one that is to start or to be resumed.

    Raises:
        CannotResume: the run in the folder has other options, or its result cannot be read.
    """
    if parallel.rank() == 0:
        remove_temporary_files(folder)
    if not (folder / CONFIG).is_file():
        if parallel.rank() == 0:
            write_settings(folder, settings)
        return None
    if difference := changes(read_settings(folder), settings):
        raise CannotResume(f"{folder} has a run with other options: {difference}.")
    if not is_finished(folder):
        return None
    result = read_result(folder)
    try:
        table = result_table(result)
    except (KeyError, TypeError) as error:
        raise CannotResume(f"{folder}: its result is damaged.") from error
    if parallel.rank() == 0:
        remove_resume_files(folder)
    logging.getLogger().info(f"{folder} is finished: there is nothing to do.\n{table}")
    return outcome(config, str(folder), result)


def _report(config: Config, prepared: Any) -> None:
    n = prepared.counts
    text = (
        f"{config['model']} on {config['dataset']}: {n['users']} users, {n['items']} items, "
        f"{n['train']} training interactions"
    )
    if prepared.candidates_sha256:
        hashes = (f"{name} {h[:16]}..." for name, h in prepared.candidates_sha256.items())
        text += f"; {n['test']} users evaluated\ncandidates sha256: {', '.join(hashes)}"
    logging.getLogger().info(text)


def _report_copies() -> None:
    for folder in other_copies():
        logging.getLogger().warning(
            f"there is another copy of this package, {folder}. This run is made by the code and "
            f"the property files of {PACKAGE} alone; `recbole-dmf doctor` says more."
        )


def checkpoint_facts(
    config: Config, settings: dict[str, Any], prepared: Any, users: list[str], items: list[str]
) -> dict[str, Any]:
    """What model.pt says of its run besides the parameters.

    Args:
        settings: all options, as in config.yaml.
        prepared: `prepare.Prepared`, or of RecBole's own evaluation.
        users, items: ids by number.
    """
    return {
        "model": config["model"],
        "dataset": config["dataset"],
        "settings": {**settings, "max_rating": max_rating(prepared.train)},
        "users": users,
        "items": items,
        "train": train_matrix(prepared.train),
        "data_sha256": prepared.sha256,
    }


def build_trainer(config: Config, train: Any) -> RunTrainer:
    """The model and its trainer; the seconds of building count as training.

    Some of RecBole's models, SLIM for one, are trained while they are built.

    Args:
        train: RecBole's Dataset of the training interactions.

    Raises:
        UserError: several processes are at work, and the model trains in one.
    """
    set_seeds(config)
    start = time.perf_counter()
    model = find_model(config["model"])(config, train).to(config["device"])
    built = time.perf_counter() - start
    trainer: RunTrainer = trainer_class(find_trainer(config))(config, model)
    trainer.built_seconds = built
    if parallel.world_size() > 1 and not trainer.data_parallel:
        raise UserError(f"{config['model']} trains in one process; leave --nproc out.")
    return trainer


@contextmanager
def _explained(trainer: RunTrainer) -> Iterator[None]:
    """Whatever stops the training, the message says where the best epoch is."""

    def so_far() -> str:
        path = Path(trainer.saved_model_file)
        if not path.is_file():
            return "No good epoch was finished, so there is no checkpoint."
        number = f" ({trainer.checkpoint_epoch})" if trainer.checkpoint_epoch else ""
        return f"The best epoch so far{number} is in {path}."

    try:
        yield
    except KeyboardInterrupt as stop:
        what, code = interruption(stop)
        raise UserError(f"{what}. {so_far()}", code) from None
    except UserError as error:
        raise UserError(f"{error} {so_far()}", error.exit_code) from error
    except (MemoryError, RuntimeError, OSError) as error:
        if is_out_of_memory(error):
            raise UserError(
                f"out of memory. {so_far()} Try a smaller train_batch_size or a smaller model, or "
                "end other programs.",
                OUT_OF_MEMORY,
            ) from error
        failed = write_error(trainer.folder, error) if isinstance(error, OSError) else None
        if failed is None or failed.exit_code == BAD_INPUT:
            raise
        raise UserError(f"{failed} {so_far()}", failed.exit_code) from error
