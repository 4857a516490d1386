import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import recbole.model.sequential_recommender
import torch
from recbole.data.dataset import SequentialDataset
from recbole.data.interaction import Interaction

from conftest import random_rows, write_inter
from recbole_dmf.config import build_config
from recbole_dmf.data.history import N_EARLIER
from recbole_dmf.errors import UserError
from recbole_dmf.host.lookup import find_model, load_dataset, train_loader
from recbole_dmf.host.rebuild import rebuild
from recbole_dmf.host.sequential import NOT_RUNNABLE
from recbole_dmf.models.scores import all_scores
from recbole_dmf.prepare import prepare
from recbole_dmf.run import run_recbole
from recbole_dmf.serving.model_file import read_model_file

pytestmark = pytest.mark.slow

SMALL = {
    "RecentPop": {},
    "SequentialKNN": {},
    "SASRec": {"hidden_size": 8},
    "GRU4Rec": {"embedding_size": 8, "hidden_size": 8},
    "RecBoleSASRec": {"hidden_size": 8, "inner_size": 8},
    "FPMC": {"embedding_size": 8},
    "DMF": {"recent_items": 5},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_inter(tmp_path_factory.mktemp("data"), random_rows(n_items=130))


def options(data, tmp_path, name):
    paths = {"data_path": str(data), "checkpoint_dir": str(tmp_path)}
    return {**paths, "epochs": 1, "use_gpu": False, **SMALL[name]}


@pytest.fixture
def trained(data, tmp_path):
    """A function (model) -> (its Prepared, the model after an epoch)."""

    def make(name):
        config = build_config(name, "tiny", None, options(data, tmp_path, name))
        prepared = prepare(config, load_dataset(config))
        folder = run_recbole(name, "tiny", config_dict=options(data, tmp_path, name))["folder"]
        return prepared, rebuild(read_model_file(Path(folder)))

    return make


@pytest.mark.parametrize("name", [name for name in SMALL if name != "DMF"])
def test_later_items_change_no_score(name, trained):
    prepared, model = trained(name)
    feat = prepared.train.inter_feat
    user, n_earlier = feat[model.USER_ID], feat[N_EARLIER]
    some = torch.randperm(len(user), generator=torch.Generator().manual_seed(1))[:40]
    with torch.no_grad():
        before = all_scores(model, user[some], model.n_items, n_earlier[some]).clone()
        for row, place in enumerate(some.tolist()):
            kept = {n: v.clone() for n, v in vars(model).items() if n.startswith("history_")}
            start, end = model.history_start[user[place] : user[place] + 2].tolist()
            later = torch.arange(start + int(n_earlier[place]), end)
            model.history_item[later] = model.history_item[later].flip(0) % 7 + 1
            if hasattr(model, "history_time"):
                model.history_time[later] += 1e6
            after = all_scores(model, user[[place]], model.n_items, n_earlier[[place]])
            torch.testing.assert_close(after[0], before[row])
            vars(model).update(kept)


@pytest.mark.parametrize("name", ["SequentialKNN", "SASRec", "GRU4Rec", "RecBoleSASRec", "FPMC"])
def test_the_item_before_changes_the_scores(name, trained):
    _, model = trained(name)
    user = torch.tensor([1, 2, 3])
    known = torch.tensor([3, 5, 9])
    with torch.no_grad():
        before = all_scores(model, user, model.n_items, known).clone()
        last = model.history_start[user].long() + known - 1
        model.history_item[last] = model.history_item[last] % 7 + 1
        after = all_scores(model, user, model.n_items, known)
    assert (before != after).any(dim=1).all()


def test_sequences_are_those_of_recboles_augmentation(data, tmp_path):
    config = build_config("GRU4Rec", "tiny", None, options(data, tmp_path, "GRU4Rec"))
    prepared = prepare(config, load_dataset(config))
    loader = train_loader(config, prepared.train, prepared.sampler)
    names = [prepared.train.uid_field, prepared.train.iid_field, "item_id_list", "item_length"]
    ours = {tuple(row) for row in rows_of(loader, names)}
    assert len(ours) == 300 - 30  # the first item of a user has nothing before it

    frame = pd.DataFrame({n: prepared.train.inter_feat[n].numpy() for n in names[:2]})
    frame["timestamp"] = prepared.train.inter_feat[N_EARLIER].numpy().astype(float)
    theirs = SequentialDataset.__new__(SequentialDataset)
    vars(theirs).update(vars(prepared.train))
    theirs.max_item_list_len, theirs.item_list_length_field = 50, "item_length"
    theirs.inter_feat = Interaction({n: torch.tensor(frame[n].to_numpy()) for n in frame})
    theirs.data_augmentation()
    table = theirs.inter_feat
    assert ours == {tuple(row) for row in rows_of([table], names)}


def rows_of(batches, names):
    for batch in batches:
        columns = [np.array(batch[name]).reshape(len(batch), -1) for name in names]
        yield from np.hstack(columns).tolist()


def test_a_user_with_nothing_before_is_scored(trained):
    _, model = trained("GRU4Rec")
    with torch.no_grad():
        score = all_scores(model, torch.tensor([1, 2]), model.n_items, torch.tensor([0, -1]))
    assert torch.isfinite(score).all()
    torch.testing.assert_close(score[0], score[1])


@pytest.mark.parametrize("name", ["GRU4Rec", "RecBoleSASRec", "SASRec"])
def test_candidates_are_those_of_the_other_models(name, data, tmp_path):
    ours = run_recbole("ItemPop", "tiny", config_dict=options(data, tmp_path, "RecentPop"))
    theirs = run_recbole(name, "tiny", config_dict=options(data, tmp_path, name))
    assert theirs["result"]["candidates_sha256"] == ours["result"]["candidates_sha256"]
    for kind, metrics in theirs["result"]["metrics"]["test"].items():
        column = pd.read_csv(f"{theirs['folder']}/per_user.csv")[f"ndcg@10_{kind}"]
        assert column.mean() == pytest.approx(metrics["ndcg@10"])


def test_a_run_can_be_repeated_from_its_settings(data, tmp_path):
    first = run_recbole("GRU4Rec", "tiny", config_dict=options(data, tmp_path, "GRU4Rec"))
    again = run_recbole(config_file_list=[f"{first['folder']}/config.yaml"])
    assert again["result"]["metrics"] == first["result"]["metrics"]
    assert json.loads(json.dumps(again["result"]["settings"])) == first["result"]["settings"]


@pytest.mark.parametrize("name", sorted(NOT_RUNNABLE))
def test_models_that_need_more_than_ids_are_refused(name):
    there = hasattr(recbole.model.sequential_recommender, name)  # 1.2.0 lacks some
    with pytest.raises(UserError, match="needs item features" if there else "there is no model"):
        find_model(name)


def test_another_split_has_no_order(data, tmp_path):
    other = {"split": {"RS": [0.8, 0.1, 0.1]}, "group_by": "user", "order": "RO", "mode": "full"}
    with pytest.raises(UserError, match="SASRec needs the order of time"):
        run_recbole(
            "SASRec", "tiny", config_dict={**options(data, tmp_path, "SASRec"), "eval_args": other}
        )


def test_the_validation_before_test_by_its_property_file(data, tmp_path):
    config = build_config(
        "SASRec",
        "tiny",
        None,
        {**options(data, tmp_path, "SASRec"), "protocol": "validation-latest"},
    )
    dataset = load_dataset(config)
    user, time = (dataset.inter_feat[name].to_numpy() for name in ("user_id", "timestamp"))
    prepared = prepare(config, dataset)
    for part, place in (("test", -1), ("valid", -2)):
        rows = getattr(dataset.split, part)
        expected = [
            np.flatnonzero(user == u)[np.argsort(time[user == u])][place] for u in user[rows]
        ]
        assert rows.tolist() == expected
    assert (prepared.phases["valid"].n_earlier[1:] == 10).all()


def test_an_unknown_protocol_is_an_error(data, tmp_path):
    with pytest.raises(UserError, match="no protocol 'validation-last'; did you mean"):
        build_config("DMF", "tiny", None, {"protocol": "validation-last"})
