import pickle

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from recbole_dmf.errors import UserError
from recbole_dmf.files import atomic_path
from recbole_dmf.training.checkpoint import load_checkpoint, pack, save_checkpoint, unpack


def test_everything_that_models_keep_comes_back(tmp_path):
    matrix = sp.random(6, 5, density=0.4, random_state=0)
    content = {
        "tensor": torch.arange(3.0),
        "array": np.arange(6).reshape(2, 3),
        "number": np.float64(2.5),
        "csr": matrix.tocsr(),
        "lil": matrix.tolil(),
        "nested": {"a": [1, "b", None, True], "t": (1, (2.0, "x"))},
    }
    save_checkpoint(tmp_path / "a.pt", content)
    found = load_checkpoint(tmp_path / "a.pt")
    assert torch.equal(found["tensor"], content["tensor"])
    assert found["array"].tolist() == content["array"].tolist()
    assert found["number"] == 2.5
    for kind in ("csr", "lil"):
        assert found[kind].format == kind
        assert (found[kind] != content[kind]).nnz == 0
    assert found["nested"] == content["nested"]
    assert torch.load(tmp_path / "a.pt", weights_only=True)


def test_what_has_no_plain_form_is_refused():
    with pytest.raises(UserError, match="type object"):
        pack({"a": object()})
    with pytest.raises(UserError):
        pack(np.array([object()]))
    assert unpack(pack({"x": 1})) == {"x": 1}


class Bomb:
    def __reduce__(self):
        return (exec, ("import sys; sys.bomb = 1",))


@pytest.mark.parametrize("kind", ["pickle", "torch", "text", "empty", "other format", "truncated"])
def test_foreign_files_are_refused_and_run_nothing(tmp_path, kind):
    import sys

    path = tmp_path / "x.pt"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Bomb()))
    elif kind == "torch":
        torch.save({"format": 1, "bomb": Bomb()}, path)
    elif kind == "text":
        path.write_text("hello")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "other format":
        torch.save({"format": 99}, path)
    else:
        save_checkpoint(path, {"a": torch.zeros(1000)})
        path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UserError, match="checkpoint"):
        load_checkpoint(path)
    assert not hasattr(sys, "bomb")


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match="no checkpoint"):
        load_checkpoint(tmp_path / "none.pt")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_write_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "file"
    path.write_text("old")

    def write():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_unwritable_folder_is_explained(tmp_path):
    with pytest.raises(UserError, match="cannot write"), atomic_path(tmp_path / "no" / "file"):
        pass
