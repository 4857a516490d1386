"""recbole_dmf.data.atomic: what is read exactly, and what each bad file is answered with."""

import codecs
import io
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from recbole_dmf.data import lines as text_lines
from recbole_dmf.data.atomic import check_ratings, read_inter
from recbole_dmf.data.further_columns import MISSING
from recbole_dmf.data.lines import count_fields, invalid_utf8
from recbole_dmf.errors import UserError

HEADER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
GOOD = HEADER + "1\ta\t5\t100\n2\tb\t3.5\t200\n1\tb\t1\t300\n"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture
def read(tmp_path):
    def reader(content, rating_field="rating", time_field="timestamp", **options):
        path = tmp_path / "shop.inter"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_inter(path, rating_field=rating_field, time_field=time_field, **options)

    return reader


def test_reads_columns_in_order_with_exact_types(read):
    frame = read(GOOD)
    assert list(frame) == ["user_id", "item_id", "rating", "timestamp"]
    assert frame["user_id"].tolist() == ["1", "2", "1"]
    assert frame["item_id"].tolist() == ["a", "b", "b"]
    assert frame["rating"].tolist() == [5.0, 3.5, 1.0]
    assert frame["timestamp"].tolist() == [100.0, 200.0, 300.0]
    assert frame["rating"].dtype == frame["timestamp"].dtype == np.float64


def test_columns_may_have_other_names_and_places(read):
    text = "when:float\textra:token_seq\titem:token\tuser:token\n7\tx y\ti1\tu1\n"
    frame = read(text, user_field="user", item_field="item", rating_field=None, time_field="when")
    assert frame.to_dict("list") == {"user": ["u1"], "item": ["i1"], "when": [7.0]}


def test_rating_and_time_are_optional(read):
    frame = read("user_id:token\titem_id:token\n1\t2\n", rating_field=None, time_field=None)
    assert frame.to_dict("list") == {"user_id": ["1"], "item_id": ["2"]}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_and_blank_lines_at_the_end(read, end):
    expected = read(GOOD)
    pd.testing.assert_frame_equal(read(GOOD.replace("\n", end)), expected)
    pd.testing.assert_frame_equal(read(GOOD.replace("\n", end) + end * 3), expected)
    pd.testing.assert_frame_equal(read(GOOD.replace("\n", end).rstrip()), expected)


def test_another_separator(read):
    pd.testing.assert_frame_equal(read(GOOD.replace("\t", ","), separator=","), read(GOOD))


@pytest.mark.parametrize(
    "stamp", [0, -1, 978300760, 978300760123, 2**31, 2**53 - 1, -(2**53) + 1, 1699999999999]
)
def test_timestamps_are_exact(read, stamp):
    assert int(read(HEADER + f"1\ta\t5\t{stamp}\n")["timestamp"][0]) == stamp


@given(st.floats(min_value=1e-300, max_value=1e300, allow_nan=False))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_ratings_are_exact(read, rating):
    assert read(HEADER + f"1\ta\t{rating!r}\t0\n")["rating"][0] == rating


ODD_IDS = ["007", "NA", "nan", "null", "None", "", " 1", "1 ", "1.0", "1e5", "-0", '"', "'", '"a"']
ODD_IDS += [
    "\ufeff",
    "\ufeffa",
    "é",
    "日本",
    "\u2028",
    "\x85",
    "\x1a",
    "#",
    "\\",
    "\\t",
    "True",
    "a,b",
    "x" * 100_000,
]
ids = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\t\n\r\0"), min_size=1
) | st.sampled_from([text for text in ODD_IDS if text])


@pytest.mark.slow
@given(st.lists(st.tuples(ids, ids), min_size=1, max_size=8))
@example([(text, text) for text in ODD_IDS if text])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_ids_are_kept_as_they_are(read, pairs):
    frame = read(HEADER + "".join(f"{user}\t{item}\t1\t1\n" for user, item in pairs))
    assert list(zip(frame["user_id"], frame["item_id"], strict=True)) == pairs


def lines(*rows):
    return HEADER + "".join(row + "\n" for row in rows)


BAD_FILES = {
    "empty": ("", ["is empty"]),
    "only blank lines": ("\n\n", ["is empty"]),
    "header only": (HEADER, ["no interactions"]),
    "no types": ("user_id\titem_id\n1\t2\n", ["line 1, column 1", "'user_id' has no type"]),
    "unknown type": (
        GOOD.replace("rating:float", "rating:int"),
        ["line 1, column 3", "unknown type 'int'", "token_seq"],
    ),
    "no name": (GOOD.replace("rating:", ":"), ["line 1, column 3", "without a name"]),
    "two types": (GOOD.replace("rating:", "a:b:"), ["line 1, column 3", "unknown type 'b:float'"]),
    "same name twice": (GOOD.replace("item_id", "user_id"), ["line 1, column 2", "two columns"]),
    "no user column": (GOOD.replace("user_id", "uid"), ["'user_id'", "'uid', 'item_id'"]),
    "no item column": (GOOD.replace("item_id", "asin"), ["no column 'item_id'", "'asin'"]),
    "no rating column": (GOOD.replace("rating", "stars"), ["no column 'rating'", "'stars'"]),
    "no time column": (GOOD.replace("timestamp", "t"), ["no column 'timestamp'", "'t'"]),
    "user is float": (GOOD.replace("user_id:token", "user_id:float"), ["has to be token"]),
    "rating is token": (GOOD.replace("rating:float", "rating:token"), ["has to be float"]),
    "commas": (GOOD.replace("\t", ","), ["separated by ','", "field_separator"]),
    "semicolons": (GOOD.replace("\t", ";"), ["separated by ';'"]),
    "spaces": (GOOD.replace("\t", " "), ["separated by ' '"]),
    "text rating": (lines("1\ta\t5\t1", "1\tb\tgood\t2"), ["line 3, column rating", "'good'"]),
    "decimal comma": (lines("1\ta\t3,5\t1"), ["line 2, column rating", "'3,5'"]),
    "NaN rating": (lines("1\ta\t5\t1", "2\ta\tnan\t1"), ["line 3, column rating", "'nan'"]),
    "empty rating": (lines("1\ta\t\t1"), ["line 2, column rating", "''"]),
    "infinite rating": (lines("1\ta\tinf\t1"), ["line 2, column rating", "not a finite number"]),
    "huge rating": (lines("1\ta\t1e999\t1"), ["line 2, column rating", "'1e999'"]),
    "text time": (lines("1\ta\t5\t2020-01-01"), ["line 2, column timestamp", "'2020-01-01'"]),
    "NaN time": (lines("1\ta\t5\tNaN"), ["line 2, column timestamp", "'NaN'"]),
    "infinite time": (lines("1\ta\t5\t-inf"), ["line 2, column timestamp", "not a finite"]),
    "empty time": (lines("1\ta\t5\t"), ["line 2, column timestamp", "''"]),
    "time in ns": (
        lines("1\ta\t5\t1600000000123456789"),
        ["line 2, column timestamp", "too large"],
    ),
    "empty user": (lines("1\ta\t5\t1", "\ta\t5\t1"), ["line 3, column user_id", "empty"]),
    "empty item": (lines("1\t\t5\t1"), ["line 2, column item_id", "empty"]),
    "zero rating": (lines("1\ta\t5\t1", "1\tb\t0\t1"), ["line 3, column rating", "0 is outside"]),
    "negative rating": (lines("1\ta\t-1\t1"), ["line 2, column rating", "-1 is outside"]),
    "short line": (lines("1\ta\t5\t1", "2\tb\t5"), ["line 3", "3 fields instead of 4"]),
    "long line": (lines("1\ta\t5\t1\t9"), ["line 2", "5 fields instead of 4"]),
    "blank line": (lines("1\ta\t5\t1", "", "2\ta\t5\t1"), ["line 3", "a blank line"]),
    "BOM": (codecs.BOM_UTF8 + GOOD.encode(), ["line 1", "byte-order mark", "--fix"]),
    "UTF-16": (GOOD.encode("utf-16"), ["UTF-16"]),
    "NUL": (GOOD.replace("b", "b\0"), ["line 3", "NUL byte"]),
    "Latin-1": (lines("1\té\t5\t1").encode("latin-1"), ["line 2", "0xe9", "UTF-8", "Latin-1"]),
    "old Mac line ends": (GOOD.replace("\n", "\r"), ["line 1", "carriage return"]),
    "CR in an id": (lines("1\ta\t5\t1", "1\ta\rb\t5\t1"), ["line 3", "carriage return"]),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_file_is_answered_with_place_and_remedy(read, name):
    content, parts = BAD_FILES[name]
    with pytest.raises(UserError) as caught:
        read(content)
    assert "shop.inter" in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("rating", "inside"), [("0.5", False), ("1", True), ("5", True), ("6", False)]
)
def test_rating_range(read, rating, inside):
    text = HEADER + f"1\ta\t{rating}\t1\n"
    if inside:
        assert read(text, rating_range=(1, 5))["rating"].tolist() == [float(rating)]
    else:
        with pytest.raises(UserError, match=f"{rating} is outside the scale 1 to 5"):
            read(text, rating_range=(1, 5))


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(UserError, match=r"no-such\.inter: no such file\. Put .* convert"):
        read_inter(tmp_path / "no-such.inter", rating_field=None, time_field=None)
    with pytest.raises(UserError, match="is a folder, not a file"):
        read_inter(tmp_path, rating_field=None, time_field=None)
    with pytest.raises(UserError, match="cannot be read"):
        read_inter(tmp_path / "a\0b", rating_field=None, time_field=None)


@pytest.mark.parametrize("separator", ["", "::", "\n", ":", "é"])
def test_bad_separator_option(read, separator):
    with pytest.raises(UserError, match="field_separator"):
        read(GOOD, separator=separator)


def test_same_column_for_two_purposes(read):
    with pytest.raises(UserError, match="name the same column"):
        read(GOOD, rating_field="timestamp")


def read_or_refuse(read, content):
    """A valid frame or a UserError; any other exception fails the test."""
    try:
        frame = read(content)
    except UserError:
        return
    assert len(frame) > 0
    assert (frame[["user_id", "item_id"]] != "").all(axis=None)
    assert np.isfinite(frame[["rating", "timestamp"]].to_numpy()).all()
    assert (frame["rating"] > 0).all()


@given(st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_random_bytes(read, content):
    read_or_refuse(read, content)
    read_or_refuse(read, HEADER.encode() + content)


PIECES = [b"", b"\t", b"\n", b"\r", b"\r\n", b"\0", b'"', b"'", b"\\", b" ", b",", b":", b"\xff"]
PIECES += [
    b"\xef\xbb\xbf",
    b"nan",
    b"-",
    b"e",
    b"1e999",
    b"_",
    b"\x1a",
    b"#",
    "é".encode(),
    b"9" * 30,
]


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.integers(0, 130), st.integers(0, 6), st.sampled_from(PIECES)), max_size=4)
)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300
)
def test_mutated_good_files(read, changes):
    content = GOOD.encode()
    for start, removed, piece in changes:
        content = content[:start] + piece + content[start + removed :]
    read_or_refuse(read, content)


@pytest.mark.parametrize("block", [1, 20, 1000])
def test_blocks_of_lines_make_one_frame(read, monkeypatch, block):
    rows = [(f"u{k % 7}", f"i{k % 13}", float(1 + k % 5), float(k)) for k in range(100)]
    monkeypatch.setattr(text_lines, "BLOCK", block)
    frame = read(HEADER + "".join("\t".join(map(str, row)) + "\n" for row in rows))
    assert list(frame.itertuples(index=False, name=None)) == rows
    with pytest.raises(UserError, match="line 102, column rating: 'x'"):
        read(HEADER + "".join("\t".join(map(str, row)) + "\n" for row in rows) + "u\ti\tx\t1\n")


@given(st.binary(max_size=60), st.integers(1, 9))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_block_size_changes_nothing(monkeypatch, content, block):
    expected_counts = [line.count(b"\t") + 1 for line in content.split(b"\n")]
    if content.endswith(b"\n") or not content:
        expected_counts.pop()
    try:
        content.decode()
        expected_offset = None
    except UnicodeDecodeError as error:
        expected_offset = error.start
    monkeypatch.setattr(text_lines, "BLOCK", block)
    assert invalid_utf8(content) == expected_offset
    if content:
        assert count_fields(content, "\t").tolist() == expected_counts


FURTHER = "user_id:token\titem_id:token\tprice:float\ttitle:token\ttags:token_seq\trating:float\n"


def test_further_columns_are_read_as_recbole_reads_them(read, tmp_path):
    rows = [
        ("007", "NA", "1.5", "null", "a b", "5"),
        ("NA", "null", "", '"x, ""y"""', "", "4"),
        ('"q', "a", "nan", "plain", "NA", "3"),
        ("1", " a", "-inf", "1", "b", "2"),
    ]
    text = FURTHER + "".join("\t".join(row) + "\n" for row in rows)
    options = {"time_field": None}
    frame = read(text, further=["price", "title", "tags"], **options)
    without = read(text, **options)
    pd.testing.assert_frame_equal(frame[list(without)], without)
    assert without["user_id"].tolist() == [row[0] for row in rows]

    (tmp_path / "further.tsv").write_text(text.replace('"q', "q"))
    theirs = pd.read_csv(  # as recbole/data/dataset/dataset.py:486
        tmp_path / "further.tsv",
        delimiter="\t",
        usecols=["price:float", "title:token", "tags:token_seq"],
        dtype={"price:float": np.float64, "title:token": str, "tags:token_seq": str},
        engine="python",
    )
    np.testing.assert_array_equal(frame["price"], theirs["price:float"])
    assert frame["title"].fillna("?").tolist() == theirs["title:token"].fillna("?").tolist()
    expected = [text.split() for text in theirs["tags:token_seq"].fillna("")]
    assert [tags.tolist() for tags in frame["tags"]] == expected


def test_missing_texts_are_those_of_pandas():
    texts = [*MISSING, "na", "NONE", "Null", "inf", "-", "?", "0"]
    text = "\n".join(f"{number}\t{text}" for number, text in enumerate(texts))
    theirs = pd.read_csv(io.StringIO(text), sep="\t", header=None, dtype=str)[1].isna()
    assert theirs.tolist() == [text in MISSING for text in texts]


@pytest.mark.parametrize("value", ["x", "1_0", "1,5"])
def test_a_further_number_that_is_none_is_explained(read, value):
    text = FURTHER + f"1\ta\t1\tx\t\t5\n1\tb\t{value}\tx\t\t5\n"
    with pytest.raises(UserError, match=f"line 3, column price: '{value}' does not fit .*load_col"):
        read(text, further=["price"], time_field=None)
    with pytest.raises(UserError, match=r"no column 'colour'.*Correct load_col"):
        read(text, further=["colour"], time_field=None)


def test_float_sequences(read):
    text = "user_id:token\titem_id:token\tv:float_seq\n1\ta\t1 2.5\n2\ta\t\n"
    options = {"rating_field": None, "time_field": None, "further": ["v"]}
    assert [v.tolist() for v in read(text, **options)["v"]] == [[1.0, 2.5], []]
    assert read(text.replace(" ", "|"), seq_separator="|", **options)["v"][0].tolist() == [1, 2.5]


@given(st.lists(st.sampled_from(["full", "bare", "row"]), min_size=1, max_size=9))
@settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_repeated_header_lines_are_left_out_and_said(read, caplog, end, kinds):
    caplog.clear()
    header = "user_id:token\titem_id:token\ttitle:token"
    texts = {"full": header, "bare": "user_id\titem_id\ttitle", "row": "user_id:token\tb\ttitle"}
    text = end.join([header, *(texts[kind] for kind in kinds), ""])
    rows = [row for row, kind in enumerate(kinds) if kind == "row"]
    options = {"rating_field": None, "time_field": None, "further": ["title"]}
    if not rows:
        with pytest.raises(UserError, match="no interactions"):
            read(text, **options)
        return
    assert read(text, **options).index.tolist() == rows
    if again := len(kinds) - len(rows):
        first = min(row for row, kind in enumerate(kinds) if kind != "row")
        assert f"repeated on {again} line(s), the first of them line {first + 2}" in caplog.text
    else:
        assert not caplog.text
    with pytest.raises(UserError, match=f"line {len(kinds) + 2}: 1 fields instead of 3"):
        read(text + "short\n", **options)


def test_ratings_can_be_checked_after_a_filter(read, tmp_path):
    text = lines("1\ta\t0\t1", "2\ta\t5\t1", "3\ta\t-1\t1", "4\ta\t9\t1")
    frame = read(text, filtered=True)
    path = tmp_path / "shop.inter"
    check_ratings(path, frame["rating"][frame["rating"] > 0])
    with pytest.raises(
        UserError, match="line 5, column rating: 9 is outside the scale 0 to 5"
    ) as e:
        check_ratings(path, frame["rating"][frame["rating"] > 0], (0, 5))
    assert "max_rating" in str(e.value)
    for part in (r"line 4, column rating: -1 .*", "val_interval", "--drop-unrated", "--min-rating"):
        with pytest.raises(UserError, match=part):
            check_ratings(path, frame["rating"][1:])


def test_a_bad_line_far_down_is_found(read):
    rows = [f"{random.Random(0).randrange(99)}\t{i}\t3\t{i}" for i in range(5000)]
    rows[4321] = "1\t2\tx\t3"
    with pytest.raises(UserError, match="line 4323, column rating: 'x'"):
        read(lines(*rows))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shape"), [("ml-1m", (6040, 3706, 1000209)), ("amazon-music", (844, 18813, 46468))]
)
def test_table_1_counts(name, shape):
    path = SHARED / name / f"{name}.inter"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    frame = read_inter(path, rating_field="rating", time_field="timestamp", rating_range=(1, 5))
    assert (frame["user_id"].nunique(), frame["item_id"].nunique(), len(frame)) == shape
