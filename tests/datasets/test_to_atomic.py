"""`recbole_dmf.to_atomic`: what it says in Python, and what it leaves out."""

import pandas as pd
import pytest

from recbole_dmf import to_atomic
from recbole_dmf.errors import UserError

ROWS = pd.DataFrame(
    {
        "who": ["a", "a", "b", "c", "a"],
        "what": ["x", "y", "x", "", "x"],
        "stars": [5, 1, 4, 3, 2],
        "when": ["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-04", "2020-01-05"],
    }
)
NAMES = {"user": "who", "item": "what", "rating": "stars", "timestamp": "when"}


def written(path):
    header, *rows = path.read_text().splitlines()
    return header.split("\t"), [tuple(row.split("\t")) for row in rows]


def test_every_row_that_is_left_out_is_said(tmp_path):
    options = {"timestamp_format": "%Y-%m-%d", "min_rating": 2, "drop_empty": True}
    with pytest.warns(UserWarning, match="left out|dropped") as said:
        path = to_atomic(ROWS, str(tmp_path / "shop"), **NAMES, **options)
    assert [str(one.message).removeprefix(f"{path}: ") for one in said] == [
        "1 rows with a rating below 2 left out",
        "1 rows with an empty or missing field left out",
        "1 duplicated (user, item) pairs dropped, the latest of each kept",
    ]
    assert written(path)[1] == [("b", "x", "4", "1578009600"), ("a", "x", "2", "1578182400")]


def test_nothing_is_said_where_nothing_is_left_out(tmp_path, recwarn):
    to_atomic(ROWS.iloc[:3], tmp_path / "shop", "who", "what", "stars")
    assert not recwarn


def test_milliseconds_are_said(tmp_path):
    frame = pd.DataFrame(
        {"user_id": [1, 2], "item_id": [1, 2], "t": [1577836800000, 1577836801000]}
    )
    with pytest.warns(UserWarning, match="millisecond"):
        path = to_atomic(frame, tmp_path / "shop", timestamp="t")
    assert [row[2] for row in written(path)[1]] == ["1577836800", "1577836801"]


def test_columns_in_the_index_are_read(tmp_path):
    frame = ROWS.iloc[:3].set_index(["who", "what"])
    path = to_atomic(frame, tmp_path / "shop", "who", "what", "stars")
    assert written(path)[1] == [("a", "x", "5"), ("a", "y", "1"), ("b", "x", "4")]


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"user": "customer"}, r"there are who, what, .*\. Name it with user=COLUMN\.$"),
        ({}, {"timestamp_format": "%d.%m.%Y"}, r"'2020-01-01' is not .* set timestamp_format\.$"),
        ({}, {"timestamp_format": "%Q"}, r"^timestamp_format=%Q: "),
        ({"what": "x"}, {"timestamp_format": None}, "for instance timestamp_format=%Y-%m-%d"),
        ({}, {"timestamp": None}, r"row 4: the item id '' is empty \(of a table, drop_empty"),
        (
            {"stars": 0, "what": "x"},
            {"timestamp": None},
            "leave such rows out by min_rating=X, X the lowest",
        ),
        ({"stars": ""}, {"drop_empty": True}, r"no interactions \(5 rows .*\)\. Give other rows"),
    ],
)
def test_messages_name_arguments(change, options, message, tmp_path):
    with pytest.raises(UserError, match=message) as error:
        to_atomic(ROWS.assign(**change), tmp_path / "shop", **{**NAMES, **options})
    assert "--" not in str(error.value)


@pytest.mark.parametrize("data", [[("a", "x")], {"user_id": ["a"]}, "ratings.csv", None])
def test_what_is_no_data_frame(data, tmp_path):
    with pytest.raises(UserError, match=r"give a data frame, .*pandas\.DataFrame.*convert table"):
        to_atomic(data, tmp_path / "shop")
