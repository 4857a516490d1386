import shutil

import numpy as np
import pytest
import torch
from recbole.data.dataset import Dataset
from recbole.trainer import Trainer

import recbole_dmf
from recbole_dmf.errors import UserError
from recbole_dmf.run import run_recbole

pytestmark = pytest.mark.slow

FAST = {"init": "xavier", "learning_rate": 0.01, "epochs": 2}
MODELS = {
    "DMF": FAST,
    "DMF-recent": {**FAST, "recent_items": 3},
    "BPR": {"epochs": 2},
    "EASE": {},
    "MultiVAE": {"epochs": 1},
}


@pytest.fixture
def trained(tiny, tmp_path):
    """A function (model, **options) -> outcome of a run on `tiny`."""

    def make(model="BPR", **options):
        paths = {"data_path": str(tiny), "checkpoint_dir": str(tmp_path / "runs")}
        options = {"epochs": 1, "metric_decimal_place": 10, **paths, **options}
        return run_recbole(model, "tiny", config_dict=options)

    return make


def evaluated(config, model, train_data, eval_data):
    """RecBole's own evaluation of a loader."""
    trainer = Trainer(config, model)
    trainer.eval_collector.data_collect(train_data)
    return trainer.evaluate(eval_data, load_best_model=False)


@pytest.mark.parametrize("name", MODELS)
def test_recboles_evaluation_of_what_was_loaded_gives_the_runs_figures(name, trained):
    outcome = trained(name.split("-")[0], **MODELS[name])
    loaded = recbole_dmf.load(outcome["folder"])
    config, model, dataset, train_data, valid_data, test_data = loaded
    assert config["model"] == name.split("-")[0]
    assert isinstance(dataset, Dataset)
    assert (dataset.user_num, len(dataset)) == (31, 360)
    for data, key in ((valid_data, "best_valid_result"), (test_data, "test_result")):
        found = evaluated(config, model, train_data, data)
        assert found == pytest.approx(outcome[key], abs=1e-9)
    pairs = {
        (int(user), int(item))
        for data in (train_data, valid_data, test_data)
        for user, item in zip(
            data._dataset.inter_feat["user_id"], data._dataset.inter_feat["item_id"], strict=True
        )
    }
    assert len(pairs) == 360  # each interaction in one part


def test_loaded_model_scores_as_the_recommender(trained):
    folder = trained("DMF", **FAST)["folder"]
    _, model, dataset, *_ = recbole_dmf.load(folder)
    recommender = recbole_dmf.Recommender.load(folder)
    assert dataset.field2id_token["item_id"].tolist() == recommender.items.tolist()
    p, q = model.vectors()
    scores = recommender.scores(np.arange(1, 31))
    torch.testing.assert_close((p @ q.T)[1:31], scores, atol=1e-6, rtol=1e-5)


def test_training_goes_on_with_the_loaders(trained):
    config, model, _, train_data, _, _ = recbole_dmf.load(trained("BPR")["folder"])
    batches = list(train_data)
    assert sum(len(batch["user_id"]) for batch in batches) == 300
    losses = [model.calculate_loss(batch.to(config["device"])).item() for batch in batches]
    assert np.isfinite(losses).all()


def test_users_with_few_unseen_items_have_few_candidates(trained):
    split = {"split": {"LS": "latest_test_random_valid"}, "order": "TO", "group_by": "user"}
    outcome = trained("BPR", eval_args={**split, "mode": "uni200"})
    config, model, dataset, train_data, _, test_data = recbole_dmf.load(outcome["folder"])
    unseen = dataset.item_num - 1 - 12
    assert unseen < 200
    pairs, row, _, target = next(iter(test_data))
    assert len(pairs) == len(target) * (1 + unseen)
    assert row.bincount().tolist() == [1 + unseen] * len(target)
    found = evaluated(config, model, train_data, test_data)
    assert found == pytest.approx(outcome["test_result"], abs=1e-9)


def test_data_that_moved(trained, tiny, tmp_path):
    outcome = trained("BPR")
    shutil.move(tiny, tmp_path / "elsewhere")
    with pytest.raises(UserError, match="tiny"):
        recbole_dmf.load(outcome["folder"])
    config, *_ = recbole_dmf.load(outcome["folder"], data_path=tmp_path / "elsewhere")
    assert config["data_path"] == str(tmp_path / "elsewhere" / "tiny")


def test_data_that_changed(trained, tiny):
    folder = trained("BPR")["folder"]
    path = tiny / "tiny" / "tiny.inter"
    text = path.read_text()
    lines = text.splitlines()
    path.write_text("\n".join([lines[0], *lines[:0:-1]]) + "\n")
    with pytest.raises(UserError, match=r"tiny\.inter in .*tiny changed"):
        recbole_dmf.load(folder)
    path.write_text(text)
    recbole_dmf.load(folder)


def test_folders_without_a_finished_run(trained, tmp_path):
    with pytest.raises(UserError, match="no finished run"):
        recbole_dmf.load(tmp_path)
    outcome = trained("BPR")
    path = tmp_path / "runs" / outcome["folder"].rpartition("/")[2]
    for content in ("{", "[]", "{}", '{"metrics": {}}'):
        (path / "result.json").write_text(content)
        with pytest.raises(UserError, match="is damaged"):
            recbole_dmf.load(path)
    (path / "result.json").unlink()
    with pytest.raises(UserError, match=r"--resume="):
        recbole_dmf.load(path)


def test_recboles_own_split(trained, tiny, tmp_path):
    split = {"split": {"RS": [0.8, 0.1, 0.1]}, "group_by": "user", "order": "RO", "mode": "full"}
    outcome = trained("BPR", eval_args=split, metrics=["Hit"], valid_metric="Hit@10")
    folder = tmp_path / "runs" / outcome["folder"].rpartition("/")[2]
    config, model, _, train_data, _, test_data = recbole_dmf.load(folder)
    found = evaluated(config, model, train_data, test_data)
    assert found == pytest.approx(outcome["test_result"], abs=1e-9)
    path = tiny / "tiny" / "tiny.inter"
    path.write_text(path.read_text().replace("\t5\t", "\t4\t"))
    with pytest.raises(UserError, match=r"tiny\.inter in .*tiny changed"):
        recbole_dmf.load(folder)
