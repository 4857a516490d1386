import json
from pathlib import Path

import pytest
import yaml

from recbole_dmf.commands.reproduce import main
from recbole_dmf.config import build_config
from recbole_dmf.errors import UserError
from recbole_dmf.experiments.plan import (
    Column,
    experiment_names,
    find_column,
    read_experiment,
)
from recbole_dmf.experiments.planned_runs import check_labels

FILES = Path(__file__).parents[2] / "properties" / "experiment"
ALL = [
    (name, column, dataset)
    for name in experiment_names()
    for column in read_experiment(name).columns
    for dataset in read_experiment(name).expected or ["ml-100k"]
]


def test_the_files_are_the_experiments():
    assert experiment_names() == sorted(path.stem for path in FILES.glob("*.yaml"))
    assert "table2" in experiment_names()


@pytest.mark.parametrize("name", experiment_names())
def test_keys(name):
    content = yaml.safe_load((FILES / f"{name}.yaml").read_text())
    assert set(content) == {"title", "source", "columns", "settings", "expected"}
    check_labels(read_experiment(name).columns, {})
    for about in content["columns"].values():
        assert "model" in about
        assert set(about) <= {"model", "options"}
    for figures in content["expected"].values():
        assert set(figures) <= set(content["columns"])
        for values in figures.values():
            assert set(values) == {"hit@10", "ndcg@10"}
            assert 0 < values["ndcg@10"] < values["hit@10"] < 1


@pytest.mark.parametrize(
    ("name", "column", "dataset"), ALL, ids=[f"{n}-{c.label}-{d}" for n, c, d in ALL]
)
def test_columns_are_models_with_options_that_they_know(name, column, dataset):
    options = {**column.options, **read_experiment(name).tuned(column, dataset)}
    build_config(column.model, dataset, None, options)


def test_tuned_settings_of_models_without_a_column_are_known():
    for name in experiment_names():
        experiment = read_experiment(name)
        labels = {column.label for column in experiment.columns}
        for dataset, settings in experiment.settings.items():
            for label in set(settings) - labels:
                build_config(label, dataset, None, settings[label])


def test_table2_has_the_papers_figures():
    figures = read_experiment("table2").figures("ml-100k")
    assert figures["DMF-2-nce"] == {
        "hit@10": 0.687,
        "ndcg@10": 0.409,
        "source": "Xue et al., IJCAI 2017, Table 2, DMF-2-nce",
    }
    assert read_experiment("table2").figures("my-shop") == {}


def test_find_column():
    table2 = read_experiment("table2")
    assert find_column("EALS", table2).label == "eALS"
    assert find_column("DMF", table2).label == "DMF-2-nce"
    assert find_column("DMF-2-ce", table2).options == {"loss_type": "ce"}
    assert find_column("BPR", table2) == Column("BPR", "BPR", {})


def test_unknown_experiment():
    with pytest.raises(UserError, match="no experiment 'table22'; did you mean table2"):
        read_experiment("table22")
    with pytest.raises(UserError, match="no experiment"):
        read_experiment("../protocol")


@pytest.mark.slow
def test_command(tiny, tmp_path, capfd):
    folder = tmp_path / "c"
    argv = ["table2", "--dataset=tiny", "--seeds=1", f"--data_path={tiny}", f"--results={folder}"]
    argv += [
        "--models=ItemPop,DMF-2-ce,NeuMF-p",
        "--epochs=1",
        "--train_batch_size=1024",
        "--set",
        "DMF-2-ce.user_layers=[8, 4]",
    ]
    assert main([*argv, "DMF-2-ce.item_layers=[8, 4]", "NeuMF-p.pretrain_epochs=1"]) == 0
    about = json.loads((folder / "comparison.json").read_text())
    assert about["models"] == ["ItemPop", "NeuMF-p", "DMF-2-ce"]
    ce = json.loads((folder / "runs" / "DMF-2-ce-seed1" / "result.json").read_text())
    assert (ce["settings"]["loss_type"], ce["settings"]["user_layers"]) == ("ce", [8, 4])
    assert "Table 2 (tiny)" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--dataset=tiny"], "name the table first"),
        (["table2"], "--dataset is missing; table2 has the paper's figures for ml-100k"),
        (["ablation"], "--dataset is missing; ablation has the paper's figures for no data set"),
        (["table5", "--dataset=tiny", "--models=factors-8,f"], "table5 has no column 'f'; there"),
        (["table2", "--dataset=tiny", "--set", "EALS.w0=1"], "no such model; there are|eALS"),
        (["table2", "--dataset=tiny", "--epoch=1"], "unknown option 'epoch'"),
    ],
)
def test_command_lines_that_cannot_be_understood(argv, message):
    with pytest.raises(UserError, match=message):
        main(argv)


def test_help(capsys):
    assert main([]) == 0
    assert "table2" in capsys.readouterr().out
