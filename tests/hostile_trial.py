"""Hostile cases: files and words made to run code, to write elsewhere or to fill the memory."""

import os
import re

import numpy as np
import scipy.sparse as sp
import torch

from conftest import random_rows, write_inter
from recbole_dmf import cli
from recbole_dmf.training.checkpoint import pack

FORCED = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"  # what plain RecBole needs, so users have it set


class Bomb:
    """Unpickled, it makes the file of which the place is in the environment."""

    def __reduce__(self):
        return (os.system, ('touch "$MARKER"',))


CODE = """__import__('os').system('touch "$MARKER"')"""
TAG = "x: !!python/object/apply:os.system ['touch \"$MARKER\"']\n"
LAUGHS = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)
BAIT = {}


def bait(expected, program="recbole-dmf", code=2):
    """A case: the function makes files in `here` and returns the words of the command."""

    def add(make):
        BAIT[make.__name__] = (make, program, expected, code)
        return make

    return add


def run(expected, code=2):
    """A case of `run_recbole` on a small data set."""
    return bait(expected, "run_recbole", code)


TINY = ("--dataset=tiny", "--data_path=data", "--checkpoint_dir=out", "--epochs=1")


def checkpoint(here, **changed):
    """A run's checkpoint of BPR, with some of its content changed."""
    users, items = [f"u{n}" for n in range(4)], [f"i{n}" for n in range(6)]
    content = {
        "format": 1,
        "model": "BPR",
        "dataset": "tiny",
        "settings": {
            "USER_ID_FIELD": "user_id",
            "ITEM_ID_FIELD": "item_id",
            "RATING_FIELD": "rating",
            "NEG_PREFIX": "neg_",
            "embedding_size": 3,
        },
        "users": users,
        "items": items,
        "train": sp.csr_matrix(np.eye(4, 6, dtype=np.float32)),
        "state_dict": {
            "user_embedding.weight": torch.ones(4, 3),
            "item_embedding.weight": torch.ones(6, 3),
        },
        "other_parameter": {},
        **changed,
    }
    torch.save(pack(content), here / "model.pt")
    return ["recommend", "--checkpoint=model.pt", "--user=u1"]


def files_in(folder):
    return {p for p in folder.rglob("*") if not p.is_dir()}


def cases_of(module):
    """The names of a test module's cases."""
    return [name for name, (make, *_) in BAIT.items() if make.__module__ == module]


def trial(name, tmp_path, monkeypatch, capsys):
    """Run a case's command: no code ran, nothing was written elsewhere, and the answer is right."""
    make, program, expected, wanted = BAIT[name]
    here = tmp_path / "here"
    (here / "out").mkdir(parents=True)
    write_inter(here / "data", random_rows(12, 40, 8))
    marker = tmp_path / "marker"
    monkeypatch.setenv("MARKER", str(marker))
    monkeypatch.setenv(FORCED, "1")
    monkeypatch.chdir(here)
    words = make(here)
    before = files_in(tmp_path)
    main = {"run_recbole": cli.main_of("run"), "recbole-dmf": cli.dispatch}[program]
    try:
        code = cli.guarded(main, words)
    except SystemExit as error:  # argparse
        code = error.code
    shown = "".join(capsys.readouterr())
    assert not marker.exists(), "code was run"
    stray = [p for p in files_in(tmp_path) - before if not p.is_relative_to(here / "out")]
    assert not stray
    assert "Traceback" not in shown
    assert "--debug shows where" not in shown, "not an error that was foreseen"
    assert len(shown) < 20_000
    if wanted is not None:
        assert code == wanted, shown
    assert re.search(expected, shown, re.DOTALL), shown
