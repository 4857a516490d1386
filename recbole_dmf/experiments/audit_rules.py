"""Rules that learn nothing, judged by the protocol: what it gives away of itself."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recbole_dmf.evaluation.evaluate import Phase
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
        found["latest items of all first"] = _of_items(data, latest)
    number = item_numbers(data.item_ids)
    both = [_of_items(data, number), _of_items(data, -number)]
    found["item id"] = max(both, key=lambda figures: figures["hit@10"])
    found["next item in the file"] = _next_in_file(data)
    return found


def item_numbers(ids: NDArray) -> NDArray[np.float64]:
    """The ids as numbers where all are whole numbers, else their order in the file, [n_items]."""
    words = ids[1:].astype(str)
    if all(word.isdecimal() for word in words):
        return np.concatenate([[0.0], words.astype(np.float64)])
    return np.arange(len(ids), dtype=np.float64)


def _next_in_file(data: Audited) -> dict[str, float]:
    """Figures of the rule that takes the item whose first row comes next after the user's last one.

    The last one is the user's lowest training row in the file; items are in the order in which the
    file first names them, test rows included, as item numbers are in most programs. After the last
    item comes the first again.
    """
    n_items = data.shape[1]
    first = np.full(n_items, len(data.item), dtype=np.int64)
    np.minimum.at(first, data.item, np.arange(len(data.item)))
    order = np.unique(first, return_inverse=True)[1].reshape(-1)
    last = np.zeros(data.shape[0], dtype=np.int64)
    np.maximum.at(last, data.user[data.train], data.train)
    place = order[data.item[last]]  # by user
    candidates = data.phase.candidates
    own = (order[candidates.target] - place[candidates.user]) % n_items
    before = np.concatenate([[0], np.cumsum(np.bincount(order[1:], minlength=n_items))])
    end = place[candidates.user] + own  # the items in between are ranked above the target
    above = np.where(
        end <= n_items,
        before[np.minimum(end, n_items)] - before[place[candidates.user]],
        before[n_items] - before[place[candidates.user]] + before[end % n_items],
    )
    level = np.diff(before)[order[candidates.target]]
    ahead = (order[data.item] - place[data.user]) % n_items
    return _figures(data, -own, above, level, -ahead)


def popularity_by_time(data: Audited) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """HR@10 of popularity over all training and over what comes before each test item.

    Over the users whose test item comes after at least half of the training interactions, so that
    what is known by then is enough to count.

    Returns:
        Both figures of each of these users, expected reading, float64 [n] each.
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
    counts = np.empty((2, 2, len(late)), dtype=np.int64)  # [all | earlier, above | tied, user]
    for place, number in enumerate(late):
        np.add.at(count, data.item[train_order[start : known[number]]], 1)
        start = known[number]
        user = candidates.user[number]
        taken = seen.indices[seen.indptr[user] : seen.indptr[user + 1]]
        for side, popularity in enumerate((total, count)):
            own = popularity[candidates.target[number]]
            counts[side, 0, place] = (popularity[1:] > own).sum() - (popularity[taken] > own).sum()
            tied_seen = (popularity[taken] == own).sum()
            counts[side, 1, place] = (popularity[1:] == own).sum() - tied_seen
    unseen, width = data.phase.n_unseen[late], data.phase.n_candidates[late]
    with_future, without = (
        expected_gain(gains("hit", K), unseen, above, tied, width) for above, tied in counts
    )
    return with_future, without


def _of_items(data: Audited, score: NDArray) -> dict[str, float]:
    """Figures of a rule that gives an item the same score for every user.

    Args:
        score: [n_items], of any type that can be ordered.
    """
    own = score[data.phase.candidates.target]
    ordered = np.sort(score[1:])
    up_to = np.searchsorted(ordered, own, side="right")
    level = up_to - np.searchsorted(ordered, own, side="left")
    return _figures(data, own, len(ordered) - up_to, level, score[data.item])


def _figures(
    data: Audited, own: NDArray, above: NDArray, level: NDArray, of_rows: NDArray
) -> dict[str, float]:
    """HR@10 and NDCG@10 from where targets stand among all items, without scoring all pairs.

    Args:
        own: [n], the scores of the targets, in the order of the candidates.
        above, level: int64 [n], items above and level with the target, itself among the latter.
        of_rows: [n_rows], the scores of all interactions, which are taken from these counts.
    """
    users = data.phase.candidates.user
    number = np.full(data.shape[0], -1, dtype=np.int64)
    number[users] = np.arange(len(users))
    row = np.flatnonzero(number[data.user] >= 0)
    whose = number[data.user[row]]
    n_above = np.bincount(whose[of_rows[row] > own[whose]], minlength=len(users))
    n_level = np.bincount(whose[of_rows[row] == own[whose]], minlength=len(users))
    phase = data.phase
    counts = (phase.n_unseen, above - n_above, level - n_level, phase.n_candidates)
    return {f"{m}@{K}": float(expected_gain(gains(m, K), *counts).mean()) for m in ("hit", "ndcg")}
