"""The README's calls in a Jupyter kernel: they work, and their output is short and without bars."""

import nbformat
import pytest
from nbclient import NotebookClient

CELLS = (
    """from recbole_dmf import Recommender, run_recbole
options = {"data_path": "data", "epochs": 3, "checkpoint_dir": "saved"}
result = run_recbole("DMF", "tiny", None, options)""",
    """recommender = Recommender.load(result["folder"])
len(recommender.recommend("u1", 3))""",
    """from pathlib import Path
from recbole_dmf.experiments.compare import compare
from recbole_dmf.experiments.planned_runs import Column
given = {"data_path": "data", "checkpoint_dir": "saved"}
columns = [Column("ItemPop", "ItemPop", given), Column("DMF", "DMF", {**given, "epochs": 2})]
report, n_failed = compare(Path("results"), "two", "tiny", columns, [1], {})
n_failed""",
    """run_recbole("DMF", "no-such-data")""",
)


@pytest.fixture
def outputs(tiny, tmp_path):
    """What the cells show: (text of streams, value of the last line, error) for each."""
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    notebook = nbformat.v4.new_notebook(cells=cells)
    where = {"metadata": {"path": str(tmp_path)}}
    client = NotebookClient(notebook, kernel_name="python3", allow_errors=True, resources=where)
    client.execute()
    shown = []
    for cell in notebook.cells:
        streams = "".join(o.text for o in cell.outputs if o.output_type == "stream")
        values = [o.data["text/plain"] for o in cell.outputs if o.output_type == "execute_result"]
        errors = [o for o in cell.outputs if o.output_type == "error"]
        shown.append((streams, values, errors))
    return shown


@pytest.mark.slow
def test_calls_of_the_readme_in_a_notebook(outputs):
    (run, *_), (_, n_items, _), (compared, failed, _), (_, _, (refused,)) = outputs
    assert [errors for *_, errors in outputs[:3]] == [[], [], []]
    assert "epoch    3" in run
    assert "results in saved" in run
    assert len(run.splitlines()) < 30
    assert n_items == ["3"]
    assert "[2/2] DMF, seed 1" in compared
    assert failed == ["0"]
    for text in (run, compared):  # of progress bars and warnings
        assert "\r" not in text
        assert "it/s" not in text
        assert "Warning" not in text
    assert refused.ename == "UserError"
    assert "there is no data set 'no-such-data'" in refused.evalue
    assert refused.traceback == [f"error: {refused.evalue}"]
