"""One run: options -> data set -> split -> train -> evaluate -> results on disk."""

import csv
import glob
import json
import logging
import resource
import shlex
import shutil
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from recbole.config import Config
from recbole.utils import init_seed
from tabulate import tabulate

from recbole_dmf import plugin
from recbole_dmf.data.fingerprint import fingerprint
from recbole_dmf.data.history import N_EARLIER
from recbole_dmf.data.interactions import interaction_matrix
from recbole_dmf.data.negatives import NegativeSampler
from recbole_dmf.errors import (
    BAD_INPUT,
    DISK_FULL,
    INTERRUPTED,
    NOT_WRITABLE,
    OUT_OF_MEMORY,
    TERMINATED,
    CannotGoOn,
    UserError,
    interruption,
    is_out_of_memory,
    write_error,
)
from recbole_dmf.evaluation.candidates import candidates_from, draw_candidates
from recbole_dmf.evaluation.evaluate import Counts, Phase, per_user, summarise
from recbole_dmf.evaluation.metrics import METRICS, N_CANDIDATES, READINGS
from recbole_dmf.files import atomic_path, make_folder, remove_temporary_files, write_text
from recbole_dmf.literals import load_yaml
from recbole_dmf.lock import is_held, locked
from recbole_dmf.manifest import commit, device_name, file_hashes, versions
from recbole_dmf.options import check_name, check_options, clip
from recbole_dmf.training import parallel
from recbole_dmf.training.algorithm1 import DMFTrainer
from recbole_dmf.training.run_files import remove_resume_files
from recbole_dmf.training.trainer import RunTrainer, shows_progress, trainer_class

FORMAT = 1
CONFIG, RESULT, RUN_LOG = "config.yaml", "result.json", "run.log"
# Exit codes after which nothing but the outer circumstances has to change.
_CAN_GO_ON = (DISK_FULL, NOT_WRITABLE, OUT_OF_MEMORY, INTERRUPTED, TERMINATED)
# Where things are and what is shown: not what a run's figures depend on.
_NO_MATTER = {"data_path", "checkpoint_dir", "show_progress", "state"}
_DERIVED = ("MODEL_TYPE", "MODEL_INPUT_TYPE", "eval_type", "device", "single_spec", "local_rank")


@dataclass
class Prepared:
    """A data set that is split and ready to train on and to be ranked.

    Attributes:
        train: RecBole's Dataset of the training interactions.
        sampler: of training negatives.
        phases: {"valid": Phase, "test": Phase}.
        counts: users, items and interactions of each part.
        sha256: of the ids, the interactions and their split; see `fingerprint`.
    """

    train: Any
    sampler: NegativeSampler | None
    phases: dict[str, Phase]
    counts: dict[str, int]
    sha256: str


def run_recbole(
    model: str | None = None,
    dataset: str | None = None,
    config_file_list: list[str] | None = None,
    config_dict: dict[str, Any] | None = None,
    saved: bool = True,
    resume: bool | str | Path = False,
) -> dict[str, Any]:
    """Train and test a model, as RecBole's function of the same name does.

    Args:
        model: name of a general recommender; may stand in the other arguments.
        dataset: name of a data set; may stand in the other arguments.
        config_file_list: YAML files of options, later ones win.
        config_dict: options, which win over the files.
        saved: kept for RecBole's callers; the best epoch is always written and tested.
        resume: a run's folder, to go on with that run, of which the options need not be given
            again; or True for the newest unfinished run in `checkpoint_dir` with the same options.

    Returns:
        RecBole's keys `best_valid_score`, `valid_score_bigger`, `best_valid_result` and
        `test_result` (the sampled reading), and `folder` and `result` (all of result.json).

    Raises:
        UserError: anything that the user can put right.
    """
    files = [str(file) for file in config_file_list or []]
    if not isinstance(resume, bool):
        files = [str(_config_of(Path(resume))), *files]
    config = build_config(model, dataset, files, config_dict)
    parallel.join()
    try:
        if resume is True:
            folder = Path(parallel.share_text(str(_newest_unfinished(config))))
        else:
            folder = Path(resume) if resume else _run_folder(config)
        try:
            return run_in(folder, config)
        except UserError as error:
            if error.exit_code not in _CAN_GO_ON:
                raise
            words = shlex.join(["run_recbole", f"--resume={folder}"])
            raise UserError(f"{error}\nTo go on from there: {words}", error.exit_code) from error
    finally:
        parallel.leave()


def _config_of(folder: Path) -> Path:
    path = folder / CONFIG
    if not path.is_file():
        raise UserError(
            f"{folder} holds no run to go on with (there is no {path}); give the folder that a run "
            "named as its own, for example --resume=saved/DMF-ml-100k-20260131-120000-1a2b3c."
        )
    return path


def _newest_unfinished(config) -> Path:
    """The newest unfinished run with the same options; where all are finished, the newest.

    Raises:
        UserError: there is none, or another process is at it.
    """
    settings = replayable_settings(config)
    parent = Path(config["checkpoint_dir"])
    paths = parent.glob(
        f"{glob.escape(config['model'])}-{glob.escape(config['dataset'])}-*/{CONFIG}"
    )
    newest = sorted(paths, key=lambda path: (path.stat().st_mtime_ns, path))[::-1]
    same = [path.parent for path in newest if not changes(_read_settings(path), settings)]
    unfinished = [folder for folder in same if not (folder / RESULT).is_file()]
    free = [folder for folder in unfinished if not is_held(folder / RUN_LOG)]
    if same:
        return next(iter([*free, *unfinished, *same]))
    text = f"there is nothing to resume: {parent} holds no run of {config['model']} on "
    text += f"{config['dataset']} with these options"
    if newest:
        text += f" (in {newest[0].parent} {changes(_read_settings(newest[0]), settings)})"
    raise UserError(f"{text}. Start one without --resume.")


def _read_settings(path: Path) -> dict[str, Any]:
    """A run's config.yaml; {} if it cannot be read."""
    try:
        return load_yaml(path)
    except UserError:
        return {}


def run_in(
    folder: Path,
    config: Config,
    label: str | None = None,
    phases: tuple[str, ...] = ("valid", "test"),
    start_over: bool = False,
) -> dict[str, Any]:
    """Train and test with `config`; everything is written into `folder`.

    An unfinished run in the folder goes on; a finished one is not repeated.

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
    refusal = f"another process is at work on the run in {folder}; wait for it, or end it."
    with ExitStack() as stack:
        if parallel.rank() == 0:
            stack.enter_context(locked(folder / RUN_LOG, refusal))
        stack.enter_context(_logging(config, folder))
        try:
            return _run(config, folder, label, phases)
        except CannotGoOn as error:
            if not start_over:
                raise
            logging.getLogger().warning(f"{error} Starting over.")
            _clear(folder)
            return _run(config, folder, label, phases)


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != RUN_LOG:
            path.unlink()


def build_config(
    model: str | None,
    dataset: str | None,
    config_file_list: list[str] | None = None,
    config_dict: dict[str, Any] | None = None,
) -> Config:
    """Check all options and build RecBole's Config from them.

    Raises:
        UserError: an unknown option, a wrong type or value, an unknown model.
    """
    plugin.register()
    files = {str(file): load_yaml(Path(file)) for file in config_file_list or []}
    options: dict[str, Any] = {}
    for content in files.values():
        options.update(content)
    options.update(config_dict or {})
    if options.get("preset") is not None:
        options = {**plugin.read_preset(options["preset"], model), **options}
    model = model or options.get("model")
    dataset = dataset or options.get("dataset")
    for name, value, example in (("model", model, "DMF"), ("dataset", dataset, "ml-100k")):
        if not isinstance(value, (str, int)) or value == "":
            raise UserError(
                f"no {name} is given; add --{name}=NAME, for example --{name}={example}"
            )
    model, dataset = str(model), str(dataset)
    check_name(dataset, "a data set's name (give its folder with --data_path)")
    plugin.find_model(model)
    defaults = {**plugin.default_settings(model, dataset), "model": model, "dataset": dataset}
    strict = plugin.strict_options(model)
    for source, content in {**files, "the options": config_dict or {}}.items():
        check_options(content, defaults, strict, source)
    try:
        config = Config(model=model, dataset=dataset, config_dict=options)
    except UserError:
        raise
    except Exception as error:  # RecBole checks little, and stumbles over what it cannot use
        reason = clip(" ".join(str(error).split()), 500)
        raise UserError(f"the options do not fit together: {reason}") from error
    if config["eval_args"]["split"] == {"LS": plugin.SPLIT}:
        _check_metrics(config)
    return config


def _check_metrics(config) -> None:
    unknown = [m for m in config["metrics"] if m.lower() not in METRICS]
    if unknown:
        raise UserError(
            f"metrics {unknown} are not defined for one left-out item; "
            f"choose from {', '.join(METRICS)}, or another split in eval_args."
        )
    known = [f"{m.lower()}@{k}" for m in config["metrics"] for k in config["topk"]]
    if str(config["valid_metric"]).lower() not in known:
        raise UserError(
            f"valid_metric is {clip(repr(config['valid_metric']))}, but the metrics are "
            f"{', '.join(known)}."
        )


def _run_folder(config) -> Path:
    name = f"{config['model']}-{config['dataset']}-{time.strftime('%Y%m%d-%H%M%S')}"
    name = parallel.share_text(f"{name}-{uuid.uuid4().hex[:6]}")
    return make_folder(Path(config["checkpoint_dir"]) / name)


class _Log(logging.FileHandler):
    """A full disk ends the run; logging's own answer is a traceback for each message."""

    def handleError(self, record):
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            raise write_error(Path(self.baseFilename), error) from error
        super().handleError(record)


@contextmanager
def _logging(config, folder: Path) -> Iterator[None]:
    """Messages on standard output and in the run's folder, for the time of the run."""
    root = logging.getLogger()
    if parallel.rank():
        root.setLevel(logging.ERROR)
        yield
        return
    before, level = root.handlers[:], root.level
    file = _Log(folder / RUN_LOG, encoding="utf-8")
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout), file]
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(message)s"))
    root.handlers = handlers
    root.setLevel(str(config["state"] or "INFO").upper())
    try:
        yield
    finally:
        root.handlers = before
        root.setLevel(level)
        file.close()


def prepare(config, dataset) -> Prepared:
    """Split a data set, draw the candidates and say what was left out and why.

    Args:
        config: RecBole's Config.
        dataset: `plugin.LeaveOneOutDataset`, not yet built.

    Raises:
        UserError: nobody can be evaluated.
    """
    logger = logging.getLogger()
    parts = dict(zip(("train", "valid", "test"), dataset.build(), strict=True))
    uid, iid = dataset.uid_field, dataset.iid_field
    pairs = {
        name: (part.inter_feat[uid].numpy(), part.inter_feat[iid].numpy())
        for name, part in parts.items()
    }
    shape = (dataset.user_num, dataset.item_num)
    all_users, all_items = (np.concatenate(column) for column in zip(*pairs.values(), strict=True))
    seen = interaction_matrix(all_users, all_items, None, shape)
    if seen.nnz < len(all_users):
        raise UserError(
            "a (user, item) pair occurs more than once; remove the duplicates or leave "
            "rm_dup_inter at 'latest'."
        )
    _report_split(dataset, logger)
    mode = str(config["eval_args"]["mode"]["test"])
    if not mode.startswith("uni") or not mode[3:].isdecimal() or int(mode[3:]) < 1:
        raise UserError(
            f"eval_args.mode is {mode!r}; give uni100, or another number of candidates. All "
            "unseen items are ranked besides, as the reading 'full'."
        )
    n_candidates = int(mode[3:])
    n_unseen = dataset.item_num - 1 - np.diff(seen.indptr)
    phases = {}
    for number, name in enumerate(("valid", "test")):
        user, target = pairs[name]
        keep = n_unseen[user] > 0
        if not keep.all() and name == "test":
            logger.warning(
                f"{int((~keep).sum())} user(s) have interacted with every item and are not "
                "evaluated: there is nothing to rank."
            )
        left_out = dict(zip(user.tolist(), target.tolist(), strict=True))
        ready = dataset.ready_candidates(name, left_out, seen)
        if ready is None:
            generator = np.random.default_rng([int(config["split_seed"]), 0xCA4D, number])
            ranked = draw_candidates(seen, user[keep], target[keep], generator, n_candidates)
        else:
            ranked = candidates_from(user[keep], target[keep], ready[keep])
        n_earlier = None
        if N_EARLIER in parts[name].inter_feat:
            n_earlier = np.zeros(dataset.user_num, np.int64)
            n_earlier[user] = parts[name].inter_feat[N_EARLIER].numpy()
        phases[name] = Phase(ranked, seen, config["device"], n_earlier)
        if ranked.items.shape[1] != N_CANDIDATES:
            logger.info(
                f"{name}: the target is ranked among {ranked.items.shape[1]} candidates, in the "
                f"expected reading as well; the paper takes {N_CANDIDATES}."
            )
    few = int((phases["test"].n_unseen < n_candidates).sum())
    if few and ready is None:
        logger.warning(
            f"{few} user(s) have fewer than {n_candidates} unseen items; all of them are ranked."
        )
    if not len(phases["test"].n_unseen):
        raise UserError("no user has an unseen item, so there is nothing to rank.")
    train_matrix = interaction_matrix(*pairs["train"], None, shape)
    args = config["train_neg_sample_args"]
    sampler = None
    if args["distribution"] != "none":
        sampler = NegativeSampler(
            train_matrix, config["seed"], args["distribution"], float(args["alpha"])
        )
    counts = {"users": dataset.user_num - 1, "items": dataset.item_num - 1}
    counts.update({name: len(user) for name, (user, _) in pairs.items()})
    columns = [column for part in pairs.values() for column in part]
    if config["RATING_FIELD"] in parts["train"].inter_feat:
        columns.append(parts["train"].inter_feat[config["RATING_FIELD"]].numpy())
    if N_EARLIER in parts["train"].inter_feat:
        columns.append(parts["train"].inter_feat[N_EARLIER].numpy())
    sha256 = fingerprint([dataset.field2id_token[field] for field in (uid, iid)], columns)
    return Prepared(parts["train"], sampler, phases, counts, sha256)


def _report_split(dataset, logger: logging.Logger) -> None:
    split, n_users = dataset.split, dataset.user_num - 1
    if len(split.short_users):
        logger.warning(
            f"{len(split.short_users)} user(s) with fewer than 3 interactions are trained on but "
            "not evaluated."
        )
    if len(split.untimed_users):
        logger.warning(
            f"{len(split.untimed_users)} user(s) have no known timestamp (all 0), so their latest "
            "interaction is unknown: they are trained on but not evaluated."
        )
    if split.tied:
        logger.info(
            f"{split.tied} user(s) have several interactions at their latest timestamp; the last "
            "one in the file is tested."
        )
    if len(split.test):
        return
    if len(split.untimed_users):
        raise UserError(
            "every timestamp is 0, so nobody's latest interaction is known; leave the timestamp "
            "out of load_col to take the last one in the file as the latest."
        )
    raise UserError(
        f"none of the {n_users} users has the 3 interactions that leave-one-out needs (test, "
        "validation, training); is this the right file?"
    )


def _run(config, folder: Path, label: str, phases: tuple[str, ...]) -> dict[str, Any]:
    logger = logging.getLogger()
    start = time.perf_counter()
    settings = replayable_settings(config)
    if parallel.rank() == 0:
        remove_temporary_files(folder)
    if (folder / CONFIG).is_file():
        if difference := changes(_read_settings(folder / CONFIG), settings):
            raise CannotGoOn(f"{folder} holds a run with other options: {difference}.")
        if (folder / RESULT).is_file():
            return _finished_before(config, folder)
    elif parallel.rank() == 0:
        text = yaml.safe_dump(settings, sort_keys=True, allow_unicode=True)
        write_text(folder / CONFIG, text)
    init_seed(config["seed"], config["reproducibility"])
    dataset = plugin.load_dataset(config)
    if not dataset.uses_our_split:
        return plugin.run_with_recbole_evaluation(config, dataset, folder)
    prepared = prepare(config, dataset)
    prepared.phases = {name: prepared.phases[name] for name in phases}
    hashes = {name: phase.candidates.sha256 for name, phase in prepared.phases.items()}
    c = prepared.counts
    logger.info(
        f"{config['model']} on {config['dataset']}: {c['users']} users, {c['items']} items, "
        f"{c['train']} training interactions; {c['test']} users evaluated\n"
        f"candidates sha256: {', '.join(f'{n} {h[:16]}...' for n, h in hashes.items())}"
    )
    init_seed(config["seed"], config["reproducibility"])
    built = time.perf_counter()  # some of RecBole's models, SLIM for one, train as they are built
    model = plugin.find_model(config["model"])(config, prepared.train).to(config["device"])
    built = time.perf_counter() - built
    trainer: RunTrainer = trainer_class(plugin.find_trainer(config))(config, model)
    if parallel.world_size() > 1 and not isinstance(trainer, DMFTrainer):
        raise UserError(f"{config['model']} trains in one process; leave --nproc out.")
    about = {
        "model": config["model"],
        "dataset": config["dataset"],
        "settings": {**settings, "max_rating": config["max_rating"]},
        "users": dataset.field2id_token[dataset.uid_field].tolist(),
        "items": dataset.field2id_token[dataset.iid_field].tolist(),
        "train": plugin.rated_matrix(config, prepared.train),
        "data_sha256": prepared.sha256,
    }
    environment = {
        "device": str(config["device"]),
        "threads": torch.get_num_threads(),
        "processes": parallel.world_size(),
        **versions(),
    }
    trainer.attach(folder, prepared.phases["valid"], about, environment, start)
    trainer.resume()
    loader = plugin.train_loader(config, prepared.train, prepared.sampler)
    try:
        with _explained(trainer):
            trainer.fit(loader, True, verbose=False, show_progress=shows_progress(config))
            trainer.load_best()
            score_start = time.perf_counter()
            counts = {name: trainer.count(phase) for name, phase in prepared.phases.items()}
            trainer.seconds["score"] += time.perf_counter() - score_start
    finally:
        trainer.close()
    metrics = {n: summarise(k, config["metrics"], config["topk"]) for n, k in counts.items()}
    result = {
        "format": FORMAT,
        "label": label,
        "model": config["model"],
        "dataset": config["dataset"],
        "seed": config["seed"],
        "command": shlex.join(sys.argv),
        "metrics": metrics,
        "best_epoch": trainer.best_epoch,
        "epochs_run": trainer.epochs_run,
        "epochs_evaluated": len(trainer.history),
        "valid_metric": config["valid_metric"].lower(),
        "valid_reading": config["valid_reading"],
        "counts": c,
        "candidates_sha256": hashes,
        "data_sha256": prepared.sha256,
        "split_seed": config["split_seed"],
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "seconds": {
            "train": trainer.seconds["train"] + built,
            "score": trainer.seconds["score"],
            "total": trainer.total_seconds(),
        },
        "resumed_after": trainer.resumed_after,
        "peak_memory_mb": peak_memory_mb(),
        "device": str(config["device"]),
        "threads": torch.get_num_threads(),
        "processes": parallel.world_size(),
        "device_name": device_name(str(config["device"])),
        "versions": versions(),
        "commit": commit(),
        "files_sha256": file_hashes(Path(config["data_path"]), config["dataset"]),
        "settings": plugin.model_settings(config),
        **({"stages": model.stages} if hasattr(model, "stages") else {}),
    }
    if parallel.rank() == 0:
        if "test" in phases:
            test = prepared.phases["test"]
            _write_per_user(folder / "per_user.csv", config, dataset, test, counts["test"])
        write_text(folder / RESULT, json.dumps(result, indent=2, allow_nan=False))
        remove_resume_files(folder)
    logger.info(result_table(result) + f"\nresults in {folder}")
    return _outcome(config, folder, result)


def _finished_before(config, folder: Path) -> dict[str, Any]:
    """The result of a run that has ended."""
    try:
        result = json.loads((folder / RESULT).read_bytes())
        table = result_table(result)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CannotGoOn(f"{folder / RESULT} is damaged.") from error
    if parallel.rank() == 0:
        remove_resume_files(folder)
    logging.getLogger().info(f"{folder} is finished: there is nothing to do.\n{table}")
    return _outcome(config, folder, result)


def _outcome(config, folder: Path, result: dict[str, Any]) -> dict[str, Any]:
    metrics = result["metrics"]
    return {
        "best_valid_score": metrics["valid"][config["valid_reading"]][result["valid_metric"]],
        "valid_score_bigger": config["valid_metric_bigger"],
        "best_valid_result": metrics["valid"]["sampled"],
        "test_result": metrics["test"]["sampled"] if "test" in metrics else None,
        "folder": str(folder),
        "result": result,
    }


@contextmanager
def _explained(trainer: RunTrainer) -> Iterator[None]:
    """Whatever stops the training, the message says where the best epoch is."""

    def so_far() -> str:
        if not trainer.best_epoch:
            return "No good epoch was finished, so there is no checkpoint."
        return f"The best epoch so far ({trainer.best_epoch}) is in {trainer.saved_model_file}."

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


def replayable_settings(config) -> dict[str, Any]:
    """All options of a run as plain values; given as a config file they repeat it."""
    chosen = {**config.internal_config_dict, **config.external_config_dict}
    settings = {k: config.final_config_dict.get(k, v) for k, v in chosen.items()}
    settings = {k: v for k, v in settings.items() if k not in _DERIVED}
    settings["model"], settings["dataset"] = config["model"], config["dataset"]
    settings["data_path"] = str(Path(config["data_path"]).resolve().parent)
    return json.loads(json.dumps(settings))


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Which settings of a run differ in a way that its figures may depend on; '' for none."""
    names = (before.keys() | now.keys()) - _NO_MATTER
    changed = sorted(name for name in names if before.get(name) != now.get(name))
    shown = [f"{n} was {before.get(n)!r}, is {now.get(n)!r}" for n in changed[:3]]
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    return "; ".join(shown) + more


def _write_per_user(path: Path, config, dataset, phase: Phase, counts: Counts) -> None:
    columns: dict[str, Any] = {
        "user_id": dataset.id2token(dataset.uid_field, phase.candidates.user),
        "item_id": dataset.id2token(dataset.iid_field, phase.candidates.target),
        **vars(counts),
    }
    for metric in config["metrics"]:
        for k in config["topk"]:
            for reading, values in per_user(counts, metric.lower(), k).items():
                columns[f"{metric.lower()}@{k}_{reading}"] = [repr(float(v)) for v in values]
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def result_table(result: dict[str, Any]) -> str:
    """The final table: HR@K and NDCG@K of all phases in the three readings."""
    names = list(result["metrics"]["valid"]["sampled"])
    shown = [name.replace("hit@", "HR@").replace("ndcg@", "NDCG@") for name in names]
    rows = [
        [phase, reading, *(result["metrics"][phase][reading][name] for name in names)]
        for phase in result["metrics"]
        for reading in READINGS
    ]
    table = tabulate(rows, ["", "reading", *shown], floatfmt=".4f", tablefmt="simple")
    return (
        f"\n{result['label']} on {result['dataset']}, best epoch {result['best_epoch']} of "
        f"{result['epochs_run']}\n{table}\n"
        "sampled: candidates drawn once, the paper's reading, or those that came with the data;\n"
        "expected: its exact mean over all draws of as many;\nfull: all unseen items ranked."
    )


def peak_memory_mb() -> float:
    """Peak resident memory of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
