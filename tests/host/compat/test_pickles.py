"""Each workaround beside RecBole's own behaviour: when that half fails, drop the workaround."""

import pickle
import sys
import warnings

import numpy as np
import pytest
import recbole.trainer.trainer as trainer_module
import torch

from recbole_dmf.errors import UserError
from recbole_dmf.host.compat import pickles


def test_own_checkpoints_load(apply, tmp_path, config):
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


def test_pretrained_files_run_no_code(apply, tmp_path, monkeypatch, went_off):
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


def test_caches_are_not_unpickled(apply, tmp_path, went_off, config):
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


def test_torch_in_recboles_trainer_is_put_back():
    assert trainer_module.torch is torch
