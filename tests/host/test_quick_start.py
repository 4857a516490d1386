"""When the first half of the first test fails, torch loads RecBole's checkpoints again."""

import subprocess
import sys

import pytest
import torch
from recbole.config import Config

from recbole_dmf.errors import UserError
from recbole_dmf.host import plugin
from recbole_dmf.host.quick_start import (
    load_data_and_model,
    load_data_and_model_is_explained,
    ray_is_imported_late,
)
from recbole_dmf.run import run_recbole


@pytest.fixture
def pickled(tmp_path):
    """A checkpoint that holds an object, as RecBole's trainer writes them."""
    options = {"metrics": ["Hit"], "valid_metric": "Hit@10"}
    config = Config(model="BPR", dataset="ml-100k", config_dict=options)
    torch.save({"config": config, "state_dict": {}}, tmp_path / "BPR.pth")
    return tmp_path / "BPR.pth"


@pytest.mark.slow
def test_load_data_and_model_is_explained(pickled, monkeypatch):
    monkeypatch.delenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", raising=False)
    plugin.unregister()
    try:
        with ray_is_imported_late():
            from recbole import quick_start

        with pytest.raises(Exception, match=r"[Ww]eights"):
            quick_start.load_data_and_model(str(pickled))  # RecBole's own
        original = quick_start.load_data_and_model
        take_back = load_data_and_model_is_explained()
        with pytest.raises(UserError, match=r"recbole-dmf import-checkpoint .*BPR"):
            quick_start.load_data_and_model(str(pickled))
        assert quick_start.quick_start.load_data_and_model is load_data_and_model
        take_back()
        assert quick_start.load_data_and_model is original
        assert quick_start.quick_start.load_data_and_model is original
    finally:
        plugin.register()


@pytest.mark.slow
def test_before_and_after_the_import():
    program = (
        "import sys\n"
        "from recbole_dmf.host.quick_start import load_data_and_model_is_explained as explain\n"
        "take_back = explain()\n"
        "assert 'ray' not in sys.modules\n"
        "from recbole.quick_start import load_data_and_model as found\n"
        "import recbole.quick_start as package\n"
        "assert found.__module__ == 'recbole_dmf.host.quick_start', found\n"
        "assert package.quick_start.load_data_and_model is found\n"
        "assert package.run_recbole.__module__ == 'recbole.quick_start.quick_start'\n"
        "take_back()\n"
        "for owner in (package, package.quick_start):\n"
        "    assert owner.load_data_and_model.__module__ == 'recbole.quick_start.quick_start'\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_loads_the_file_instead(tiny, tmp_path):
    options = {"data_path": str(tiny), "checkpoint_dir": str(tmp_path / "runs"), "epochs": 1}
    folder = run_recbole("BPR", "tiny", config_dict=options)["folder"]
    for path in (folder, f"{folder}/model.pt"):
        with pytest.raises(UserError, match=rf"recbole_dmf\.load\('{folder}'\)"):
            load_data_and_model(path)
    with pytest.raises(UserError, match="no such file"):
        load_data_and_model(f"{folder}/none.pth")


@pytest.mark.slow
def test_ray_is_imported_late():
    """RecBole's own import of quick_start needs ray; `register` does without until it's used."""
    program = """if 1:
        import sys
        from recbole_dmf.host.plugin import register
        register()
        import recbole.quick_start as quick_start
        assert not [name for name in sys.modules if name.split(".")[0] == "ray"]
        assert quick_start.run_recbole and quick_start.objective_function
        sys.modules["ray"] = None  # as where it is not installed
        try:
            quick_start.quick_start.tune.report(loss=1)
        except ImportError:
            print("ray is asked for")
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "ray is asked for\n", done.stderr
