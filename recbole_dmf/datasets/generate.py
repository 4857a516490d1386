"""Ratings of any size with a long tail and planted factors.

Each user has tastes, a distribution over `N_GENRES` genres, and each item belongs to one genre. A
user's items are drawn by taste and, within a genre, by popularity; one in seven by popularity
alone. So the chance of a pair has rank `N_GENRES` + 1, and a model that finds the tastes ranks
better than popularity does. Ratings are higher in a user's favourite genres.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recbole_dmf.data.split import MIN_INTERACTIONS
from recbole_dmf.datasets.writer import write_atomic
from recbole_dmf.errors import UserError

N_GENRES = 20
TASTE = 0.15  # of the Dirichlet distribution of a user's genres: two or three favourites
POPULAR_ALONE = 1 / 7
USER_SPREAD = 1.0  # standard deviation of the logarithm of a user's activity
ITEM_DECAY = 0.9  # popularity falls as rank ** -0.9
START, HOURS = 1_000_000_000, 3 * 365 * 24
_CHUNK = 1 << 20
_ROUNDS_BY_TASTE = 30


def generate(n_users: int, n_items: int, n_ratings: int, seed: int) -> dict[str, NDArray]:
    """Draw interactions of exactly the given size.

    Args:
        n_users: each with at least 3 and at most n_items // 2 interactions.
        n_items: each with at least one interaction.
        n_ratings: interactions, all of different (user, item) pairs.
        seed: the same arguments give the same interactions.

    Returns:
        Arrays [n_ratings], sorted by user and item: `user` and `item` int64 from 0, `rating` 1 to
        5 and `timestamp` in seconds since 1970, both float64.

    Raises:
        UserError: no data set has this size.
    """
    _check_size(n_users, n_items, n_ratings)
    generator = np.random.default_rng(seed)
    degree = _degrees(generator, n_users, n_ratings, n_items // 2)
    taste = generator.dirichlet(np.full(N_GENRES, TASTE), n_users)
    genre = generator.permutation(n_items) % N_GENRES
    popularity = generator.permutation(np.arange(1, n_items + 1) ** -ITEM_DECAY)
    draw = _drawer(generator, taste, genre, popularity)

    slots = np.sort(generator.choice(n_ratings, n_items, replace=False))
    owner = np.searchsorted(np.cumsum(degree), slots, side="right")
    keys = np.sort(owner * n_items + generator.permutation(n_items))  # every item once
    missing = degree - np.bincount(owner, minlength=n_users)
    rounds = 0
    while missing.any():
        user = np.repeat(np.arange(n_users), missing)
        rounds += 1
        by_taste = rounds <= _ROUNDS_BY_TASTE
        item = draw(user) if by_taste else generator.integers(0, n_items, len(user))
        new = np.unique(user * n_items + item)
        place = np.minimum(np.searchsorted(keys, new), len(keys) - 1)
        new = new[keys[place] != new]
        missing -= np.bincount(new // n_items, minlength=n_users)
        keys = np.sort(np.concatenate([keys, new]), kind="stable")

    user, item = keys // n_items, keys % n_items
    likes = taste[user, genre[item]] > 1 / N_GENRES
    quality = generator.normal(0, 0.4, n_items)
    rating = 2.8 + 1.2 * likes + quality[item] + generator.normal(0, 0.8, n_ratings)
    return {
        "user": user,
        "item": item,
        "rating": np.clip(np.rint(rating), 1, 5),
        "timestamp": START + 3600.0 * generator.integers(0, HOURS, n_ratings),
    }


def _check_size(n_users: int, n_items: int, n_ratings: int) -> None:
    if min(n_users, n_items, n_ratings) < 1:
        raise UserError("users, items and ratings must be positive numbers.")
    least = max(MIN_INTERACTIONS * n_users, n_items)
    most = n_users * (n_items // 2)
    if not least <= n_ratings <= most:
        raise UserError(
            f"{n_users} users and {n_items} items can have {least} to {most} ratings "
            f"(3 for each user, one for each item, at most half of the items for a user), "
            f"not {n_ratings}."
            if least <= most
            else f"{n_items} items are too few for {n_users} users; give at least "
            f"{2 * MIN_INTERACTIONS} items, or more users."
        )


def _degrees(generator, n_users: int, total: int, most: int) -> NDArray[np.int64]:
    """Long-tailed numbers of interactions between 3 and `most` with the sum `total`, [n_users]."""
    weight = generator.lognormal(0, USER_SPREAD, n_users)
    degree = np.full(n_users, MIN_INTERACTIONS, dtype=np.int64)
    while rest := total - int(degree.sum()):
        open_users = np.flatnonzero(degree < most)
        share = weight[open_users] * (rest / weight[open_users].sum())
        extra = np.minimum(share.astype(np.int64), most - degree[open_users])
        if not extra.any():
            extra[generator.choice(len(open_users), min(rest, len(open_users)), replace=False)] = 1
        degree[open_users] += extra
    return degree


def _drawer(generator, taste: NDArray, genre: NDArray, popularity: NDArray):
    """A function that draws an item for each of the given users, int64 [n] -> int64 [n]."""
    by_genre = np.argsort(genre, kind="stable")
    # One ascending array: genre g lies between g and g + 1, all items above the last genre.
    bounds = np.searchsorted(genre[by_genre], np.arange(N_GENRES + 1))
    parts = [by_genre[low:high] for low, high in pairwise(bounds)]
    parts.append(np.arange(len(genre)))
    steps = [np.cumsum(popularity[p]) / popularity[p].sum() + g for g, p in enumerate(parts)]
    cumulative, items = np.concatenate(steps), np.concatenate(parts)
    has_items = np.diff(bounds) > 0
    share = taste * has_items
    share = share / np.maximum(share.sum(1, keepdims=True), np.finfo(float).tiny)
    chosen = np.cumsum(share * (1 - POPULAR_ALONE), axis=1)

    def draw(user: NDArray) -> NDArray:
        drawn = np.empty(len(user), dtype=np.int64)
        for start in range(0, len(user), _CHUNK):
            part = user[start : start + _CHUNK]
            at, within = generator.random((2, len(part)))
            which = (chosen[part] <= at[:, None]).sum(1)
            place = np.searchsorted(cumulative, which + within, side="right")
            drawn[start : start + _CHUNK] = items[np.minimum(place, len(items) - 1)]
        return drawn

    return draw


def write_generated(out: Path, interactions: dict[str, NDArray], seed: int) -> Path:
    """Write `out/<name>.inter`, name as the folder's, under ids that tell nothing of popularity."""
    generator = np.random.default_rng([seed, 1])
    columns = []
    for side in ("user", "item"):
        codes = interactions[side]
        ids = generator.permutation(int(codes.max()) + 1) + 1
        columns.append(pd.Series(pd.Categorical.from_codes(codes, ids.astype(str))))
    columns += [pd.Series(interactions[name]) for name in ("rating", "timestamp")]
    path = Path(out) / f"{Path(out).resolve().name}.inter"
    header = ("user_id:token", "item_id:token", "rating:float", "timestamp:float")
    write_atomic(path, header, columns)
    return path
