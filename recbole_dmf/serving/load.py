"""A finished run with its data set, as RecBole's `load_data_and_model` gives it for its own."""

from pathlib import Path
from typing import Any

from recbole_dmf.config import build_config, uses_our_split
from recbole_dmf.errors import UserError
from recbole_dmf.host.config import set_seeds
from recbole_dmf.host.loaders import (
    CandidateDataLoader,
    part_of,
    restore_model,
)
from recbole_dmf.host.lookup import load_dataset
from recbole_dmf.host.recbole_evaluation import prepare_with_recbole
from recbole_dmf.manifest import file_hashes
from recbole_dmf.options import Config
from recbole_dmf.prepare import prepare
from recbole_dmf.run_folder import CHECKPOINT, CONFIG, RESULT, is_finished, read_result
from recbole_dmf.serving.model_file import read_model_file


def load(folder: Path | str, data_path: Path | str | None = None) -> tuple[Any, ...]:
    """Config, model, data set and the loaders of train, valid and test of a finished run.

    The data set's files are read and split again; `Recommender` needs none of that.

    Args:
        folder: of the run.
        data_path: folder above the data set, if it has moved since.

    Returns:
        In the order of RecBole's `load_data_and_model`: RecBole's Config; the trained model, on
        the config's device and in evaluation mode; RecBole's Dataset, read and filtered; and its
        loaders train_data, valid_data and test_data. With the paper's split the latter two hold
        the run's own candidates (`host.loaders.CandidateDataLoader`), with other `eval_args` they
        are RecBole's.

    Raises:
        UserError: no finished run, the data set's files have changed since, or the files of the
            run are damaged.
    """
    folder = Path(folder)
    result = _result_of(folder)
    content = read_model_file(folder / CHECKPOINT)
    options = {} if data_path is None else {"data_path": str(data_path)}
    config = build_config(None, None, [str(folder / CONFIG)], options)
    set_seeds(config)
    dataset = load_dataset(config)
    if not uses_our_split(config):
        split = prepare_with_recbole(config, dataset)
        if split.sha256 != result.get("data_sha256"):
            raise _changed(folder, "the ids, interactions or their split", result, config)
        model = restore_model(config, split.train, content)
        return config, model, dataset, *split.loaders.values()
    prepared = prepare(config, dataset)
    if prepared.sha256 != result.get("data_sha256"):
        raise _changed(folder, "the ids, interactions or their split", result, config)
    evaluated = []
    for name, rows in (("valid", dataset.split.valid), ("test", dataset.split.test)):
        candidates = prepared.phases[name].candidates
        if result["candidates_sha256"].get(name, candidates.sha256) != candidates.sha256:
            raise _changed(folder, f"the candidates of {name}", result, config)
        evaluated.append(CandidateDataLoader(config, part_of(dataset, rows), candidates))
    train = prepared.train_loader(config)
    return config, restore_model(config, prepared.train, content), dataset, train, *evaluated


def _result_of(folder: Path) -> dict[str, Any]:
    if not is_finished(folder):
        raise UserError(
            f"{folder} has no finished run (there is no {folder / RESULT}); name the folder of "
            f"one, or resume it with run_recbole --resume={folder}."
        )
    result = read_result(folder)
    if not isinstance(result.get("files_sha256"), dict):
        raise UserError(f"{folder / RESULT} is damaged: it has no files_sha256.")
    return result


def _differing_files(result: dict[str, Any], config: Config) -> list[str]:
    now = file_hashes(Path(config["data_path"]), config["dataset"])
    names = now.keys() | result["files_sha256"].keys()
    return sorted(name for name in names if now.get(name) != result["files_sha256"].get(name))


def _changed(folder: Path, what: str, result: dict[str, Any], config: Config) -> UserError:
    files = ", ".join(_differing_files(result, config))
    where = f"{files} in {config['data_path']} changed" if files else "another version reads them"
    return UserError(
        f"{what} of {config['dataset']} are not those that the run in {folder} was trained on: "
        f"{where}. Put the files of that time back, name their folder with data_path, or train "
        "again; recbole_dmf.Recommender needs no data set."
    )
