"""The pages say what the data files say."""

import csv
import importlib
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(str(ROOT / "run_scripts"))
    pages = importlib.import_module("pages")


@cache  # drawing them tests differences over users anew
def drawn_pages():
    return {path.name: (path, text) for path, text in pages.pages().items()}


@pytest.mark.parametrize(
    "name", ["results.md", "speed.md", "README.md", "habits-ml-100k.md", "claims.md"]
)
def test_a_page_is_what_its_data_files_give(name):
    path, text = drawn_pages()[name]
    assert path.read_text() == text, "run `python run_scripts/pages.py`"


def test_figures_are_means_over_seeds():
    folder = pages.MEASURED / "order-ml-100k"
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


def section_of(folder):
    sections = re.split(r"^## ", drawn_pages()["results.md"][1], flags=re.MULTILINE)[1:]
    return next(section for section in sections if f"]({folder}/results.csv)" in section)


def test_tables_that_mislead_say_so_and_warm_figures_lead():
    for folder in pages.COMPARISONS:
        marked = "figures mislead, see the audit" in section_of(folder)
        assert marked == ("amazon-music" in folder or "raw" in folder)
    rows = csv.DictReader((pages.MEASURED / "table2-ml-1m-raw/results.csv").open())
    found = {(r["model"], r["metric"], r["reading"]): r["value"] for r in rows}
    hit, ndcg = (float(found["ItemPop", metric, "warm"]) for metric in ("hit@10", "ndcg@10"))
    line = f"| {pages.both_shares((hit, ndcg))} | "
    assert "| HR@10 / NDCG@10 warm | expected |" in section_of("table2-ml-1m-raw")
    assert line in section_of("table2-ml-1m-raw")


def test_readme_can_be_read_to_the_end():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_readme_has_ml_1m_of_the_file_with_all_its_times():
    lines = pages.readme_table().splitlines()
    [header] = [line for line in lines if "| order |" in line]
    [eals] = [line for line in lines if line.startswith("| eALS | doesn't")]
    shown = eals.split("|")[header.split("|").index(" ml-1m ")].strip()
    folder = pages.MEASURED / "no-order-ml-1m"
    assert shown == pages.both_shares(pages.figures(folder)["eALS"][:2])
    assert "Users tested: 6,040" in (folder / "summary.md").read_text()


def test_links_lead_to_files():
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *pages.MEASURED.glob("*.md")]:
        for link in re.findall(r"\]\(([^)#]+)", path.read_text()):
            assert link.startswith("https://") or (path.parent / link).exists(), (path, link)


def test_a_readme_without_markers_is_refused():
    with pytest.raises(SystemExit, match="to put the table between"):
        pages.with_table("# recbole-dmf\n")


def test_runs_that_were_best_at_the_end_are_named(tmp_path):
    assert pages.not_stopped(tmp_path) == ""
    head = "dataset,model,seed,epoch,valid_ndcg@10_expected,kept\n"
    stopped = "x,A,1,1,0.2,1\nx,A,1,2,0.1,0\n"
    rising = "x,B,1,1,0.1,0\nx,B,1,2,0.2,1\nx,B,2,1,0.3,1\nx,B,2,2,0.2,0\n"
    (tmp_path / "validation_curves.csv").write_text(head + stopped)
    assert pages.not_stopped(tmp_path) == ""
    (tmp_path / "validation_curves.csv").write_text(head + stopped + rising)
    assert pages.not_stopped(tmp_path).endswith("more may give more: B (1 of 2).\n")
