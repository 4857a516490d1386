"""Presets: sets of options with a name, below the options that are given."""

import pytest

from recbole_dmf.cli import guarded
from recbole_dmf.config import build_config
from recbole_dmf.errors import UserError
from recbole_dmf.experiments.plan import TUNED, experiment_names, find_column, read_experiment
from recbole_dmf.host.properties import property_names, read_preset, shipped_properties
from recbole_dmf.run import run_recbole


@pytest.mark.parametrize("name", property_names("preset"))
def test_every_preset_trains_and_its_settings_are_the_run_s(tiny, tmp_path, name):
    options = {"preset": name, "data_path": str(tiny), "checkpoint_dir": str(tmp_path)}
    options |= {"epochs": 1, "use_gpu": False}
    result = run_recbole(None, "tiny", None, options)["result"]
    preset = {**read_preset(name), "epochs": 1}
    model = preset.pop("model")
    assert result["model"] == model
    assert {key: result["settings"].get(key, preset[key]) for key in preset} == preset


def test_the_paper_s_preset_is_the_default():
    defaults = shipped_properties("model", "DMF")
    preset = read_preset("dmf-paper")
    assert {key: defaults[key] for key in preset if key != "model"} | {"model": "DMF"} == preset


def test_given_options_win_over_a_preset(tiny):
    options = {"preset": "dmf-author-code", "mu": 1e-5, "data_path": str(tiny)}
    config = build_config(None, "tiny", None, options)
    assert config["mu"] == 1e-5
    assert config["init"] == "xavier"
    assert config["model"] == "DMF"


def test_a_preset_is_a_column_of_a_comparison():
    column = find_column("dmf-recbole", read_experiment(TUNED))
    assert (column.label, column.model) == ("dmf-recbole", "DMF")
    assert column.options == {"preset": "dmf-recbole"}


@pytest.mark.parametrize("name", experiment_names())
def test_the_options_of_every_column_go_together_on_every_data_set(ready, name):
    experiment = read_experiment(name)
    for column in experiment.columns:
        for dataset in ("another set", *experiment.settings):
            options = column.options | experiment.tuned(column, dataset)
            _, _, model = ready(column.model, **options)
            assert type(model).__name__ == column.model


@pytest.mark.parametrize(
    ("model", "preset", "message"),
    [
        (None, "dmf-papr", "did you mean dmf-paper"),
        ("EALS", "dmf-paper", "the preset dmf-paper is of DMF, not of EALS"),
        ("DMF", "../model/DMF", "there is no preset"),
        ("DMF", ["x"], "there is no preset"),
    ],
)
def test_presets_that_cannot_be_used(model, preset, message):
    with pytest.raises(UserError, match=message):
        build_config(model, "ml-100k", None, {"preset": preset})


def test_a_preset_runs_from_the_command_line(tiny, tmp_path, capsys):
    from recbole_dmf.cli import main_of

    argv = ["--preset=dmf-paper", "--dataset=tiny", f"--data_path={tiny}", "--epochs=1"]
    assert guarded(main_of("run"), [*argv, f"--checkpoint_dir={tmp_path}"]) == 0
    assert "DMF on tiny" in capsys.readouterr().out
