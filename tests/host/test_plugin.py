import subprocess
import sys

import pytest
import recbole.utils
import yaml

from recbole_dmf.errors import UserError
from recbole_dmf.host import lookup, plugin, properties
from recbole_dmf.host.compat.libraries import old_numpy_names_exist
from recbole_dmf.literals import load_yaml
from recbole_dmf.models.dmf import DMF


@pytest.fixture
def clean():
    """RecBole as it is without us; registered again afterwards."""
    plugin.unregister()
    yield
    plugin.register()


def test_recbole_finds_ours_and_the_built_in_beside_it():
    plugin.register()
    assert recbole.utils.get_model("DMF") is DMF
    built_in = recbole.utils.get_model("RecBoleDMF")
    assert built_in.__mro__[1].__module__ == "recbole.model.general_recommender.dmf"
    assert recbole.utils.get_trainer(None, "DMF").__module__ == "recbole_dmf.training.algorithm1"


def test_registering_twice_is_registering_once_and_can_be_taken_back(clean):
    from recbole.config import Config
    from recbole.data import dataset as datasets

    before = (recbole.utils.get_model("DMF"), datasets.Dataset, dict(vars(Config)))
    plugin.register()
    plugin.register()
    assert recbole.utils.get_model("DMF") is DMF
    plugin.unregister()
    after = (recbole.utils.get_model("DMF"), datasets.Dataset, dict(vars(Config)))
    assert after == before
    assert before[0] is not DMF


def test_without_registration_the_built_in_dmf_is_an_error(clean):
    with pytest.raises(UserError, match="built-in DMF would run instead of ours"):
        lookup.find_model("DMF")


@pytest.mark.slow
def test_child_process_gets_ours_from_the_public_names():
    program = (
        "from recbole_dmf import register; register(); import recbole.utils as u, sys;"
        "print(u.get_model('DMF').__module__, 'ray' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout.split() == ["recbole_dmf.models.dmf", "False"], result.stderr


@pytest.mark.parametrize("name", ["FM"])
def test_other_kinds_of_models_stay_as_recbole_has_them(clean, name, monkeypatch):
    from recbole.config import Config

    monkeypatch.setattr(sys, "argv", ["program"])  # RecBole reads any program's
    options = {"train_neg_sample_args": None} if name == "SASRec" else {}
    undo = old_numpy_names_exist()  # without them RecBole's Config ends in an error on NumPy 2
    before = Config(model=name, dataset="ml-100k", config_dict=dict(options)).final_config_dict
    undo()
    plugin.register()
    after = Config(model=name, dataset="ml-100k", config_dict=dict(options)).final_config_dict
    assert after == before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dmf", "did you mean DMF"),
        ("LightGNC", "did you mean LightGCN"),
        ("FM", "context model"),
        ("Zzzz", "known: "),
        ("xgboost", "there is no model"),
    ],
)
def test_models_that_cannot_run(name, message):
    with pytest.raises(UserError, match=message):
        lookup.find_model(name)


def test_all_listed_models_are_found():
    for name in lookup.model_names():
        assert lookup.find_model(name).__name__ == name


def test_recboles_own_dmf_settings_do_not_leak_into_ours(ready):
    config, _, _ = ready("DMF")
    assert "inter_matrix_type" not in config
    assert config["user_layers"] == [64, 64]
    assert config["learning_rate"] == 0.0001
    config, _, model = ready("RecBoleDMF")
    assert config["inter_matrix_type"] == "01"
    assert "user_layers" not in config
    assert type(model).__name__ == "RecBoleDMF"


def test_options_win_over_property_files(ready):
    config, _, _ = ready("DMF", learning_rate=0.5, max_rating=7)
    assert (config["learning_rate"], config["max_rating"]) == (0.5, 7)


def test_settings_of_a_model_on_a_data_set():
    assert properties.shipped_properties("dataset", "amazon-music")["model_settings"]["DMF"] == {
        "user_layers": [64, 128],
        "item_layers": [64, 128],
    }


def test_raw_catalogue_adds_the_ids_that_nobody_rated(tmp_path, ready):
    from conftest import write_inter

    rows = [
        (u, item, 3, t) for u in range(1, 6) for t, item in enumerate((1, 3, 7, 10, 2 * u + 10))
    ]
    folder = write_inter(tmp_path / "raw", rows)
    rated = ready(data_path=folder)[1]
    raw = ready(data_path=folder, candidate_items="raw")[1]
    assert rated.counts["items"] == 9
    assert raw.counts["items"] == 20
    assert raw.phases["test"].n_unseen.tolist() == [15] * 5
    write_inter(tmp_path / "raw", [*rows, (1, "seven", 3, 9)])
    with pytest.raises(UserError, match="whole numbers"):
        ready(data_path=folder, candidate_items="raw")


def test_duplicates_keep_the_latest_and_are_counted(tmp_path, ready, caplog):
    from conftest import random_rows, write_inter

    rows = random_rows()
    user, item, _, time = rows[0]
    again = [(user, item, 1, time - 5), (user, item, 2, time + 5), (user, item, 4, time + 5)]
    folder = write_inter(tmp_path / "twice", [again[0], *rows, *again[1:]])
    with caplog.at_level("WARNING"):
        _, prepared, _ = ready(data_path=folder)
    assert "3 of 363 interactions repeat" in caplog.text
    assert sum(prepared.counts[part] for part in ("train", "valid", "test")) == 360


def test_yaml_files_are_data(tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("a: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(UserError, match="YAML file of plain values"):
        load_yaml(bad)
    bad.write_text("- 1\n- 2\n")
    with pytest.raises(UserError, match="option: value"):
        load_yaml(bad)
    with pytest.raises(UserError, match="cannot read"):
        load_yaml(tmp_path / "none.yaml")
    bad.write_text("learning_rate: 1e-4\nlayers: [1, 2]\nname: 1e\n")
    assert load_yaml(bad) == {"learning_rate": 1e-4, "layers": [1, 2], "name": "1e"}


def property_files(folder):
    return sorted(path.name for path in properties.SHIPPED.joinpath(folder).iterdir())


@pytest.mark.parametrize("name", property_files("model"))
def test_every_default_of_a_model_names_its_type_and_source(name):
    text = properties.SHIPPED.joinpath("model", name).read_text(encoding="utf-8")
    settings = yaml.safe_load(text)
    plugin.register()
    lookup.find_model(name.removesuffix(".yaml"))
    for key in settings:
        line = next(line for line in text.splitlines() if line.startswith(f"{key}:"))
        comment = line.partition("#")[2].strip()
        assert comment.startswith("("), f"{key} in {name} has no type and source"


@pytest.mark.parametrize("name", property_files("dataset"))
def test_property_files_of_data_sets_know_their_options(name):
    from recbole_dmf.options import check_options

    plugin.register()
    settings = dict(properties.shipped_properties("dataset", name.removesuffix(".yaml")))
    for model, options in settings.pop("model_settings", {}).items():
        known = properties.default_settings(model, "other")
        check_options(options, known, properties.strict_options(model), name)
    check_options(settings, properties.default_settings("BPR", "other"), (), name)


def test_warnings_of_our_modules_are_errors():
    """As pyproject.toml has it; those of others are none of ours."""
    program = compile("import warnings\nwarnings.warn('old', DeprecationWarning)", "x", "exec")
    with pytest.raises(DeprecationWarning, match="old"):
        exec(program, {"__name__": "recbole_dmf.anything"})
    with pytest.warns(DeprecationWarning, match="old"):
        exec(program, {"__name__": "recbole.anything"})
