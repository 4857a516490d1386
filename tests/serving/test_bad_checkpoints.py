"""Checkpoints that cannot be served."""

import pickle

import numpy as np
import pytest
import torch

from recbole_dmf.errors import UserError
from recbole_dmf.serving.recommend import Recommender
from recbole_dmf.training.checkpoint import load_checkpoint, save_checkpoint


class Bomb:
    def __reduce__(self):
        return (print, ("a pickled object was run",))


def damage(content, **changes):
    return lambda path: save_checkpoint(path, {**content, **changes})


def bad_checkpoints(content):
    state = content["state_dict"]
    return {
        "missing": (lambda path: None, "no checkpoint"),
        "empty": (lambda path: path.write_bytes(b""), "cannot be read"),
        "text": (lambda path: path.write_text("hello"), "cannot be read"),
        "pickle": (lambda path: path.write_bytes(pickle.dumps(Bomb(), 2)), "never loaded"),
        "pickle in torch's format": (lambda path: torch.save(Bomb(), path), "never loaded"),
        "another program's": (lambda path: torch.save({"a": 1}, path), "not a checkpoint"),
        "half a run": (lambda path: save_checkpoint(path, {"model": "DMF"}), "lacks dataset"),
        "users are text": (damage(content, users="abc"), "lacks users"),
        "too few users": (damage(content, users=content["users"][:-1]), "do not fit"),
        "a rating is NaN": (damage(content, train=content["train"] * np.nan), "do not fit"),
        "no ratings": (damage(content, train=content["train"] * 0), "do not fit"),
        "users are numbers": (damage(content, users=list(range(31))), "do not fit"),
        "unknown model": (damage(content, model="Nonsense"), "no model 'Nonsense'"),
        "another model": (damage(content, model="BPR"), "cannot be rebuilt"),
        "no options": (damage(content, settings={}), "USER_ID_FIELD is no text"),
        "huge layers": (
            damage(content, settings={**content["settings"], "user_layers": [10**15]}),
            "cannot be rebuilt|different widths",
        ),
        "other widths": (
            damage(content, settings={**content["settings"], "user_layers": [8, 64]}),
            "cannot be rebuilt",
        ),
        "a weight is missing": (
            damage(content, state_dict=dict(list(state.items())[1:])),
            "rebuil",
        ),
    }


CHECKPOINTS = [*bad_checkpoints({"state_dict": {}, "users": [], "settings": {}, "train": 1})]


@pytest.mark.parametrize("case", CHECKPOINTS)
def test_bad_checkpoints(case, folder_of, tmp_path, capsys):
    content = load_checkpoint(folder_of("DMF-cosine") / "model.pt")
    write, message = bad_checkpoints(content)[case]
    write(tmp_path / "model.pt")
    with pytest.raises(UserError, match=message):
        Recommender.load(tmp_path)
    assert "pickled object was run" not in capsys.readouterr().out


def test_truncated_checkpoints(folder_of, tmp_path):
    whole = (folder_of("DMF-cosine") / "model.pt").read_bytes()
    for size in np.linspace(0, len(whole) - 1, 15).astype(int):
        (tmp_path / "model.pt").write_bytes(whole[:size])
        with pytest.raises(UserError, match="cannot be read"):
            Recommender.load(tmp_path)


def test_scores_that_are_no_numbers(folder_of, tmp_path):
    content = load_checkpoint(folder_of("DMF-cosine") / "model.pt")
    content["state_dict"]["user_tower.weight"][:] = float("nan")
    save_checkpoint(tmp_path / "model.pt", content)
    with pytest.raises(UserError, match="NaN"):
        Recommender.load(tmp_path).recommend("u1")


def test_unknown_device(folder_of):
    for device in ("nonsense", "cuda:99", None):
        with pytest.raises(UserError, match="no device"):
            Recommender.load(folder_of("DMF-cosine"), device=device)
