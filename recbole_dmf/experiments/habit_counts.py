"""Train one model and note, after each epoch, where every test item stands among other items."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from recbole_dmf.config import build_config, changes, replayable_settings
from recbole_dmf.data.interactions import train_matrix
from recbole_dmf.errors import CannotResume
from recbole_dmf.evaluation.candidates import draw_candidates
from recbole_dmf.evaluation.evaluate import Counts, Phase, Scores, summarise
from recbole_dmf.files import atomic_path, make_folder, remove_temporary_files
from recbole_dmf.host.config import set_seeds
from recbole_dmf.host.lookup import load_dataset
from recbole_dmf.manifest import versions
from recbole_dmf.options import Config
from recbole_dmf.prepare import Prepared, prepare
from recbole_dmf.run import build_trainer, checkpoint_facts
from recbole_dmf.run_folder import CONFIG, read_settings, write_settings

N_DRAWS = 20  # of candidates; a figure's noise from them falls by sqrt(20)
_STREAM = 0xD2A5
_USERS_PER_BATCH = 256


@dataclass(frozen=True)
class Stood:
    """Where the test items stand after one epoch.

    Attributes:
        valid_ndcg: NDCG@10 of validation, expected reading.
        n_unseen: int64 [n], items in none of the user's interactions.
        n_train, n_valid: int64 [n], the user's training items and validation items (0 or 1).
        above, tied: int64 [n], of the unseen items.
        drawn_above, drawn_tied: int64 [N_DRAWS, n], of the candidates in each draw.
        train_above, train_tied: int64 [n], of the user's training items.
        valid_above, valid_tied: int64 [n], 0 or 1, of the user's validation item.
    """

    valid_ndcg: NDArray[np.float64]
    n_unseen: NDArray[np.int64]
    n_train: NDArray[np.int64]
    n_valid: NDArray[np.int64]
    above: NDArray[np.int64]
    tied: NDArray[np.int64]
    drawn_above: NDArray[np.int64]
    drawn_tied: NDArray[np.int64]
    train_above: NDArray[np.int64]
    train_tied: NDArray[np.int64]
    valid_above: NDArray[np.int64]
    valid_tied: NDArray[np.int64]


class Watched(Phase):
    """A validation phase that tells of each count, once an epoch, with the scores at hand."""

    def __init__(self, phase: Phase, tell: Callable[[Scores, Counts], None]):
        vars(self).update(vars(phase))
        self._tell = tell

    def count(self, scores: Scores) -> Counts:
        counts = super().count(scores)
        self._tell(scores, counts)
        return counts


def count_test_items(
    phase: Phase,
    draws: NDArray[np.int64],
    train: sp.csr_matrix,
    valid_item: NDArray[np.int64],
    scores: Scores,
    valid_ndcg: float,
) -> Stood:
    """Rank the test items of one epoch.

    Args:
        phase: of the test.
        draws: int64 [N_DRAWS, n, width], candidates; -1 fills up.
        train: CSR [n_users, n_items], non-zero at training interactions.
        valid_item: int64 [n_users], 0 where a user has none.
        scores: as `Phase.count` takes.
        valid_ndcg: of the epoch.
    """
    counts = phase.count(scores)
    users, targets = phase.candidates.user, phase.candidates.target
    drawn, of_train, of_valid = [], [], []
    for start in range(0, len(users), _USERS_PER_BATCH):
        part = slice(start, start + _USERS_PER_BATCH)
        score = scores(torch.from_numpy(users[part]).to(phase.device)).cpu().numpy()
        row = np.arange(len(score))
        own = score[row, targets[part]][:, None]
        items = draws[:, part]
        drawn.append(_stand(score[row[:, None], np.maximum(items, 0)], own, items >= 0))
        of_train.append(_stand(score, own, train[users[part]].toarray() != 0))
        item = valid_item[users[part]][:, None]
        of_valid.append(_stand(score[row[:, None], item], own, item > 0))
    drawn_above, drawn_tied = np.concatenate(drawn, axis=-1)
    train_above, train_tied = np.concatenate(of_train, axis=-1)
    valid_above, valid_tied = np.concatenate(of_valid, axis=-1)
    return Stood(
        np.array(valid_ndcg),
        counts.n_unseen,
        np.diff(train.indptr)[users].astype(np.int64),
        (valid_item[users] > 0).astype(np.int64),
        counts.full_above,
        counts.full_tied,
        drawn_above,
        drawn_tied,
        train_above,
        train_tied,
        valid_above,
        valid_tied,
    )


def _stand(score: NDArray, own: NDArray, counted: NDArray) -> NDArray[np.int64]:
    """Items above and level with the target, int64 [2, ...]; the last axis is that of the items."""
    above, tied = (score > own) & counted, (score == own) & counted
    return np.stack([above.sum(axis=-1), tied.sum(axis=-1)])


def counts_of_run(
    folder: Path, model: str, dataset: str, options: Mapping[str, Any], with_valid: bool
) -> tuple[list[Stood], Config]:
    """Train for all of `epochs`, or the rest of them, and return the counts of every epoch.

    Args:
        folder: of this run alone; epoch-N.npz are written into it.
        model, dataset, options: as `build_config` takes; `stopping_step` is that of no stop.
        with_valid: train on the validation items, too.

    Raises:
        UserError: as `run_recbole`; CannotResume: the folder is of another version or data set.
    """
    epochs = int(options["epochs"])
    config = build_config(model, dataset, None, {**options, "stopping_step": epochs})
    make_folder(folder)
    settings = {**replayable_settings(config), "with_valid": with_valid}
    if not (folder / CONFIG).is_file():
        write_settings(folder, settings)
    elif difference := changes(read_settings(folder), settings):
        raise CannotResume(
            f"{folder} has a run with other options: {difference}. Give another folder."
        )
    files = [folder / f"epoch-{n}.npz" for n in range(1, epochs + 1)]
    if not all(file.is_file() for file in files):
        remove_temporary_files(folder)
        _train(folder, config, with_valid)
    for file in files:
        if not file.is_file():
            raise CannotResume(f"{file} is missing, but its training has ended; delete {folder}.")
    return [_read(file) for file in files], config


def _train(folder: Path, config: Config, with_valid: bool) -> None:
    set_seeds(config)
    dataset = load_dataset(config)
    prepared = prepare(config, dataset)
    valid, test = prepared.phases["valid"], prepared.phases["test"]
    if with_valid:
        rows = np.concatenate([dataset.split.train, dataset.split.valid])
        prepared.train = dataset.copy(dataset.inter_feat[torch.from_numpy(rows)])
    draws = _draws(config, prepared)
    train = train_matrix(prepared.train)
    valid_item = np.zeros(train.shape[0], np.int64)
    if not with_valid:
        valid_item[valid.candidates.user] = valid.candidates.target
    trainer = build_trainer(config, prepared.train)

    def note(scores: Scores, counts: Counts) -> None:
        ndcg = summarise(counts, ["ndcg"], [10])["expected"]["ndcg@10"]
        stood = count_test_items(test, draws, train, valid_item, scores, ndcg)
        with (
            atomic_path(folder / f"epoch-{trainer.epochs_run}.npz") as path,
            path.open("wb") as file,
        ):
            np.savez_compressed(file, **vars(stood))

    about = checkpoint_facts(config, replayable_settings(config), prepared, [], [])
    prepared.phases["valid"] = Watched(valid, note)
    trainer.attach(folder, prepared, about, versions(), time.perf_counter())
    trainer.resume()
    try:
        trainer.fit(prepared.train_loader(config), True, verbose=False, show_progress=False)
    finally:
        trainer.close()


def _draws(config: Config, prepared: Prepared) -> NDArray[np.int64]:
    """Candidates drawn anew, int64 [N_DRAWS, n, width]; the first are those of the test itself."""
    test, valid = prepared.phases["test"].candidates, prepared.phases["valid"].candidates
    matrix = train_matrix(prepared.train).tolil()
    for candidates in (test, valid):
        matrix[candidates.user, candidates.target] = 1
    seen, width = matrix.tocsr(), test.items.shape[1]
    drawn = [test.items]
    for number in range(1, N_DRAWS):
        generator = np.random.default_rng([int(config["split_seed"]), _STREAM, number])
        drawn.append(draw_candidates(seen, test.user, test.target, generator, width).items)
    return np.stack(drawn)


def _read(path: Path) -> Stood:
    with np.load(path, allow_pickle=False) as arrays:
        return Stood(**arrays)
