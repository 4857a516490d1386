import csv
import json
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from comparison_folders import PLOTS, TABLES, edit_json, make_folder, make_run, written
from recbole_dmf.commands.report import main
from recbole_dmf.errors import UserError
from recbole_dmf.experiments import plots
from recbole_dmf.experiments.report import write_report

NASTY = "a_b & <i>50%</i> $x^2$ #1 \\ {~} [z] | `q` -- *"


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "c", {"ItemPop": 1.0, "DMF": 2.0, "EALS": None})


def rows_of(markdown, title):
    part = markdown.split(f"## {title}\n\n")[1].split("\n\n")[0]
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in part.splitlines()[2:]
    ]


class Page(HTMLParser):
    """Tags that are left open, addresses that a browser would fetch, and the text."""

    VOID = ("meta", "br", "hr", "img", "link")

    def __init__(self, text):
        super().__init__()
        self.open, self.addresses, self.tags, self.text, self.ids = [], [], [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "xlink:href", "data", "action"):
                self.addresses.append(value)
            if name == "id":
                self.ids.append(value)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.slow
def test_files_and_second_run_gives_the_same_bytes(folder):
    report = write_report(folder)
    expected = sorted(TABLES + (PLOTS if plots.available() else []))
    assert written(folder) == expected
    assert sorted(p.name for p in report.files) == expected
    assert report.warnings == ()
    before = {p.name: p.read_bytes() for p in report.files}
    write_report(folder)
    assert {p.name: p.read_bytes() for p in report.files} == before


@pytest.mark.slow
def test_table_figures(folder):
    write_report(folder)
    rows = rows_of((folder / "summary.md").read_text(), "Test, expected reading")
    assert [row[0] for row in rows] == ["ItemPop", "DMF", "EALS"]
    runs = [json.loads(p.read_text()) for p in sorted(folder.glob("runs/DMF*/result.json"))]
    values = [run["metrics"]["test"]["expected"]["hit@10"] for run in runs]
    mean, spread = np.mean(values), np.std(values, ddof=1)
    assert rows[1][1:3] == ["3", f"**{mean:.4f} ± {spread:.4f} \\***"]
    assert rows[1][3] == "0.687"
    assert float(rows[1][4].replace("\N{MINUS SIGN}", "-")) == pytest.approx(mean - 0.687, abs=5e-4)
    assert rows[0][3:5] == ["\N{EN DASH}"] * 2
    assert rows[2][1:3] == ["failed", "\N{EN DASH}"]


@pytest.mark.slow
def test_text_tells_what_a_reader_needs(folder):
    text = write_report(folder).text
    for part in (
        "Table 2 (ml-100k)",
        "EALS, seed 3 failed: Boom <b>& 50%",
        "cd" * 32,
        "ab" * 32,
        "Users tested: 60. Seeds: 1, 2, 3.",
        "recbole 1.2.1",
        "123,456",
        "Table 2, DMF-2-nce",
        "412",
        "permutation test",
    ):
        assert part in text
    assert max(len(line) for line in text.split("\n\n")[1].splitlines()) <= 120


@pytest.mark.slow
def test_expected_given_replaces_the_stored(folder):
    write_report(folder, expected={"ItemPop": {"hit@10": 0.5}})
    markdown = (folder / "summary.md").read_text()
    assert "0.687" not in markdown
    assert rows_of(markdown, "Test, expected reading")[0][3] == "0.500"


@pytest.mark.slow
def test_without_the_papers_figures_there_are_no_such_columns(folder):
    edit_json(folder / "comparison.json", expected={})
    assert "Paper" not in write_report(folder).text


@pytest.mark.slow
def test_page_stands_alone_and_is_well_formed(folder):
    write_report(folder)
    page = Page((folder / "report.html").read_text())
    assert page.open == []
    assert all(address.startswith("#") for address in page.addresses)
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert len(page.ids) == len(set(page.ids))
    assert {address[1:] for address in page.addresses} <= set(page.ids)
    style = (folder / "report.html").read_text().split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert page.tags.count("svg") == (3 if plots.available() else 0)
    assert "learning_rate" in page.text


@pytest.mark.slow
@pytest.mark.skipif(not plots.available(), reason="matplotlib is not installed")
def test_pngs_are_pictures_and_differ(folder):
    write_report(folder)
    pictures = [(folder / name).read_bytes() for name in PLOTS]
    assert all(p.startswith(b"\x89PNG") and len(p) > 10_000 for p in pictures)
    assert len(set(pictures)) == 3


@pytest.mark.slow
def test_special_characters_are_escaped(tmp_path):
    folder = make_folder(tmp_path / "c", {NASTY: 1.0, "__dunder": 2.0, "bad<script>": None})
    edit_json(folder / "comparison.json", title=NASTY)
    write_report(folder)
    page = Page((folder / "report.html").read_text())
    assert page.open == []
    assert not {"i", "script"} & set(page.tags)
    assert NASTY in page.text
    assert "bad<script>" in page.text
    tex = (folder / "summary.tex").read_text()
    assert (
        r"a\_b \& \textless{}i\textgreater{}50\%\textless{}/i\textgreater{} "
        r"\$x\textasciicircum{}2\$ \#1 \textbackslash{} "
        r"\{\textasciitilde{}\} {[}z] \textbar{} `q` -{}- *"
    ) in tex
    rows = rows_of((folder / "summary.md").read_text(), "Cost")
    assert len({len(row) for row in rows}) == 1
    assert "&lt;i>" in rows[0][0]
    assert "\\|" in rows[0][0]
    with (folder / "results.csv").open(newline="") as file:
        assert {row["model"] for row in csv.DictReader(file)} == {NASTY, "__dunder"}


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(tmp_path):
    folder = make_folder(tmp_path / "c", {NASTY: 1.0, "DMF": 2.0, "bad<script>": None})
    write_report(folder)
    (folder / "main.tex").write_text(
        "\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage{booktabs}\n"
        "\\begin{document}\\input{summary}\\end{document}\n"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.slow
def test_single_model_and_single_seed(tmp_path):
    folder = make_folder(tmp_path / "c", {"DMF": 2.0}, seeds=(5,))
    text = write_report(folder).text
    assert "+-" not in text
    assert "permutation test" not in text
    assert "**" not in (folder / "summary.md").read_text()


@pytest.mark.slow
def test_two_models_with_a_single_seed_are_tested(tmp_path):
    folder = make_folder(tmp_path / "c", {"A": 1.0, "B": 2.0}, seeds=(5,))
    text = write_report(folder).text
    assert "+-" not in text
    assert "permutation test" in text


@pytest.mark.slow
def test_identical_models_are_both_bold_and_unmarked(tmp_path):
    folder = make_folder(tmp_path / "c", {"A": 2.0}, seeds=(1,))
    shutil.copytree(folder / "runs" / "A-seed1", folder / "runs" / "B-seed1")
    edit_json(folder / "runs" / "B-seed1" / "result.json", label="B")
    edit_json(folder / "comparison.json", models=["A", "B"])
    write_report(folder)
    rows = rows_of((folder / "summary.md").read_text(), "Test, expected reading")
    assert rows[0][2] == rows[1][2]
    assert rows[0][2].startswith("**")
    assert "\\*" not in rows[0][2]


@pytest.mark.slow
def test_every_metric_and_k_that_was_asked_for_is_shown(tmp_path):
    more = [("mrr", 10), ("hit", 20), ("ndcg", 20), ("mrr", 20)]
    folder = make_folder(tmp_path / "c", {"A": 1.0, "DMF": 2.0}, seeds=(1,), more=more)
    names = ["hit@20", "ndcg@20", "mrr@20", "hit@10", "ndcg@10", "mrr@10"]
    edit_json(folder / "comparison.json", metrics=names)
    text = write_report(folder).text
    markdown = (folder / "summary.md").read_text()
    stored = json.loads((folder / "runs" / "DMF-seed1" / "result.json").read_text())["metrics"]
    for reading in ("sampled", "expected", "full"):
        row = rows_of(markdown, f"Test, {reading} reading, all metrics")[1]
        expected = [f"{stored['test'][reading][name]:.4f}" for name in names]
        assert [cell.strip("*") for cell in row] == ["DMF", *expected]
    for name in ("HR@20", "NDCG@20", "MRR@20", "HR@10", "NDCG@10", "MRR@10"):
        assert name in (folder / "summary.tex").read_text()
        assert name in (folder / "report.html").read_text()
        assert name in text
    # headline: the first K's first two; the paper's K = 10 is still set against ours
    header = markdown.split("## Test, expected reading\n\n")[1].splitlines()[0]
    assert header == (
        "| Model | Seeds | HR@20 | NDCG@20 | HR@10 | Paper | Diff. | NDCG@10 | Paper | Diff. |"
    )
    pairs = rows_of(markdown, "Each model against the best other model, per user")
    assert [row[1] for row in pairs] == ["HR@20", "NDCG@20"] * 2
    table = pd.read_csv(folder / "results.csv")
    mine = table[(table["model"] == "DMF") & (table["phase"] == "test")]
    value = mine.set_index(["metric", "reading"])["value"]
    for name in names:
        mean = stored["test"]["expected"][name]
        assert value[name, "expected"] == pytest.approx(mean, abs=1e-9)
    assert not mine.duplicated(["metric", "reading"]).any()


@pytest.mark.slow
def test_models_that_read_the_order_are_a_block_of_their_own(tmp_path):
    folder = make_folder(tmp_path / "c", {"R": 2.6, "A": 1.0, "B": 1.6, "S": 2.2}, seeds=(1, 2))
    for label in ("R", "S"):
        for run in (folder / "runs").glob(f"{label}-*"):
            edit_json(run / "result.json", reads_order=True)
    write_report(folder)
    markdown = (folder / "summary.md").read_text()
    rows = rows_of(markdown, "Test, expected reading")
    assert [row[0] for row in rows] == ["A", "B", "R", "S"]
    assert [row[2] for row in rows] == ["no", "no", "yes", "yes"]
    assert ["**" in row[3] for row in rows] == [False, True, True, False]
    pairs = rows_of(markdown, "Each model against the best other model, per user")
    against = {label: [row[2] for row in pairs if row[:2] == [label, "HR@10"]] for label in "ABRS"}
    assert against == {"A": ["B", "R"], "B": ["A", "R"], "R": ["S"], "S": ["R"]}
    assert "of its block" in markdown


@pytest.mark.slow
def test_models_that_are_fitted_once_have_no_best_epoch_and_no_invented_size(tmp_path):
    folder = make_folder(tmp_path / "c", {"ItemPop": 1.0, "New": 1.5, "DMF": 2.0}, seeds=(1,))
    edit_json(folder / "runs" / "ItemPop-seed1" / "result.json", parameters=1, best_epoch=6)
    new = folder / "runs" / "New-seed1"
    edit_json(new / "result.json", parameters=1682, best_epoch=None, epochs_run=0)
    (new / "history.csv").unlink()
    write_report(folder)
    rows = {row[0]: row[4:6] for row in rows_of((folder / "summary.md").read_text(), "Cost")}
    dash = "\N{EN DASH}"
    assert rows == {"ItemPop": [dash, dash], "New": ["1,682", dash], "DMF": ["123,456", "5"]}


@pytest.mark.slow
def test_model_without_epochs_and_one_user(tmp_path):
    folder = make_folder(
        tmp_path / "c", {"ItemPop": 2.0, "B": 1.0}, n_users=1, epochs=0, seconds=-1.0, seeds=(1,)
    )
    for run in folder.glob("runs/*"):
        (run / "history.csv").unlink()
    write_report(folder)
    assert "validation_curves.png" not in written(folder)


@pytest.mark.slow
def test_a_run_without_an_evaluated_epoch_needs_no_history(tmp_path):
    folder = make_folder(tmp_path / "c", {"DMF": 2.0}, seeds=(1,), epochs=8)
    (run,) = folder.glob("runs/*")
    (run / "history.csv").unlink()
    edit_json(run / "result.json", epochs_evaluated=0)
    write_report(folder)
    assert "validation_curves.png" not in written(folder)
    edit_json(run / "result.json", epochs_evaluated=8)
    with pytest.raises(UserError, match=r"history\.csv: no such file"):
        write_report(folder)


def test_curves_are_means_over_the_epochs_that_all_seeds_have():
    ran = [(np.arange(1, 4), 3), (np.arange(1, 6), 4), (np.array([1, 3, 5]), 3)]
    valid = [(epochs, epochs * 10.0 + seed, best) for seed, (epochs, best) in enumerate(ran)]
    epochs, values = plots.shared_epochs(valid)
    assert epochs.tolist() == [1, 3]
    assert values.tolist() == [[10, 30], [11, 31], [12, 32]]
    epochs, values = plots.shared_epochs(valid[1:2])
    assert epochs.tolist() == [1, 2, 3, 4, 5]
    assert values.shape == (1, 5)


@pytest.mark.slow
def test_seeds_that_stop_at_other_epochs_or_share_none_are_drawn(folder):
    history = folder / "runs" / "DMF-seed2" / "history.csv"
    rows = pd.read_csv(history)
    drawn = []
    for kept in (rows, rows[:3], rows.assign(epoch=rows["epoch"] + 100), rows[:0]):
        kept.to_csv(history, index=False)
        write_report(folder)
        drawn.append((folder / "validation_curves.png").read_bytes())
    assert len(set(drawn)) == 4


@pytest.mark.slow
def test_missing_and_unfinished_seeds_are_told(folder):
    shutil.rmtree(folder / "runs" / "DMF-seed3")
    (folder / "runs" / "DMF-seed2" / "result.json").unlink()
    report = write_report(folder)
    assert "1 of 3" in report.text
    assert "DMF, seed 2: not run yet" in report.text
    edit_json(
        folder / "comparison.json",
        failures=[{"model": "DMF", "seed": s, "message": "old"} for s in (1, 3)],
    )
    text = write_report(folder).text
    assert "DMF, seed 3 failed: old" in text
    assert "seed 1 failed" not in text  # it has been run since


@pytest.mark.slow
def test_other_candidates_are_a_loud_warning(folder):
    path = folder / "runs" / "DMF-seed2" / "result.json"
    edit_json(path, candidates_sha256={"valid": "ab" * 32, "test": "ef" * 32})
    report = write_report(folder)
    assert len(report.warnings) == 1
    assert "THE RUNS DO NOT SHARE THE TEST CANDIDATES" in report.text
    for name in ("summary.md", "report.html", "summary.tex"):
        assert "DO NOT SHARE THE TEST CANDIDATES" in (folder / name).read_text()
    assert "efefefefefef: DMF-seed2" in report.warnings[0]


@pytest.mark.slow
def test_a_run_of_no_listed_model_is_left_out_with_a_warning(folder):
    make_run(folder, "LFM", 1, 1.0)
    report = write_report(folder)
    assert "LFM-seed1" in report.warnings[0]
    assert "LFM" not in set(pd.read_csv(folder / "results.csv")["model"])


@pytest.mark.slow
def test_command(folder, capsys):
    assert main([str(folder)]) == 0
    out = capsys.readouterr().out
    assert "Table 2 (ml-100k)" in out
    assert str(folder / "report.html") in out
    (folder / "comparison.json").unlink()
    with pytest.raises(UserError, match=r"comparison\.json"):
        main([str(folder)])


@pytest.mark.slow
def test_without_matplotlib_the_page_says_how_to_get_plots(folder):
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from recbole_dmf.commands.report import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "recbole-dmf[report]" in done.stdout
    assert written(folder) == TABLES
    page = (folder / "report.html").read_text()
    assert "<code>pip install &#39;recbole-dmf[report]&#39;</code>" in page
