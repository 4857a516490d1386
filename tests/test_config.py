"""What a run's options come to: layers, partial mappings, and what is said of them."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from recbole.config import Config

from conftest import ML_100K, random_rows, write_inter
from recbole_dmf.config import build_config
from recbole_dmf.errors import UserError
from recbole_dmf.host import lookup
from recbole_dmf.host.recbole_evaluation import prepare_with_recbole
from recbole_dmf.options import merged
from recbole_dmf.prepare import prepare

pytestmark = pytest.mark.slow

PROTOCOL = {
    "split": {"LS": "latest_test_random_valid"},
    "group_by": "user",
    "order": "TO",
    "mode": {"valid": "uni100", "test": "uni100"},
}
RATIO = {"RS": [8, 1, 1]}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"mode": "uni200"}, {"mode": {"valid": "uni200", "test": "uni200"}}),
        ({"mode": {"valid": "uni20"}}, {"mode": {"valid": "uni20", "test": "uni100"}}),
        ({"split": RATIO, "order": "RO"}, {"split": RATIO, "order": "RO"}),
        ({"split": RATIO, "group_by": "none"}, {"split": RATIO, "group_by": "none"}),
        ({}, {}),
    ],
)
def test_keys_of_eval_args_that_nobody_names_are_the_protocols(given, expected, tmp_path):
    expected = {**PROTOCOL, **expected}
    file = tmp_path / "options.yaml"
    file.write_text(yaml.safe_dump({"eval_args": given}))
    assert build_config("DMF", "ml-100k", None, {"eval_args": given})["eval_args"] == expected
    assert build_config("DMF", "ml-100k", [file], None)["eval_args"] == expected
    plain = Config("DMF", "ml-100k", config_dict={"eval_args": given})  # RecBole's own, registered
    assert plain["eval_args"] == expected


def test_layers_add_up_and_the_later_one_wins(tmp_path):
    for name, args in (("a", {"mode": "uni20", "order": "RO"}), ("b", {"mode": {"test": "uni5"}})):
        (tmp_path / name).write_text(yaml.safe_dump({"eval_args": args}))
    files = [str(tmp_path / name) for name in "ab"]
    found = build_config("BPR", "ml-100k", files, {"eval_args": {"split": RATIO}})["eval_args"]
    assert found == {
        "split": RATIO,
        "order": "RO",
        "group_by": "user",
        "mode": {"valid": "uni20", "test": "uni5"},
    }
    options = {"protocol": "validation-latest", "eval_args": {"mode": "uni7"}}
    found = build_config("BPR", "ml-100k", None, options)["eval_args"]
    assert found["split"] == {"LS": "latest_test_latest_valid"}
    assert found["mode"] == {"valid": "uni7", "test": "uni7"}


def test_the_file_beside_the_data_is_a_layer_as_well(tmp_path):
    folder = write_inter(tmp_path, random_rows())
    (folder / "tiny" / "tiny.yaml").write_text("eval_args: {mode: uni20}\n")
    options = {"data_path": str(folder)}
    assert build_config("BPR", "tiny", None, options)["eval_args"] == {
        **PROTOCOL,
        "mode": {"valid": "uni20", "test": "uni20"},
    }
    options["eval_args"] = {"mode": {"test": "uni30"}}
    found = build_config("BPR", "tiny", None, options)["eval_args"]
    assert found["mode"] == {"valid": "uni20", "test": "uni30"}


def test_negatives_that_are_named_in_part_keep_the_models_number():
    options = {"train_neg_sample_args": {"distribution": "popularity"}}
    found = build_config("DMF", "ml-100k", None, options)["train_neg_sample_args"]
    assert (found["distribution"], found["sample_num"]) == ("popularity", 7)  # Sec. 4.1
    options = {"train_neg_sample_args": {"sample_num": 3}}
    found = build_config("DMF", "ml-100k", None, options)["train_neg_sample_args"]
    assert (found["distribution"], found["sample_num"]) == ("uniform", 3)
    assert build_config("DMF", "ml-100k")["train_neg_sample_args"]["sample_num"] == 7


def test_merging_changes_no_layer():
    below, above = {"eval_args": {"mode": "full"}, "k": [1]}, {"eval_args": {"mode": {"test": "a"}}}
    assert merged(below, above)["eval_args"] == {"mode": {"valid": "full", "test": "a"}}
    assert merged(below, {"eval_args": None})["eval_args"] is None
    assert below == {"eval_args": {"mode": "full"}, "k": [1]}
    assert above == {"eval_args": {"mode": {"test": "a"}}}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"splitt": RATIO}, "has the key 'splitt'; did you mean split"),
        ({"order": "RO"}, "eval_args.order is 'RO', but the split latest_test_random_valid"),
        ({"group_by": "none"}, "eval_args.group_by is 'none'"),
        ("full", "expects a mapping"),
    ],
)
def test_eval_args_that_would_not_be_followed_are_refused(args, message):
    with pytest.raises(UserError, match=message):
        build_config("DMF", "ml-100k", None, {"eval_args": args})


def test_unknown_keys_of_the_negatives_are_refused():
    with pytest.raises(UserError, match=r"has the key 'sample_nu'; did you mean sample_num"):
        build_config("DMF", "ml-100k", None, {"train_neg_sample_args": {"sample_nu": 3}})


def frame_of(path):
    frame = pd.read_csv(path, sep="\t")
    return frame.rename(columns=lambda name: name.partition(":")[0])


def test_uni200_draws_200_for_the_papers_targets(tmp_path):
    """On the command line, end to end; targets and numbers by pandas."""
    command = [sys.executable, "-m", "recbole_dmf.cli", "--model=ItemPop", "--dataset=ml-100k"]
    command += ["--eval_args={'mode': 'uni200'}", f"--checkpoint_dir={tmp_path}"]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    (folder,) = tmp_path.iterdir()
    result = json.loads((folder / "result.json").read_text())
    modes = {"valid": "uni200", "test": "uni200"}
    assert result["eval_args"] == {**PROTOCOL, "mode": modes}
    assert result["counts"] == {
        "users": 943,
        "items": 1682,
        "train": 100_000 - 2 * 943,
        "valid": 943,
        "test": 943,
    }
    assert "ranked among 200 candidates" in found.stdout
    rows = pd.read_csv(folder / "per_user.csv")
    assert (rows["n_candidates"] == 200).all()
    latest = frame_of(ML_100K).sort_values("timestamp", kind="stable").groupby("user_id").tail(1)
    assert dict(zip(rows.user_id, rows.item_id, strict=True)) == dict(
        zip(latest.user_id, latest.item_id, strict=True)
    )


def test_validation_and_test_have_numbers_of_their_own(tiny):
    options = {"data_path": str(tiny), "eval_args": {"mode": {"valid": "uni20"}}}
    config = build_config("BPR", "tiny", None, options)
    phases = prepare(config, lookup.load_dataset(config)).phases
    widths = {name: phase.candidates.items.shape[1] for name, phase in phases.items()}
    assert widths == {"valid": 20, "test": 100}
    options["eval_args"] = {"mode": {"valid": "full"}}
    config = build_config("BPR", "tiny", None, options)
    with pytest.raises(UserError, match=r"eval_args.mode is 'full' for valid; give uni100"):
        prepare(config, lookup.load_dataset(config))


def parts_of(eval_args, **options):
    options = {"metrics": ["Recall"], "valid_metric": "Recall@10", **options}
    config = build_config("BPR", "ml-100k", None, {"eval_args": eval_args, **options})
    prepared = prepare_with_recbole(config, lookup.load_dataset(config))
    dataset = prepared.train
    pairs = {}
    for name, loader in prepared.loaders.items():
        feat = loader._dataset.inter_feat
        users, items = (feat[field].numpy() for field in ("user_id", "item_id"))
        names = (dataset.field2id_token[f][x] for f, x in (("user_id", users), ("item_id", items)))
        pairs[name] = set(zip(*(column.astype(int).tolist() for column in names), strict=True))
    return pairs, prepared


def test_a_ratio_alone_keeps_the_order_of_time_exact():
    """80, 10 and 10 per cent of each user's interactions by 64-bit time, in the file's order."""
    pairs, prepared = parts_of({"split": RATIO})
    expected = {"train": set(), "valid": set(), "test": set()}
    for user, own in frame_of(ML_100K).groupby("user_id"):
        items = own.sort_values("timestamp", kind="stable").item_id.tolist()
        tenth = max(1, len(items) // 10)
        cuts = {"test": items[-tenth:], "valid": items[-2 * tenth : -tenth]}
        cuts["train"] = items[: -2 * tenth]
        for name, chosen in cuts.items():
            expected[name] |= {(user, item) for item in chosen}
    assert pairs == expected
    assert prepared.readings == {"valid": "sampled", "test": "sampled"}
    assert sum(prepared.counts[name] for name in expected) == 100_000


def test_a_random_ratio_is_as_large_as_it_says():
    pairs, prepared = parts_of({"split": {"RS": [6, 2, 2]}, "order": "RO", "mode": "full"})
    sizes = frame_of(ML_100K).groupby("user_id").size().to_numpy()
    fifth = np.floor(0.2 * sizes).astype(int)
    assert (len(pairs["valid"]), len(pairs["test"])) == (fifth.sum(), fifth.sum())
    assert prepared.readings == {"valid": "full", "test": "full"}


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({}, "cannot split or rank"),
        ({"RS": 8}, "should be a list"),
        ({"RS": [0, 0, 0]}, "cannot split or rank"),
        ({"XX": [8, 1, 1]}, "has not been implemented"),
        ({"LS": "latest_test"}, "has not been implemented"),
        (["RS"], "cannot split or rank|should be a dict"),
        ({"RS": [0.8, 0.1]}, "cannot split or rank"),
        ({"RS": [8, 2, 0]}, "leaves no interactions for test: .*for example {RS"),
        ({"RS": [1, 0, 0]}, "leaves no interactions for valid and test"),
        ({"LS": "test_only"}, "leaves no interactions for valid"),
    ],
)
def test_splits_that_nobody_knows(split, message):
    with pytest.raises(UserError, match=message):
        parts_of({"split": split})


def test_the_order_of_time_needs_a_time(tiny):
    options = {"data_path": str(tiny), "load_col": {"inter": ["user_id", "item_id"]}}
    options["eval_args"] = {"split": RATIO}
    config = build_config("BPR", "tiny", None, options)
    with pytest.raises(UserError, match="order is TO, but no timestamp is read; give order: RO"):
        prepare_with_recbole(config, lookup.load_dataset(config))
