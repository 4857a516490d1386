"""What ends a training early says why, keeps the best epoch and has an exit code of its own."""

import errno
from pathlib import Path

import numpy as np
import pytest
import torch

from recbole_dmf import cli, errors, run_recbole
from recbole_dmf.data.fingerprint import fingerprint
from recbole_dmf.errors import UserError
from recbole_dmf.training import trainer
from recbole_dmf.training.checkpoint import load_checkpoint
from recbole_dmf.training.resume import changed_attributes, note_attributes, set_attributes

pytestmark = pytest.mark.slow


@pytest.fixture
def run(tiny, tmp_path):
    def start(model, **options):
        places = {"data_path": str(tiny), "checkpoint_dir": str(tmp_path / "runs")}
        return run_recbole(model, "tiny", config_dict={**places, "epochs": 4, **options})

    return start


@pytest.mark.parametrize("model", ["BPR", "DMF", "LightGCN"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_loss_that_is_not_finite(run, monkeypatch, tmp_path, model, value):
    original = trainer.RunTrainer._train_epoch

    def train_epoch(self, *args, **kwargs):
        if len(self.history) == 2:
            next(iter(self.model.parameters())).data.fill_(value)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(trainer.RunTrainer, "_train_epoch", train_epoch)
    with pytest.raises(
        UserError, match=r"epoch 3 .*Try a smaller learning_rate.*best epoch so"
    ) as e:
        run(model, learning_rate=0.01)
    assert e.value.exit_code == 3
    assert "--resume" not in str(e.value)
    (checkpoint,) = tmp_path.glob("runs/*/model.pt")
    content = load_checkpoint(checkpoint)
    assert content["epoch"] in (1, 2)
    assert all(torch.isfinite(value).all() for value in content["state_dict"].values())


def test_a_dead_tower(run, monkeypatch, tmp_path):
    original = trainer.RunTrainer._train_epoch

    def train_epoch(self, *args, **kwargs):
        loss = original(self, *args, **kwargs)
        if len(self.history) == 2:
            self.model.user_tower.hidden[-1].bias.data.fill_(-1e9)
        return loss

    monkeypatch.setattr(trainer.RunTrainer, "_train_epoch", train_epoch)
    with pytest.raises(
        UserError,
        match=r"after epoch 3 the model gives every item the same score \(a dead tower\).*Try a "
        r"smaller learning_rate, or output_activation: linear\. The best epoch so far \([12]\)",
    ) as error:
        run("DMF", init="xavier", learning_rate=0.001)
    assert error.value.exit_code == 4
    assert len(list(tmp_path.glob("runs/*/model.pt"))) == 1


@pytest.mark.parametrize(("model", "learns"), [("BPR", True), ("ItemPop", False), ("Pop", False)])
def test_equal_scores_are_right_for_models_that_count(run, monkeypatch, model, learns):
    def level(model, n_items, n_earlier):
        return lambda user: torch.zeros(len(user), n_items)

    monkeypatch.setattr(trainer, "scores_of", level)
    if learns:
        with pytest.raises(UserError, match=r"a dead tower.*No good epoch was finished") as error:
            run(model)
        assert error.value.exit_code == 4
    else:
        metrics = run(model)["result"]["metrics"]
        assert metrics["test"]["expected"]["hit@10"] == pytest.approx(10 / 101)


@pytest.mark.parametrize(
    ("number", "code", "text"),
    [
        (errno.ENOSPC, 5, "the disk is full"),
        (errno.EDQUOT, 5, "the disk is full"),
        (errno.EROFS, 6, "choose another folder"),
        (errno.EACCES, 6, "choose another folder"),
        (errno.ENOENT, 2, "choose another folder"),
    ],
)
def test_what_cannot_be_written(number, code, text):
    error = errors.write_error(Path("x/y"), OSError(number, "reason"))
    assert error.exit_code == code
    assert str(error).startswith("cannot write x/y: ")
    assert text in str(error)


def test_a_folder_that_must_not_be_written(tiny, capsys):
    words = ["--model=BPR", "--dataset=tiny", f"--data_path={tiny}", "--checkpoint_dir=/sys/x"]
    assert cli.guarded(cli.main_of("run"), words) == 6
    assert "cannot create the folder /sys/x" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (MemoryError(), 7, "out of memory"),
        (OSError(errno.ENOMEM, "no memory"), 7, "out of memory"),
        (OSError(errno.ENOSPC, "full", "a.csv"), 5, "cannot write a.csv: the disk is full"),
        (KeyboardInterrupt(), 130, "interrupted."),
        (errors.Terminated(), 143, "terminated (SIGTERM)."),
        (ValueError("odd"), 1, "odd"),
        (BrokenPipeError(), 1, ""),
    ],
)
def test_exit_codes(error, code, text, capsys):
    def main(argv):
        raise error

    assert cli.guarded(main, []) == code
    assert text in capsys.readouterr().err


def test_a_failing_allocation_of_torch_is_lack_of_memory(capsys):
    def main(argv):
        torch.empty(2**50)

    assert cli.guarded(main, []) == 7


def test_fingerprints_differ_where_data_do():
    users, items = ["[PAD]", "a", "b"], ["[PAD]", "x"]
    columns = [np.array([1, 2]), np.array([1, 1])]
    first = fingerprint([users, items], columns)
    assert len(first) == 64
    assert first == fingerprint([np.array(users, object), items], [c.copy() for c in columns])
    others = [
        fingerprint([["[PAD]", "ab", ""], items], columns),
        fingerprint([items, users], columns),
        fingerprint([users, items], columns[::-1]),
        fingerprint([users, items], [columns[0], np.array([1, 2])]),
        fingerprint([users, items], [columns[0], columns[1].astype(np.int32)]),
        fingerprint([users, items], columns[:1]),
    ]
    assert len({first, *others}) == 7


def test_attributes_that_change_are_found_and_come_back():
    def make():
        model = torch.nn.Module()
        model.part = torch.nn.Linear(2, 2)
        model.number, model.text = 1, "text"
        model.array, model.tensor = np.arange(3), torch.zeros(3)
        model.part.cache, model.part.constant = None, torch.ones(2)
        return model

    model = make()
    fresh = note_attributes(model)
    model.eval()
    assert changed_attributes(model, fresh) == {}
    model.number += 1
    model.array[0] = 5
    model.tensor.add_(1)
    model.part.cache = torch.ones(1)
    found = changed_attributes(model, fresh)
    assert set(found) == {".number", ".array", ".tensor", "part.cache"}
    other = make()
    set_attributes(other, found, torch.device("cpu"))
    assert (other.number, other.array[0], float(other.tensor[0])) == (2, 5, 1)
    assert torch.equal(other.part.cache, torch.ones(1))
