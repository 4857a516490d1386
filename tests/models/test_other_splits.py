"""Every model under RecBole's own split and evaluation."""

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction

import recbole_dmf
from conftest import random_rows, write_inter
from recbole_dmf.errors import UserError
from recbole_dmf.host.our_models import OUR_MODELS

pytestmark = pytest.mark.slow

SMALL = {
    "NeuMFp": {"pretrain_epochs": 1},
    "SASRec": {"hidden_size": 8},
    "RecBoleSASRec": {"hidden_size": 8},
    "EALS": {"embedding_size": 8},
    "GRU4Rec": {"embedding_size": 8, "hidden_size": 8},
}
NAMES = {*OUR_MODELS, "BPR", "LightGCN", "Pop", "GRU4Rec"}
ORDERED = {"GRU4Rec", "RecBoleSASRec", "RecentPop", "SASRec", "SequentialKNN"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_inter(tmp_path_factory.mktemp("data"), random_rows())


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A function (model, mode) -> outcome of a run on 8, 1 and 1 tenth of each user's rows."""

    def train(model, mode):
        options = {"data_path": str(data), "checkpoint_dir": str(tmp_path_factory.mktemp(model))}
        options |= {"epochs": 1, "use_gpu": False, **SMALL.get(model, {})}
        options["eval_args"] = {"split": {"RS": [8, 1, 1]}, "mode": mode}
        return recbole_dmf.run_recbole(model, "tiny", config_dict=options)

    return train


def bounds(folder):
    """Lowest and highest HR@10 of test that its scores allow: RecBole breaks ties as it likes."""
    _, model, dataset, *loaders = recbole_dmf.load(folder)
    *earlier, test = (loader._dataset.inter_feat for loader in loaders)
    users = torch.arange(1, dataset.user_num)
    with torch.no_grad():
        score = model.full_sort_predict(Interaction({"user_id": users}))
    score = np.array(score.view(len(users), -1), np.float64)
    score[:, 0] = -np.inf
    for part in earlier:
        score[part["user_id"].numpy() - 1, part["item_id"].numpy()] = -np.inf
    low = high = 0
    for row, user in zip(score, users.tolist(), strict=True):
        own = test["item_id"][test["user_id"] == user].numpy()
        above = min((row > row[item]).sum() for item in own)
        level = min((row >= row[item]).sum() for item in own) - 1
        low, high = low + (level < 10), high + (above < 10)
    return low / len(users), high / len(users)


@pytest.mark.parametrize("name", sorted(NAMES - ORDERED))
def test_a_ratio_split_is_ranked_in_full_and_by_draws(name, trained):
    outcome = trained(name, "full")
    result = outcome["result"]
    assert {n: result["counts"][n] for n in ("train", "valid", "test")} == {
        "train": 30 * 10,
        "valid": 30,
        "test": 30,
    }
    assert result["eval_args"]["split"] == {"RS": [8, 1, 1]}
    assert set(result["metrics"]["test"]) == {"full"}
    low, high = bounds(outcome["folder"])
    assert low - 1e-4 <= outcome["test_result"]["hit@10"] <= high + 1e-4
    sampled = trained(name, "uni20")
    assert set(sampled["result"]["metrics"]["test"]) == {"sampled"}
    assert 0 < sampled["test_result"]["hit@10"] <= 1


@pytest.mark.parametrize("name", sorted(ORDERED))
def test_models_that_read_the_order_need_our_split(name, trained):
    with pytest.raises(UserError, match=f"{name} needs the order of time that our split gives"):
        trained(name, "full")
