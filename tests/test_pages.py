"""The pages say what the data files say."""

import csv
import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
_spec = importlib.util.spec_from_file_location("pages", ROOT / "run_scripts" / "pages.py")
assert _spec is not None
assert _spec.loader is not None
pages = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(pages)


@pytest.mark.parametrize("name", ["results.md", "speed.md", "README.md"])
def test_a_page_is_what_its_data_files_give(name):
    drawn = {path.name: (path, text) for path, text in pages.pages().items()}
    path, text = drawn[name]
    assert path.read_text() == text, "run `python run_scripts/pages.py`"


def test_figures_are_means_over_seeds():
    folder = pages.MEASURED / "best-ml-100k"
    rows = csv.DictReader((folder / "results.csv").read_text().splitlines())
    values = [
        float(row["value"])
        for row in rows
        if [row[k] for k in ("model", "phase", "metric", "reading")]
        == ["dmf-best", "test", "ndcg@10", "expected"]
    ]
    assert len(values) == 3
    _, ndcg, seeds = pages.figures(folder)["dmf-best"]
    assert seeds == 3
    np.testing.assert_allclose(ndcg, np.mean(values))


def test_every_table_of_ml_1m_says_that_its_file_is_old():
    sections = re.split(r"^## ", pages.results_page(), flags=re.MULTILINE)[1:]
    about_ml_1m = [section for section in sections if "ml-1m" in section.splitlines()[0]]
    assert len(about_ml_1m) == 2
    assert all(pages.OLD_ML_1M in section for section in about_ml_1m)


def test_readme_shows_no_figure_of_ml_1m_and_can_be_read_to_the_end():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 150
    assert "ml-1m" not in pages.readme_table()
    assert "ml-100k" in pages.readme_table()


def test_links_lead_to_files():
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *pages.MEASURED.glob("*.md")]:
        for link in re.findall(r"\]\(([^)#]+)", path.read_text()):
            assert link.startswith("https://") or (path.parent / link).exists(), (path, link)


def test_a_readme_without_markers_is_refused():
    with pytest.raises(SystemExit, match="to put the table between"):
        pages.with_table("# recbole-dmf\n")
