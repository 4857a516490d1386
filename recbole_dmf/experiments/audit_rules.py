"""Rules that learn nothing, judged by the protocol: what it gives away of itself."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from recbole_dmf.evaluation.evaluate import Phase, summarise
from recbole_dmf.evaluation.metrics import expected_gain, gains

K = 10


@dataclass(frozen=True)
class Audited:
    """A data set after its split, in the order of the file, repeated pairs left out.

    Attributes:
        user, item: int64 [n_rows], internal ids from 1.
        time: float64 [n_rows], or None.
        train, test: int64 row numbers.
        shape: (n_users, n_items), with padding.
        item_ids: the items' ids in the file, [n_items]; place 0 is padding.
        phase: of the test.
    """

    user: NDArray[np.int64]
    item: NDArray[np.int64]
    time: NDArray[np.float64] | None
    train: NDArray[np.int64]
    test: NDArray[np.int64]
    shape: tuple[int, int]
    item_ids: NDArray
    phase: Phase

    @property
    def popularity(self) -> NDArray[np.int64]:
        """Training interactions of each item, int64 [n_items]."""
        return np.bincount(self.item[self.train], minlength=self.shape[1])


def rules(data: Audited) -> dict[str, dict[str, float]]:
    """HR@10 and NDCG@10 (expected reading) of each rule: {rule: {"hit@10": .., "ndcg@10": ..}}."""
    popularity = data.popularity
    found = {
        "constant": _of_items(data, np.zeros(data.shape[1])),
        "popularity": _of_items(data, popularity),
        "cold items first": _of_items(data, popularity == 0),
    }
    if data.time is not None:
        latest = np.full(data.shape[1], -np.inf)
        np.maximum.at(latest, data.item[data.train], data.time[data.train])
        found["latest items of all first"] = _of_items(data, _ranks(latest))
    number = _ranks(item_numbers(data.item_ids))
    both = [_of_items(data, number), _of_items(data, -number)]
    found["item id"] = max(both, key=lambda figures: figures["hit@10"])
    found["next item in the file"] = _figures(data, next_in_file(data))
    return found


def item_numbers(ids: NDArray) -> NDArray[np.float64]:
    """The ids as numbers where all are whole numbers, else their order in the file, [n_items]."""
    words = ids[1:].astype(str)
    if all(word.isdecimal() for word in words):
        return np.concatenate([[0.0], words.astype(np.float64)])
    return np.arange(len(ids), dtype=np.float64)


def next_in_file(data: Audited) -> Callable[[torch.Tensor], torch.Tensor]:
    """Scores of the rule that takes the item whose first row comes next after the user's last one.

    The last one is the user's lowest training row in the file; items are in the order in which the
    file first names them, test rows included, as item numbers are in most programs.
    """
    n_items = data.shape[1]
    first = np.full(n_items, len(data.item), dtype=np.int64)
    np.minimum.at(first, data.item, np.arange(len(data.item)))
    order = _ranks(first)
    last = np.zeros(data.shape[0], dtype=np.int64)
    np.maximum.at(last, data.user[data.train], data.train)
    place = order[data.item[last]]

    def scores(user: torch.Tensor) -> torch.Tensor:
        ahead = (order[None, :] - place[user.cpu().numpy()][:, None]) % n_items
        return torch.from_numpy(-ahead.astype(np.float32)).to(user.device)

    return scores


def popularity_by_time(data: Audited) -> tuple[float, float, int]:
    """HR@10 of popularity over all training and over what comes before each test item.

    Over the users whose test item comes after at least half of the training interactions, so that
    what is known by then is enough to count.

    Returns:
        Both figures, expected reading, and the number of these users.
    """
    time = data.time
    assert time is not None
    candidates = data.phase.candidates
    test_time = np.zeros(data.shape[0])
    test_time[data.user[data.test]] = time[data.test]
    train_order = data.train[np.argsort(time[data.train], kind="stable")]
    known = np.searchsorted(time[train_order], test_time[candidates.user])
    late = np.flatnonzero(known >= len(train_order) / 2)
    late = late[np.argsort(known[late], kind="stable")]
    ones = np.ones(len(data.user), dtype=bool)
    seen = sp.csr_matrix((ones, (data.user, data.item)), shape=data.shape)
    total, count, start = data.popularity, np.zeros(data.shape[1], dtype=np.int64), 0
    stood = np.empty((2, 2, len(late)), dtype=np.int64)  # [all | earlier, above | tied, user]
    for place, number in enumerate(late):
        np.add.at(count, data.item[train_order[start : known[number]]], 1)
        start = known[number]
        user = candidates.user[number]
        taken = seen.indices[seen.indptr[user] : seen.indptr[user + 1]]
        for side, popularity in enumerate((total, count)):
            own = popularity[candidates.target[number]]
            stood[side, 0, place] = (popularity[1:] > own).sum() - (popularity[taken] > own).sum()
            stood[side, 1, place] = (popularity[1:] == own).sum() - (popularity[taken] == own).sum()
    unseen, width = data.phase.n_unseen[late], data.phase.n_candidates[late]
    if not len(late):
        return 0.0, 0.0, 0
    with_future, without = (
        float(expected_gain(gains("hit", K), unseen, above, tied, width).mean())
        for above, tied in stood
    )
    return with_future, without, len(late)


def _ranks(values: NDArray) -> NDArray[np.int64]:
    """Values as whole numbers in the same order, which float32 tells apart."""
    return np.unique(values, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _of_items(data: Audited, score: NDArray) -> dict[str, float]:
    row = torch.from_numpy(score.astype(np.float32)).to(data.phase.device)
    return _figures(data, lambda user: row.repeat(len(user), 1))


def _figures(data: Audited, scores: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, float]:
    return summarise(data.phase.count(scores), ["hit", "ndcg"], [K])["expected"]
