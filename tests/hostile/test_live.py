"""The hostile cases mean something, and a script in a result stays text."""

import json
import pickle
from pathlib import Path

import yaml

from hostile_trial import CODE, TAG, Bomb
from recbole_dmf import cli
from recbole_dmf.run import run_recbole


def test_the_bombs_are_live(tmp_path, monkeypatch):
    """What the trial says means something: loaded as RecBole loads them, they go off."""
    marker = tmp_path / "marker"
    monkeypatch.setenv("MARKER", str(marker))
    pickle.loads(pickle.dumps(Bomb()))  # noqa: S301
    assert marker.exists()
    marker.unlink()
    eval(CODE)  # noqa: S307
    assert marker.exists()
    marker.unlink()
    yaml.load(TAG, Loader=yaml.UnsafeLoader)
    assert marker.exists()


def test_a_script_in_a_comparison_is_text_in_the_report(tiny, tmp_path, capsys):
    options = {"data_path": str(tiny), "checkpoint_dir": str(tmp_path), "epochs": 0}
    found = run_recbole("ItemPop", "tiny", config_dict=options)
    folder, run = tmp_path / "compared", tmp_path / "compared" / "runs" / "a"
    run.parent.mkdir(parents=True)
    Path(found["folder"]).rename(run)
    script = "<script>alert(1)</script>"
    result = {**found["result"], "label": script}
    (run / "result.json").write_text(json.dumps(result))
    about = {"title": script, "dataset": "tiny", "models": [script], "seeds": [result["seed"]]}
    (folder / "comparison.json").write_text(json.dumps(about))
    assert cli.guarded(cli.dispatch, ["report", str(folder)]) == 0
    assert script not in (folder / "report.html").read_text()
    assert "&lt;script&gt;alert(1)" in (folder / "report.html").read_text()
