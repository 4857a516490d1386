import csv

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import history_of, random_rows
from finished_runs import HARD_IDS
from recbole_dmf.errors import UserError
from recbole_dmf.serving.recommend import Recommender
from recbole_dmf.serving.top_items import top_k

pytestmark = pytest.mark.slow

MODELS = [
    "DMF-cosine", "DMF-scaled", "DMF-dot", "DMF-binary", "DMF-relu", "DMF-deep", "DMF-bias",
    "DMF-recent", "LFM", "BPR", "EASE", "ItemKNN", "ItemPop", "EALS", "NeuMFp", "LightGCN",
    "RecBoleDMF", "MultiVAE",
]  # fmt: skip
VARIANTS = [name for name in MODELS if name.startswith("DMF")]


def latest_items(content):
    """The second input row of "DMF-recent", from the checkpoint's tensors."""
    start, item = (content["other_parameter"][f"history_{name}"] for name in ("start", "item"))
    rows = np.zeros(content["train"].shape)
    for user in range(len(rows)):
        for age, latest in enumerate(item[start[user] : start[user + 1]].tolist()[::-1][:3]):
            rows[user, latest] = 0.5**age
    return rows


def saved_scores(name, recommender):
    """Scores [n_users, n_items] straight from the checkpoint's tensors, for some models."""
    content = recommender.content
    state, y = content["state_dict"], recommender.train.toarray().astype(np.float64)
    if name == "ItemPop":
        return np.tile((y > 0).sum(0), (len(y), 1))
    if name == "EASE":
        x = (y > 0).astype(float)
        p = np.linalg.inv(x.T @ x + content["settings"]["reg_weight"] * np.eye(x.shape[1]))
        return x @ (np.eye(len(p)) - p / np.diag(p))
    if name == "ItemKNN":
        y = (y > 0) if content["settings"]["interaction_matrix"] == "binary" else y
        return y @ content["other_parameter"]["neighbours"].toarray().T
    if name == "BPR":
        return state["user_embedding.weight"].numpy() @ state["item_embedding.weight"].numpy().T
    if name == "EALS":
        return state["user_embedding"].numpy() @ state["item_embedding"].numpy().T
    if name == "DMF-binary":
        y = (y > 0).astype(float)
    if name in VARIANTS:
        vectors = []
        for side, x in (("user_tower", y), ("item_tower", y.T)):
            h = x @ state[f"{side}.weight"].numpy()
            if name == "DMF-recent" and side == "user_tower":
                h = h + latest_items(content) @ state["recent_weight"].numpy()
            h = h + state[f"{side}.bias"].numpy() if name == "DMF-bias" else h
            h = np.maximum(h, 0) if name == "DMF-relu" else h
            n_hidden = sum(key.startswith(f"{side}.hidden") for key in state) // 2
            for n in range(n_hidden):
                h = h @ state[f"{side}.hidden.{n}.weight"].numpy().T
                h = h + state[f"{side}.hidden.{n}.bias"].numpy()
                last = n == n_hidden - 1
                h = h if last and name != "DMF-relu" else np.maximum(h, 0)
            norm = np.linalg.norm(h, axis=1, keepdims=True)
            vectors.append(h if name == "DMF-dot" else h / np.maximum(norm, 1e-12))
        return vectors[0] @ vectors[1].T
    return None


@pytest.mark.parametrize("name", MODELS)
def test_lists_hold_the_best_unseen_items_in_order(name, load):
    recommender = load(name)
    users = recommender.users[1:].tolist()
    found = recommender.recommend(users, k=20)
    assert list(found) == ["user_id", "item_id", "rank", "score"]
    assert found["user_id"].tolist() == list(np.repeat(users, 20))
    assert found["rank"].tolist() == list(range(1, 21)) * len(users)
    assert "[PAD]" not in set(found["item_id"])
    score = recommender.scores(np.arange(len(recommender.users))).double().numpy()
    for n, (_, group) in enumerate(found.groupby("user_id", sort=False), start=1):
        seen = set(history_of(recommender, n))
        assert not seen & set(group["item_id"])
        unseen = [i for i in range(1, len(recommender.items)) if recommender.items[i] not in seen]
        best = sorted(score[n, unseen], reverse=True)[:20]
        np.testing.assert_allclose(group["score"], best, rtol=1e-5, atol=1e-6)
    expected = saved_scores(name, recommender)
    if expected is not None:
        np.testing.assert_allclose(score[1:, 1:], expected[1:, 1:], rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("name", MODELS)
def test_one_user_is_as_in_the_batch_and_seen_items_can_be_kept(name, load):
    recommender = load(name)
    size = len(recommender.items) - 1
    alone = recommender.recommend("u3", k=10_000, exclude_seen=False)
    assert sorted(alone["item_id"]) == sorted(recommender.items[1:])
    n = recommender.content["users"].index("u3")
    less = recommender.recommend(["u3"], k=size)
    assert len(less) == size - recommender.train[n].nnz
    kept = alone[alone["item_id"].isin(less["item_id"])].set_index("item_id")["score"]
    np.testing.assert_allclose(less["score"], kept[less["item_id"]], rtol=1e-5, atol=1e-6)
    batch = recommender.recommend(["u5", "u3"], k=size)
    assert batch["user_id"].unique().tolist() == ["u5", "u3"]
    batch = batch[batch["user_id"] == "u3"]
    np.testing.assert_allclose(batch["score"], less["score"], rtol=1e-5, atol=1e-6)


def test_loading_leaves_the_random_numbers_alone(folder_of):
    folder = folder_of("DMF-cosine")
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    Recommender.load(str(folder / "model.pt"))
    assert torch.equal(torch.rand(1), expected)


def test_chunks_do_not_matter(load, monkeypatch):
    whole = load("DMF-cosine").recommend(load("DMF-cosine").users[1:], k=7)
    monkeypatch.setattr("recbole_dmf.serving.recommend._SCORES_PER_CHUNK", 500)
    parts = load("DMF-cosine").recommend(load("DMF-cosine").users[1:], k=7)
    pd.testing.assert_frame_equal(parts, whole, rtol=1e-5, atol=1e-6)


def test_equal_scores_come_in_the_order_of_the_items(load):
    recommender = load("ItemPop")
    found = recommender.recommend(recommender.users[1:], k=30)
    number = found["item_id"].map({token: n for n, token in enumerate(recommender.items)})
    tied = (found["score"].diff() == 0) & (found["rank"] > 1)
    assert tied.sum() > 100
    assert (number.diff()[tied] > 0).all()


@given(
    st.integers(1, 4).flatmap(
        lambda m: st.lists(
            st.lists(st.sampled_from([-np.inf, -1.0, 0.0, 0.5]), min_size=m, max_size=m),
            min_size=1,
            max_size=5,
        )
    ),
    st.integers(1, 6),
)
@settings(max_examples=100, deadline=None)
def test_top_k_is_a_stable_sort(rows, k):
    score = np.array(rows)
    row, column, value = top_k(torch.from_numpy(score), k)
    expected = []
    for n, scores in enumerate(score):
        order = np.argsort(-scores, kind="stable")[:k]
        expected += [(n, c, scores[c]) for c in order if scores[c] > -np.inf]
    assert list(zip(row.tolist(), column.tolist(), value.tolist(), strict=True)) == expected


@pytest.mark.parametrize("name", VARIANTS)
def test_a_history_scores_as_the_known_user_with_it(name, load):
    recommender = load(name)
    size = len(recommender.items)
    for number in range(1, len(recommender.users)):
        history = history_of(recommender, number)
        new = recommender.recommend(history=history, k=size)
        known = recommender.recommend(recommender.users[number], k=size)
        assert set(new["user_id"]) == {""}
        assert set(new["item_id"]) == set(known["item_id"])
        known = known.set_index("item_id")["score"][new["item_id"]]
        size_of_scores = max(1.0, known.abs().max())  # the inner products of `dot` are not below 1
        np.testing.assert_allclose(new["score"], known, rtol=0, atol=1e-6 * size_of_scores)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_new_item_scores_as_the_known_one_with_its_ratings(name, load):
    recommender = load(name)
    by_item = recommender.train.T.tocsr()
    for number in np.flatnonzero(np.diff(by_item.indptr))[:20]:
        row = by_item[number]
        ratings = dict(zip(recommender.users[row.indices], row.data.astype(float), strict=True))
        found = recommender.score_item(ratings)
        assert sorted(found["user_id"]) == sorted(recommender.users[1:])
        assert (found["score"].diff().dropna() <= 0).all()
        for user, score in found.itertuples(index=False):
            known = recommender.score(user, [recommender.items[number]])["score"][0]
            assert abs(score - known) <= 1e-6 * max(1.0, found["score"].abs().max())


def test_ratings_matter_unless_the_matrix_is_binary(load):
    for name, matters in (("DMF-cosine", True), ("DMF-binary", False)):
        recommender = load(name)
        low, high = (
            recommender.recommend(history={"i1": rating, "i2": 5}, k=150) for rating in (1, 5)
        )
        low, high = (frame.sort_values("item_id")["score"].to_numpy() for frame in (low, high))
        assert np.array_equal(low, high) != matters


def test_without_ratings_every_interaction_counts_one(tmp_path, train_on):
    (tmp_path / "data" / "tiny").mkdir(parents=True)
    lines = [f"{user}\t{item}\t{time}" for user, item, _, time in random_rows()]
    text = "\n".join(["user_id:token\titem_id:token\ttimestamp:float", *lines]) + "\n"
    (tmp_path / "data" / "tiny" / "tiny.inter").write_text(text, encoding="utf-8")
    options = {"epochs": 1, "init": "xavier", "interaction_matrix": "binary", "loss_type": "ce"}
    recommender = Recommender.load(train_on(tmp_path, tmp_path / "data", "DMF", options))
    known = recommender.recommend("u4", k=1000).sort_values("item_id", ignore_index=True)
    new = recommender.recommend(history=history_of(recommender, 5), k=1000)
    assert recommender.users[5] == "u4"
    new = new.sort_values("item_id", ignore_index=True)
    assert new["item_id"].equals(known["item_id"])
    np.testing.assert_allclose(new["score"], known["score"], rtol=0, atol=1e-6)
    with pytest.raises(UserError, match="up to 1"):
        recommender.recommend(history={"i1": 5})


def test_history_can_be_recommended_again(load):
    recommender = load("DMF-cosine")
    size = len(recommender.items)
    assert not {"i1", "i2"} & set(recommender.recommend(history={"i1": 3, "i2": 4}, k=size).item_id)
    kept = recommender.recommend(history={"i1": 3, "i2": 4}, k=size, exclude_seen=False)
    assert {"i1", "i2"} < set(kept["item_id"])


def test_unknown_items_of_a_history_are_named_and_left_out(load):
    recommender = load("DMF-cosine")
    with pytest.warns(UserWarning, match="1 item.* unknown .*'nowhere'"):
        found = recommender.recommend(history={"nowhere": 5, "i1": 4})
    pd.testing.assert_frame_equal(found, recommender.recommend(history={"i1": 4}))
    with pytest.warns(UserWarning, match="1 user.* unknown .*'nobody'"):
        recommender.score_item({"nobody": 5, "u1": 4})


def test_score_keeps_the_given_order(load):
    recommender = load("EASE")
    a, b = recommender.items[[5, 3]]
    found = recommender.score("u2", [a, b, a])
    assert found["item_id"].tolist() == [a, b, a]
    assert found["score"][0] == found["score"][2]
    whole = recommender.recommend("u2", k=1000, exclude_seen=False).set_index("item_id")["score"]
    np.testing.assert_allclose(found["score"], whole[[a, b, a]], rtol=1e-6)


@pytest.mark.parametrize("name", ["DMF-cosine", "DMF-dot", "LFM", "BPR", "EALS"])
def test_similar_ones_have_the_highest_cosine(name, load):
    recommender = load(name)
    p, q = (table.double().numpy() for table in recommender.vectors())
    for vectors, ids, similar, one, column in (
        (p, recommender.users, recommender.similar_users, "u4", "user_id"),
        (q, recommender.items, recommender.similar_items, "i4", "item_id"),
    ):
        unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        n = ids.tolist().index(one)
        cosine = np.delete(unit @ unit[n], [0, n])
        found = similar(one, 5)
        assert list(found) == [column, "rank", "score"]
        assert one not in set(found[column])
        np.testing.assert_allclose(found["score"], np.sort(cosine)[::-1][:5], atol=1e-5)
        assert len(similar(one, 10_000)) == len(ids) - 2


@pytest.mark.parametrize("name", ["EASE", "ItemKNN", "ItemPop", "NeuMFp", "LightGCN", "MultiVAE"])
def test_other_models_have_no_vectors(name, load):
    with pytest.raises(UserError, match="has no vectors"):
        load(name).similar_items("i1")


@pytest.mark.parametrize("name", ["LFM", "BPR", "EASE", "ItemPop"])
def test_other_models_know_no_new_users_or_items(name, load):
    for call in (
        lambda r: r.recommend(history={"i1": 3}),
        lambda r: r.score_item({"u1": 3}),
    ):
        with pytest.raises(UserError, match="without retraining"):
            call(load(name))


def test_ids_survive_training(hard_run):
    recommender = Recommender.load(hard_run)
    assert set(HARD_IDS) <= set(recommender.users) & set(recommender.items)
    found = recommender.recommend(HARD_IDS, k=1000, exclude_seen=False)
    assert found["user_id"].unique().tolist() == HARD_IDS
    assert set(HARD_IDS) <= set(found["item_id"])
    assert len(recommender.recommend(history=dict.fromkeys(HARD_IDS, 4.0))) == 10
    assert recommender.recommend(7).equals(recommender.recommend("7"))
    with pytest.raises(UserError, match="twice"):
        recommender.recommend(history={"7": 1, 7: 2})


def test_a_user_without_unseen_items_gets_none(load):
    recommender = load("ItemPop")
    everything = Recommender(dict(recommender.content))
    everything.train = recommender.train.tolil()
    everything.train[1] = 1.0
    everything.train = everything.train.tocsr()
    found = everything.recommend(recommender.users[[2, 1, 3]], k=3)
    assert found["user_id"].tolist() == [recommender.users[n] for n in (2, 2, 2, 3, 3, 3)]
    none = everything.recommend(recommender.users[1])
    assert list(none) == list(found)
    assert none.empty


@pytest.mark.parametrize("name", MODELS)
def test_rebuilt_model_ranks_as_the_trained_one(name, load, folder_of):
    """per_user.csv has the rank among unseen items; here the validation item counts as well."""
    recommender = load(name)
    with (folder_of(name) / "per_user.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 30
    for row in rows:
        ranked = recommender.recommend(row["user_id"], k=1000).set_index("item_id")["score"]
        above = int((ranked > ranked[row["item_id"]]).sum())
        assert above - int(row["full_above"]) in (0, 1)


BAD_CALLS = {
    "unknown user": (lambda r: r.recommend("nobody"), "'nobody' is not among the 30 users"),
    "several unknown users": (lambda r: r.recommend(["a", "u1", "b"]), "nor are 1 more"),
    "padding as a user": (lambda r: r.recommend("[PAD]"), "is not among"),
    "no user": (lambda r: r.recommend([]), "no user is given"),
    "neither user nor history": (lambda r: r.recommend(), "either user ids or a history"),
    "user and history": (lambda r: r.recommend("u1", history={"i1": 1}), "either"),
    "user is a number with a fraction": (lambda r: r.recommend(1.5), "1.5 is not the id"),
    "user is None in a list": (lambda r: r.recommend([None]), "None is not the id"),
    "k is 0": (lambda r: r.recommend("u1", k=0), "k is 0"),
    "k is below 0": (lambda r: r.similar_items("i1", -1), "k is -1"),
    "k is text": (lambda r: r.recommend("u1", k="5"), "k is '5'"),
    "k is True": (lambda r: r.recommend("u1", k=True), "k is True"),
    "empty history": (lambda r: r.recommend(history={}), "at least one item"),
    "history is a list": (lambda r: r.recommend(history=["i1"]), "at least one item"),
    "history of unknown items": (lambda r: r.recommend(history={"x": 3}), "none is known"),
    "rating NaN": (lambda r: r.recommend(history={"i1": float("nan")}), "'i1' in history is nan"),
    "rating infinite": (lambda r: r.recommend(history={"i1": float("inf")}), "up to 5"),
    "rating 0": (lambda r: r.recommend(history={"i1": 0}), "above 0"),
    "rating above the scale": (lambda r: r.recommend(history={"i1": 6}), "up to 5"),
    "rating huge": (lambda r: r.recommend(history={"i1": 10**5000}), "up to 5"),
    "rating is text": (lambda r: r.recommend(history={"i1": "5"}), "is '5'"),
    "rating is True": (lambda r: r.recommend(history={"i1": True}), "is True"),
    "unknown item": (lambda r: r.score("u1", ["i1", "x"]), "item 'x' is not among"),
    "unknown item for similar_items": (lambda r: r.similar_items("x"), "item 'x'"),
    "several users for similar_users": (lambda r: r.similar_users(["u1", "u2"]), "not the id"),
    "new item without ratings": (lambda r: r.score_item({}), "at least one user"),
    "new item, rating off the scale": (lambda r: r.score_item({"u1": -1}), "above 0"),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_bad_calls(case, load):
    call, message = BAD_CALLS[case]
    with pytest.raises(UserError, match=message):
        call(load("DMF-cosine"))
