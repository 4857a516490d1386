"""Findings of an audit: what the data and the protocol give away, each with a verdict."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recbole_dmf.data.split import MIN_INTERACTIONS, drop_duplicates
from recbole_dmf.experiments.audit_rules import Audited, item_numbers, popularity_by_time, rules

# From where on a finding is one that misleads. Ours: figures are read to about a hundredth.
_COLD = 0.02  # share of targets without training interactions less that of candidates
_RULE = 0.05  # HR@10 above chance, or above popularity
_REPEATED = 0.01  # share of the test pairs, or of the users
_TIED = 0.05  # share of the users whose test item the order of the file chooses
_SKEW = 0.1  # share of these, above chance, of which the choice has a pattern
_STANDARD_ERRORS = 4
_LEFT_OUT = 0.1  # share of the users
_DRAWN = 0.02  # mean rank of candidates by popularity, 0 to 1, from that of all unseen items
_FUTURE = 0.05  # HR@10
FEW = 5

Finding = dict[str, Any]


def _finding(name: str, values: dict[str, Any], because: str | None, harmless: str) -> Finding:
    """A finding with its verdict; `because` says why it misleads, None where it does not."""
    verdict = f"harmless: {harmless}"
    if because is not None:
        verdict = f"figures of this set mislead, because {because}"
    plain = {
        key: value.item() if isinstance(value, np.generic) else value
        for key, value in values.items()
    }
    return {"name": name, "values": plain, "misleads": because is not None, "verdict": verdict}


def cold_items(data: Audited) -> Finding:
    """Targets and candidates without a training interaction."""
    cold = data.popularity == 0
    candidates = data.phase.candidates
    drawn = candidates.items[candidates.items >= 0]
    target, candidate = float(cold[candidates.target].mean()), float(cold[drawn].mean())
    because = None
    if target - candidate > _COLD:
        because = (
            f"{target:.1%} of the test items have no training interaction, but {candidate:.1%} of "
            "the candidates: a rule that puts such items first finds them, and no model can learn "
            "anything of them. Read the warm figures"
        )
    elif candidate - target > _COLD:
        because = (
            f"{candidate:.1%} of the candidates have no training interaction, but {target:.1%} of "
            "the test items: every model that puts such items last gains by it. Read the warm "
            "figures"
        )
    return _finding(
        "cold items",
        {"targets": target, "candidates": candidate},
        because,
        "test items and candidates have no training interaction equally often",
    )


_HARMLESS = {"constant": "chance", "popularity": "what a model has to be better than"}


def rule_findings(data: Audited) -> list[Finding]:
    """A finding for each rule that learns nothing."""
    figures = rules(data)
    chance, popular = (figures[rule]["hit@10"] for rule in ("constant", "popularity"))
    findings = []
    for name, values in figures.items():
        hits, because = values["hit@10"], None
        if name == "cold items first" and hits > chance + _RULE:
            because = f"this rule finds {hits:.1%} of the test items; by chance {chance:.1%}"
        elif name == "next item in the file" and hits > chance + 2 * _RULE:
            because = (
                f"this rule finds {hits:.1%} of the test items, by chance {chance:.1%}: the file's "
                "order tells what a user takes next, and item numbers keep it"
            )
        elif name not in ("constant", "popularity") and hits > popular + _RULE:
            because = f"this rule has HR@10 {hits:.3f}, above popularity's {popular:.3f}"
        findings.append(
            _finding(
                f"rule: {name}",
                values,
                because,
                _HARMLESS.get(name, "far below popularity or no better than chance"),
            )
        )
    return findings


def repeated_pairs(
    user: NDArray, item: NDArray, time: NDArray | None, tests: set[tuple[str, str]]
) -> Finding:
    """Rows of a (user, item) pair that is there again, in the file as it is.

    Args:
        user, item: ids of all rows of the file.
        time: float64 [n_rows], or None.
        tests: (user, item) of the test.
    """
    users, items = (np.unique(ids, return_inverse=True)[1] for ids in (user, item))
    kept = np.zeros(len(user), dtype=bool)
    kept[drop_duplicates(users, items, time)] = True
    left_out = np.flatnonzero(~kept)
    of_test = {(user[row], item[row]) for row in left_out} & tests
    share = len(of_test) / max(1, len(tests))
    because = None
    if share > _REPEATED:
        because = (
            f"{share:.1%} of the test pairs are in the file more than once: programs that keep the "
            "earlier rows train on the test. Here they are left out of training"
        )
    return _finding(
        "repeated pairs",
        {"rows": len(left_out), "test pairs": len(of_test), "share of test": share},
        because,
        "the latest of each pair stays" if len(left_out) else "there are none",
    )


def ties_at_latest(data: Audited) -> Finding:
    """Users with several interactions at their latest time, of which the file's last is tested."""
    if data.time is None:
        return _finding("ties at the latest time", {}, None, "there are no times")
    latest = np.zeros(data.shape[0])
    latest[data.user[data.test]] = data.time[data.test]
    tested = np.zeros(data.shape[0], dtype=bool)
    tested[data.user[data.test]] = True
    level = np.flatnonzero(tested[data.user] & (data.time == latest[data.user]))
    size = np.bincount(data.user[level], minlength=data.shape[0])
    tied = np.flatnonzero(size > 1)
    share = len(tied) / len(data.test)
    values: dict[str, Any] = {"users": len(tied), "share of users": share}
    because = None
    target = np.zeros(data.shape[0], dtype=np.int64)
    target[data.user[data.test]] = data.item[data.test]
    for what, of in _ORDERS.items():
        excess, certain = _chosen_by(of(data), data, level, tied, size, target)
        values[f"excess of the {what}"] = excess
        if share > _TIED and certain and excess > _SKEW and because is None:
            because = (
                f"the order of the file chooses the test item of {share:.1%} of the users, and "
                f"among equal times it prefers the {what}"
            )
    harmless = "the order of the file among them has no pattern" if len(tied) else "there are none"
    return _finding("ties at the latest time", values, because, harmless)


_ORDERS: dict[str, Callable[[Audited], NDArray]] = {
    "highest item id": lambda data: item_numbers(data.item_ids),
    "lowest item id": lambda data: -item_numbers(data.item_ids),
    "most popular item": lambda data: data.popularity,
    "least popular item": lambda data: -data.popularity,
}


def _chosen_by(
    value: NDArray,
    data: Audited,
    level: NDArray[np.int64],
    tied: NDArray[np.int64],
    size: NDArray[np.int64],
    target: NDArray[np.int64],
) -> tuple[float, bool]:
    """How much oftener than by chance the target has the greatest value; whether beyond chance."""
    greatest = np.full(data.shape[0], -np.inf)
    np.maximum.at(greatest, data.user[level], value[data.item[level]])
    is_greatest = value[data.item[level]] == greatest[data.user[level]]
    n_greatest = np.bincount(data.user[level], is_greatest, minlength=data.shape[0])
    chance = n_greatest[tied] / size[tied]
    found = value[target[tied]] == greatest[tied]
    if not len(tied):
        return 0.0, False
    error = np.sqrt((chance * (1 - chance)).sum()) / len(tied)
    excess = float((found - chance).mean())
    return excess, excess > _STANDARD_ERRORS * error


def duplicated_users(data: Audited) -> Finding:
    """Users whose items are, all of them, those of another user."""
    order = np.lexsort((data.item, data.user))
    user, item = data.user[order], data.item[order]
    starts = np.flatnonzero(np.concatenate([[True], np.diff(user) != 0]))
    groups: dict[bytes, int] = {}
    for items in np.split(item, starts[1:]):
        if len(items) >= MIN_INTERACTIONS:
            key = items.tobytes()
            groups[key] = groups.get(key, 0) + 1
    copies = sum(n for n in groups.values() if n > 1)
    share = copies / max(1, sum(groups.values()))
    because = None
    if share > _REPEATED:
        because = (
            f"{share:.1%} of the users have exactly the items of another one: whoever is like a "
            "copy of oneself is easily predicted"
        )
    return _finding(
        "duplicated users", {"users": copies, "share": share}, because, "too few to matter"
    )


def few_interactions(data: Audited) -> Finding:
    """Users and items with few interactions, and users who are not evaluated."""
    users = np.bincount(data.user, minlength=data.shape[0])[1:]
    items = np.bincount(data.item, minlength=data.shape[1])[1:]
    left_out = 1 - data.phase.n_users / len(users)
    because = None
    if left_out > _LEFT_OUT:
        because = f"{left_out:.1%} of the users are not evaluated: figures are of the active ones"
    values = {
        f"users below {FEW}": int((users < FEW).sum()),
        f"items below {FEW}": int((items < FEW).sum()),
        "items with one": int((items == 1).sum()),
        "users not evaluated": left_out,
    }
    return _finding("few interactions", values, because, "nearly all users are evaluated")


def drawn_candidates(data: Audited) -> Finding:
    """Whether the candidates are as popular as the items that they were drawn from."""
    candidates = data.phase.candidates
    drawn = candidates.items >= 0
    popularity = np.argsort(np.argsort(data.popularity[1:], kind="stable"), kind="stable")
    rank = np.concatenate([[0.0], (popularity + 0.5) / len(popularity)])
    seen_sum = np.bincount(data.user, rank[data.item], minlength=data.shape[0])[candidates.user]
    seen = np.bincount(data.user, minlength=data.shape[0])[candidates.user]
    unseen = (rank[1:].sum() - seen_sum) / np.maximum(1, data.shape[1] - 1 - seen)
    mean = (rank[candidates.items] * drawn).sum(axis=1) / np.maximum(1, drawn.sum(axis=1))
    difference, error = _mean_and_error(mean - unseen)
    because = None
    if abs(difference) > max(_DRAWN, _STANDARD_ERRORS * error):
        more = "more" if difference > 0 else "less"
        because = (
            f"the candidates are {more} popular than the items that users have not seen (mean rank "
            f"{difference:+.2f} of 1): they are not a uniform draw, so that the sampled figures "
            "can be compared with no others"
        )
    return _finding("candidates", {"mean rank": difference}, because, "a uniform draw")


def global_time(data: Audited) -> Finding:
    """Test items that lie before other users' training, and what popularity gains by it."""
    if data.time is None:
        return _finding("global time", {}, None, "there are no times")
    train_time = np.sort(data.time[data.train])
    later = 1 - np.searchsorted(train_time, data.time[data.test], side="right") / len(train_time)
    with_future, without = popularity_by_time(data)
    gain, error = _mean_and_error(with_future - without)
    values = {
        "tests before other training": float((later > 0).mean()),
        "training after a test": float(later.mean()),
        "popularity": _mean_and_error(with_future)[0],
        "popularity without the future": _mean_and_error(without)[0],
        "gain": gain,
        "standard error of the gain": error,
        "users compared": len(with_future),
    }
    because = None
    if gain > _FUTURE:
        because = (
            f"popularity has HR@10 {values['popularity']:.3f} with other users' later interactions "
            f"and {values['popularity without the future']:.3f} without them: models are told what "
            "will be popular"
        )
    harmless = (
        f"other users' later interactions add {gain:.3f} to popularity's HR@10 (standard error "
        f"{error:.3f}), and from {_FUTURE} on they would mislead"
    )
    return _finding("global time", values, because, harmless)


def _mean_and_error(values: NDArray[np.float64]) -> tuple[float, float]:
    """The mean and its standard error; 0 for no values."""
    if not len(values):
        return 0.0, 0.0
    return float(values.mean()), float(values.std() / np.sqrt(len(values)))


def never_rated(data: Audited, raw: bool) -> Finding:
    """Whole-numbered ids from 1 up to the highest that no interaction has."""
    words = data.item_ids[np.unique(data.item)].astype(str)
    if not all(word.isdecimal() for word in words):
        return _finding("never-rated ids", {}, None, "ids are not whole numbers")
    numbers = np.unique(words.astype(np.int64))
    highest = int(numbers.max())
    missing = highest - int((numbers > 0).sum())
    share = missing / max(1, highest)
    because = None
    if raw and share > _COLD:
        because = (
            f"{share:.1%} of the ids up to {highest} were never rated and are candidates all the "
            "same: they are no rivals to the target"
        )
    return _finding(
        "never-rated ids",
        {"ids": missing, "share": share},
        because,
        "they are few" if raw else "they are no candidates",
    )
