import csv
import json

import numpy as np
import pandas as pd
import pytest

from finished_runs import HARD_IDS
from recbole_dmf.cli import dispatch, guarded
from recbole_dmf.commands.recommend import main, parser, print_frame
from recbole_dmf.errors import UNKNOWN_USERS, UserError
from recbole_dmf.serving.recommend import Recommender


def test_ids_as_users_write_them(hard_run, capsys):
    for user in ("a,b", "007", "x" * 500):
        assert main([f"--checkpoint={hard_run}", "--user", user, "--topk=2"]) == 0
        lines = capsys.readouterr().out.splitlines()[2:]
        assert [line.startswith(user + " ") for line in lines] == [True, True]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_ids_survive_every_output(suffix, hard_run, tmp_path):
    if suffix == "parquet":
        pytest.importorskip("pyarrow", reason="Parquet needs the extra `parquet`")
    (tmp_path / "users.txt").write_text("\n".join(HARD_IDS), encoding="utf-8")
    file = tmp_path / f"out.{suffix}"
    users = f"--users={tmp_path / 'users.txt'}"
    argv = [f"--checkpoint={hard_run}", "--topk=1000", "--include-seen", users]
    assert main([*argv, f"--output={file}"]) == 0
    if suffix == "csv":
        with file.open(encoding="utf-8", newline="") as stream:
            written = pd.DataFrame(list(csv.DictReader(stream)))
    elif suffix == "jsonl":
        lines = file.read_text(encoding="utf-8").splitlines()
        written = pd.DataFrame([json.loads(line) for line in lines])
    else:
        written = pd.read_parquet(file)
    found = Recommender.load(hard_run).recommend(HARD_IDS, k=1000, exclude_seen=False)
    assert list(written) == list(found)
    for name in ("user_id", "item_id"):
        assert written[name].tolist() == found[name].tolist()
    assert written["rank"].astype(int).tolist() == found["rank"].tolist()
    assert np.array_equal(written["score"].astype(np.float32), found["score"])


def test_an_empty_table_has_its_header(capsys):
    print_frame(pd.DataFrame({name: [] for name in ("user_id", "item_id", "rank", "score")}))
    assert capsys.readouterr().out.split()[:4] == ["user_id", "item_id", "rank", "score"]


def test_command_line_chooses_users(folder_of, load, capsys, tmp_path):
    folder, recommender = folder_of("DMF-cosine"), load("DMF-cosine")
    file = tmp_path / "out.csv"
    common = [f"--checkpoint={folder}", "--topk", "3", f"--output={file}"]
    everybody = recommender.users[1:].tolist()
    for argv, users in ((["--user=u1,u2"], ["u1", "u2"]), (["--all"], everybody)):
        assert main([*common, *argv]) == 0
        written = pd.read_csv(file, dtype={"user_id": str, "item_id": str})
        expected = recommender.recommend(users, k=3)
        pd.testing.assert_frame_equal(written, expected, check_dtype=False, rtol=1e-6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv"]
    assert "recommendations written to" in capsys.readouterr().out


@pytest.mark.parametrize("how", ["user", "users"])
def test_unknown_users_are_named_and_the_others_answered(how, folder_of, load, capsys, tmp_path):
    asked = ["nobody", "u1", "x", "u2", "x"]
    (tmp_path / "users.txt").write_text("\n".join(asked), encoding="utf-8")
    words = {"user": f"--user={','.join(asked)}", "users": f"--users={tmp_path / 'users.txt'}"}
    out = tmp_path / "out.csv"
    argv = ["recommend", f"--checkpoint={folder_of('DMF-cosine')}", "--topk=4", words[how]]
    assert guarded(dispatch, [*argv, f"--output={out}"]) == UNKNOWN_USERS
    printed = capsys.readouterr()
    assert "2 of 4 users are unknown" in printed.err
    assert "'nobody', 'x';" in printed.err
    written = pd.read_csv(out, dtype={"user_id": str, "item_id": str})
    expected = load("DMF-cosine").recommend(["u1", "u2"], k=4)
    pd.testing.assert_frame_equal(written, expected, check_dtype=False, rtol=1e-6)


def test_command_line_takes_a_history(folder_of, load, capsys, tmp_path):
    history = {"i1": 5, "i2": 3.5}
    (tmp_path / "h.json").write_text(json.dumps({**history, "nowhere": 1}), encoding="utf-8")
    folder = folder_of("DMF-cosine")
    expected = load("DMF-cosine").recommend(history=history, k=4)
    for text in (json.dumps(history), f"@{tmp_path / 'h.json'}"):
        assert main([f"--checkpoint={folder}", "--topk=4", "--history", text]) == 0
        printed = capsys.readouterr()
        rows = [line.split() for line in printed.out.splitlines()]
        assert rows[0] == ["item_id", "rank", "score"]
        assert [row[0] for row in rows[2:]] == expected["item_id"].tolist()
        assert ("'nowhere'" in printed.err) == text.startswith("@")


def test_help_needs_nothing(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    assert main([]) == 0
    assert capsys.readouterr().out == parser().format_help() * 2


BAD_COMMANDS = {
    "no checkpoint": (["--user=u1"], "no --checkpoint"),
    "nobody": (["--checkpoint={run}"], "one of the arguments --user"),
    "user and all": (["--checkpoint={run}", "--user=u1", "--all"], "not allowed with"),
    "unknown users": (["--checkpoint={run}", "--user=nobody,x"], "'nobody' .*nor are 1 more"),
    "empty user": (["--checkpoint={run}", "--user="], "user '' is not among"),
    "unknown option": (["--checkpoint={run}", "--usr=u1"], "did you mean user"),
    "stray word": (["--checkpoint={run}", "--all", "u1"], "unrecognized arguments: u1"),
    "topk is 0": (["--checkpoint={run}", "--all", "--topk=0"], "k is 0"),
    "topk is text": (["--checkpoint={run}", "--all", "--topk=ten"], "--topk is 'ten'"),
    "topk is huge": (["--checkpoint={run}", "--all", "--topk=" + "9" * 5000], "--topk"),
    "topk is no ASCII digit": (["--checkpoint={run}", "--all", "--topk=²"], "--topk"),
    "unknown device": (["--checkpoint={run}", "--all", "--device=tpu9"], "no device"),
    "broken JSON": (["--checkpoint={run}", '--history={{"i1": '], "not JSON"),
    "JSON list": (["--checkpoint={run}", '--history=["i1"]'], "one JSON object"),
    "Python instead of JSON": (["--checkpoint={run}", "--history={{'i1': 5}}"], "not JSON"),
    "JSON NaN": (["--checkpoint={run}", '--history={{"i1": NaN}}'], "is nan"),
    "JSON infinity": (["--checkpoint={run}", '--history={{"i1": 1e999}}'], "is inf"),
    "JSON twice": (["--checkpoint={run}", '--history={{"i1": 1, "i1": 2}}'], "twice"),
    "JSON too deep": (["--checkpoint={run}", "--history=" + "[" * 100_000], "not JSON"),
    "JSON empty": (["--checkpoint={run}", "--history={{}}"], "at least one"),
    "history file missing": (["--checkpoint={run}", "--history=@{tmp}/no.json"], "cannot read"),
    "users file missing": (["--checkpoint={run}", "--users={tmp}/no.txt"], "cannot read"),
    "users file empty": (["--checkpoint={run}", "--users={tmp}/empty.txt"], "names no user"),
    "users file binary": (["--checkpoint={run}", "--users={tmp}/latin.txt"], "not UTF-8"),
    "users file is a folder": (["--checkpoint={run}", "--users={tmp}"], "cannot read"),
    "other suffix": (["--checkpoint={run}", "--all", "--output={tmp}/a.xlsx"], "end in .csv"),
    "no suffix": (["--checkpoint={run}", "--all", "--output=a"], "end in .csv"),
    "no such folder": (["--checkpoint={run}", "--all", "--output={tmp}/no/a.csv"], "no folder"),
    "output is a folder": (["--checkpoint={run}", "--all", "--output={tmp}/d.csv"], "is a folder"),
    "name too long": (
        ["--checkpoint={run}", "--all", "--output={tmp}/" + "a" * 300 + ".csv"],
        "cannot write",
    ),
}


@pytest.mark.parametrize("case", BAD_COMMANDS)
def test_bad_commands(case, folder_of, tmp_path, capsys):
    argv, message = BAD_COMMANDS[case]
    (tmp_path / "empty.txt").write_text("\n\n")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    (tmp_path / "d.csv").mkdir()
    before = sorted(path.name for path in tmp_path.iterdir())
    places = {"run": folder_of("DMF-cosine"), "tmp": tmp_path}
    capsys.readouterr()  # what training says, where this test is the first to need the run
    with pytest.raises(UserError, match=message):
        main([word.format(**places) for word in argv])
    assert capsys.readouterr().out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_parquet_without_pyarrow(folder_of, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    argv = [f"--checkpoint={folder_of('DMF-cosine')}", "--all", f"--output={tmp_path}/a.parquet"]
    with pytest.raises(UserError, match=r"recbole-dmf\[parquet\]"):
        main(argv)
    assert not list(tmp_path.iterdir())
