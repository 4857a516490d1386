"""recbole_dmf.datasets.convert: other formats to atomic files, and the errors of bad ones."""

import gzip
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import recbole
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recbole_dmf.commands import convert as command
from recbole_dmf.data.atomic import read_inter
from recbole_dmf.datasets import archives
from recbole_dmf.datasets.convert import to_atomic
from recbole_dmf.datasets.sources import REVIEW_KEYS
from recbole_dmf.errors import UserError

ML_100K = Path(recbole.__file__).parent / "dataset_example" / "ml-100k" / "ml-100k.inter"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
ROWS = [("1", "31", "2.5", "1260759144"), ("1", "1029", "3", "1260759179"), ("7", "31", "5", "0")]


def read(path, rating_field="rating", time_field="timestamp"):
    return read_inter(path, rating_field=rating_field, time_field=time_field)


def rows_of(path):
    return [tuple(line.split("\t")) for line in path.read_text("utf-8").splitlines()[1:]]


def joined(rows, separator, header=""):
    return header + "".join(separator.join(row) + "\n" for row in rows)


def zipped(path, **files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def convert(*arguments):
    return command.main([str(argument) for argument in arguments])


# ---- MovieLens


ITEM_100K = "1|Toy Story (1995)|01-Jan-1995||http://x|0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0\n"
ITEM_100K += "2|Misérables, Les|||u|0|0|0|0|0|0|0|0|1|0|0|0|0|0|0|0|0|0|0\n"


def test_movielens_100k(tmp_path, capsys):
    source = tmp_path / "raw"
    source.mkdir()
    lines = ML_100K.read_text().partition("\n")[2]
    (source / "u.data").write_text(lines)
    (source / "u.item").write_bytes(ITEM_100K.encode("latin-1"))
    (source / "u.user").write_text("1|24|M|technician|85711\n2|53|F|other|94043\n")
    out = tmp_path / "ml-100k"
    assert convert(source, out) == 0
    assert (out / "ml-100k.inter").read_text() == ML_100K.read_text()
    assert (out / "ml-100k.item").read_text("utf-8") == (
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tgenre:token_seq\n"
        "1\tToy Story\t1995\tAnimation Children's Comedy\n"
        "2\tMisérables, Les\t\tDrama\n"
    )
    assert (out / "ml-100k.user").read_text() == (
        "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
        "1\t24\tM\ttechnician\t85711\n2\t53\tF\tother\t94043\n"
    )
    text = capsys.readouterr().out
    for part in (r"943", "1,682", "100,000", "0.06305", "0.06294", "415 of 943"):
        assert part in text


def test_movielens_1m_from_a_zip(tmp_path, capsys):
    files = {
        "ml-1m/ratings.dat": joined(ROWS, "::"),
        "ml-1m/movies.dat": "31::Dangerous: Minds (1995)::Drama|Sci-Fi\n".encode("latin-1"),
        "ml-1m/users.dat": "1::F::18::10::48067\n",
        "__MACOSX/ml-1m/ratings.dat": "junk",
        "ml-1m/extra/ratings.dat": "junk",
    }
    out = tmp_path / "ml-1m"
    assert convert(zipped(tmp_path / "x.zip", **files), out) == 0
    assert rows_of(out / "ml-1m.inter") == ROWS
    assert rows_of(out / "ml-1m.item") == [("31", "Dangerous: Minds", "1995", "Drama Sci-Fi")]
    assert rows_of(out / "ml-1m.user") == [("1", "18", "F", "10", "48067")]
    assert "paper, Table 1" in capsys.readouterr().out


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_movielens_csv(tmp_path, ending):
    source = tmp_path / "ml-25m"
    source.mkdir()
    text = joined(ROWS, ",", "userId,movieId,rating,timestamp\n").replace("\n", ending)
    (source / "ratings.csv").write_bytes(text.encode())
    movies = 'movieId,title,genres\n31,"American, ""The"" (1995)",Drama|IMAX\n1029,X,(no genres)\n'
    (source / "movies.csv").write_text(movies)
    convert("movielens", source, tmp_path / "out")
    assert rows_of(tmp_path / "out" / "out.inter") == ROWS
    assert rows_of(tmp_path / "out" / "out.item") == [
        ("31", 'American, "The"', "1995", "Drama IMAX"),
        ("1029", "X", "", ""),
    ]


@pytest.mark.slow
def test_movielens_1m_and_amazon_music_give_table_1(tmp_path, capsys):
    for name, counts, separator in (
        ("ml-1m", (6040, 3706, 1000209), "::"),
        ("amazon-music", (844, 18813, 46468), "\t"),
    ):
        path = SHARED / name / f"{name}.inter"
        if not path.exists():
            pytest.skip(f"{path} is not here")
        source = tmp_path / "raw" / name
        source.mkdir(parents=True)
        lines = path.read_bytes().partition(b"\n")[2].replace(b"\t", separator.encode())
        (source / ("ratings.dat" if separator == "::" else "u.data")).write_bytes(lines)
        convert(source, tmp_path / name)
        assert (tmp_path / name / f"{name}.inter").read_bytes() == path.read_bytes()
        frame = read(tmp_path / name / f"{name}.inter")
        assert (frame["user_id"].nunique(), frame["item_id"].nunique(), len(frame)) == counts
    assert "262 of 844 latest items occur in no other" in capsys.readouterr().out


# ---- Amazon


USERS = ("A2SUAM1J3GNN3B", "A1YS9MDZP93857", "AAAAAAAAAAAA")
ITEMS = ("0001388703", "B00AAAAAA1", "B00AAAAAA2")
AMAZON = [
    (u, i, str(k + 1), str(1400000000 + k))
    for k, (u, i) in enumerate(zip(USERS, ITEMS, strict=True))
]


def test_amazon_ratings_of_2014_and_2018(tmp_path):
    (tmp_path / "ratings_Music.csv").write_text(
        joined([(u, i, f"{r}.0", t) for u, i, r, t in AMAZON], ",")
    )
    convert(tmp_path / "ratings_Music.csv", tmp_path / "a")
    (tmp_path / "Music.csv").write_text(joined([(i, u, r, t) for u, i, r, t in AMAZON], ","))
    convert(tmp_path / "Music.csv", tmp_path / "b")
    assert rows_of(tmp_path / "a" / "a.inter") == rows_of(tmp_path / "b" / "b.inter") == AMAZON


def test_amazon_ratings_of_2023(tmp_path, capsys):
    rows = [(u, i, f"{r}.0", f"{t}123") for u, i, r, t in AMAZON]
    with gzip.open(tmp_path / "Music.csv.gz", "wt") as file:
        file.write(joined(rows, ",", "user_id,parent_asin,rating,timestamp\n"))
    convert(tmp_path / "Music.csv.gz", tmp_path / "out")
    assert rows_of(tmp_path / "out" / "out.inter") == [
        (u, i, r, f"{t}.123") for u, i, r, t in AMAZON
    ]
    assert "3 timestamps in milliseconds became seconds" in capsys.readouterr().out


@pytest.mark.parametrize("keys", range(3))
def test_amazon_reviews(tmp_path, keys):
    reviews = [
        dict(
            zip(REVIEW_KEYS[keys], (u, i, float(r), int(t)), strict=True),
            reviewText="é\t\n",
            more=[1],
        )
        for u, i, r, t in AMAZON
    ]
    data = "\n".join(json.dumps(review) for review in reviews).encode()
    (tmp_path / "Music.json.gz").write_bytes(gzip.compress(data))
    (tmp_path / "Music.jsonl").write_bytes(data + b"\n\n")
    for name in ("Music.json.gz", "Music.jsonl"):
        convert(tmp_path / name, tmp_path / "out")
        assert rows_of(tmp_path / "out" / "out.inter") == AMAZON


# ---- Tables


def test_table_with_strange_ids_and_dates(tmp_path):
    text = 'who,what,stars,day\n"a, b",007,4.5,2020-01-02\n NA ,"""q""",1,1999-12-31\n'
    text += "nan,1e5,2,2020-01-01\n"
    (tmp_path / "shop.csv").write_text("\ufeff" + text, encoding="utf-8")
    options = ("--user=who", "--item=what", "--rating=stars", "--timestamp=day")
    convert(tmp_path / "shop.csv", tmp_path / "out", *options, "--timestamp-format=%Y-%m-%d")
    assert rows_of(tmp_path / "out" / "out.inter") == [
        ("a, b", "007", "4.5", "1577923200"),
        (" NA ", '"q"', "1", "946598400"),
        ("nan", "1e5", "2", "1577836800"),
    ]


def test_table_without_ratings_and_times(tmp_path):
    (tmp_path / "clicks.tsv").write_text("item_id\tuser_id\tother\nx\t1\tq\ny\t1\tq\nx\t1\tq\n")
    convert(tmp_path / "clicks.tsv", tmp_path / "out")
    assert (tmp_path / "out" / "out.inter").read_text() == (
        "user_id:token\titem_id:token\n1\ty\n1\tx\n"
    )


@pytest.mark.parametrize(("unit", "scale"), [("s", 1), ("ms", 1000), ("us", 10**6), ("ns", 10**9)])
def test_table_units(tmp_path, unit, scale):
    (tmp_path / "t.csv").write_text(f"u,i,t\n1,2,{1500000000 * scale}\n")
    names = ("--columns=a,b,t", "--user=a", "--item=b", "--timestamp=t")
    (tmp_path / "t.csv").write_text(f"1,2,{1500000000 * scale}\n")
    convert("table", tmp_path / "t.csv", tmp_path / "out", *names, f"--timestamp-format={unit}")
    assert rows_of(tmp_path / "out" / "out.inter") == [("1", "2", "1500000000")]


def test_table_in_chunks_keeps_rows_and_numbers_them(tmp_path, monkeypatch):
    monkeypatch.setattr("recbole_dmf.datasets.tables.ROWS", 7)
    rows = [(f"u{k % 5}", f"i{k}", str(1 + k % 5), str(k)) for k in range(50)]
    source = tmp_path / "t.csv"
    source.write_text(joined(rows, ";", "user_id;item_id;r;t\n"))
    convert(source, tmp_path / "out", "--rating=r", "--timestamp=t")
    assert rows_of(tmp_path / "out" / "out.inter") == rows
    rows[40] = ("u1", "", "1", "1")
    source.write_text(joined(rows, ";", "user_id;item_id;r;t\n"))
    with pytest.raises(UserError, match="row 41: the item id '' is empty"):
        convert(source, tmp_path / "out", "--rating=r", "--timestamp=t")


def test_lines_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "BLOCK", 40)
    rows = [(f"{k % 5}", f"{k}", "3", str(1000 + k)) for k in range(50)]
    (tmp_path / "u.data").write_text(joined(rows, "\t"))
    convert(tmp_path / "u.data", tmp_path / "out")
    assert rows_of(tmp_path / "out" / "out.inter") == rows
    rows[40] = ("1", "2", "x", "4")
    (tmp_path / "u.data").write_text(joined(rows, "\t"))
    with pytest.raises(UserError, match="line 41, column rating: 'x' is not a finite number"):
        convert(tmp_path / "u.data", tmp_path / "out")


def test_parquet(tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed", exc_type=ImportError)
    pd.DataFrame({"user_id": [1, 2], "item_id": ["a", "b"]}).to_parquet(tmp_path / "t.parquet")
    convert(tmp_path / "t.parquet", tmp_path / "out")
    assert rows_of(tmp_path / "out" / "out.inter") == [("1", "a"), ("2", "b")]


# ---- NCF


def write_ncf(folder):
    (folder / "x.train.rating").write_text("0\t32\t4\t978824330\n1\t34\t4\t978824330\n")
    (folder / "x.test.rating").write_text("0\t25\t5\t978824351\n1\t133\t3\t978300174\n")
    (folder / "x.test.negative").write_text("(0,25)\t1064\t174\n(1,133)\t1072\t3154\t3368\n")
    return folder / "x"


@pytest.mark.parametrize("ending", ["", ".train.rating", ".test.negative"])
def test_ncf(tmp_path, ending):
    prefix = write_ncf(tmp_path)
    convert(f"{prefix}{ending}", tmp_path / "out")
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "out.test.candidates",
        "out.test.inter",
        "out.train.inter",
    ]
    assert rows_of(out / "out.train.inter") == [
        ("0", "32", "4", "978824330"),
        ("1", "34", "4", "978824330"),
    ]
    assert rows_of(out / "out.test.inter")[1] == ("1", "133", "3", "978300174")
    assert (out / "out.test.candidates").read_text() == (
        "user_id:token\titem_id:token\n0\t1064\n0\t174\n1\t1072\n1\t3154\n1\t3368\n"
    )


# ---- Filters and summary


def brute_force(rows, min_items, min_users, core):
    while True:
        before = len(rows)
        for column, fewest in ((1, min_items), (0, min_users)):
            values = [row[column] for row in rows]
            rows = [row for row in rows if values.count(row[column]) >= fewest]
        if not core or len(rows) == before:
            return rows


@pytest.mark.parametrize("core", [False, True])
def test_filters_count_items_first(tmp_path, core):
    generator = np.random.default_rng(3)
    rows = [
        (f"u{user}", f"i{item}")
        for user in range(30)
        for item in range(20)
        if generator.random() < 1.5 * (1 - user / 30) * (1 - item / 20)
    ]
    (tmp_path / "t.csv").write_text(joined(rows, ",", "user_id,item_id\n"))
    options = ("--min-item-interactions=9", "--min-user-interactions=7", *["--core"] * core)
    convert(tmp_path / "t.csv", tmp_path / "out", *options)
    expected = brute_force(rows, 9, 7, core)
    assert 0 < len(expected) < len(rows)
    assert rows_of(tmp_path / "out" / "out.inter") == expected
    assert len(brute_force(rows, 9, 7, True)) != len(brute_force(rows, 9, 7, False))


# ---- Round trip


ids = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\t\n\r\0"),
    min_size=1,
    max_size=9,
) | st.sampled_from(["007", "NA", "nan", "", " a", "1.0", "\ufeff", '"', "#", "x" * 9999]).filter(
    bool
)
numbers = st.floats(min_value=1e-9, max_value=1e10)


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(ids, ids, numbers, numbers), min_size=1, max_size=9, unique_by=lambda r: r[:2]
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_round_trip(tmp_path, rows):
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "rating", "timestamp"])
    path = to_atomic(frame, tmp_path / "shop", rating="rating", timestamp="timestamp")
    assert path == tmp_path / "shop" / "shop.inter"
    pd.testing.assert_frame_equal(read(path), frame, check_exact=True)


def test_data_frame_types(tmp_path):
    frame = pd.DataFrame(
        {
            "u": pd.Series([1, 2], dtype="Int64"),
            "i": pd.Categorical(["a", "b"], categories=["c", "b", "a"]),
            "t": pd.to_datetime(["2020-01-01T00:00:00.0", "2020-01-02T00:00:00.5"]).tz_localize(
                "UTC"
            ),
        }
    )
    path = to_atomic(frame, tmp_path / "x", "u", "i", timestamp="t")
    assert rows_of(path) == [("1", "a", "1577836800"), ("2", "b", "1577923200.5")]


FRAMES = {
    "no rows": ({"user_id": [], "item_id": []}, "no rows"),
    "no column": ({"user_id": [1]}, "no column 'item_id'; there are user_id"),
    "float ids": ({"user_id": [1.0], "item_id": [1]}, "floating-point"),
    "missing id": ({"user_id": ["a", None], "item_id": [1, 2]}, "row 2: the user id is missing"),
    "empty id": ({"user_id": ["a", ""], "item_id": [1, 2]}, "row 2: the user id '' is empty"),
    "tab": (
        {"user_id": ["a", "b"], "item_id": ["x", "y\t"]},
        r"row 2: the item id 'y\\t' has a tab",
    ),
    "line end": (
        {"user_id": ["a\nb"], "item_id": ["x"]},
        "row 1: the user id .* has a tab, a line",
    ),
    "surrogate": ({"user_id": ["\ud800"], "item_id": ["x"]}, "row 1: .* not valid Unicode"),
    "bool": ({"user_id": [True], "item_id": ["x"]}, "row 1: the user id is a bool"),
    "list": ({"user_id": [[1]], "item_id": ["x"]}, "lists or objects"),
    "bytes": ({"user_id": [b"x"], "item_id": ["x"]}, "row 1: the user id is a bytes"),
    "NaN rating": ({"user_id": [1], "item_id": [1], "r": [np.nan]}, "row 1: the rating is missing"),
    "text rating": ({"user_id": [1], "item_id": [1], "r": ["*"]}, r"row 1: the rating '\*'"),
    "zero rating": ({"user_id": [1, 1], "item_id": [1, 2], "r": [1, 0]}, "row 2: rating 0"),
    "no date": (
        {"user_id": [1], "item_id": [1], "t": pd.to_datetime([None])},
        "row 1: the timestamp 'NaT'",
    ),
    "text date": ({"user_id": [1], "item_id": [1], "t": ["May"]}, "'May' .*--timestamp-format"),
}


@pytest.mark.parametrize("name", FRAMES)
def test_bad_data_frame(tmp_path, name):
    columns, match = FRAMES[name]
    with pytest.raises(UserError, match=match):
        to_atomic(
            pd.DataFrame(columns),
            tmp_path / "x",
            rating="r" if "r" in columns else None,
            timestamp="t" if "t" in columns else None,
        )
    assert not (tmp_path / "x").exists()


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
