"""Options of a data set as people write them: followed, or refused with what to write instead."""

import pytest

from conftest import random_rows, write_inter
from recbole_dmf.config import build_config
from recbole_dmf.errors import UserError
from recbole_dmf.host import lookup
from recbole_dmf.host.recbole_evaluation import prepare_with_recbole
from recbole_dmf.prepare import prepare

ROWS = random_rows(n_users=20, n_items=60)
USER, ITEM, RATING, TIME = "user_id:token", "item_id:token", "rating:float", "timestamp:float"


@pytest.fixture
def made(tmp_path):
    """A function (header, rows, **options) -> (config, Prepared) of a file with these columns."""

    def make(header, rows, model="BPR", **options):
        folder = tmp_path / "data" / "shop"
        folder.mkdir(parents=True, exist_ok=True)
        lines = ["\t".join(header), *("\t".join(map(str, row)) for row in rows)]
        (folder / "shop.inter").write_text("\n".join(lines) + "\n")
        options = {"data_path": str(tmp_path / "data"), **options}
        config = build_config(model, "shop", None, options)
        dataset = lookup.load_dataset(config)
        own = "RS" in config["eval_args"]["split"]
        return config, (prepare_with_recbole if own else prepare)(config, dataset)

    return make


def n_interactions(prepared):
    return sum(prepared.counts[part] for part in ("train", "valid", "test"))


LABELS = [USER, ITEM, "label:float"], [(u, i, int(r >= 3)) for u, i, r, _ in ROWS]
N_ZERO = sum(label == 0 for *_, label in LABELS[1])
READ = {"load_col": {"inter": ["user_id", "item_id", "label"]}}


def test_labels_that_are_not_read_are_said(made, caplog):
    _, prepared = made(*LABELS)
    assert n_interactions(prepared) == len(ROWS)
    assert "has a column label, which is not read, so every row counts as an interaction" in (
        caplog.text
    )


@pytest.mark.parametrize("split", [{}, {"split": {"RS": [8, 1, 1]}, "order": "RO"}])
def test_rows_of_label_0_are_no_interactions(made, split):
    said = rf"{N_ZERO} of {len(ROWS)} rows have label 0, and would count as interactions\. Leave "
    with pytest.raises(UserError, match=said + r"them out by val_interval: {label: '\(0,inf\)'}"):
        made(*LABELS, **READ, eval_args=split)
    _, prepared = made(*LABELS, **READ, val_interval={"label": "(0,inf)"}, eval_args=split)
    assert n_interactions(prepared) == len(ROWS) - N_ZERO


def test_a_threshold_makes_no_interactions_of_low_ratings(made):
    file = [USER, ITEM, RATING, TIME], ROWS
    said = rf"{N_ZERO} of {len(ROWS)} rows have label 0 by threshold, .*{{rating: '\[3,inf\)'}} in"
    with pytest.raises(UserError, match=said):
        made(*file, threshold={"rating": 3})
    _, prepared = made(*file, val_interval={"rating": "[3,inf)"})
    assert n_interactions(prepared) == len(ROWS) - N_ZERO


def test_unload_col_alone_reads_all_others(made):
    _, prepared = made([USER, ITEM, RATING, TIME], ROWS, unload_col={"inter": ["rating"]})
    assert set(prepared.train.inter_feat.columns) == {"user_id", "item_id", "timestamp"}
    latest = max((row for row in ROWS if row[0] == "u0"), key=lambda row: row[3])
    candidates = prepared.phases["test"].candidates
    place = prepared.user_ids[candidates.user].tolist().index("u0")
    assert prepared.item_ids[candidates.target[place]] == latest[1]


def test_ids_in_an_interval_are_a_list(made):
    kept = [f"i{n}" for n in range(30)]
    _, prepared = made([USER, ITEM, RATING, TIME], ROWS, val_interval={"item_id": kept})
    assert n_interactions(prepared) == sum(row[1] in kept for row in ROWS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"TIME_FIELD": "time"}, "TIME_FIELD is 'time', but there is no such column; there are"),
        ({"RATING_FIELD": "stars"}, "RATING_FIELD is 'stars', but there is no such column"),
        ({"load_col": {"item": ["item_id"]}}, r"Write it as {inter: \[user_id, item_id, \.\.\.\]}"),
        ({"load_col": {"inter": "user_id"}}, "load_col names no list of columns"),
        (
            {"load_col": {"inter": ["user_id", "item_id"]}, "unload_col": {"inter": ["rating"]}},
            "keep one of them",
        ),
        ({"user_inter_num_interval": "[100,inf)"}, "left after filtering; loosen val_interval"),
        ({"val_interval": {"rating": "[6,7]"}}, "left after filtering"),
        ({"val_interval": {"stars": "[3,5]"}}, "val_interval names 'stars', which is no column"),
        (
            {"val_interval": {"rating": ">3"}},
            r"has '>3', which is no interval; write .*'\[3,inf\)'",
        ),
        ({"val_interval": {"rating": "[5,3]"}}, "which is no interval"),
        ({"val_interval": "[3,5]; 4"}, "no interval|expects a mapping"),
        ({"user_inter_num_interval": 5}, "has 5, which is no interval"),
        ({"item_inter_num_interval": "[a,b]"}, "which is no interval"),
        ({"alias_of_user_id": ["friend"]}, "cannot read the data set shop .*correct the options"),
        ({"train_neg_sample_args": {"uniform": 2}}, "has the key 'uniform'; known: distribution,"),
        ({"train_neg_sample_args": {"sample_num": -5}}, "give a whole number of at least 1"),
        ({"train_neg_sample_args": {"sample_num": "x"}}, "give a whole number of at least 1"),
        ({"train_neg_sample_args": {"alpha": "x"}}, "has the alpha 'x'; give a number"),
        ({"train_neg_sample_args": {"distribution": "pop"}}, r"should in \['uniform', 'popularity"),
    ],
)
def test_what_would_be_passed_over_or_end_in_a_traceback(options, message, made):
    with pytest.raises(UserError, match=message):
        made([USER, ITEM, RATING, TIME], ROWS, **options)


def test_dmf_draws_no_dynamic_negatives(tmp_path):
    from recbole_dmf.run import run_recbole

    folder = write_inter(tmp_path / "data", ROWS)
    options = {"data_path": str(folder), "checkpoint_dir": str(tmp_path), "epochs": 1}
    options["train_neg_sample_args"] = {"dynamic": True, "candidate_num": 3}
    with pytest.raises(UserError, match="leave dynamic in train_neg_sample_args at False"):
        run_recbole("DMF", "tiny", config_dict=options)
