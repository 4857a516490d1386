"""RecBole's own checkpoints, written by RecBole's trainer, become plain ones."""

import re
import shutil

import pytest
import torch
from recbole.data.interaction import Interaction
from recbole.data.utils import data_preparation
from recbole.utils import init_seed

from recbole_dmf.cli import dispatch, guarded
from recbole_dmf.config import build_config
from recbole_dmf.host import lookup
from recbole_dmf.host.config import set_seeds
from recbole_dmf.serving.recommend import Recommender

SPLIT = {
    "eval_args": {
        "split": {"RS": [0.8, 0.1, 0.1]},
        "group_by": "user",
        "order": "RO",
        "mode": "full",
    },
    "metrics": ["Hit"],
    "valid_metric": "Hit@10",
}


@pytest.fixture
def trained(tiny, tmp_path):
    """A function: the pickled checkpoint of a model that RecBole's trainer trained on `tiny`."""

    def make(model, **options):
        paths = {"data_path": str(tiny), "checkpoint_dir": str(tmp_path / "runs")}
        config = build_config(model, "tiny", None, {"epochs": 1, **SPLIT, **paths, **options})
        set_seeds(config)
        train_data, valid_data, _ = data_preparation(config, lookup.load_dataset(config))
        trainer = lookup.find_trainer(config)(
            config, lookup.find_model(model)(config, train_data._dataset)
        )
        trainer.fit(train_data, valid_data)
        return trainer.saved_model_file

    return make


@pytest.mark.parametrize("model", ["BPR", "RecBoleDMF", "EASE"])
def test_a_plain_checkpoint_scores_as_the_pickled_one(trained, tmp_path, capsys, model):
    path = trained(model)
    output = str(tmp_path / "plain")
    argv = ["import-checkpoint", path, f"--output={output}", "--trust-checkpoint"]
    assert guarded(dispatch, argv) == 0
    shown = capsys.readouterr().out
    assert f"{model} on tiny: written to {output}" in shown
    recommender = Recommender.load(output)
    saved = torch.load(path, weights_only=False)
    config = saved["config"]
    init_seed(config["seed"], config["reproducibility"])
    train = lookup.load_dataset(config).build()[0]
    before = lookup.find_model(model)(config, train)
    before.load_state_dict(saved["state_dict"])
    before.load_other_parameter(saved["other_parameter"])
    user = torch.arange(1, 31)
    with torch.no_grad():
        scores = before.eval().full_sort_predict(Interaction({"user_id": user})).view(30, -1)
    torch.testing.assert_close(recommender.scores(user.numpy()), torch.as_tensor(scores))
    seen = train.inter_feat["item_id"][train.inter_feat["user_id"] == 1].tolist()
    assert set(recommender.train[1].indices) == set(seen)
    assert torch.load(f"{output}/model.pt", weights_only=True)["model"] == model


@pytest.mark.parametrize("model", ["DMF", "EASE", "ItemKNN"])
def test_a_built_in_model_is_not_taken_for_ours(trained, tmp_path, model):
    path = trained(f"RecBole{model}")
    saved = torch.load(path, weights_only=False)
    saved["config"].final_config_dict["model"] = model  # as RecBole without us has it
    del saved["config"].final_config_dict["split_seed"]
    torch.save(saved, path)
    argv = ["import-checkpoint", path, f"--output={tmp_path}/a", "--trust-checkpoint"]
    assert guarded(dispatch, argv) == 0
    assert Recommender.load(tmp_path / "a").content["model"] == f"RecBole{model}"


def test_pretrained_parameters_of_a_plain_checkpoint(trained, tmp_path):
    """What NeuMF's pretraining options need is there afterwards."""
    options = {"mf_embedding_size": 4, "mlp_embedding_size": 4, "mlp_hidden_size": [4]}
    for part, other in (("mf", "mlp"), ("mlp", "mf")):
        path = trained("NeuMF", **options, **{f"{other}_train": False})
        argv = ["import-checkpoint", path, f"--output={tmp_path}/{part}", "--trust-checkpoint"]
        assert guarded(dispatch, argv) == 0
    paths = {f"{part}_pretrain_path": f"{tmp_path}/{part}/model.pt" for part in ("mf", "mlp")}
    path = trained("NeuMF", **options, use_pretrain=True, **paths)
    assert torch.load(path, weights_only=False)["config"]["use_pretrain"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--output=a"], "arguments are required: FILE"),
        (["none.pth", "--output=a", "--trust-checkpoint"], "no such file"),
        (["{path}"], "is not loaded: RecBole's checkpoints are pickles"),
        (["{path}", "--trust-checkpoint"], "no --output"),
        (["{path}", "--output=a", "--trusts"], "has no value|unknown option"),
        (["{path}", "--output=a", "--trust=yes"], "unknown option --trust"),
        (["{other}", "--output=a", "--trust-checkpoint"], "config is of another type"),
        (["{path}", "--output=a", "--trust-checkpoint", "--data_path=b"], "b/tiny"),
    ],
)
def test_what_cannot_be_imported(trained, tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    other = tmp_path / "other.pth"
    torch.save({"config": 1, "state_dict": {}}, other)
    path = trained("BPR") if "{path}" in words else ""
    capsys.readouterr()
    words = [word.format(path=path, other=other) for word in words]
    assert guarded(dispatch, ["import-checkpoint", *words]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "a").exists()


def test_another_data_set_under_the_same_name(trained, tiny, tmp_path, capsys):
    path = trained("BPR")
    file = tiny / "tiny" / "tiny.inter"
    moved = tmp_path / "moved" / "tiny"
    moved.mkdir(parents=True)
    shutil.copy(file, moved)
    text = file.read_text().splitlines()
    (moved / "tiny.inter").write_text("\n".join(text[:100]) + "\n")
    argv = ["import-checkpoint", path, f"--output={tmp_path}/a", "--trust-checkpoint"]
    assert guarded(dispatch, [*argv, f"--data_path={tmp_path}/moved"]) == 2
    assert "not the data set that it was trained on" in capsys.readouterr().err
    assert guarded(dispatch, argv) == 0


def test_help(capsys):
    with pytest.raises(SystemExit) as end:
        guarded(dispatch, ["import-checkpoint", "--help"])
    assert end.value.code == 0
    assert guarded(dispatch, ["import-checkpoint"]) == 0
    assert capsys.readouterr().out.count("whatever code is in it") == 2
