"""Each workaround beside RecBole's own behaviour: when that half fails, drop the workaround."""

import subprocess
import sys
import warnings
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
import recbole.trainer.trainer as trainer_module
import scipy
import torch
from recbole.data.dataset import Dataset
from recbole.utils import FeatureSource
from scipy.sparse import dok_matrix

from recbole_dmf.host.compat import libraries


def test_grad_scaler_is_current(apply):
    with pytest.warns(FutureWarning, match="GradScaler"):
        trainer_module.amp.GradScaler(enabled=False)
    apply(libraries.grad_scaler_is_current)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not trainer_module.amp.GradScaler(enabled=False).is_enabled()
        with trainer_module.amp.autocast(enabled=False):  # NCL's trainer
            assert not torch.is_autocast_enabled("cuda")


def test_dok_matrix_updates(apply):
    before_1_13 = tuple(map(int, scipy.__version__.split(".")[:2])) < (1, 13)
    assert hasattr(dok_matrix((2, 2)), "_update") == before_1_13
    apply(libraries.dok_matrix_updates)
    matrix = dok_matrix((2, 2), dtype=np.float32)
    matrix._update({(0, 1): 3.0})
    assert matrix.toarray().tolist() == [[0, 3], [0, 0]]


@pytest.mark.slow
def test_optimizers_leave_the_compiler_alone():
    """In a process of its own, since an import cannot be taken back."""
    program = """if 1:
        import sys, torch
        from recbole_dmf.host.compat import libraries
        from recbole_dmf.training.adam import EagerAdam
        undo = libraries.optimizers_leave_the_compiler_alone()
        weight = torch.nn.Parameter(torch.ones(2))
        optimizer = EagerAdam([weight], fused=True)
        weight.sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        optimizer.load_state_dict(optimizer.state_dict())
        assert "torch._dynamo" not in sys.modules
        undo()
        torch.optim.Adam([weight])
        assert "torch._dynamo" in sys.modules
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_chained_fillna_is_still_there():
    """`LeaveOneOutDataset._fill_nan` goes when RecBole no longer fills in place by column."""
    import inspect

    assert "fillna(value=0, inplace=True)" in inspect.getsource(Dataset._fill_nan)


NUMPY_2 = int(np.__version__.split(".")[0]) >= 2
PANDAS_3 = int(pd.__version__.split(".")[0]) >= 3
WARNS_OF_CHAINS = tuple(map(int, pd.__version__.split(".")[:2])) >= (2, 2)


def test_old_numpy_names_exist(stock, apply, config):
    from recbole.data.interaction import _convert_to_tensor
    from recbole.evaluator.metrics import MAP

    with pytest.raises(AttributeError, match="was removed in") if NUMPY_2 else nullcontext():
        config()  # RecBole's own behaviour
    apply(libraries.old_numpy_names_exist)
    given = config()
    assert _convert_to_tensor(np.array([1.5, 2.0])).tolist() == [1.5, 2]
    hits = np.array([[True, False], [False, True]])
    assert MAP(given).metric_info(hits, np.array([1, 1]))[:, 1].tolist() == [1, 0.5]


@pytest.fixture
def every_warning():
    """torch gives such a warning once in a process, which another test may have had."""
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(False)


@pytest.mark.usefixtures("every_warning")
@pytest.mark.parametrize("name", ["LightGCN", "NGCF"])
def test_sparse_tensors_are_current(apply, model, name):
    apply(libraries.dok_matrix_updates)
    torch.manual_seed(1)
    with pytest.warns(UserWarning, match=r"SparseTensor.* is deprecated"):
        before = model(name).eval().forward()
    apply(libraries.sparse_tensors_are_current)
    torch.manual_seed(1)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*SparseTensor")
        after = model(name).eval().forward()
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.fixture
def shop(config, tmp_path):
    """A function (item rows after the header) -> Config of a data set with an item file."""

    def make(header, *rows, **options):
        users = ("user_id:token\titem_id:token", "u1\ti1", "u1\ti2", "u2\ti1", "u2\ti3")
        (tmp_path / "shop").mkdir(exist_ok=True)
        (tmp_path / "shop" / "shop.inter").write_text("\n".join(users) + "\n")
        (tmp_path / "shop" / "shop.item").write_text("\n".join([header, *rows]) + "\n")
        columns = [field.split(":")[0] for field in header.split("\t")]
        load_col = {"inter": ["user_id", "item_id"], "item": columns}
        return config(dataset="shop", data_path=str(tmp_path), load_col=load_col, **options)

    return make


ONE_EMPTY = ("item_id:token\ttags:token_seq", "i1\ta b", "i2\t", "i3\tb")


def test_missing_sequences_are_empty(apply, shop):
    apply(libraries.sequences_have_lengths)
    if PANDAS_3:
        with pytest.warns(pd.errors.ChainedAssignmentError), pytest.raises(AttributeError):
            Dataset(shop(*ONE_EMPTY))  # RecBole splits what it has not filled
    elif WARNS_OF_CHAINS:
        with pytest.warns(FutureWarning, match="chained"):
            Dataset(shop(*ONE_EMPTY))
    apply(libraries.missing_sequences_are_empty)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = Dataset.__new__(Dataset)
        assert [len(tags) for tags in loaded_items(made, shop(*ONE_EMPTY))["tags"]] == [2, 0, 1]


def loaded_items(dataset, given):
    """The item table as RecBole's reader returns it, before anything is done with it."""
    from logging import getLogger

    dataset.config, dataset.logger = given, getLogger()
    dataset.dataset_name, dataset.dataset_path = given["dataset"], given["data_path"]
    dataset._get_preset()
    dataset._get_field_from_config()
    path = f"{given['data_path']}/{given['dataset']}.item"
    return dataset._load_feat(path, FeatureSource.ITEM)


@pytest.mark.parametrize("kind", ["token_seq", "float_seq"])
def test_sequences_have_lengths(apply, shop, kind):
    rows = (f"item_id:token\tx:{kind}", "i1\t1 2", "i2\t3", "i3\t4 5")
    options = {"normalize_field": ["x"]} if kind == "float_seq" else {}
    apply(libraries.missing_sequences_are_empty)
    with pytest.raises(ValueError, match="ength") if PANDAS_3 else nullcontext():
        Dataset(shop(*rows, **options))  # RecBole's own behaviour
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DeprecationWarning)  # Python shows none of a library's
        warnings.filterwarnings("ignore", "A value is", Warning)  # RecBole's own _fill_nan
        apply(libraries.sequences_have_lengths)
        made = Dataset(shop(*rows, **options))
    found = [list(x) for x in made.item_feat["x"]][1:]
    wanted = [[1, 2], [3], [4, 5]] if kind == "token_seq" else [[0, 0.25], [0.5], [0.75, 1]]
    assert found == wanted


def test_tensors_own_their_values(apply, config):
    dataset = Dataset(config())
    frame = dataset.inter_feat.head(3)
    assert frame["user_id"].to_numpy().flags.writeable != PANDAS_3
    apply(libraries.tensors_own_their_values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch's of arrays that are not writable
        made = dataset._dataframe_to_interaction(frame)
    if PANDAS_3:
        made["user_id"][0] = 9
        assert frame["user_id"].iloc[0] == 1
    assert made["item_id"].tolist() == [1, 2, 3]
