"""Each workaround beside RecBole's own behaviour: when that half fails, drop the workaround."""

import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
import recbole.trainer.trainer as trainer_module
import scipy
import torch
from recbole.config import Config
from recbole.data.dataset import Dataset
from scipy.sparse import dok_matrix

from recbole_dmf.errors import UserError
from recbole_dmf.host import compat, lookup, plugin
from recbole_dmf.host.compat import libraries, manners, pickles


@pytest.fixture(autouse=True)
def stock():
    """RecBole without our plugin, for the before-and-after of each workaround."""
    plugin.unregister()
    yield
    plugin.register()


@pytest.fixture
def apply():
    undo = []
    yield lambda workaround: undo.append(workaround())
    for take_back in undo:
        take_back()


def config(**options):
    options = {"metrics": ["Hit"], "valid_metric": "Hit@10", **options}
    return Config(model="BPR", dataset=options.pop("dataset", "ml-100k"), config_dict=options)


@pytest.fixture
def no_arguments(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["program"])


def test_every_workaround_is_tested_here():
    tested = {name for name in globals() if name.startswith("test_")}
    assert {f"test_{f.__name__}" for f in compat.WORKAROUNDS} <= tested


def test_options_are_literals(apply, no_arguments):
    evil = "__import__('builtins').setattr(__import__('sys'), 'recbole_was_here', 1) or 5"
    try:
        assert config(seed=evil)["seed"] == 5  # RecBole evaluates it
        assert sys.recbole_was_here == 1
    finally:
        del sys.recbole_was_here
    apply(manners.options_are_literals)
    assert config(wandb_project=evil)["wandb_project"] == evil
    assert not hasattr(sys, "recbole_was_here")
    assert config(topk="[3, 5]")["topk"] == [3, 5]


def test_foreign_command_line_is_ignored(apply, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["other_program", "--seed=77"])
    assert config()["seed"] == 77  # RecBole takes it for its own
    apply(manners.foreign_command_line_is_ignored)
    assert config()["seed"] == 2020


def test_data_path_is_honoured(apply, no_arguments):
    assert "dataset_example" in config(data_path="/elsewhere")["data_path"]  # RecBole drops it
    apply(manners.data_path_is_honoured)
    assert config(data_path="/elsewhere")["data_path"] == "/elsewhere/ml-100k"
    assert "dataset_example" in config()["data_path"]


def test_missing_data_set_is_explained(apply, no_arguments, tmp_path):
    missing = config(dataset="my-shop", data_path=str(tmp_path))
    with pytest.raises(ValueError, match=r"nor .my-shop. a known dataset name"):
        Dataset(missing)
    apply(manners.missing_data_set_is_explained)
    with pytest.raises(UserError, match=r"my-shop\.inter"):
        Dataset(missing)


def test_own_checkpoints_load(apply, no_arguments, tmp_path):
    path = tmp_path / "a.pth"
    trainer_module.torch.save({"config": config()}, path)
    with pytest.raises(Exception, match=r"[Ww]eights"):
        trainer_module.torch.load(path)  # RecBole's call, refused by torch
    apply(pickles.own_checkpoints_load)
    with pytest.raises(Exception, match=r"[Ww]eights"):
        trainer_module.torch.load(path)  # not written by this process since: stays refused
    trainer_module.torch.save({"config": config()}, path)
    assert trainer_module.torch.load(path, map_location="cpu")["config"]["model"] == "BPR"
    assert trainer_module.torch.tensor([1]).tolist() == [1]


class Bomb:
    """Says that it was unpickled."""

    def __reduce__(self):
        return (exec, ("import sys; sys.recbole_was_here = 1",))


@pytest.fixture
def went_off():
    yield lambda: vars(sys).pop("recbole_was_here", 0) == 1
    vars(sys).pop("recbole_was_here", None)


def test_pretrained_files_run_no_code(apply, no_arguments, tmp_path, monkeypatch, went_off):
    from recbole.model.general_recommender import convncf, nais, neumf, ract

    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    path = tmp_path / "a.pth"
    torch.save({"state_dict": Bomb()}, path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        neumf.torch.load(path)  # RecBole's call
    assert went_off()
    apply(pickles.pretrained_files_run_no_code)
    for module in (convncf, nais, neumf, ract):
        with pytest.raises(UserError, match="import-checkpoint"):
            module.torch.load(path)
    with pytest.raises(UserError, match="cannot read"):
        neumf.torch.load(tmp_path / "none.pth", map_location="cpu")
    assert not went_off()
    torch.save({"state_dict": {"a": torch.ones(1)}}, path)
    assert neumf.torch.load(path)["state_dict"]["a"] == 1


def test_embeddings_run_no_code(apply, tmp_path, went_off):
    from recbole.model.general_recommender import ldiffrec

    path = tmp_path / "item_emb.npy"
    np.save(path, np.array([Bomb()], object), allow_pickle=True)
    ldiffrec.np.load(path, allow_pickle=True)  # RecBole's call
    assert went_off()
    apply(pickles.embeddings_run_no_code)
    with pytest.raises(UserError, match=r"item_emb\.npy"):
        ldiffrec.np.load(path, allow_pickle=True)
    assert not went_off()
    np.save(path, np.eye(3))
    assert ldiffrec.np.load(path, allow_pickle=True).shape == (3, 3)


def test_caches_are_not_unpickled(apply, no_arguments, tmp_path, went_off):
    import recbole.data.utils as data

    for name in ("ml-100k-for-BPR-dataloader.pth", "ml-100k-Dataset.pth"):
        (tmp_path / name).write_bytes(pickle.dumps([Bomb()]))
    settings = config(checkpoint_dir=str(tmp_path))
    for load in (data.load_split_dataloaders, data.create_dataset):
        with pytest.raises((TypeError, AttributeError)):
            load(settings)  # RecBole unpickles, then stumbles over what it got
        assert went_off()
    apply(pickles.caches_are_not_unpickled)
    assert data.load_split_dataloaders(settings) is None
    with pytest.raises(UserError, match=r"ml-100k-Dataset\.pth is RecBole's cache"):
        data.create_dataset(settings)
    assert not went_off()


def test_trusted_checkpoints_are_recboles(tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match="cannot be read"):
        pickles.load_trusted_checkpoint(path)
    torch.save({"state_dict": {}}, path)
    with pytest.raises(UserError, match="no config"):
        pickles.load_trusted_checkpoint(path)
    torch.save({"state_dict": {}, "config": 5}, path)
    assert pickles.load_trusted_checkpoint(path)["config"] == 5


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


def test_no_stray_tensorboard(apply, tmp_path, monkeypatch):
    import logging

    monkeypatch.chdir(tmp_path)
    trainer_module.get_tensorboard(logging.getLogger()).close()
    assert (tmp_path / "log_tensorboard").is_dir()  # RecBole's writer
    (tmp_path / "log_tensorboard").rename(tmp_path / "old")
    apply(manners.no_stray_tensorboard)
    trainer_module.get_tensorboard(logging.getLogger()).add_scalar("a", 1, 0)
    assert not (tmp_path / "log_tensorboard").exists()


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


def test_python_versions(monkeypatch):
    compat.check_python()
    monkeypatch.setattr(sys, "version_info", (3, 12, 1))
    with pytest.raises(
        UserError, match=r"Python 3\.12 cannot run RecBole 1\.2\.1; use Python 3\.10"
    ):
        compat.check_python()


def test_chained_fillna_is_still_there():
    """`LeaveOneOutDataset._fill_nan` goes when RecBole no longer fills in place by column."""
    import inspect

    assert "fillna(value=0, inplace=True)" in inspect.getsource(Dataset._fill_nan)


def test_torch_in_recboles_trainer_is_put_back():
    assert trainer_module.torch is torch


def test_anomaly_detection_stays():
    program = """
import torch
from recbole_dmf.host.compat import manners
from recbole.utils import get_model
with manners.anomaly_detection_stays():
    get_model("SINE")
    assert torch.is_anomaly_enabled()  # RecBole's own behaviour
assert not torch.is_anomaly_enabled()
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_looking_for_a_model_leaves_anomaly_detection_alone():
    plugin.register()
    before = torch.is_anomaly_enabled()
    with pytest.raises(UserError, match="is a sequential model"):
        lookup.find_model("SINE")
    assert torch.is_anomaly_enabled() == before
