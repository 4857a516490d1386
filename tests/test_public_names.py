"""The names that `import recbole_dmf` gives, and how much that import costs."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import recbole_dmf
from recbole_dmf.errors import UserError

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.parametrize("name", recbole_dmf.__all__)
def test_every_public_name_is_there_and_documented(name):
    found = getattr(recbole_dmf, name)
    assert inspect.getdoc(found)
    if name not in ("__version__", "DMF"):
        assert name in README.read_text(encoding="utf-8").partition("## From Python")[2]


def test_importing_the_package_imports_nothing_heavy():
    program = "import recbole_dmf, sys; print([n for n in ('torch', 'recbole', 'pandas') if n in "
    program += "sys.modules], sorted(set(recbole_dmf.__all__) - set(vars(recbole_dmf))))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    lazy = sorted(set(recbole_dmf.__all__) - {"__version__"})
    assert done.stdout.strip() == f"[] {lazy}", done.stderr
    with pytest.raises(AttributeError, match="no attribute 'Dmf'"):
        _ = recbole_dmf.Dmf


@pytest.mark.slow
def test_a_comparison_from_python(tiny, tmp_path, capsys):
    """The figures are those of each run alone with the same options."""
    folder = tmp_path / "table"
    report = recbole_dmf.compare(
        ["ItemPop", "near=ItemKNN"],
        "tiny",
        options={"data_path": str(tiny), "eval_args": {"mode": "uni50"}},
        own={"near": {"k": 5}},
        seeds=[1],
        results=folder,
    )
    assert all("Audit" in warning for warning in report.warnings)
    assert {path.name for path in report.files} >= {"results.csv", "report.html"}
    assert "near: " in capsys.readouterr().out
    for label, model, own in (("ItemPop", "ItemPop", {}), ("near", "ItemKNN", {"k": 5})):
        result = json.loads((folder / "runs" / f"{label}-seed1" / "result.json").read_text())
        options = {"data_path": str(tiny), "checkpoint_dir": str(tmp_path), "seed": 1, **own}
        options["eval_args"] = {"mode": "uni50"}
        alone = recbole_dmf.run_recbole(model, "tiny", config_dict=options)["result"]
        assert result["metrics"] == alone["metrics"]
        assert f"{alone['metrics']['test']['expected']['hit@10']:.4f}"[1:] in report.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"models": "ItemPop,DMF"}, "models must be a list of names"),
        ({"models": []}, "models must be a list of names"),
        ({"models": ["ItemPop", "ItemPop"]}, "given twice"),
        ({"models": ["ItemPop"], "own": {"DMF": {"mu": 1}}}, "DMF: no such model"),
        ({"models": ["ItemPopp"]}, "did you mean ItemPop"),
        ({"models": ["ItemPop"], "options": {"epoch": 1}}, "did you mean epochs"),
    ],
)
def test_comparisons_that_cannot_be_made(arguments, message, tiny, tmp_path):
    options = {"data_path": str(tiny), **arguments.pop("options", {})}
    with pytest.raises(UserError, match=message):
        recbole_dmf.compare(
            **arguments, dataset="tiny", options=options, results=tmp_path / "table"
        )
