"""What RecBole 1.2.0 lacks, where it is installed; and that 1.2.1 lacks none of it.

When 1.2.0 is no longer installed anywhere, `older` can go.
"""

from contextlib import nullcontext

import pytest
import torch
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.utils import get_model

from recbole_dmf.errors import UserError
from recbole_dmf.host.compat import older

NEWER = r"pip install --no-deps recbole==1\.2\.1"


def only_in_1_2_0(error, match=None):
    """The error is RecBole 1.2.0's; 1.2.1 raises none."""
    return pytest.raises(error, match=match) if older.IS_OLDER else nullcontext()


def test_asymknn_is_explained(apply):
    with only_in_1_2_0(Exception):
        assert get_model("AsymKNN").__name__ == "AsymKNN"
    apply(older.asymknn_is_explained)
    with pytest.raises(UserError, match=f"AsymKNN is not in RecBole 1.2.0.*{NEWER}"):
        get_model("AsymKNN")


TS = {"split": {"TS": [0.8, 0.1, 0.1]}, "order": "TO", "group_by": "user", "mode": "full"}


def test_time_split_is_explained(apply, tiny_config):
    dataset = Dataset(tiny_config(eval_args=TS))
    with only_in_1_2_0(NotImplementedError, "TS"):
        assert len(dataset.build()) == 3
    apply(older.time_split_is_explained)
    with pytest.raises(UserError, match=f"no split 'TS'.*{NEWER}"):
        Dataset(tiny_config(eval_args=TS)).build()
    assert len(Dataset(tiny_config()).build()) == 3


def test_knn_of_users_is_explained(apply, model):
    shape = model("ItemKNN", knn_method="user").w.shape
    assert (shape == (31, 31)) != older.IS_OLDER
    apply(older.knn_of_users_is_explained)
    with pytest.raises(UserError, match=f"knn_method.*{NEWER}"):
        model("ItemKNN", knn_method="user")
    assert model("ItemKNN").w.shape[0] > 31


def test_simplex_dropout_is_an_option(apply, model):
    assert model("SimpleX", dropout_prob=0.5).dropout.p == (0.1 if older.IS_OLDER else 0.5)
    apply(older.simplex_dropout_is_an_option)
    assert model("SimpleX", dropout_prob=0.5).dropout.p == 0.5
    assert model("SimpleX").dropout.p == 0.1


def test_ngcf_dropout_ends_with_training(apply, model):
    from recbole_dmf.host.compat.libraries import dok_matrix_updates

    apply(dok_matrix_updates)
    ngcf = model("NGCF", message_dropout=0.5, node_dropout=0.0).eval()
    assert torch.equal(ngcf.forward()[0], ngcf.forward()[0]) != older.IS_OLDER
    apply(older.ngcf_dropout_ends_with_training)
    assert torch.equal(ngcf.forward()[0], ngcf.forward()[0])
    ngcf.train()
    assert not torch.equal(ngcf.forward()[0], ngcf.forward()[0])


PAIRS = Interaction({"user_id": torch.tensor([1, 2, 3]), "item_id": torch.tensor([7, 8, 7])})


@pytest.mark.parametrize("name", ["DiffRec", "LDiffRec"])
def test_diffrec_scores_pairs(apply, model, name):
    # one category: LDiffRec would read item embeddings for more
    made = model(name, sampling_steps=0, n_cate=1, dims_dnn=[8]).eval()
    wanted = made.full_sort_predict(PAIRS)[[0, 1, 2], [7, 8, 7]]
    assert made.predict(PAIRS).shape == ((3, 3) if older.IS_OLDER else (3,))
    apply(older.diffrec_scores_pairs)
    torch.testing.assert_close(made.predict(PAIRS), wanted)


def test_diffrec_without_noise_is_not_reweighted(apply, model):
    options = {"noise_scale": 0.0, "reweight": True, "dims_dnn": [8]}
    with only_in_1_2_0(AttributeError, "betas"):
        assert not model("DiffRec", **options).reweight
    apply(older.diffrec_without_noise_is_not_reweighted)
    made = model("DiffRec", **options)
    assert torch.isfinite(made.calculate_loss(PAIRS))
    assert model("DiffRec", dims_dnn=[8]).reweight


@pytest.mark.parametrize("name", ["ADMMSLIM", "Random", "SLIMElastic"])
def test_scores_are_on_the_device(apply, model, name):
    """On the meta device, which stands in for a GPU: scores left on the CPU stay behind."""
    made = model(name)
    made.device = torch.device("meta")
    assert (made.predict(PAIRS).device.type == "cpu") == older.IS_OLDER
    apply(older.scores_are_on_the_device)
    assert made.predict(PAIRS).device.type == "meta"
