"""Sources that cannot be converted: each is answered, and none leaves an output."""

import gzip
import io
import os
import subprocess
import sys
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conversion import ROWS, convert, joined, rows_of, write_ncf, zipped
from recbole_dmf.data.atomic import read_inter
from recbole_dmf.datasets import archives
from recbole_dmf.errors import UserError

# ---- Bad sources: (name of the file, its bytes, options, part of the message)

GOOD_CSV = b"userId,movieId,rating,timestamp\n1,2,3,4\n"
TABLE_OPTIONS = ("--user=u", "--item=i", "--rating=r", "--timestamp=t")
BAD = {
    "empty": ("u.data", b"", (), "u.data is empty"),
    "short line": ("u.data", b"1\t2\t3\t4\n1\t2\t3\n", (), "line 2: 3 fields instead of 4"),
    "long line": ("ratings.dat", b"1::2::3::4::5\n", (), "line 1: 5 fields instead of 4"),
    "single colons": ("ratings.dat", b"1:2:3:4\n", (), "line 1: 1 fields instead of 4"),
    "text rating": ("u.data", b"1\t2\tx\t4\n", (), "line 1, column rating: 'x' is not a finite"),
    "NaN rating": ("u.data", b"1\t2\tnan\t4\n", (), "line 1, column rating: 'nan' is not"),
    "zero rating": ("u.data", b"1\t2\t3\t4\n1\t3\t0\t4\n", (), "line 2: rating 0"),
    "empty id": (
        "u.data",
        b"1\t2\t3\t4\n\t2\t3\t4\n",
        (),
        "line 2, column user_id: the id is empty",
    ),
    "text time": ("u.data", b"1\t2\t3\tnow\n", (), "line 1, column timestamp: 'now'"),
    "NUL": ("u.data", b"1\t2\t3\t4\n1\t\x00\t3\t4\n", (), "line 2: a NUL byte"),
    "Latin-1": ("u.data", b"1\t\xe9\t3\t4\n", (), "line 1: byte 0xe9 is not valid UTF-8"),
    "tab in csv": (
        "ratings.csv",
        GOOD_CSV + b"1\t,2,3,4\n",
        (),
        r"line 3: the user id '1\\t' has a",
    ),
    "wrong header": ("ratings.csv", b"a,b,c,d\n1,2,3,4\n", (), "line 1: 'a,b,c,d' instead of"),
    "header only": ("ratings.csv", GOOD_CSV[:32], (), "no interactions"),
    "no zip": ("x.zip", b"PK nonsense", (), "not a usable zip archive"),
    "no gzip": ("x.csv.gz", b"nonsense", (), "cannot be read: Not a gzipped file"),
    "cut gzip": ("x.jsonl.gz", gzip.compress(b"{}\n" * 999)[:-9], (), "cannot be read"),
    "unknown": ("x.bin", b"?", (), "format is not recognised"),
    "no JSON": ("x.json", b"{\n", (), "line 1: not JSON"),
    "no review": (
        "x.json",
        b'{"a": 1}\n',
        ("amazon",),
        "line 1: no review with the keys reviewerID",
    ),
    "JSON list": ("x.json", b"[1]\n", (), "line 1: one JSON array, not one object per line"),
    "JSON number": ("x.json", b"1\n", (), "line 1: not JSON.*not an object"),
    "review misses key": (
        "x.json",
        b'{"user_id": "a", "asin": "b", "rating": 1, "timestamp": 1}\n\n{"user_id": "a"}\n',
        (),
        "line 3: no review with the keys user_id, asin",
    ),
    "review's text rating": (
        "x.json",
        b'{"user_id": "a", "asin": "b", "rating": "good", "timestamp": 1}\n',
        (),
        "line 1: the rating 'good' is not a number",
    ),
    "review's user is null": (
        "x.json",
        b'{"user_id": null, "asin": "b", "rating": 1, "timestamp": 1}\n',
        (),
        "line 1: the user id is missing",
    ),
    "amazon?": ("x.csv", b"1,2,3,4\n", ("amazon",), "is not `user,item,rating,timestamp`"),
    "amazon columns": ("x.csv", b"user_id,rating\n1,2\n", ("amazon",), "line 1: columns user_id,"),
    "table misses column": ("x.csv", b"u,i\n1,2\n", TABLE_OPTIONS, "no column 'r'; there are u, i"),
    "table column twice": (
        "x.csv",
        b"u,i,i,r,t\n1,2,2,3,4\n",
        TABLE_OPTIONS,
        "more than one column",
    ),
    "table short": ("x.csv", b"u,i,r,t\n1,2,3\n", TABLE_OPTIONS, "row 1: the timestamp '"),
    "table long": (
        "x.csv",
        b"u,i,r,t\n1,2,3,4\n1,2,3,4,5\n",
        TABLE_OPTIONS,
        "Expected 4 fields in line 3, saw 5",
    ),
    "table long at once": (
        "x.csv",
        b"u,i,r,t\n1,2,3,4,5\n",
        TABLE_OPTIONS,
        "Expected 4 fields in line 2",
    ),
    "table other columns": (
        "x.csv",
        b"1,2\n",
        ("table", "--columns=user_id,item_id,r"),
        "line 1: 2 fields, but",
    ),
    "table text rating": ("x.csv", b"u,i,r,t\n1,2,x,4\n", TABLE_OPTIONS, "row 1: the rating 'x'"),
    "table date": ("x.csv", b"u,i,r,t\n1,2,3,2020-1-1\n", TABLE_OPTIONS, "--timestamp-format=%Y"),
    "table wrong date": (
        "x.csv",
        b"u,i,r,t\n1,2,3,2020-01-01\n1,3,3,2020-13-01\n",
        (*TABLE_OPTIONS, "--timestamp-format=%Y-%m-%d"),
        "row 2: the timestamp '2020-13-01' is not of the form %Y-%m-%d",
    ),
    "table bad format": (
        "x.csv",
        b"u,i,r,t\n1,2,3,2020-01-01\n",
        (*TABLE_OPTIONS, "--timestamp-format=%Q"),
        "--timestamp-format=%Q",
    ),
    "table Latin-1": ("x.csv", b"u,i,r,t\n\xe9,2,3,4\n", TABLE_OPTIONS, "not valid UTF-8"),
    "table line end in id": (
        "x.csv",
        b'u,i,r,t\n"a\nb",2,3,4\n',
        TABLE_OPTIONS,
        "row 1: the user id",
    ),
    "table open quote": ("x.csv", b'u,i,r,t\n"a,2,3,4\n', TABLE_OPTIONS, "not a table"),
    "table header only": ("x.csv", b"u,i,r,t\n", TABLE_OPTIONS, "no interactions"),
    "same column twice": ("x.csv", b"u,i\n1,2\n", ("--user=u", "--item=u"), "named twice"),
    "options of tables": ("u.data", b"1\t2\t3\t4\n", ("--user=u",), "--user is for tables"),
    "nothing left": (
        "u.data",
        b"1\t2\t3\t4\n",
        ("--min-item-interactions=5",),
        "no item has 5 interactions",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_source_is_answered_and_leaves_no_output(tmp_path, name):
    file, content, options, match = BAD[name]
    (tmp_path / file).write_bytes(content)
    format_ = [option for option in options if not option.startswith("-")]
    rest = [option for option in options if option.startswith("-")]
    with pytest.raises(UserError, match=match) as caught:
        convert(*format_, tmp_path / file, tmp_path / "out", *rest)
    assert str(caught.value).rstrip().endswith((".", ")", "`", "ta"))
    assert not (tmp_path / "out").exists()


def test_bad_sides_of_movielens(tmp_path):
    for name, line in (("movies.dat", "1::x\n"), ("users.dat", "1::F\n"), ("u.item", "1|x\n")):
        source = zipped(tmp_path / "x.zip", **{"ratings.dat": joined(ROWS, "::"), name: line})
        with pytest.raises(UserError, match=f"{name}, line 1: 2 fields instead of"):
            convert(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_bad_ncf(tmp_path):
    prefix = write_ncf(tmp_path)
    with pytest.raises(UserError, match="leave them out"):
        convert(prefix, tmp_path / "out", "--core")
    for text in ("0,26\t3\n", "(0;25)\t3\n", "junk\n"):
        (tmp_path / "x.test.negative").write_text(text)
        with pytest.raises(
            UserError, match=r"x\.test\.negative, line 1: .* is no \(user,item\) of"
        ):
            convert(prefix, tmp_path / "out")
    (tmp_path / "x.test.negative").unlink()
    with pytest.raises(UserError, match=r"x\.test\.negative: no such file"):
        convert(prefix, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_bad_calls(tmp_path):
    (tmp_path / "u.data").write_text(joined(ROWS, "\t"))
    with pytest.raises(UserError, match="no such file or folder"):
        convert(tmp_path / "nothing.zip", tmp_path / "out")
    with pytest.raises(UserError, match="name a source and a folder"):
        convert(tmp_path / "u.data")
    with pytest.raises(UserError, match="unknown format 'netflix'"):
        convert("netflix", tmp_path / "u.data", tmp_path / "out")
    with pytest.raises(UserError, match="is a file"):
        convert(tmp_path / "u.data", tmp_path / "u.data")
    with pytest.raises(UserError, match=r"no u\.data, ratings\.dat or ratings\.csv"):
        convert("movielens", zipped(tmp_path / "e.zip", x="1"), tmp_path / "out")
    with pytest.raises(UserError, match="not recognised"):
        convert(zipped(tmp_path / "e.zip"), tmp_path / "out")


def test_archives_that_claim_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "FREE_SIZE", 1000)
    text = "1\t2\t3\t4\n" * 100_000
    with pytest.raises(UserError, match="claims to unpack to"):
        convert(zipped(tmp_path / "x.zip", **{"u.data": text}), tmp_path / "out")
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(b" " * 10_000_000))
    with pytest.raises(UserError, match="unpacks to over"):
        convert(tmp_path / "x.jsonl.gz", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_paths_in_archives_lead_nowhere(tmp_path):
    source = zipped(tmp_path / "x.zip", **{"../../u.data": joined(ROWS, "\t"), "/etc/u.item": "x"})
    with pytest.raises(UserError, match=r"/etc/u\.item, line 1"):
        convert(source, tmp_path / "a" / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.zip"]


@given(
    st.binary(max_size=300), st.sampled_from(["u.data", "x.zip", "x.csv", "x.json", "ratings.dat"])
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_random_bytes(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    format_ = {"x.csv": ["table"], "x.json": ["amazon"]}.get(name, ["movielens"])
    options = ["--columns=user_id,item_id"] if name == "x.csv" else []
    try:
        convert(*format_, tmp_path / name, tmp_path / "out", *options)
    except UserError:
        return
    read_inter(tmp_path / "out" / "out.inter", rating_field=None, time_field=None)


@pytest.mark.slow
@given(st.binary(min_size=1, max_size=20), st.integers(0, 400))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_damaged_zip(tmp_path, junk, start):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ml/ratings.dat", joined(ROWS * 20, "::"))
    data = buffer.getvalue()
    (tmp_path / "x.zip").write_bytes(data[:start] + junk + data[start + len(junk) :])
    try:
        convert("movielens", tmp_path / "x.zip", tmp_path / "out")
    except UserError:
        return
    assert len(rows_of(tmp_path / "out" / "out.inter")) == 3


def test_failed_conversion_keeps_an_older_file(tmp_path):
    (tmp_path / "u.data").write_text(joined(ROWS, "\t"))
    convert(tmp_path / "u.data", tmp_path / "out")
    before = (tmp_path / "out" / "out.inter").read_bytes()
    (tmp_path / "u.data").write_text(joined(ROWS, "\t") + "broken\n")
    with pytest.raises(UserError):
        convert(tmp_path / "u.data", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["out.inter"]
    assert (tmp_path / "out" / "out.inter").read_bytes() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_without_rights(tmp_path):
    (tmp_path / "u.data").write_text(joined(ROWS, "\t"))
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(UserError, match="closed"):
        convert(tmp_path / "u.data", tmp_path / "closed" / "out")


KILLED = """
import os, sys
from pathlib import Path
import pandas as pd
from recbole_dmf.datasets.writer import write_atomic
class Column(pd.Series):
    @property
    def iloc(self):
        os._exit(9)
write_atomic(Path(sys.argv[1]), ["user_id:token"], [Column(["a"], dtype="category")])
"""


@pytest.mark.slow
def test_killed_while_writing(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "x.inter"], check=False)
    assert done.returncode == 9
    assert not (tmp_path / "x.inter").exists()
