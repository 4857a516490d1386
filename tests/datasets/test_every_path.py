"""Every way to read interactions, times every defect: the same verdict, or a written reason.

The verdict of a path is the rows that it gives, or `REFUSED`. The reasons are in `DIFFERENT`.
"""

import json
from pathlib import Path

import pandas as pd
import pytest

from conftest import random_rows
from recbole_dmf import run_recbole
from recbole_dmf.commands import convert
from recbole_dmf.config import build_config
from recbole_dmf.data.atomic import read_inter
from recbole_dmf.datasets.check import check_folder
from recbole_dmf.datasets.convert import to_atomic
from recbole_dmf.datasets.mend import fix_folder
from recbole_dmf.errors import UserError
from recbole_dmf.host import lookup

NAMES = ("user_id", "item_id", "rating", "timestamp")
TYPED = ("user_id:token", "item_id:token", "rating:float", "timestamp:float")
REFUSED = "refused"
ROWS = [
    (f"u{user}", f"i{item}", str(1 + (user + item) % 5), str(978300000 + 10 * item + user))
    for user in range(4)
    for item in range(6)
]
BAD = 5  # the row with the defect: u0, i5


def value(column, text):
    """A defect of one value."""
    rows = [list(row) for row in ROWS]
    rows[BAD][NAMES.index(column)] = text
    return {"rows": rows}


def every_time(change):
    return {"rows": [[*row[:3], change(row[3])] for row in ROWS]}


DEFECTS = {
    "none": {"rows": ROWS},
    "empty user": value("user_id", ""),
    "empty item": value("item_id", ""),
    "empty rating": value("rating", ""),
    "empty time": value("timestamp", ""),
    "NaN rating": value("rating", "nan"),
    "infinite rating": value("rating", "inf"),
    "huge rating": value("rating", "1e999"),
    "rating 0": value("rating", "0"),
    "rating -1": value("rating", "-1"),
    "rating above the scale": value("rating", "9"),
    "text rating": value("rating", "good"),
    "decimal comma": value("rating", "3,5"),
    "NaN time": value("timestamp", "NaN"),
    "infinite time": value("timestamp", "-inf"),
    "date": value("timestamp", "2020-01-01"),
    "date and time with zone": value("timestamp", "2020-01-01T00:00:00+02:00"),
    "milliseconds": every_time(lambda time: f"{time}123"),
    "nanoseconds": every_time(lambda time: f"{time}123456789"),
    "id NA": value("user_id", "NA"),
    "id null": value("item_id", "null"),
    "id nan": value("item_id", "nan"),
    "id 007": value("user_id", "007"),
    "id 1.0": value("item_id", "1.0"),
    "id in Unicode": value("item_id", "日本é"),
    "id with a space inside": value("item_id", "a b"),
    "id with spaces around": value("item_id", " a "),
    "id with quotes": value("item_id", '"a"'),
    "id with one quote": value("item_id", '"a'),
    "repeated pair": {"rows": [*ROWS, ("u0", "i5", "1", "999999999")]},
    "too few fields": {"rows": [*ROWS[:BAD], ROWS[BAD][:3], *ROWS[BAD + 1 :]]},
    "too many fields": {"rows": [*ROWS[:BAD], (*ROWS[BAD], "9"), *ROWS[BAD + 1 :]]},
    "repeated header": {"rows": [*ROWS[:BAD], None, *ROWS[BAD:]]},
    "BOM": {"rows": ROWS, "encoding": "utf-8-sig"},
    "UTF-16": {"rows": ROWS, "encoding": "utf-16"},
    "Latin-1": {**value("item_id", "é"), "encoding": "latin-1"},
    "CRLF": {"rows": ROWS, "end": "\r\n"},
}


def as_read(rows):
    """What reading rows exactly gives: each pair once, the latest."""
    last = {}
    for user, item, rating, time in sorted(rows, key=lambda row: float(row[3])):
        last[user, item] = (user, item, float(rating), float(time))
    return sorted(last.values())


ACCEPTED = {"none", "milliseconds", "repeated pair", "CRLF"} | {
    d for d in DEFECTS if d[:3] == "id "
}
EXPECTED = {
    name: as_read(DEFECTS[name]["rows"]) if name in ACCEPTED else REFUSED for name in DEFECTS
}
EXPECTED["repeated header"] = as_read(ROWS)


# ---- files


def text(defect, header, separator):
    rows = [header if row is None else row for row in defect["rows"]]
    if header is not None:
        rows = [header, *rows]
    end = defect.get("end", "\n")
    return "".join(separator.join(row) + end for row in rows).encode(
        defect.get("encoding", "utf-8")
    )


def atomic(folder, defect, name="shop.inter"):
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(text(defect, TYPED, "\t"))
    return folder


def rows_of(path, **options):
    frame = read_inter(path, rating_field="rating", time_field="timestamp", **options)
    return as_read(frame.itertuples(index=False, name=None))


# ---- paths


def reading(tmp_path, defect):
    return rows_of(atomic(tmp_path / "shop", defect) / "shop.inter", rating_range=(0, 5))


def loaded(tmp_path, name="shop", **options):
    """The interactions of a run as its models see them."""
    options = {"data_path": str(tmp_path), "max_rating": 5, **options}
    dataset = lookup.load_dataset(build_config("DMF", name, None, options))
    feat = dataset.inter_feat
    ids = (dataset.id2token(field, feat[field].to_numpy()) for field in NAMES[:2])
    return as_read(zip(*ids, feat["rating"], feat["timestamp"], strict=True)), dataset


def run(tmp_path, defect):
    atomic(tmp_path / "shop", defect)
    return loaded(tmp_path)[0]


FURTHER = {"price:float": "1.5", "title:token": "NA", "tags:token_seq": "a b"}


def run_with_further_columns(tmp_path, defect):
    """Three more columns in the middle of each row."""
    (tmp_path / "shop").mkdir()
    rows = [
        None if row is None else (*row[:2], *FURTHER.values(), *row[2:]) for row in defect["rows"]
    ]
    header = (*TYPED[:2], *FURTHER, *TYPED[2:])
    (tmp_path / "shop" / "shop.inter").write_bytes(text({**defect, "rows": rows}, header, "\t"))
    names = [name.partition(":")[0] for name in header]
    rows, dataset = loaded(tmp_path, load_col={"inter": names})
    assert set(names) <= set(dataset.inter_feat)
    assert (dataset.inter_feat["title"] == 0).all()  # missing, as RecBole has it
    return rows


def run_with_side_files(tmp_path, defect):
    folder = atomic(tmp_path / "shop", defect)
    items = sorted({"i0", *(row[1] for row in defect["rows"] if row)} - {""})
    fields = (f'"{i.replace(chr(34), chr(34) * 2)}"' if '"' in i else i for i in items)
    lines = [f'{field}\t"a ""b"""\n' for field in fields]  # in quotes, as in CSV
    (folder / "shop.item").write_text("item_id:token\tname:token\n" + "".join(lines))
    load_col = {"inter": list(NAMES), "item": ["item_id", "name"]}
    rows, dataset = loaded(tmp_path, load_col=load_col)
    number = dataset.token2id("item_id", "i0")
    assert dataset.id2token("name", dataset.item_feat["name"][number]) == 'a "b"'
    return rows


def ready_made_parts(tmp_path, defect):
    """The defect in the training part; one user's interactions in the other two."""
    folder = atomic(tmp_path / "shop", defect, "shop.train.inter")
    for name, row in (("valid", ("w", "i0", "5", "1")), ("test", ("w", "i1", "5", "2"))):
        atomic(folder, {"rows": [row]}, f"shop.{name}.inter")
    rows, _ = loaded(tmp_path)
    return [row for row in rows if row[0] != "w"]


def check(tmp_path, defect):
    """Whether there are errors; where there are none, what reading gives."""
    folder = atomic(tmp_path / "shop", defect)
    findings = check_folder(folder, {"max_rating": 5})
    if any(finding.severity == "error" for finding in findings):
        return REFUSED
    return rows_of(folder / "shop.inter")


def fix(tmp_path, defect):
    fix_folder(atomic(tmp_path / "shop", defect), tmp_path / "mended")
    return rows_of(tmp_path / "mended" / "mended.inter", filtered=True)


COLUMNS = ("--rating=rating", "--timestamp=timestamp")


def converted(tmp_path, name, data, *options):
    (tmp_path / name).write_bytes(data)
    convert.main([*options[:1], str(tmp_path / name), str(tmp_path / "out"), *options[1:]])
    return rows_of(tmp_path / "out" / "out.inter")


def convert_csv(tmp_path, defect):
    return converted(tmp_path, "t.csv", text(defect, NAMES, ","), "table", *COLUMNS)


def convert_movielens_100k(tmp_path, defect):
    """Without a header: the header line between the rows has its names."""
    data = text({**defect, "rows": [row or NAMES for row in defect["rows"]]}, None, "\t")
    return converted(tmp_path, "u.data", data, "movielens")


def convert_movielens_csv(tmp_path, defect):
    header = ("userId", "movieId", "rating", "timestamp")
    return converted(tmp_path, "ratings.csv", text(defect, header, ","), "movielens")


def as_value(text):
    """A JSON value or cell of a data frame: a number where it is one."""
    try:
        return float(text)
    except ValueError:
        return text


def convert_json_lines(tmp_path, defect):
    rows = [row or NAMES for row in defect["rows"]]
    texts = [
        json.dumps(
            dict(zip(NAMES, [*row[:2], *map(as_value, row[2:4])], strict=False)), ensure_ascii=False
        )
        for row in rows
    ]
    data = text({**defect, "rows": [(one,) for one in texts]}, None, "")
    return converted(tmp_path, "t.jsonl", data, "table", *COLUMNS)


def python_to_atomic(tmp_path, defect):
    rows = [row or NAMES for row in defect["rows"]]
    frame = pd.DataFrame([[*row[:2], *map(as_value, row[2:4])] for row in rows])
    frame.columns = NAMES[: len(frame.columns)]
    path = to_atomic(frame, tmp_path / "out", rating="rating", timestamp="timestamp")
    return rows_of(path)


RUNS = (run, run_with_further_columns, run_with_side_files, ready_made_parts)
CONVERTS = (
    *(convert_csv, convert_movielens_100k, convert_movielens_csv),
    *(convert_json_lines, python_to_atomic),
)
PATHS = {path.__name__: path for path in (reading, *RUNS, check, fix, *CONVERTS)}


# ---- reasons

GOOD = as_read(ROWS)
LEFT_OUT = as_read(ROWS[:BAD] + ROWS[BAD + 1 :])
IN_SECONDS = {
    unit: as_read([[*row[:3], float(row[3]) / scale] for row in DEFECTS[unit]["rows"]])
    for unit, scale in (("milliseconds", 1e3), ("nanoseconds", 1e9))
}
UNREADABLE = (
    *("empty user", "empty item", "empty rating", "empty time", "NaN rating", "infinite rating"),
    *("huge rating", "text rating", "decimal comma", "NaN time", "infinite time", "date"),
    *("date and time with zone", "too few fields", "too many fields"),
)
DIFFERENT: dict[tuple[str, str], object] = {
    # Mending leaves out lines that cannot be read, says how many, and does not judge ratings.
    **{("fix", defect): LEFT_OUT for defect in UNREADABLE},
    ("fix", "rating 0"): as_read(DEFECTS["rating 0"]["rows"]),
    ("fix", "rating -1"): as_read(DEFECTS["rating -1"]["rows"]),
    ("fix", "rating above the scale"): as_read(DEFECTS["rating above the scale"]["rows"]),
    # Mending is for texts in other encodings; a run refuses to guess one.
    **{("fix", encoding): GOOD for encoding in ("BOM", "UTF-16")},
    ("fix", "Latin-1"): as_read(DEFECTS["Latin-1"]["rows"]),
    # What writes a new file writes seconds, and says so; a run reads what is there, in order.
    **{("fix", unit): rows for unit, rows in IN_SECONDS.items()},
    **{(p.__name__, unit): rows for p in CONVERTS for unit, rows in IN_SECONDS.items()},
    # The formats of others say their encoding by their first bytes.
    **{(p.__name__, e): GOOD for p in CONVERTS[:4] for e in ("BOM", "UTF-16")},
    # No scale is known before a data set has its property file: the run and check judge that.
    **{
        (p.__name__, "rating above the scale"): as_read(DEFECTS["rating above the scale"]["rows"])
        for p in CONVERTS
    },
    # Quotes around a field are part of CSV, and of no other format.
    ("convert_csv", "id with quotes"): as_read(value("item_id", "a")["rows"]),
    ("convert_csv", "id with one quote"): REFUSED,  # it swallows the rest of the file
    # A comma separates fields in CSV, so that the line has too many of them: refused as well.
    # A file without a header has none to repeat: a text stands for a number.
    ("convert_movielens_100k", "repeated header"): REFUSED,
    # JSON and data frames have no lines of fields, so that a line cannot have too many of them.
    ("convert_json_lines", "too many fields"): GOOD,
    ("python_to_atomic", "too many fields"): GOOD,
    # A data frame is no text and has no encoding, no line ends.
    ("python_to_atomic", "BOM"): GOOD,
    ("python_to_atomic", "UTF-16"): GOOD,
    ("python_to_atomic", "Latin-1"): as_read(DEFECTS["Latin-1"]["rows"]),
}


@pytest.mark.parametrize("defect", DEFECTS)
@pytest.mark.parametrize("path", PATHS)
def test_every_path_has_the_same_verdict(tmp_path, path, defect):
    expected = DIFFERENT.get((path, defect), EXPECTED[defect])
    if expected == REFUSED and path != "check":
        with pytest.raises(UserError):
            PATHS[path](tmp_path, DEFECTS[defect])
    else:
        assert PATHS[path](tmp_path, DEFECTS[defect]) == expected


def test_further_columns_change_no_hash_split_or_figure(tmp_path):
    """A price, a title and a sequence beside the rest: the same run, bit for bit."""
    results = []
    for more in ((), ("price:float", "title:token", "tags:token_seq")):
        folder = tmp_path / str(len(more)) / "tiny"
        folder.mkdir(parents=True)
        values = ("1.5", '"a ""b"""', "x y")[: len(more)]
        lines = ["\t".join((*TYPED[:2], *more, *TYPED[2:]))]
        lines += [
            "\t".join((*map(str, row[:2]), *values, *map(str, row[2:]))) for row in random_rows()
        ]
        (folder / "tiny.inter").write_text("\n".join(lines) + "\n")
        load_col = {"inter": [name.partition(":")[0] for name in lines[0].split("\t")]}
        options = {"data_path": str(folder.parent), "checkpoint_dir": str(tmp_path / "runs")}
        options |= {"load_col": load_col, "epochs": 2, "user_layers": [8, 4], "item_layers": [8, 4]}
        folder = run_recbole("DMF", "tiny", config_dict=options)["folder"]
        results.append(json.loads((Path(folder) / "result.json").read_text()))
    same = ("data_sha256", "candidates_sha256", "counts", "metrics")
    found = [{key: result[key] for key in same} for result in results]
    assert found[0] == found[1]


def test_no_rating_written_as_0_can_be_filtered(tmp_path):
    atomic(tmp_path / "shop", DEFECTS["rating 0"])
    assert loaded(tmp_path, val_interval={"rating": "(0,inf)"})[0] == LEFT_OUT
    with pytest.raises(UserError, match=r"line 7, column rating: 0 is outside.*val_interval"):
        loaded(tmp_path, val_interval={"timestamp": "[0,inf)"})
    fix_folder(tmp_path / "shop", tmp_path / "rated", drop_unrated=True)
    assert rows_of(tmp_path / "rated" / "rated.inter") == LEFT_OUT
    data = text(DEFECTS["rating 0"], NAMES, ",")
    found = converted(tmp_path, "t.csv", data, "table", *COLUMNS, "--min-rating=1")
    assert found == LEFT_OUT
