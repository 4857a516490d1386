"""recbole_dmf.datasets.convert: other formats to atomic files, and the errors of bad ones."""

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import recbole
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conversion import ROWS, convert, joined, read, rows_of, write_ncf, zipped
from recbole_dmf.datasets import archives
from recbole_dmf.datasets.convert import to_atomic
from recbole_dmf.datasets.sources import REVIEW_KEYS
from recbole_dmf.errors import UserError

ML_100K = Path(recbole.__file__).parent / "dataset_example" / "ml-100k" / "ml-100k.inter"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


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
    ids = {"user_id": object, "item_id": object}  # pandas 3 has a type of its own for text
    pd.testing.assert_frame_equal(read(path).astype(ids), frame.astype(ids), check_exact=True)
