"""Data frames to atomic files."""

import numpy as np
import pandas as pd
import pytest

from conversion import rows_of
from recbole_dmf.datasets.convert import to_atomic
from recbole_dmf.errors import UserError


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
    "surrogate": (  # as objects, since text columns of pandas 3 take none
        {"user_id": pd.Series(["\ud800"], dtype=object), "item_id": ["x"]},
        "row 1: .* not valid Unicode",
    ),
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
    "text date": ({"user_id": [1], "item_id": [1], "t": ["May"]}, "'May' .*timestamp_format"),
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
