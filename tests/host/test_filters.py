"""RecBole's filters are left out where they shut nothing out, and nowhere else."""

import pandas as pd
import pytest
from recbole.data.dataset import Dataset

from conftest import random_rows, write_inter
from recbole_dmf.config import build_config
from recbole_dmf.host import lookup
from recbole_dmf.host.dataset import LeaveOneOutDataset

FILTERS = ("_filter_inter_by_user_or_item", "_filter_by_inter_num")


@pytest.fixture
def load(tmp_path):
    """A function (**options) -> the data set of a small file, filtered."""
    write_inter(tmp_path, random_rows(n_users=20, n_items=60), "shop")

    def loaded(**options):
        options = {"data_path": str(tmp_path), **options}
        return lookup.load_dataset(build_config("BPR", "shop", None, options))

    return loaded


@pytest.mark.parametrize(
    "options", [{}, {"item_inter_num_interval": "[3,inf)"}, {"user_inter_num_interval": "(5,20]"}]
)
def test_the_same_interactions_stay(load, monkeypatch, options):
    ours = load(**options).inter_feat
    for name in FILTERS:
        monkeypatch.delattr(LeaveOneOutDataset, name)
    pd.testing.assert_frame_equal(ours, load(**options).inter_feat)


def test_a_filter_that_is_asked_for_shuts_out(load):
    assert len(load(item_inter_num_interval="[4,inf)").inter_feat) < len(load().inter_feat)


def test_recbole_still_works_on_all_rows(load, monkeypatch):
    """The two filters of `LeaveOneOutDataset` go when RecBole's no longer work for nothing."""
    dataset = load()
    dropped, counted = [], []
    monkeypatch.setattr(
        pd.DataFrame, "drop", lambda frame, index, **how: dropped.append(len(index))
    )
    counter = "recbole.data.dataset.dataset.Counter"
    monkeypatch.setattr(counter, lambda rows=(): counted.append(len(rows)))
    monkeypatch.setattr(dataset, "_get_illegal_ids_by_inter_num", lambda **about: [])
    Dataset._filter_inter_by_user_or_item(dataset)
    Dataset._filter_by_inter_num(dataset)
    assert dropped == [0]
    assert counted == [len(dataset.inter_feat)] * 2
