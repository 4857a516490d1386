"""Data sets without a property file, with one beside the data, and `init-dataset`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from conftest import random_rows, write_inter
from recbole_dmf.commands import check, init_dataset
from recbole_dmf.config import build_config
from recbole_dmf.datasets.check import check_folder
from recbole_dmf.errors import UserError
from recbole_dmf.host import lookup, properties
from recbole_dmf.literals import load_yaml
from recbole_dmf.run import run_recbole


def write(path, columns, rows=None):
    """Write the data set `shop` with the first columns of the rows."""
    header = ("user_id:token", "item_id:token", "rating:float", "timestamp:float")
    chosen = [k for k, name in enumerate(header) if name.split(":")[0] in columns]
    lines = ["\t".join(header[k] for k in chosen)]
    lines += ["\t".join(str(row[k]) for k in chosen) for row in rows or random_rows()]
    (path / "shop").mkdir(parents=True, exist_ok=True)
    (path / "shop" / "shop.inter").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path / "shop"


BOTH = ("user_id", "item_id", "rating", "timestamp")
IDS = BOTH[:2]


@pytest.fixture
def loaded(tmp_path, caplog):
    """A function (**options) -> (config, loaded data set) of `shop`, and what it said."""

    def load(model="DMF", **options):
        config = build_config(model, "shop", None, {"data_path": str(tmp_path), **options})
        caplog.clear()
        with caplog.at_level("INFO"):
            return config, lookup.load_dataset(config), caplog.text

    return load


def test_everything_is_taken_from_the_file(tmp_path, loaded):
    folder = write(tmp_path, BOTH)
    config, dataset, said = loaded()
    assert config["load_col"] == {"inter": list(BOTH)}
    assert dataset.max_rating == 5
    assert list(dataset.inter_feat.columns) == list(BOTH)
    assert dataset.inter_feat["rating"].min() == 1  # not normalised
    assert said.count("no property file for shop: rating scale 1..5 from the data; ") == 1
    assert f"`recbole-dmf init-dataset {folder}` writes it down" in said


def test_a_rating_scale_that_is_given_is_not_assumed(tmp_path, loaded):
    write(tmp_path, BOTH)
    config, _, said = loaded(max_rating=6)
    assert config["max_rating"] == 6
    assert "from the data" not in said


def test_columns_named_by_options_are_found(tmp_path, loaded):
    folder = write(tmp_path, BOTH)
    text = (folder / "shop.inter").read_text().replace("rating:float", "stars:float")
    (folder / "shop.inter").write_text(text.replace("\t", "|"))
    config, _, said = loaded(RATING_FIELD="stars", field_separator="|")
    assert config["load_col"]["inter"] == ["user_id", "item_id", "stars", "timestamp"]
    assert "rating scale 1..5" in said


def test_without_ratings_every_interaction_counts_as_1(tmp_path, capsys):
    write(tmp_path, IDS)
    options = {"data_path": str(tmp_path), "checkpoint_dir": str(tmp_path / "runs"), "epochs": 1}
    found = run_recbole("DMF", "shop", config_dict={**options, "show_progress": False})
    said = capsys.readouterr().out
    assert "no column rating, so every interaction counts as 1 (Eq. 1)" in said
    assert "no timestamps, so the last row of each user is tested" in said
    last = {user: item for user, item, *_ in random_rows()}
    with open(f"{found['folder']}/per_user.csv", encoding="utf-8") as file:
        tested = dict(line.split(",")[:2] for line in file.read().splitlines()[1:])
    assert tested == last
    config = build_config("DMF", "shop", None, {"data_path": str(tmp_path)})
    from recbole_dmf.prepare import prepare

    prepared = prepare(config, lookup.load_dataset(config))
    model = lookup.find_model("DMF")(config, prepared.train)
    assert model.max_rating == 1.0


def test_the_file_beside_the_data_is_between_ours_and_the_users_options(tmp_path, loaded):
    folder = write(tmp_path, BOTH)
    (folder / "shop.yaml").write_text(
        "max_rating: 10\nlearning_rate: 1e-2\nmodel_settings:\n  DMF: {user_layers: [8, 4]}\n"
    )
    config, _, said = loaded()
    assert (config["max_rating"], config["learning_rate"]) == (10, 0.01)
    assert config["user_layers"] == [8, 4]
    assert config["load_col"]["inter"] == list(BOTH)  # still from the header
    assert "no property file" not in said
    config, _, _ = loaded(max_rating=7, user_layers=[6, 4])
    assert (config["max_rating"], config["user_layers"]) == (7, [6, 4])
    assert "user_layers" not in loaded("BPR")[0]


def test_the_file_beside_the_data_wins_over_the_one_we_ship(tmp_path):
    assert properties.shipped_properties("dataset", "ml-1m")["max_rating"] == 5
    data = write_inter(tmp_path, random_rows(), "ml-1m")
    (data / "ml-1m" / "ml-1m.yaml").write_text("max_rating: 9\n")
    config = build_config("DMF", "ml-1m", None, {"data_path": str(data)})
    assert config["max_rating"] == 9
    assert config["normalize_all"] is False


def test_a_runs_config_repeats_what_was_beside_the_data(tmp_path, loaded):
    folder = write(tmp_path, BOTH)
    (folder / "shop.yaml").write_text("max_rating: 10\n")
    options = {"data_path": str(tmp_path), "checkpoint_dir": str(tmp_path / "r"), "epochs": 1}
    found = run_recbole("ItemPop", "shop", config_dict=options)
    (folder / "shop.yaml").unlink()
    again = run_recbole(config_file_list=[f"{found['folder']}/config.yaml"])
    assert again["result"]["metrics"] == found["result"]["metrics"]
    assert load_yaml(Path(again["folder"]) / "config.yaml")["max_rating"] == 10


BAD_YAML = {
    "unknown option": ("max_ratin: 5\n", "did you mean max_rating"),
    "wrong type": ("normalize_all: 3\nepochs: many\n", "'epochs' in .*shop.yaml"),
    "another model's option": ("k: 3\n", "unknown option 'k'"),
    "python object": ("a: !!python/object/apply:os.system ['true']\n", "not a YAML file of plain"),
    "python name": ("max_rating: !!python/name:os.system\n", "not a YAML file of plain"),
    "a list": ("- 1\n", "option: value"),
    "no name": ("3: 4\n", "option: value"),
    "unclosed": ("load_col: {inter: [user_id\n", "not a YAML file"),
    "Latin-1": (b"max_rating: 5 # \xe9\n", "not a YAML file"),
    "model_settings": ("model_settings: [DMF]\n", "model_settings must be written"),
    "nested model_settings": ("model_settings: {DMF: 3}\n", "model_settings must be written"),
    "unknown model option": ("model_settings: {DMF: {user_layer: [1]}}\n", "mean user_layers"),
    "max_rating 0": ("max_rating: 0\n", "must be a positive number"),
    "max_rating too low": ("max_rating: 4\n", "5 is outside the scale 0 to 4"),
    "a column that is not there": ("load_col: {inter: [user_id, item_id, price]}\n", "price"),
    "load_col as text": ("load_col: text\n", "expects a mapping"),
}


@pytest.mark.parametrize("case", BAD_YAML)
def test_bad_files_beside_the_data_are_explained(tmp_path, loaded, case):
    content, message = BAD_YAML[case]
    folder = write(tmp_path, BOTH)
    (folder / "shop.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message):
        loaded()


def test_init_dataset_writes_what_a_run_would_assume(tmp_path, loaded, capsys):
    folder = write(tmp_path, BOTH)
    before, assumed, _ = loaded()
    assert init_dataset.main([str(folder)]) == 0
    text = (folder / "shop.yaml").read_text()
    assert text in capsys.readouterr().out
    assert yaml.safe_load(text) == {
        "load_col": {"inter": list(BOTH)},
        "max_rating": 5,
        "normalize_all": False,
    }
    for line in text.splitlines()[2:]:
        assert line.partition("#")[2].strip().startswith("(")
    after, _, said = loaded()
    assert "no property file" not in said
    assert after["load_col"] == before["load_col"]
    assert before["max_rating"] is None  # so the data's own is taken
    assert after["max_rating"] == assumed.max_rating == 5
    assert check.main([str(folder)]) in (0, 1)
    assert "shop.yaml" not in capsys.readouterr().out
    assert not list(folder.glob("*.tmp")) + list(folder.glob(".*"))


def test_init_dataset_of_implicit_data_and_half_stars(tmp_path):
    folder = write(tmp_path, IDS)
    init_dataset.main([str(folder)])
    content = yaml.safe_load((folder / "shop.yaml").read_text())
    assert content == {"load_col": {"inter": list(IDS)}, "normalize_all": False}
    assert "Eq. (1)" in (folder / "shop.yaml").read_text()
    write(tmp_path, BOTH, [(u, i, r / 2, t) for u, i, r, t in random_rows()])
    init_dataset.main([str(folder), "--force"])
    assert yaml.safe_load((folder / "shop.yaml").read_text())["max_rating"] == 2.5


def test_init_dataset_of_ready_made_parts(tmp_path):
    folder = write(tmp_path, BOTH)
    for part in ("test", "train"):
        (folder / f"shop.{part}.inter").write_bytes((folder / "shop.inter").read_bytes())
    (folder / "shop.inter").unlink()
    init_dataset.main([str(folder)])
    content = yaml.safe_load((folder / "shop.yaml").read_text())
    assert content["benchmark_filename"] == ["train", "test"]


def test_init_dataset_replaces_nothing_unasked(tmp_path):
    folder = write(tmp_path, BOTH)
    (folder / "shop.yaml").write_text("max_rating: 10\n")
    with pytest.raises(UserError, match=r"exists already.*--force"):
        init_dataset.main([str(folder)])
    assert (folder / "shop.yaml").read_text() == "max_rating: 10\n"


BAD_FOLDERS = {
    "no file": (None, r"shop\.inter: no such file"),
    "empty": ("", "is empty"),
    "no types": ("user_id\titem_id\n1\t2\n", "has no type"),
    "other names": ("u:token\ti:token\n1\t2\n", "no column 'user_id'"),
    "comma": ("user_id:token,item_id:token\n1,2\n", "separated by ','"),
    "zero": ("user_id:token\titem_id:token\trating:float\n1\t2\t0\n", "0 is outside ratings"),
    "text": ("user_id:token\titem_id:token\trating:float\n1\t2\tgood\n", "not a finite number"),
    "token rating": ("user_id:token\titem_id:token\trating:token\n1\t2\t3\n", "has to be float"),
    "no rows": ("user_id:token\titem_id:token\n", "no interactions"),
}


@pytest.mark.parametrize("case", BAD_FOLDERS)
def test_init_dataset_explains_and_writes_nothing(tmp_path, case):
    content, message = BAD_FOLDERS[case]
    folder = tmp_path / "shop"
    folder.mkdir()
    if content is not None:
        (folder / "shop.inter").write_text(content)
    with pytest.raises(UserError, match=message):
        init_dataset.main([str(folder)])
    assert not (folder / "shop.yaml").exists()


def test_init_dataset_needs_a_folder(tmp_path):
    with pytest.raises(UserError, match="is not a folder"):
        init_dataset.main([str(tmp_path / "none")])


def test_check_knows_the_options_itself(tmp_path, capsys):
    folder = write(tmp_path, BOTH)
    (folder / "shop.yaml").write_text("max_ratin: 5\nmodel_settings: {DMF: {mu: 0.1}}\n")
    assert check.main([str(folder)]) == 2
    said = capsys.readouterr().out
    assert "unknown option 'max_ratin'" in said
    assert "did you mean max_rating?" in said
    assert "model_settings" not in said
    found = check_folder(folder, known_options={"max_ratin", "model_settings"})
    assert "error" not in {finding.severity for finding in found}


@pytest.mark.slow
def test_help_is_light():
    program = (
        "import sys, json; from recbole_dmf.commands import check\n"
        "try: check.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(json.dumps(['torch' in sys.modules, 'recbole' in sys.modules]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=os.environ
    )
    assert json.loads(result.stdout.splitlines()[-1]) == [False, False], result.stderr
