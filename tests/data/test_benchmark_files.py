"""Ready-made splits and candidates: their rules, and whole runs on exactly what the files say."""

import csv
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import random_rows, write_inter
from recbole_dmf import run_recbole
from recbole_dmf.commands import convert
from recbole_dmf.config import build_config
from recbole_dmf.data.benchmark_files import find_parts, part_names, split_parts
from recbole_dmf.errors import UserError
from recbole_dmf.host import lookup, properties
from recbole_dmf.prepare import prepare

pytestmark = pytest.mark.slow

TOKENS = np.array(["[PAD]", *(f"u{n}" for n in range(1, 9))])
HEADER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"


def ncf_files(folder, n_negatives=99, seed=0):
    """He et al.'s three files for 30 users and 150 items; returns (prefix, test, candidates)."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [(int(u[1:]), int(i[1:]), r, t) for u, i, r, t in random_rows(per_user=12)]
    items = np.unique([row[1] for row in rows])
    generator = np.random.default_rng(seed)
    test, train, candidates, lines = {}, [], {}, []
    for user in range(30):
        own = sorted((row for row in rows if row[0] == user), key=lambda row: row[3])
        train += own[:-1]
        test[user] = own[-1]
        unseen = np.setdiff1d(items, [row[1] for row in own])
        candidates[user] = generator.choice(unseen, n_negatives, replace=False).tolist()
        numbers = "\t".join(map(str, candidates[user]))
        lines.append(f"({user},{own[-1][1]})\t{numbers}\n")

    def text(part):
        return "".join("\t".join(map(str, row)) + "\n" for row in part)

    (folder / "x.train.rating").write_text(text(train))
    (folder / "x.test.rating").write_text(text(test.values()))
    (folder / "x.test.negative").write_text("".join(lines))
    return folder / "x.train.rating", test, candidates


@pytest.fixture
def ncf(tmp_path):
    """The data path of the data set `ready`, converted from NCF's files, and what they hold."""
    source, test, candidates = ncf_files(tmp_path / "raw")
    assert convert.main(["ncf", str(source), str(tmp_path / "data" / "ready")]) == 0
    return tmp_path / "data", test, candidates


def prepared(data_path, name="ready", **options):
    config = build_config("DMF", name, None, {"data_path": str(data_path), **options})
    dataset = lookup.load_dataset(config)
    return config, dataset, prepare(config, dataset)


def part(data_path, ending, name="ready"):
    return data_path / name / f"{name}.{ending}"


def edit(path, change):
    """Rewrite a file's lines (header first) with a function."""
    path.write_text("".join(change(path.read_text().splitlines(keepends=True))))


def test_ncf_files_are_evaluated_on_exactly_their_targets_and_candidates(ncf, tmp_path, capsys):
    data_path, test, candidates = ncf
    hashes = set()
    for model in ("DMF", "BPR"):
        options = {"data_path": str(data_path), "checkpoint_dir": str(tmp_path), "epochs": 2}
        found = run_recbole(model, "ready", config_dict={**options, "show_progress": False})
        with open(f"{found['folder']}/per_user.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert {r["user_id"]: r["item_id"] for r in rows} == {
            str(user): str(row[1]) for user, row in test.items()
        }
        assert all(int(r["sampled_above"]) + int(r["sampled_tied"]) <= 99 for r in rows)
        hashes.add(json.dumps(found["result"]["candidates_sha256"]))
        assert found["result"]["counts"]["train"] == 30 * 10
    assert len(hashes) == 1
    said = capsys.readouterr().out
    assert "ready-made split: ready.train.inter, ready.test.inter" in said
    assert "ready.test.candidates: 99 candidates per user" in said
    assert "one random training interaction of each of 30 users (split_seed 2020)" in said
    assert "test: the target is ranked among 99 candidates, in the expected reading as well" in said
    _, dataset, ready = prepared(data_path)
    phase = ready.phases["test"].candidates
    users = dataset.id2token("user_id", phase.user)
    for user, row in zip(users, phase.items, strict=True):
        assert sorted(map(int, dataset.id2token("item_id", row))) == sorted(candidates[int(user)])


def test_sampled_reading_is_of_the_files_candidates(ncf):
    """Scores that put exactly the file's candidates above everything else."""
    import torch

    _, _, ready = prepared(ncf[0])
    phase = ready.phases["test"]
    scores = torch.zeros(31, phase.n_items)
    own = torch.from_numpy(phase.candidates.target)
    users = torch.from_numpy(phase.candidates.user)
    scores[users[:, None], torch.from_numpy(phase.candidates.items)] = 1.0
    scores[users, own] = 0.5
    counts = phase.count(lambda user: scores[user].clone())
    assert (counts.sampled_above == 99).all()
    assert (counts.full_above == 99).all()
    assert (counts.full_tied == 0).all()
    assert (counts.n_candidates == 99).all()


def test_expected_reading_is_the_mean_over_draws_of_as_many_candidates(ncf):
    import torch

    from recbole_dmf.evaluation.evaluate import per_user
    from recbole_dmf.evaluation.metrics import expected_gain, gains

    _, _, ready = prepared(ncf[0])
    phase = ready.phases["test"]
    scores = torch.rand(31, phase.n_items, generator=torch.Generator().manual_seed(1))
    counts = phase.count(lambda user: scores[user].clone())
    place = counts.n_unseen, counts.full_above, counts.full_tied
    found = per_user(counts, "ndcg", 10)["expected"]
    np.testing.assert_allclose(found, expected_gain(gains("ndcg", 10), *place, 99), rtol=1e-12)
    assert np.abs(found - expected_gain(gains("ndcg", 10), *place, 100)).max() > 1e-4


def test_three_parts_are_used_as_they_are(tmp_path):
    rows = random_rows()
    groups = {
        name: [r for k, r in enumerate(rows) if (k % 12 in which)]
        for name, which in {"train": range(10), "valid": [10], "test": [11]}.items()
    }
    for name, own in groups.items():
        write_inter(tmp_path, own, "ready")
        (tmp_path / "ready" / "ready.inter").rename(part(tmp_path, f"{name}.inter"))
    config, dataset, ready = prepared(tmp_path)
    assert config["benchmark_filename"] == ["train", "valid", "test"]
    assert dataset.max_rating == 5
    for phase in ("valid", "test"):
        found = ready.phases[phase].candidates
        assert set(
            zip(
                dataset.id2token("user_id", found.user),
                dataset.id2token("item_id", found.target),
                strict=True,
            )
        ) == {(r[0], r[1]) for r in groups[phase]}
        assert found.items.shape == (30, 100)
    assert ready.counts["train"] == 300


def test_the_option_is_kept_beside_a_whole_file_and_repeated_by_a_runs_config(ncf):
    data_path, _, _ = ncf
    write_inter(data_path, random_rows(), "ready")
    assert find_parts(data_path / "ready", "ready") is None
    config, _, ready = prepared(data_path)
    assert config["benchmark_filename"] is None
    assert ready.counts["train"] == 300
    config, _, ready = prepared(data_path, benchmark_filename=["train", "test"])
    assert config["benchmark_filename"] == ["train", "test"]
    assert ready.phases["test"].candidates.items.shape == (30, 99)


def test_a_rating_scale_covers_all_parts(ncf):
    edit(
        part(ncf[0], "train.inter"),
        lambda lines: [lines[0], *(x.replace("\t5\t9", "\t4\t9") for x in lines[1:])],
    )
    assert prepared(ncf[0])[1].max_rating == 5


def test_users_without_training_interactions_are_tested(ncf):
    drop_user("train.inter", 4)(ncf[0])
    _, dataset, ready = prepared(ncf[0], candidate_items="raw")  # some items were only theirs
    assert "4" in dataset.id2token("user_id", ready.phases["test"].candidates.user)
    assert "4" not in dataset.id2token("user_id", ready.phases["valid"].candidates.user)
    assert ready.counts == {**ready.counts, "train": 29 * 10, "valid": 29, "test": 30}


def test_unusual_candidates_are_reported(ncf, caplog):
    data_path, test, candidates = ncf
    train = part(data_path, "train.inter").read_text().splitlines()
    seen = next(line.split("\t")[1] for line in train if line.startswith("0\t"))
    more = [f"0\t{candidates[0][0]}\n", f"1\t{test[1][1]}\n", f"0\t{seen}\n"]
    edit(part(data_path, "test.candidates"), lambda lines: lines + more)
    with caplog.at_level("INFO"):
        ready = prepared(data_path)[2]
    assert "99 to 100 candidates per user" in caplog.text
    assert "1 line(s) repeat another one of the same user and are ranked once" in caplog.text
    assert "1 line(s) are the left-out item itself" in caplog.text
    assert "1 line(s) are items that the user has interacted with" in caplog.text
    filled = ready.phases["test"].candidates.items >= 0
    assert filled.sum() == 30 * 99 + 1


def test_pairs_in_two_parts_stay_in_the_later_one(ncf, caplog):
    data_path, _, _ = ncf
    leak = part(data_path, "test.inter").read_text().splitlines(keepends=True)[1]
    edit(part(data_path, "train.inter"), lambda lines: [*lines, leak, lines[1]])
    with caplog.at_level("INFO"):
        ready = prepared(data_path)[2]
    assert "2 interaction(s) of train repeat a (user, item) pair of train or a later" in caplog.text
    assert ready.counts == {**ready.counts, "train": 300, "valid": 30, "test": 30}


def remove(ending):
    return lambda path: part(path, ending).unlink()


def append(ending, text):
    return lambda path: edit(part(path, ending), lambda lines: [*lines, text])


def drop_user(ending, user):
    return lambda path: edit(
        part(path, ending), lambda lines: [x for x in lines if not x.startswith(f"{user}\t")]
    )


def write(ending, text):
    return lambda path: part(path, ending).write_bytes(text.encode())


def copy_test_to_train(path):
    part(path, "train.inter").write_bytes(part(path, "test.inter").read_bytes())


def first_only(path):
    """One training interaction for each user: nothing to validate on."""
    seen = set()
    edit(
        part(path, "train.inter"),
        lambda lines: [
            x for x in lines if not (x.split("\t")[0] in seen or seen.add(x.split("\t")[0]))
        ],
    )


NAMED = {"benchmark_filename": ["train", "test"]}
BAD = {
    "no training part": (remove("train.inter"), {}, r"ready\.inter: no such file"),
    "a named part is missing": (remove("test.inter"), NAMED, r"ready\.test\.inter: no such file"),
    "an unknown part": (None, {"benchmark_filename": ["train", "tset"]}, r"tset\.inter: no such"),
    "one part": (None, {"benchmark_filename": ["train"]}, "two or three|give the middle"),
    "four parts": (None, {"benchmark_filename": ["a", "b", "c", "d"]}, "give the middle"),
    "the same part twice": (None, {"benchmark_filename": ["test", "test"]}, "give the middle"),
    "a text": (None, {"benchmark_filename": "train"}, "give the middle"),
    "a number": (None, {"benchmark_filename": [1, 2]}, "give the middle"),
    "a path": (None, {"benchmark_filename": ["train", "../x/test"]}, "give the middle"),
    "two test items": (append("test.inter", "0\t1\t3\t5\n"), {}, "user '0' has 2 interactions"),
    "an empty part": (write("test.inter", ""), {}, "test.inter is empty"),
    "only a header": (write("test.inter", HEADER), {}, "a header and no interactions"),
    "a bad number": (append("train.inter", "0\t1\tgood\t5\n"), {}, "train.inter, line 332"),
    "train is test": (copy_test_to_train, {}, "no training interaction is left"),
    "nothing to validate on": (first_only, {}, "no validation interaction is left|no training"),
    "a filter": (None, {"user_inter_num_interval": "[5,inf)"}, "would change the ready-made parts"),
    "RecBole's split": (None, {"eval_args": {"split": {"RS": [8, 1, 1]}}}, "three parts"),
    "unknown user": (append("test.candidates", "no\t1\n"), {}, "line 2972: user 'no' has"),
    "unknown item": (append("test.candidates", "0\tno\n"), {}, "line 2972: item 'no' has no inter"),
    "padding": (append("test.candidates", "0\t[PAD]\n"), {}, r"item '\[PAD\]' has no inter"),
    "a user without": (drop_user("test.candidates", 4), {}, "user '4' has a left-out .* but no"),
    "a user not tested": (drop_user("test.inter", 4), {}, "user '4' has candidates but no left"),
    "short line": (append("test.candidates", "0\n"), {}, "candidates, line 2972: 1 fields"),
    "empty id": (append("test.candidates", "0\t\n"), {}, "line 2972, column item_id: the id is"),
    "no header": (write("test.candidates", "0\t1\n"), {}, "line 1, column 1: '0' has no type"),
    "other columns": (write("test.candidates", "u:token\ti:token\n0\t1\n"), {}, "no column"),
    "no candidates": (write("test.candidates", ""), {}, "test.candidates is empty"),
    "Latin-1": (lambda p: part(p, "test.candidates").write_bytes(b"\xe9"), {}, "not valid UTF-8"),
    "full mode": (None, {"eval_args": {"mode": "full"}}, "eval_args.*|give uni100"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_parts_and_candidates_are_explained(ncf, case):
    damage, options, message = BAD[case]
    if "eval_args" in options:
        protocol = properties.shipped_properties("", "protocol")["eval_args"]
        options = {"eval_args": {**protocol, **options["eval_args"]}}
    if damage:
        damage(ncf[0])
    with pytest.raises(UserError, match=message):
        prepared(ncf[0], **options)


def test_part_names_are_read_from_lists_and_tuples():
    assert part_names(("train", "test")) == ["train", "test"]
    assert part_names(["a", "b", "c"]) == ["a", "b", "c"]


pairs = st.tuples(st.integers(1, 4), st.integers(1, 6))


@settings(deadline=None)
@given(st.lists(pairs, min_size=3, max_size=30), st.data())
def test_split_parts_has_each_pair_once_in_its_last_part(train, data):
    """Against a dictionary that keeps the last part of each pair."""
    test = data.draw(st.lists(pairs, min_size=1, max_size=4, unique_by=lambda pair: pair[0]))
    rows = np.array(train + test)
    parts = {"train": len(train), "test": len(test)}
    last = {tuple(pair): row for row, pair in enumerate(rows.tolist())}
    left = {row for row in last.values() if row < len(train)}
    users = [rows[row, 0] for row in left]
    several = {user for user in users if users.count(user) > 1}
    try:
        split, _ = split_parts(rows[:, 0], rows[:, 1], None, parts, 3, TOKENS)
    except UserError:
        assert not several  # so there is nothing to validate on
        return
    assert sorted(split.test) == list(range(len(train), len(rows)))
    assert set(split.train) | set(split.valid) == left
    assert not set(split.train) & set(split.valid)
    assert sorted(rows[split.valid, 0]) == sorted(several)
    again, _ = split_parts(rows[:, 0], rows[:, 1], None, parts, 3, TOKENS)
    assert all(np.array_equal(getattr(split, n), getattr(again, n)) for n in ("train", "valid"))


def test_the_latest_of_repeated_pairs_within_a_part_stays():
    user, item = np.array([1, 1, 1, 1, 1]), np.array([1, 1, 2, 3, 4])
    times = np.array([9.0, 5.0, 1.0, 1.0, 0.0])
    split, notes = split_parts(user, item, times, {"train": 4, "test": 1}, 0, TOKENS)
    assert set(split.train) | set(split.valid) == {0, 2, 3}
    assert "1 interaction(s) of train repeat" in notes[0]
