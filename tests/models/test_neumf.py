"""NeuMFp against its equations, and its three stages."""

import csv

import numpy as np
import pytest
import torch
from recbole.utils import init_seed

from recbole_dmf.errors import UserError
from recbole_dmf.evaluation.evaluate import summarise
from recbole_dmf.host import lookup
from recbole_dmf.models.neumf_pretrained import STAGES
from recbole_dmf.training.neumf import NeuMFpTrainer
from recbole_dmf.training.trainer import trainer_class
from scoring import all_pairs, all_scores


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("stage", STAGES)
def test_neumf_equations(ready, stage):
    _, _, model = ready("NeuMFp", embedding_size=5, mlp_layers=[12, 7, 4])
    model.double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 0.1, 0.5)
    if stage == "joined":
        model.join()
    model.begin(stage)
    v = {name: p.detach().numpy() for name, p in model.named_parameters()}
    user, item = np.meshgrid(np.arange(model.n_users), np.arange(model.n_items), indexing="ij")
    gmf = v["gmf.user"][user] * v["gmf.item"][item]  # Eq. (8)
    h = np.concatenate([v["mlp.user"][user], v["mlp.item"][item]], -1)
    for n in range(2):
        h = np.maximum(0, h @ v[f"mlp.layers.{n}.weight"].T + v[f"mlp.layers.{n}.bias"])  # Eq. (10)
    of_gmf = (gmf @ v["gmf.output.weight"].T + v["gmf.output.bias"])[..., 0]
    of_mlp = (h @ v["mlp.output.weight"].T + v["mlp.output.bias"])[..., 0]
    both = (np.concatenate([gmf, h], -1) @ v["output.weight"].T + v["output.bias"])[..., 0]
    expected = {"gmf": of_gmf, "mlp": of_mlp, "fine_tuned": both}
    expected["joined"] = 0.5 * of_gmf + 0.5 * of_mlp  # Eq. (13)
    np.testing.assert_allclose(all_scores(model), expected[stage], atol=1e-12)
    pairs = all_pairs(model)
    np.testing.assert_allclose(model.predict(pairs), expected[stage].ravel(), atol=1e-12)
    label = torch.rand(len(pairs[model.USER_ID])).round().double()
    y_hat, y = sigmoid(expected[stage].ravel()), label.numpy()
    log_loss = -np.mean(y * np.log(y_hat) + (1 - y) * np.log(1 - y_hat))  # Eq. (7)
    found = model.loss(pairs[model.USER_ID], pairs[model.ITEM_ID], label, label)
    assert found.item() == pytest.approx(log_loss, abs=1e-10)
    found.backward()
    trained = {name for name, p in model.named_parameters() if p.grad is not None}
    parts = {"gmf": ("gmf.",), "mlp": ("mlp.",)}.get(stage, ("gmf.", "mlp.", "output."))
    alone = {f"{part}.output.{kind}" for part in ("gmf", "mlp") for kind in ("weight", "bias")}
    if stage in ("joined", "fine_tuned"):
        assert trained == {name for name in v if name.startswith(parts)} - alone
    else:
        assert trained == {name for name in v if name.startswith(parts)}


def staged(ready, tmp_path, **options):
    """A trainer that has run all stages, and its history."""
    config, prepared, _ = ready(
        "NeuMFp", learning_rate=0.05, train_batch_size=64, use_gpu=False, **options
    )
    init_seed(config["seed"], True)
    model = lookup.find_model("NeuMFp")(config, prepared.train)
    trainer = trainer_class(lookup.find_trainer(config))(config, model)
    folder = tmp_path / "staged"
    folder.mkdir()
    trainer.attach(folder, prepared, {"data_sha256": ""}, {}, 0.0)
    loader = lookup.train_loader(config, prepared.train, prepared.sampler)
    trainer.fit(loader, True, verbose=False)
    trainer.close()
    if not trainer.history:
        return trainer, []
    with (folder / "history.csv").open() as file:
        return trainer, list(csv.DictReader(file))


def validated(trainer):
    counts = trainer.count(trainer.prepared.phases["valid"])
    return summarise(counts, ["ndcg"], [10])["expected"]["ndcg@10"]


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [0, 3])
def test_stages_are_counted_through_and_start_from_the_best(ready, tmp_path, epochs):
    trainer, history = staged(
        ready, tmp_path, pretrain_epochs=6, pretrain_learning_rate=0.02, epochs=epochs
    )
    assert isinstance(trainer, NeuMFpTrainer)
    stages = trainer.model.stages
    assert [stage["name"] for stage in stages] == list(STAGES[: 4 if epochs else 3])
    assert [int(row["epoch"]) for row in history] == list(range(1, len(history) + 1))
    valid = [float(row["valid_ndcg@10_expected"]) for row in history]
    end = 0
    for stage in stages:
        assert stage["first_epoch"] == end + 1
        end = stage["last_epoch"]
        own = valid[stage["first_epoch"] - 1 : end]
        assert stage["valid_score"] == max(own) == valid[stage["best_epoch"] - 1]
    assert end == len(history) == 6 + 6 + 1 + epochs
    best = max(stages[2:], key=lambda stage: stage["valid_score"])
    assert trainer.best_valid_score == best["valid_score"]
    trainer.load_best()
    assert validated(trainer) == best["valid_score"]
    if not epochs:  # nothing has moved since the join, so the parts are still at their best epochs
        for stage in stages[:2]:
            trainer.model.begin(stage["name"])
            assert validated(trainer) == stage["valid_score"]


@pytest.mark.slow
def test_stages_stop_early_on_their_own(ready, tmp_path):
    trainer, history = staged(
        ready, tmp_path, pretrain_epochs=30, stopping_step=1, epochs=30, eval_step=1
    )
    assert len(trainer.model.stages) == 4
    assert len(history) < 91
    for stage in trainer.model.stages[:2]:
        length = stage["last_epoch"] - stage["first_epoch"] + 1
        assert length == 30 or stage["last_epoch"] == stage["best_epoch"] + 2


def test_neumf_without_pretraining(ready, tmp_path):
    trainer, history = staged(ready, tmp_path, pretrain_epochs=0, epochs=2, learner="adam")
    assert [stage["name"] for stage in trainer.model.stages] == ["joined", "fine_tuned"]
    assert len(history) == 3
    assert float(history[-1]["train_loss"]) < float(history[0]["train_loss"])


def test_stages_without_validation_go_on_from_their_last_epoch(ready, tmp_path):
    trainer, history = staged(ready, tmp_path, pretrain_epochs=2, epochs=2, eval_step=0)
    assert history == []
    assert [stage["last_epoch"] for stage in trainer.model.stages] == [2, 4, 5, 7]
    assert {stage["valid_score"] for stage in trainer.model.stages} == {None}
    assert trainer.best_epoch == 7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mlp_layers": [8]}, "at least two widths"),
        ({"mlp_layers": [7, 4]}, "the first one even"),
        ({"mlp_layers": [8, 0]}, "at least two widths"),
        ({"pretrain_weight": 1.5}, "between 0 and 1"),
    ],
)
def test_bad_neumf_options(ready, options, message):
    with pytest.raises(UserError, match=message):
        ready("NeuMFp", **options)
