"""Generated data have exactly the size asked for, a long tail, and factors that can be found."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_dmf import run_recbole
from recbole_dmf.cli import dispatch
from recbole_dmf.data.atomic import read_inter
from recbole_dmf.datasets.generate import generate
from recbole_dmf.errors import UserError


@st.composite
def sizes(draw):
    n_users, n_items = draw(st.integers(3, 40)), draw(st.integers(6, 60))
    least, most = max(3 * n_users, n_items), n_users * (n_items // 2)
    return n_users, n_items, draw(st.integers(least, most)), draw(st.integers(0, 2**32))


@settings(max_examples=40)
@given(sizes())
def test_exactly_the_size_asked_for(size):
    n_users, n_items, n_ratings, seed = size
    found = generate(n_users, n_items, n_ratings, seed)
    user, item = found["user"], found["item"]
    assert len(user) == n_ratings
    assert len(np.unique(user * n_items + item)) == n_ratings
    assert np.bincount(user, minlength=n_users).min() >= 3
    assert np.bincount(user).max() <= n_items // 2
    assert np.bincount(item, minlength=n_items).min() >= 1
    assert len(np.bincount(user)) == n_users
    assert len(np.bincount(item)) == n_items
    assert set(found["rating"]) <= {1, 2, 3, 4, 5}
    again = generate(n_users, n_items, n_ratings, seed)
    assert all((found[name] == again[name]).all() for name in found)


def test_users_and_items_have_a_long_tail():
    found = generate(2000, 1000, 60_000, 1)
    for side in ("user", "item"):
        counts = np.sort(np.bincount(found[side]))[::-1]
        assert counts[: len(counts) // 5].sum() > 0.45 * counts.sum()
        assert np.median(counts) < 0.8 * counts.mean()


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((10, 20, 20), "can have 30 to 100 ratings"),
        ((10, 20, 101), "can have 30 to 100 ratings"),
        ((10, 4, 30), "4 items are too few"),
        ((0, 4, 30), "positive"),
    ],
)
def test_impossible_sizes_are_explained(size, message):
    with pytest.raises(UserError, match=message):
        generate(*size, 1)


def test_same_seed_same_file_and_models_find_the_factors(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    digests = []
    for folder, seed in (("a/planted", 3), ("b/planted", 3), ("c/planted", 4)):
        size = ["--users=400", "--items=300", "--ratings=12000", f"--seed={seed}"]
        assert dispatch(["generate", folder, *size]) == 0
        digests.append(hashlib.sha256((tmp_path / folder / "planted.inter").read_bytes()).digest())
    assert digests[0] == digests[1] != digests[2]
    path = tmp_path / "a" / "planted" / "planted.inter"
    frame = read_inter(path, rating_field="rating", time_field="timestamp")
    assert (frame["user_id"].nunique(), frame["item_id"].nunique()) == (400, 300)
    ndcg = {
        model: run_recbole(model, "planted", None, {"data_path": "a"})["result"]["metrics"]["test"]
        for model in ("ItemPop", "ItemKNN")
    }
    assert ndcg["ItemKNN"]["expected"]["ndcg@10"] > 1.3 * ndcg["ItemPop"]["expected"]["ndcg@10"]
