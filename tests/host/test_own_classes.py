"""Classes that a user wrote, run by `run_recbole(model=SomeClass)`."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction

import own_models
import recbole_dmf
from recbole_dmf.cli import dispatch, guarded
from recbole_dmf.config import build_config
from recbole_dmf.errors import UserError
from recbole_dmf.host import lookup, own_classes
from recbole_dmf.literals import load_yaml

pytestmark = pytest.mark.slow

FAST = {"epochs": 2, "init": "xavier", "learning_rate": 0.01}


@pytest.fixture
def run(tiny, tmp_path):
    def make(model, **options):
        options = {"data_path": str(tiny), "checkpoint_dir": str(tmp_path / "runs"), **options}
        return recbole_dmf.run_recbole(model, "tiny", config_dict={"use_gpu": False, **options})

    return make


def ranks(folder, score):
    """How many unseen items are above each user's target, by `score` [n_users, n_items]."""
    _, _, dataset, train, valid, test = recbole_dmf.load(folder)
    seen = np.zeros(score.shape, bool)
    for part in (train, valid, test):
        feat = part._dataset.inter_feat
        seen[feat["user_id"], feat["item_id"]] = True
    above = {}
    for user, item in zip(feat["user_id"].tolist(), feat["item_id"].tolist(), strict=True):
        free = ~seen[user]
        free[0] = False
        token = dataset.field2id_token["user_id"][user]
        above[token] = int((score[user][free] > score[user][item]).sum())
    return above


def test_a_class_of_ones_own(run, tmp_path):
    found = run(own_models.Nearest, nearest_scale=2.5, epochs=2)
    folder = Path(found["folder"])
    assert folder.name.startswith("Nearest-tiny-")
    settings = load_yaml(folder / "config.yaml")
    assert (settings["model"], settings["model_class"]) == ("Nearest", "own_models:Nearest")
    assert found["result"]["settings"]["nearest_scale"] == 2.5
    assert found["result"]["parameters"] == 4 * (31 + 1 + len(set(items_of(folder))))
    recommender = recbole_dmf.Recommender.load(folder)
    model = recommender.model
    assert type(model).__name__ == "Nearest"
    user, item = model.user.weight.detach().numpy(), model.item.weight.detach().numpy()
    score = -2.5 * ((user[:, None] - item[None]) ** 2).sum(-1)
    np.testing.assert_allclose(recommender.scores(np.array([1, 2])), score[[1, 2]], rtol=1e-5)
    with (folder / "per_user.csv").open() as file:
        names, *rows = (line.rstrip("\n").split(",") for line in file)
    stored = {row[0]: int(row[names.index("full_above")]) for row in rows}
    assert stored == ranks(folder, score)


def items_of(folder):
    return recbole_dmf.Recommender.load(folder).items[1:].tolist()


def test_options_that_only_the_class_knows_are_named(run, caplog):
    run(own_models.Nearest, nearest_scale=2.5, learning_rat=1, epochs=1)
    said = "options that own_models:Nearest alone can know, and nothing here checks: "
    assert f"{said}nearest_scale, learning_rat\n" in caplog.text
    with pytest.raises(UserError, match="expects a whole number"):
        run(own_models.Nearest, epochs="many")


def test_a_subclass_has_its_parents_defaults_and_trainer(tiny):
    options = {"data_path": str(tiny)}
    ours = build_config(own_models.NegatedDMF, "tiny", None, options)
    parent = build_config("DMF", "tiny", None, options)
    names = ("user_layers", "learning_rate", "train_neg_sample_args", "loss_type", "init")
    assert {n: ours[n] for n in names} == {n: parent[n] for n in names}
    assert ours["model"] == "NegatedDMF"
    assert lookup.find_trainer(ours) is lookup.find_trainer(parent)
    with pytest.raises(UserError, match="expects a list"):
        build_config(own_models.NegatedDMF, "tiny", None, {**options, "user_layers": 3})
    wide = build_config(own_models.WideBPR, "tiny", None, options)
    assert wide["embedding_size"] == build_config("BPR", "tiny", None, options)["embedding_size"]
    assert wide["embedding_size"] == 64  # RecBole's properties/model/BPR.yaml


def test_a_subclass_of_dmf_is_run_by_its_own_scores(run):
    """Negated scores: with one above another at every place, the order is turned round."""
    parent, found = run("DMF", **FAST), run(own_models.NegatedDMF, **FAST)
    with pytest.raises(UserError, match="NegatedDMF cannot score new users"):
        recbole_dmf.Recommender.load(found["folder"]).recommend(history={"i1": 5})
    recommender = recbole_dmf.Recommender.load(found["folder"])
    usual = recbole_dmf.Recommender.load(parent["folder"])
    p, q = recommender.model.vectors()
    users = torch.arange(1, 31)
    pairs = Interaction({"user_id": users})
    with torch.no_grad():
        expected = -super(type(recommender.model), recommender.model).full_sort_predict(pairs)
    assert torch.equal(recommender.scores(np.arange(1, 31)), expected.view(30, -1))
    torch.testing.assert_close(-(p @ q.T)[1:31], expected.view(30, -1), atol=1e-6, rtol=1e-5)
    assert found["result"]["settings"].keys() == parent["result"]["settings"].keys()
    assert usual.recommend(history={usual.items[1]: 5}).shape[0] == 10


def test_a_loss_of_its_own_is_what_is_trained(run, monkeypatch):
    called = []
    original = own_models.SameDMF.calculate_loss

    def calculate_loss(self, interaction):
        called.append(len(interaction))
        return original(self, interaction)

    monkeypatch.setattr(own_models.SameDMF, "calculate_loss", calculate_loss)
    found = run(own_models.SameDMF, **FAST)
    assert sum(called) == 2 * 8 * 300  # two epochs; each interaction with seven negatives
    recommender = recbole_dmf.Recommender.load(found["folder"])
    assert len(recommender.recommend(history={recommender.items[1]: 5})) == 10


def test_known_classes_are_known_by_their_names(run):
    assert run(recbole_dmf.DMF, **FAST)["result"]["model"] == "DMF"
    assert "model_class" not in load_yaml(Path(run("BPR", epochs=1)["folder"]) / "config.yaml")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (dict, "a class that derives from RecBole's GeneralRecommender"),
        (own_models, "a class that derives from"),
        (type("DMF", (own_models.Nearest,), {}), "has the name of another model, .*:DMF; give it"),
        (type("BPR", (own_models.Nearest,), {}), "has the name of another model"),
        (type("a/b", (own_models.Nearest,), {}), "is not a model's name"),
    ],
)
def test_what_is_no_class_of_ones_own(model, message, tiny):
    with pytest.raises(UserError, match=message):
        build_config(model, "tiny", None, {"data_path": str(tiny)})


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere:Model", r"cannot be imported \(ModuleNotFoundError: .*PYTHONPATH"),
        ("json:Model", "it is not in this process. Import it first"),
        ("json:JSONDecoder", "derives from"),
        ("own_models:Nearest.nothing", "it is not in this process"),
        (":", "cannot be imported"),
    ],
)
def test_paths_that_lead_to_no_class(path, message, tiny):
    with pytest.raises(UserError, match=message):
        build_config(path, "tiny", None, {"data_path": str(tiny)})


def test_files_import_nothing(tmp_path, monkeypatch):
    """A run's files name a class; only a call by its user may run the code of a module."""
    (tmp_path / "harmful.py").write_text("raise SystemExit('ran')")
    monkeypatch.syspath_prepend(str(tmp_path))
    for path in ("harmful:Model", "harmful", 3, "__main__:Model", "os:system"):
        with pytest.raises(UserError, match=r"in this process|derives from"):
            own_classes.find_class(path)
    options = tmp_path / "options.yaml"
    options.write_text("model: M\nmodel_class: harmful:M\ndataset: tiny\n")
    with pytest.raises(UserError, match="Import it first"):
        build_config(None, None, [str(options)], None)
    assert "harmful" not in sys.modules


def test_another_process_needs_the_class(run, monkeypatch, capsys):
    folder = run("own_models:Nearest", epochs=1)["folder"]
    words = ["recommend", f"--checkpoint={folder}", "--user=u1"]
    assert guarded(dispatch, words) == 0
    monkeypatch.delitem(sys.modules, "own_models")
    monkeypatch.delitem(own_classes._classes, "Nearest")
    assert guarded(dispatch, words) == 2
    said = capsys.readouterr().err
    assert "own_models:Nearest, and it is not in this process. Import it first" in said
    with pytest.raises(UserError, match="Import it first"):
        recbole_dmf.load(folder)
    with pytest.raises(UserError, match="Import it first"):
        recbole_dmf.run_recbole(resume=folder)
    again = recbole_dmf.run_recbole("own_models:Nearest", resume=folder)  # the user names it
    assert again["folder"] == folder


def test_a_comparison_takes_classes(tiny, tmp_path):
    words = [
        "compare",
        "--dataset=tiny",
        "--models=ItemPop,own_models:Nearest,own=own_models:Nearest",
        "--seeds=1",
    ]
    words += [f"--data_path={tiny}", f"--results={tmp_path / 'table'}", "--epochs=1"]
    assert guarded(dispatch, words) == 0
    runs = tmp_path / "table" / "runs"
    named, plain = (
        json.loads((runs / f"{label}-seed1" / "result.json").read_text())
        for label in ("own", "Nearest")
    )
    assert (named["label"], named["model"]) == ("own", "Nearest")
    assert (plain["label"], plain["metrics"]) == ("Nearest", named["metrics"])


def test_a_preset_of_the_parent(tiny):
    options = {"data_path": str(tiny), "preset": "dmf-author-code"}
    config = build_config(own_models.NegatedDMF, "tiny", None, options)
    assert (config["model"], config["init"]) == ("NegatedDMF", "xavier")
    with pytest.raises(UserError, match="is of DMF, not of Nearest"):
        build_config(own_models.Nearest, "tiny", None, options)
