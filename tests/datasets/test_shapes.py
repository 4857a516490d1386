"""Shapes of files that people have: what `convert`, `check` and `init-dataset` make of them."""

import json

import pandas as pd
import pytest
import yaml

from recbole_dmf.commands import check, convert, init_dataset
from recbole_dmf.data.atomic import read_inter
from recbole_dmf.data.side_files import read_side
from recbole_dmf.datasets.check import check_folder
from recbole_dmf.datasets.formats import detect
from recbole_dmf.datasets.mend import fix_folder
from recbole_dmf.errors import UserError

pytestmark = pytest.mark.slow


@pytest.fixture
def converted(tmp_path, capsys):
    """A function (file name, content, *words) -> the rows written, and what was said."""

    def make(name, content, *words, format_="table"):
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(data)
        format_ = [format_] if format_ else []
        convert.main([*format_, str(tmp_path / name), str(tmp_path / "out"), *words])
        header = (tmp_path / "out" / "out.inter").read_text().partition("\n")[0]
        rating, time = (name if f"{name}:" in header else None for name in ("rating", "timestamp"))
        frame = read_inter(tmp_path / "out" / "out.inter", rating_field=rating, time_field=time)
        return list(frame.itertuples(index=False, name=None)), capsys.readouterr().out

    return make


SHOP = ("--user=Customer ID", "--item=Product ID", "--timestamp=Order Date")
ORDERS = "Row ID,Customer ID,Product ID,Order Date\n1,c 1,p 1,100\n2,c 2,p 2,200\n"


def test_the_separator_under_which_the_columns_exist_wins(converted):
    rows, _ = converted("orders.csv", ORDERS, *SHOP)
    assert rows == [("c 1", "p 1", 100.0), ("c 2", "p 2", 200.0)]


@pytest.mark.parametrize("separator", ["\t", ";", "|", "::", "||", " "])
def test_separators(converted, separator):
    text = "u,i,r\nann,b.c,4\nbob,d,5\n".replace(",", separator)
    words = ("--user=u", "--item=i", "--rating=r")
    expected = [("ann", "b.c", 4.0), ("bob", "d", 5.0)]
    if separator != "||":  # told from the columns
        assert converted("t.csv", text, *words)[0] == expected
    given = {"\t": "tab"}.get(separator, separator)
    assert converted("t.csv", text, *words, f"--separator={given}")[0] == expected


def test_a_headerless_table_has_as_many_fields_as_names(converted):
    rows, _ = converted("t.dat", "a b c::x::5::1\n", "--columns=user_id,item_id,r,t", "--rating=r")
    assert rows == [("a b c", "x", 5.0)]


def test_a_wrong_separator_is_explained(converted):
    with pytest.raises(UserError, match=r"line 1: 1 fields, but --columns names 2.*--separator"):
        converted("t.csv", "a#b\n", "--columns=user_id,item_id")
    with pytest.raises(UserError, match="ASCII"):
        converted("t.csv", "a#b\n", "--separator=é")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_unicode_text_of_a_spreadsheet(converted, encoding):
    text = "user_id\titem_id\nzoë\t日本\n" + "".join(f"u{n}\ti{n}\n" for n in range(2000))
    rows, _ = converted("t.txt", text.encode(encoding))
    assert rows[0] == ("zoë", "日本")
    assert len(rows) == 2001


def test_damaged_utf_16_is_named(converted):
    with pytest.raises(UserError, match="damaged UTF-16"):
        converted("t.txt", b"\xff\xfeu\0\x00\xd8\x00\xd8")


def test_decimal_comma(converted):
    text = "user_id;item_id;r\na;x;3,5\nb;x;4\n"
    assert converted("t.csv", text, "--rating=r", "--decimal=,")[0] == [
        ("a", "x", 3.5),
        ("b", "x", 4.0),
    ]
    with pytest.raises(UserError, match=r"row 1: the rating '3,5' .*--decimal=,"):
        converted("t.csv", text, "--rating=r")
    with pytest.raises(UserError, match=r"row 1: the rating '3\.500,5"):
        converted("t.csv", text.replace("3,5", "3.500,5"), "--rating=r", "--decimal=,")


@pytest.mark.parametrize("separator", [",", "\t", "::"])
def test_rows_with_too_few_fields_are_left_out_and_counted(converted, separator):
    """Cut off before the rating, before the item, after a column that nobody reads; and none."""
    rows = ["user_id,item_id,r,note", "a,x,5,good", "b,y", "c", "d,z,4", "e,w,3,", "f,v,2,bad"]
    text = "\n".join(rows).replace(",", separator) + "\n"
    kept, said = converted("t.csv", text, "--rating=r", "--drop-empty")
    assert kept == [("a", "x", 5.0), ("d", "z", 4.0), ("e", "w", 3.0), ("f", "v", 2.0)]
    assert "2 rows with an empty or missing field left out" in said
    with pytest.raises(UserError, match=r"row [23]: .*--drop-empty"):
        converted("t.csv", text, "--rating=r")
    kept, said = converted("t.csv", text, "--drop-empty")  # without a rating one row is short
    assert [row[:2] for row in kept] == [
        ("a", "x"),
        ("b", "y"),
        *[("d", "z"), ("e", "w"), ("f", "v")],
    ]
    assert "1 rows with an empty or missing field left out" in said


def test_rows_with_an_empty_field_are_left_out_and_counted(converted):
    text = "user_id,item_id,r\n,x,5\na,,5\nb,x,\nb,y,3\n"
    rows, said = converted("t.csv", text, "--rating=r", "--drop-empty")
    assert rows == [("b", "y", 3.0)]
    assert "3 rows with an empty or missing field left out" in said
    with pytest.raises(UserError, match=r"row 1: the user id '' is empty.*--drop-empty"):
        converted("t.csv", text)
    with pytest.raises(UserError, match=r"row 3: the rating '' .*--drop-empty"):
        converted("t.csv", text, "--rating=r")
    with pytest.raises(UserError, match=r"row 5: rating 0, .*--min-rating"):
        converted("t.csv", text + "c,x,0\n", "--rating=r", "--drop-empty")


@pytest.mark.parametrize(
    ("name", "text", "format_", "words"),
    [
        ("u.data", "a\tx\t3\t1\na\ty\t4\t2\nb\tx\t-1\t3\n", "movielens", ()),
        ("t.csv", "user_id,item_id,r\na,x,3\na,y,4\nb,x,0\n", "table", ("--rating=r",)),
    ],
)
def test_min_rating(converted, name, text, format_, words):
    rows, said = converted(name, text, *words, "--min-rating=4", format_=format_)
    assert [row[:3] for row in rows] == [("a", "y", 4.0)]
    assert "2 rows with a rating below 4" in said
    with pytest.raises(UserError, match=r"no interactions .*3 rows with a rating below 9"):
        converted(name, text, *words, "--min-rating=9", format_=format_)


def test_min_rating_needs_ratings(converted):
    with pytest.raises(UserError, match=r"--min-rating needs ratings.*--rating=COLUMN"):
        converted("t.csv", "user_id,item_id\na,b\n", "--min-rating=4")


def test_repeated_header_lines_are_counted(converted):
    rows, said = converted("t.csv", "user_id,item_id\na,x\nuser_id,item_id\nb,y\n")
    assert rows == [("a", "x"), ("b", "y")]
    assert "1 repeated header lines left out" in said
    with pytest.raises(UserError, match="row 3: the rating 'x'"):
        converted("t.csv", "user_id,item_id,r\na,x,1\nuser_id,item_id,r\nb,y,x\n", "--rating=r")


@pytest.mark.parametrize("index", ["user_id", "other", None])
def test_parquet_with_an_index_column(converted, tmp_path, index):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"user_id": ["a", "b"], "item_id": [7, 8], "other": [1, 2]}, index=[5, 9])
    (frame if index is None else frame.set_index(index)).to_parquet(tmp_path / "t.parquet")
    rows, _ = converted("t.parquet", (tmp_path / "t.parquet").read_bytes())
    assert rows == [("a", "7"), ("b", "8")]


def test_parquet_of_whole_numbers_with_a_missing_one(converted, tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"user_id": pd.array([1, None, 3], "Int64"), "item_id": ["a", "b", "c"]})
    frame.to_parquet(tmp_path / "t.parquet")
    data = (tmp_path / "t.parquet").read_bytes()
    rows, said = converted("t.parquet", data, "--drop-empty")
    assert rows == [("1", "a"), ("3", "c")]
    assert "1 rows with an empty or missing field left out" in said


# ---- JSON lines, lists, and what is neither

REVIEWS = [
    {"review_id": "r", "user_id": "ann", "business_id": "b1", "stars": 4.0, "date": "2015-01-15"},
    {"review_id": "s", "user_id": "bob", "business_id": "b2", "stars": 5, "date": "2015-01-16"},
]
BUSINESS = (
    "--item=business_id",
    "--rating=stars",
    "--timestamp=date",
    "--timestamp-format=%Y-%m-%d",
)


@pytest.mark.parametrize("format_", ["table", None])
def test_json_lines_of_another_shop(converted, format_):
    text = "".join(json.dumps(review) + "\n" for review in REVIEWS)
    rows, _ = converted("reviews.json", text, *BUSINESS, format_=format_)
    assert rows == [("ann", "b1", 4.0, 1421280000.0), ("bob", "b2", 5.0, 1421366400.0)]
    with pytest.raises(UserError, match=r"no column 'user'; there are review_id, user_id"):
        converted("reviews.json", text, "--user=user", format_=format_)


def test_json_without_a_key(converted):
    text = "".join(json.dumps(r) + "\n" for r in (*REVIEWS, {"user_id": "c", "stars": 3}))
    words = ("--item=business_id", "--rating=stars")
    with pytest.raises(UserError, match="line 3: the item id is missing"):
        converted("reviews.jsonl", text, *words)
    rows, said = converted("reviews.jsonl", text, *words, "--drop-empty")
    assert [row[0] for row in rows] == ["ann", "bob"]
    assert "1 rows with an empty or missing field left out" in said


DICTIONARY = "{'user_id': 'a', 'item_id': 'b'}\n", r"Python dictionary, not JSON.*ast\.literal_eval"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.json", *DICTIONARY),
        ("x.txt", *DICTIONARY),
        ("x.json", '[{"user_id": "a"}]\n', "one JSON array, not one object per line"),
        ("x.txt", "1:\n1488844,3,2005-09-06\n", r"'1:' heads a block of lines.*--columns=movie"),
    ],
)
@pytest.mark.parametrize("format_", ["table", None])
def test_other_layouts_are_named(converted, name, text, message, format_):
    with pytest.raises(UserError, match=message):
        converted(name, text, format_=format_)


@pytest.mark.parametrize("format_", ["lists", None])
def test_lines_of_a_user_and_items(converted, format_):
    rows, _ = converted("train.txt", "0 1 2 3\n1 3\n2\n3 0 9 \n", format_=format_)
    assert rows == [("0", "1"), ("0", "2"), ("0", "3"), ("1", "3"), ("3", "0"), ("3", "9")]


def test_a_table_of_numbers_is_no_list(tmp_path):
    (tmp_path / "t.txt").write_text("1 2 3\n4 5 6\n")
    assert detect(tmp_path / "t.txt") == "table"


# ---- ncf


def ncf(folder, times=True):
    tail = ["1\t10", "1\t20", "1\t30"] if times else ["1"] * 3
    folder.mkdir()
    (folder / "x.train.rating").write_text(f"0\ta\t{tail[0]}\n0\tb\t{tail[1]}\n")
    (folder / "x.test.rating").write_text(f"0\tc\t{tail[2]}\n")
    (folder / "x.test.negative").write_text("(0,c)\td\te\n")
    return folder


@pytest.mark.parametrize("times", [True, False])
@pytest.mark.parametrize("format_", [("ncf",), ()])
def test_ncf_folder_with_and_without_timestamps(tmp_path, times, format_):
    source = ncf(tmp_path / "source", times)
    convert.main([*format_, str(source), str(tmp_path / "out")])
    train = (tmp_path / "out" / "out.train.inter").read_text().splitlines()
    assert train[0].endswith("timestamp:float") is times
    assert [line.split("\t")[:3] for line in train[1:]] == [["0", "a", "1"], ["0", "b", "1"]]
    candidates = (tmp_path / "out" / "out.test.candidates").read_text().splitlines()
    assert candidates[1:] == ["0\td", "0\te"]


def test_ncf_folder_with_two_data_sets(tmp_path):
    source = ncf(tmp_path / "source")
    (source / "y.train.rating").write_text("")
    with pytest.raises(UserError, match=r"one \*\.train\.rating .* x\.train\.rating, y\.train"):
        convert.main(["ncf", str(source), str(tmp_path / "out")])


# ---- init-dataset


def test_init_dataset_with_other_column_names(tmp_path):
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "shop.inter").write_text("uid:token\tsku:token\tstars:float\nann\tx\t4\nbob\tx\t5\n")
    words = [str(folder), "--user=uid", "--item=sku", "--rating=stars"]
    init_dataset.main(words)
    assert yaml.safe_load((folder / "shop.yaml").read_text()) == {
        "load_col": {"inter": ["uid", "sku", "stars"]},
        "max_rating": 5,
        "USER_ID_FIELD": "uid",
        "ITEM_ID_FIELD": "sku",
        "RATING_FIELD": "stars",
        "normalize_all": False,
    }
    assert not [f for f in check_folder(folder) if f.severity == "error"]
    with pytest.raises(UserError, match="--force"):
        init_dataset.main(words)
    init_dataset.main([*words, "--force"])
    with pytest.raises(UserError, match=r"no column 'nobody' \(--user\); there are uid, sku"):
        init_dataset.main([str(folder), "--user=nobody", "--force"])


# ---- side files


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "shop"
    path.mkdir()
    rows = "".join(f"u{n % 3}\ti{n}\t{n % 5}\n" for n in range(9))
    (path / "shop.inter").write_text("user_id:token\titem_id:token\trating:float\n" + rows)
    return path


def item_file(folder, text):
    (folder / "shop.item").write_text("item_id:token\ttitle:token\n" + text)


def test_quoted_fields_of_side_files_are_read_as_recbole_reads_them(folder, tmp_path):
    lines = ['i0\t"a\tb"', 'i1\t"say ""x"""', '"i2"\tplain', 'i3\t"""q"" r"']
    item_file(folder, "".join(line + "\n" for line in lines))
    theirs = pd.read_csv(folder / "shop.item", sep="\t", dtype=str, engine="python")
    ours = read_side(folder / "shop.item", "item_id", ["title"])
    assert ours.to_numpy().tolist() == theirs.to_numpy().tolist()
    messages = [f.message for f in check_folder(folder) if f.file == "shop.item"]
    assert not [message for message in messages if "fields" in message], messages
    fix_folder(folder, tmp_path / "better", drop_unrated=True)
    mended = read_side(tmp_path / "better" / "better.item", "item_id", ["title"])
    assert mended["title"].tolist() == ["a b", 'say "x"', "plain", '"q" r']
    inter = read_inter(tmp_path / "better" / "better.inter", rating_field="rating", time_field=None)
    assert len(inter) == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('i0\t"open\ni1\tb\n', "line 2: "),
        ("i0\ta\tb\n", "line 2: 3 fields instead of 2"),
        ("i0\n", "line 2: 1 fields instead of 2"),
        ("i0\ta\n\tb\n", "line 3, column item_id: the id is empty"),
        ("", "a header and no rows"),
    ],
)
def test_a_bad_side_file_never_stops_the_mending(folder, tmp_path, text, message):
    item_file(folder, text)
    with pytest.raises(UserError, match=message):
        read_side(folder / "shop.item", "item_id", ["title"])
    assert [f for f in check_folder(folder) if f.file == "shop.item" and f.severity == "error"]
    changes = fix_folder(folder, tmp_path / "better", drop_unrated=True)
    assert [change for change in changes if change.startswith("shop.item: ")]
    read_inter(tmp_path / "better" / "better.inter", rating_field="rating", time_field=None)
    if (tmp_path / "better" / "better.item").exists():
        read_side(tmp_path / "better" / "better.item", "item_id", ["title"])


def test_side_files_keep_ids_as_they_are_and_the_first_line_of_each(folder, caplog):
    item_file(folder, "007\ta\nNA\tNA\n007\tb\nitem_id\ttitle\nnull\tc\n")
    frame = read_side(folder / "shop.item", "item_id", ["title"])
    assert frame["item_id"].tolist() == ["007", "NA", "null"]
    assert frame["title"].fillna("?").tolist() == ["a", "?", "c"]
    assert "1 line(s) repeat an id" in caplog.text
    assert "1 repeated header line(s)" in caplog.text


def test_drop_unrated_on_the_command_line(folder, tmp_path, capsys):
    assert check.main([str(folder)]) == 2
    assert "--drop-unrated" in capsys.readouterr().out
    assert check.main([str(folder), f"--fix={tmp_path / 'better'}", "--drop-unrated"]) == 1
    assert "2 interactions without a rating (0 or less) left out" in capsys.readouterr().out
    with pytest.raises(UserError, match="add --fix=OUT"):
        check.main([str(folder), "--drop-unrated"])
