"""The blocks of models that read the order of time and of those that don't."""

import json
from dataclasses import replace

import pytest

from recbole_dmf.errors import UserError
from recbole_dmf.experiments import order_page
from recbole_dmf.experiments.order_page import (
    block_table,
    blocks_text,
    headline_table,
    read_block,
    verdict,
)
from recbole_dmf.experiments.plan import Column, Experiment

SUMMARY = """\
## Test, {reading} reading

## Each model against the best other model, per user

| Model | Metric | Against | Mean diff. | 95 % interval | p | p (Holm) | Over seeds |
|---|---:|---:|---:|---:|---:|---:|---:|
| {first} | HR@10 | {second} | +0.0200 | +0.0100 to +0.0300 | 0.0100 | 0.0300 \\* | \N{EN DASH} |
| {first} | NDCG@10 | {second} | +0.0100 | +0.0050 to +0.0150 | 0.0100 | {p} | \N{EN DASH} |
| {second} | NDCG@10 | {first} | -0.0100 | -0.0150 to -0.0050 | 0.0100 | {p} | \N{EN DASH} |

## Cost
"""


@pytest.fixture(autouse=True)
def two_columns(monkeypatch):
    """Experiments of two columns, which the folders here have measured."""
    columns = (Column("SAS_Rec", "SASRec", {}), Column("dmf-best", "DMF", {}))
    experiment = Experiment("title", "ours", columns, {}, {})
    monkeypatch.setattr(order_page, "read_experiment", lambda name: experiment)
    return experiment


def write_block(folder, first="SAS\\_Rec", p="0.0300 \\*", warm=None):
    folder.mkdir()
    second = "dmf-best"
    about = {"models": ["dmf-best", "SAS_Rec"], "deterministic": ["SAS_Rec"]}
    (folder / "comparison.json").write_text(json.dumps(about))
    lines = ["dataset,model,seed,phase,metric,reading,value"]
    for model, seed, hit, ndcg in [
        ("dmf-best", 1, 0.6, 0.40),
        ("dmf-best", 2, 0.7, 0.48),
        ("SAS_Rec", 1, 0.67, 0.45),
    ]:
        for reading in ("sampled", "expected", "full"):
            lines.append(f"d,{model},{seed},test,hit@10,{reading},{hit}")
            lines.append(f"d,{model},{seed},test,ndcg@10,{reading},{ndcg}")
        if warm is not None:
            lines.append(f"d,{model},{seed},test,hit@10,warm,.5")
            lines.append(f"d,{model},{seed},test,ndcg@10,warm,{warm[model]}")
        lines.append(f"d,{model},{seed},valid,ndcg@10,expected,.99")
        lines.append(f"d,{model},{seed},test,ndcg@5,expected,.01")
    (folder / "results.csv").write_text("\n".join(lines) + "\n")
    reading = "expected" if warm is None else "warm"
    text = SUMMARY.format(first=first, second=second, p=p, reading=reading)
    (folder / "summary.md").write_text(text)
    return folder


def test_a_block_is_read_from_its_files(tmp_path):
    first, second = read_block(write_block(tmp_path / "order-ml-100k"))
    assert (first.model, first.seeds) == ("SAS_Rec", "deterministic")
    assert (second.model, second.seeds) == ("dmf-best", "2")
    assert second.values["expected"] == pytest.approx((0.65, 0.44))
    assert (first.against, first.difference, first.p) == ("dmf-best", "+0.0100", "0.0300")
    assert first.differs


def test_who_is_ahead_is_said(tmp_path):
    rows = read_block(write_block(tmp_path / "order-ml-100k"))
    assert verdict("order", rows) == (
        "**SAS_Rec** is ahead of the other models of its block (against dmf-best: +0.0100, "
        "p = 0.0300 after Holm)."
    )
    rows = read_block(write_block(tmp_path / "order-ml-1m", p="0.4000"))
    assert verdict("order", rows).startswith("SAS_Rec is first, but not beyond chance")
    assert "| SAS_Rec | deterministic | .670 / .450 |" in block_table(rows)


def write_audit(folder, dataset, misleading=()):
    names = ["cold items", "rule: cold items first", "ties"]
    findings = [{"name": name, "misleads": name in misleading} for name in names]
    (folder / f"audit-{dataset}.json").write_text(json.dumps({"findings": findings}))


def test_nobody_is_ahead_in_a_block_that_is_not_complete(tmp_path, monkeypatch, two_columns):
    more = (*two_columns.columns, Column("GRU4Rec", "GRU4Rec", {}))
    monkeypatch.setattr(
        order_page, "read_experiment", lambda name: replace(two_columns, columns=more)
    )
    write_block(tmp_path / "order-ml-100k")
    write_audit(tmp_path, "ml-100k")
    assert "GRU4Rec not measured" in blocks_text(tmp_path)
    assert "**" not in blocks_text(tmp_path)
    assert "**" not in headline_table(tmp_path, {"ml-100k": "expected"})


def test_the_section_has_the_blocks_that_are_there(tmp_path):
    write_block(tmp_path / "order-ml-100k")
    write_block(tmp_path / "no-order-ml-100k", p="0.4000")
    write_block(tmp_path / "order-ml-1m")
    write_audit(tmp_path, "ml-100k")
    write_audit(tmp_path, "ml-1m", ["cold items", "ties"])
    text = blocks_text(tmp_path)
    assert text.index("The order of time, ml-100k") < text.index("The order of time, ml-1m")
    assert text.count("Reads the order.") == 2
    assert text.count("Doesn't read it.") == 1
    assert "amazon" not in text
    assert "mislead" not in text.split("The order of time, ml-1m")[0]
    assert "**Figures mislead ([audit](audit-ml-1m.json)): cold items, ties.**" in text
    assert "answers those of cold items, not ties." in text


def test_only_what_is_beyond_chance_is_bold_in_the_headline(tmp_path):
    write_block(tmp_path / "order-ml-100k")
    write_block(tmp_path / "no-order-ml-100k", p="0.4000")
    text = headline_table(tmp_path, {"ml-100k": "expected"})
    assert "| SAS_Rec | reads the order | **.670 / .450** |" in text
    assert "| SAS_Rec | doesn't | .670 / .450 |" in text


def test_the_first_is_that_of_the_reading_to_lead_with(tmp_path):
    warm = {"SAS_Rec": 0.30, "dmf-best": 0.31}  # the tests are of SAS_Rec's lead; expected, too
    write_block(tmp_path / "order-ml-100k", warm=warm)
    rows = read_block(tmp_path / "order-ml-100k")
    assert [row.model for row in rows] == ["dmf-best", "SAS_Rec"]
    assert rows[0].differs
    assert not rows[0].is_ahead
    assert "**" not in verdict("order", rows)
    assert "**" not in headline_table(tmp_path, {"ml-100k": "warm"})
    write_block(tmp_path / "no-order-ml-100k", warm={"SAS_Rec": 0.31, "dmf-best": 0.30})
    assert "**.500 / .310**" in headline_table(tmp_path, {"ml-100k": "warm"})


def test_a_folder_without_results_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no comparison that has run"):
        read_block(tmp_path)
