"""The benchmark of a large catalogue, in small."""

import json

import pytest

from test_benchmark import benchmark


@pytest.mark.slow
def test_each_way_is_measured_and_the_exact_ones_agree(tmp_path):
    pytest.importorskip("faiss", reason="the benchmark measures the extra `faiss`")
    shown = benchmark(tmp_path, "--catalogue", "--size=150,6000,3000")
    found = json.loads((tmp_path / "out" / "catalogue.json").read_text())
    assert not [run["stopped"] for run in found["runs"].values() if "stopped" in run]
    recall = {row["way"]: row["recall"] for row in found["rows"]}
    assert len(recall) == 9
    for name in ("blocks", "whole rows", "RecBole", "IndexFlatIP"):
        exact = [value for way, value in recall.items() if name in way]
        assert exact == [pytest.approx(1, abs=1e-3)]
    assert all(0.1 < value <= 1 for value in recall.values())
    for row in found["rows"]:
        assert row["users"] == (150 if "FAISS" in row["way"] or "ours" in row["way"] else 64)
        assert row["way"] in shown
    expected = found["runs"]["catalogue_expected"]
    assert (expected["rows"]["users"], expected["blocks"]["users"]) == (64, 150)
    assert expected["largest_difference"] <= 2
    assert (tmp_path / "out" / "catalogue.png").is_file()
