import pytest
import yaml

from recbole_dmf.errors import UserError
from recbole_dmf.experiments.option_sources import combine, search_folder, tuned_options
from recbole_dmf.experiments.plan import find_column, read_experiment


@pytest.fixture
def table2(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return read_experiment("table2")


def write_best(name, **options):
    folder = search_folder(name, "ml-100k")
    folder.mkdir(parents=True)
    (folder / "best.yaml").write_text("# recbole-dmf tune\n" + yaml.safe_dump(options))


def test_later_layers_win_and_each_option_is_named_with_its_source():
    options, line = combine(
        "A", [("search", {"k": 1, "l": 2}), ("the command line", {"l": 3}), ("--set", {"m": 4})]
    )
    assert options == {"k": 1, "l": 3, "m": 4}
    assert line == "A: k=1 from search; l=3 from the command line; m=4 from --set"
    assert combine("A", [("search", {})]) == ({}, "")


def test_ones_own_search_replaces_the_shipped_one_as_a_whole(table2):
    column = find_column("EALS", table2)
    source, options = tuned_options("EALS", column, table2, "ml-100k")
    assert "shipped" in source
    assert options["w0"] == 964.0
    write_best("EALS", model="EALS", dataset="ml-100k", data_path="x", seed=3, w0=5.0)
    source, options = tuned_options("EALS", column, table2, "ml-100k")
    assert source == "your search (results/tune-EALS-ml-100k/best.yaml)"
    assert options == {"w0": 5.0}
    assert tuned_options("eALS", column, table2, "ml-100k")[1] == {"w0": 5.0}  # the label
    assert tuned_options("EALS", column, table2, "ml-1m")[1]["w0"] == 284.0


def test_a_search_of_the_model_is_not_one_of_its_variants(table2):
    write_best("DMF", model="DMF", mu=0.5)
    nce, ce = (find_column(label, table2) for label in ("DMF-2-nce", "DMF-2-ce"))
    assert tuned_options("DMF-2-nce", nce, table2, "ml-100k")[1] == {"mu": 0.5}
    assert tuned_options("DMF-2-ce", ce, table2, "ml-100k")[1] == {}


@pytest.mark.parametrize("wrong", [{"model": "EASE"}, {"dataset": "ml-1m"}])
def test_another_search_in_the_folder_is_an_error(table2, wrong):
    write_best("EALS", **wrong)
    with pytest.raises(UserError, match=r"best\.yaml is of (model EASE|dataset ml-1m), not of"):
        tuned_options("EALS", find_column("EALS", table2), table2, "ml-100k")
