"""The average of the weights, which a model is judged and kept with."""

from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import random_rows, write_inter
from recbole_dmf import run_recbole
from recbole_dmf.errors import UserError
from recbole_dmf.training import trainer
from recbole_dmf.training.checkpoint import load_checkpoint
from recbole_dmf.training.weight_average import WeightAverage


@pytest.fixture
def parameters():
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(3, 2)), torch.nn.Parameter(torch.randn(()))]


def test_it_is_numpys_moving_average(parameters):
    average = WeightAverage(parameters, decay=0.8)
    expected = [p.detach().numpy().copy() for p in parameters]
    for step in range(1, 101):
        with average.trained_weights():
            for p in parameters:
                p.data += torch.randn_like(p)
            average.update()
            trained = [p.detach().numpy().copy() for p in parameters]
        decay = min(0.8, step / (step + 10))
        expected = [decay * e + (1 - decay) * t for e, t in zip(expected, trained, strict=True)]
        for p, value in zip(parameters, expected, strict=True):
            np.testing.assert_allclose(p.detach().numpy(), value, rtol=1e-5, atol=1e-6)


def test_the_trained_weights_come_back_after_an_error(parameters):
    average = WeightAverage(parameters, decay=0.5)
    before = [p.detach().clone() for p in parameters]

    def stopped_epoch():
        with average.trained_weights():
            parameters[0].data += 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped_epoch()
    assert all(map(torch.equal, parameters, before))  # no step was finished
    with average.trained_weights():
        assert torch.equal(parameters[0], before[0] + 1)


@pytest.fixture
def train(tmp_path):
    data = write_inter(tmp_path / "data", random_rows())

    def run(model="DMF", **options):
        places = {"data_path": str(data), "checkpoint_dir": str(tmp_path / "runs")}
        usual = {"epochs": 2, "learning_rate": 0.01}
        return run_recbole(model, "tiny", config_dict={**places, **usual, **options})

    return run


@pytest.mark.parametrize(
    ("model", "options"),
    [("DMF", {"init": "xavier", "train_batch_size": 64}), ("SASRec", {"max_length": 5})],
)
def test_the_average_is_what_is_judged_and_kept(train, monkeypatch, model, options):
    made = []
    original = trainer.RunTrainer._averaged
    monkeypatch.setattr(
        trainer.RunTrainer, "_averaged", lambda self: made.append(original(self)) or made[-1]
    )
    folder = train(model, weight_average=0.9, epochs=1, **options)["folder"]
    kept = load_checkpoint(Path(folder) / "model.pt")["state_dict"]
    [average] = made
    assert average.steps > 0
    shown, trained = average._shown, average._other
    assert any(not torch.equal(a, b) for a, b in zip(shown, trained, strict=True))
    for a in shown:
        assert any(a.shape == b.shape and torch.equal(a, b) for b in kept.values())


def test_an_average_of_the_last_step_alone_changes_nothing(train):
    plain = train(init="xavier")["result"]["metrics"]
    assert train(init="xavier", weight_average=1e-12)["result"]["metrics"] == plain


@pytest.mark.parametrize("value", [-0.1, 1, 2.0])
def test_a_decay_out_of_range_is_refused(train, value):
    with pytest.raises(UserError, match="weight_average"):
        train(weight_average=value)
