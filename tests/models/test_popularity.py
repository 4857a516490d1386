"""The term of popularity beside the similarity, against plain NumPy, and in exported vectors."""

import numpy as np
import pytest
import torch

from conftest import history_of, random_rows, write_inter
from recbole_dmf.errors import UserError
from recbole_dmf.serving.export import export
from recbole_dmf.serving.recommend import Recommender

OPTIONS = {
    "popularity": True,
    "similarity": "scaled_cosine",
    "loss_type": "ce",
    "interaction_matrix": "binary",
    "init": "xavier",
    "output_activation": "linear",
    "recent_items": [2, 5],
    "recent_decay": 0.5,
}


def pairs(prepared, n=30):
    """Training pairs, and as many of the same users with items without a rating."""
    feat = prepared.train.inter_feat
    user, item = feat["user_id"][:n], feat["item_id"][:n]
    known = set(zip(feat["user_id"].tolist(), feat["item_id"].tolist(), strict=True))
    other = [next(i for i in range(1, 150) if (u, i) not in known) for u in user.tolist()]
    label = torch.cat([torch.ones(n), torch.zeros(n)]).double()
    return user, torch.cat([item, torch.tensor(other)]), label, feat["n_earlier"][:n]


@pytest.mark.parametrize("masking", [False, True])
@pytest.mark.parametrize("similarity", ["scaled_cosine", "dot"])
def test_the_loss_is_that_of_the_logit_with_the_term(masking, similarity, ready):
    options = {**OPTIONS, "target_masking": masking, "similarity": similarity}
    _, prepared, model = ready(**options)
    plain = ready(**{**options, "popularity": False})[2].double()
    model = model.double()
    with torch.no_grad():
        model.popularity.weight.fill_(0.7)
    plain.load_state_dict(model.state_dict(), strict=False)
    user, item, label, n_earlier = pairs(prepared)
    found = model.loss(user, item, label, label, n_earlier)

    count = np.bincount(prepared.train.inter_feat["item_id"], minlength=model.n_items)
    own = label.numpy() if masking else 0
    term = 0.7 * np.log(1 + count[item] - own)
    # The loss of the model without the term gives its logits, a pair at a time.
    losses = [
        plain.loss(user[[j % 30]], item[[j]], label[[j]], label[[j]], n_earlier[[j % 30]])
        for j in range(60)
    ]
    p = np.exp(-np.array([x.item() for x in losses]))  # of the label
    positive = np.where(label > 0, p, 1 - p)
    logit = np.log(positive / (1 - positive)) + term
    sign = np.where(label > 0, 1, -1)
    assert float(found) == pytest.approx(np.log1p(np.exp(-sign * logit)).mean(), abs=1e-9)


def test_scores_have_the_term_by_the_scale(ready):
    _, prepared, model = ready(**OPTIONS)
    model.eval()
    user, known = torch.arange(1, 31), torch.arange(30) % 11
    asked = {model.USER_ID: user, "n_earlier": known}
    score = model.full_sort_predict(asked).view(30, -1)
    with torch.no_grad():
        for column, item in enumerate(range(model.n_items)):
            cosine = model(user, torch.full_like(user, item), known)
            n = int((prepared.train.inter_feat["item_id"] == item).sum())
            expected = cosine + 0.5 * np.log1p(n) / 10
            torch.testing.assert_close(score[:, column], expected.float(), atol=1e-6, rtol=1e-5)


def test_a_plain_cosine_has_no_logit(ready):
    with pytest.raises(UserError, match="set similarity to scaled_cosine or dot"):
        ready(**{**OPTIONS, "similarity": "cosine"})


def test_the_paper_has_no_such_term(ready):
    model = ready()[2]
    assert model.popularity is None
    assert not any("popularity" in name for name in model.state_dict())


@pytest.fixture(scope="module", params=["scaled_cosine", "dot"])
def recommender(request, train_on, tmp_path_factory):
    base = tmp_path_factory.mktemp("popularity")
    options = {**OPTIONS, "similarity": request.param, "learning_rate": 0.01, "epochs": 2}
    data = write_inter(base / "data", random_rows())
    return Recommender.load(train_on(base, data, "DMF", options))


def test_new_users_and_items_get_the_scores_of_known_ones(recommender):
    numbers = np.arange(1, len(recommender.users))
    scores = recommender.scores(numbers).numpy()
    place = {item: n for n, item in enumerate(recommender.items)}
    for number in (1, 9, 30):
        history = history_of(recommender, number)
        new = recommender.recommend(history=history, k=1000, exclude_seen=False)
        expected = scores[number - 1, [place[item] for item in new["item_id"]]]
        np.testing.assert_allclose(new["score"], expected, rtol=1e-4, atol=1e-5)
    item = int(np.diff(recommender.train.T.tocsr().indptr)[1:].argmax()) + 1
    column = recommender.train.T.tocsr()[item]
    raters = {
        recommender.users[u]: float(r) for u, r in zip(column.indices, column.data, strict=True)
    }
    found = recommender.score_item(raters).set_index("user_id")["score"]
    expected = scores[:, item]
    np.testing.assert_allclose(found[recommender.users[1:]], expected, rtol=1e-4, atol=1e-5)


def test_the_inner_product_of_the_exported_vectors_is_the_score(recommender, tmp_path):
    export(recommender, tmp_path, ["npz"])
    with np.load(tmp_path / "vectors.npz") as arrays:
        p, q = arrays["user_vectors"], arrays["item_vectors"]
    assert p.shape[1] == q.shape[1] == 65
    scores = recommender.scores(np.arange(1, len(recommender.users))).numpy()[:, 1:]
    np.testing.assert_allclose(p @ q.T, scores, rtol=1e-4, atol=1e-5)


def test_the_users_tower_outside_torch(recommender, tmp_path):
    pytest.importorskip("onnx", reason="ONNX needs the extra `onnx`")
    pytest.importorskip("onnxruntime", reason="ONNX needs the extra `onnx`")
    export(recommender, tmp_path, ["onnx"])  # checks the vectors against torch's


def test_similar_items_are_those_of_the_towers(recommender):
    q = recommender.vectors()[1][:, :-1].numpy()
    unit = q / np.maximum(np.linalg.norm(q, axis=1, keepdims=True), 1e-12)
    first = recommender.items[1]
    found = recommender.similar_items(first, k=3)["score"]
    cosines = np.delete(unit @ unit[1], [0, 1])
    np.testing.assert_allclose(found, np.sort(cosines)[::-1][:3], atol=1e-5)
