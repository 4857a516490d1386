"""Under validation-latest a user's validation interaction is an input at test, as it is in use."""

import pytest
import torch

from conftest import random_rows, write_inter
from recbole_dmf.config import build_config
from recbole_dmf.host.config import set_seeds
from recbole_dmf.host.lookup import find_model, load_dataset
from recbole_dmf.models.scores import all_scores
from recbole_dmf.models.sequential import with_known
from recbole_dmf.prepare import prepare

MODELS = {
    "RecentPop": {},
    "SequentialKNN": {},
    "SASRec": {"hidden_size": 8},
    "GRU4Rec": {"embedding_size": 8, "hidden_size": 8},
    "DMF": {
        "recent_items": [1, 5],
        "recent_decay": 0.5,
        "preceding_items": 2,
        "target_masking": True,
        "init": "xavier",
    },
}


@pytest.fixture
def data(tmp_path):
    return write_inter(tmp_path / "data", random_rows(n_items=130))


@pytest.fixture
def made(data, tmp_path):
    """A function (model, protocol) -> (data set, Prepared, model)."""

    def make(name, protocol="validation-latest"):
        paths = {"data_path": str(data), "checkpoint_dir": str(tmp_path / "runs")}
        options = {**paths, "use_gpu": False, "protocol": protocol, **MODELS[name]}
        config = build_config(name, "tiny", None, options)
        dataset = load_dataset(config)
        prepared = prepare(config, dataset)
        set_seeds(config)
        model = find_model(name)(config, prepared.train).eval()
        if hasattr(model, "fit_epoch"):
            model.fit_epoch()
        return dataset, prepared, model

    return make


def in_order(dataset, user):
    """A user's items, the oldest first, from the rows of the file."""
    token = dataset.id2token("user_id", user)
    rows = sorted((t, i) for u, i, _, t in random_rows(n_items=130) if u == token)
    return [int(dataset.token2id("item_id", item)) for _, item in rows]


def history(model, user):
    start, end = model.history_start[user : user + 2].tolist()
    return model.history_item[start:end].tolist()


@pytest.mark.parametrize("name", MODELS)
def test_all_but_the_test_item_is_known_at_test(name, made):
    dataset, prepared, model = made(name)
    valid, test = prepared.phases["valid"], prepared.phases["test"]
    assert valid.known is None
    before = {n: v.clone() for n, v in vars(model).items() if n.startswith("history_")}
    with with_known(model, test.known):
        for user in (1, 7, 30):
            *known, last = in_order(dataset, user)
            assert history(model, user) == known
            assert int(test.n_earlier[user]) == len(known)
            assert test.candidates.target[test.candidates.user == user].tolist() == [last]
    for user in (1, 7, 30):
        assert history(model, user) == in_order(dataset, user)[:-2]
        assert int(valid.n_earlier[user]) == len(known) - 1
    after = {n: v for n, v in vars(model).items() if n.startswith("history_")}
    assert all(torch.equal(after[n], v) for n, v in before.items())


@pytest.mark.parametrize("name", [name for name in MODELS if name != "RecentPop"])
def test_the_validation_item_changes_the_scores_at_test(name, made):
    _, prepared, model = made(name)
    phase, user = prepared.phases["test"], torch.arange(1, 31)
    with torch.no_grad():
        without = all_scores(model, user, model.n_items, phase.n_earlier[user] - 1).clone()
        with with_known(model, phase.known):
            score = all_scores(model, user, model.n_items, phase.n_earlier[user]).clone()
            same = all_scores(model, user, model.n_items, phase.n_earlier[user] - 1)
    torch.testing.assert_close(same, without)
    assert (score != without).any(dim=1).sum() >= 25


def test_times_follow_the_items(made):
    dataset, prepared, model = made("RecentPop")
    with with_known(model, prepared.phases["test"].known):
        for user in (1, 7, 30):
            rows = dataset.inter_feat["user_id"] == user
            time = dataset.inter_feat["exact_time"][rows].sort().values
            start, end = model.history_start[user : user + 2].tolist()
            assert torch.equal(model.history_time[start:end], time[:-1])


@pytest.mark.parametrize("name", ["SASRec", "DMF"])
def test_the_papers_validation_leaves_the_training_items(name, made):
    assert made(name, None)[1].phases["test"].known is None
