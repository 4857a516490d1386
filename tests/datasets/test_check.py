"""recbole_dmf.datasets.check and mend: all findings at once, and a copy that can be read."""

import codecs
import contextlib
from pathlib import Path

import numpy as np
import pytest
import recbole
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recbole_dmf.commands import check as command
from recbole_dmf.data.atomic import read_inter
from recbole_dmf.datasets.check import check_folder
from recbole_dmf.datasets.mend import fix_folder
from recbole_dmf.errors import UserError

HEADER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
ML_100K = Path(recbole.__file__).parent / "dataset_example" / "ml-100k"
hypothesis_settings = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150
)


def shop():
    """Rows of a file with nothing to find, from line 2: 4 small users, 4 others, 240 items."""
    small = [
        [f"u{user}", f"i{user * 3 + k}", str(1 + k % 5), str(1000 + 10 * k + user)]
        for user in range(4)
        for k in range(5)
    ]
    return small + [
        [f"v{user}", f"i{(60 * user + k) % 240}", "3", str(2000 + k)]
        for user in range(4)
        for k in range(80)
    ]


def text_of(rows, header=HEADER, separator="\t"):
    return header.replace("\t", separator) + "".join(separator.join(row) + "\n" for row in rows)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "shop"
    path.mkdir()
    return path


@pytest.fixture
def check(folder):
    def checker(content, properties=None, **files):
        (folder / "shop.inter").write_bytes(
            content if isinstance(content, bytes) else content.encode()
        )
        for suffix, text in files.items():
            (folder / f"shop.{suffix}").write_text(text, encoding="utf-8")
        return check_folder(folder, properties)

    return checker


def changed(row, column, value):
    rows = shop()
    rows[row - 2][column] = value
    return text_of(rows)


def with_line(row, line):
    lines = text_of(shop()).splitlines(keepends=True)
    lines.insert(row - 1, line)
    return "".join(lines)


def all_times(function):
    return text_of([[*row[:3], function(row[3])] for row in shop()])


def test_a_good_folder_has_no_findings(check):
    assert check(text_of(shop())) == []


FINDS = {
    # name: (content, severity, line, column, part of the message)
    "empty": ("", "error", None, None, "is empty"),
    "header only": (HEADER, "error", 1, None, "no rows"),
    "BOM": (codecs.BOM_UTF8 + text_of(shop()).encode(), "error", 1, None, "byte-order mark"),
    "UTF-16": (text_of(shop()).encode("utf-16"), "error", 1, None, "UTF-16"),
    "Latin-1": (changed(5, 1, "é").encode("latin-1"), "error", 5, None, "not UTF-8"),
    "NUL": (changed(5, 1, "i\0"), "error", 5, None, "NUL"),
    "mixed line ends": (text_of(shop()).replace("\n", "\r\n", 3), "warning", None, None, "3 lines"),
    "old Mac": (text_of(shop()).replace("\n", "\r"), "error", 1, None, "carriage returns"),
    "commas": (text_of(shop(), separator=","), "error", 1, None, "separated by ','"),
    "spaces": (text_of(shop(), separator=" "), "error", 1, None, "separated by ' '"),
    "no header": (text_of(shop(), header=""), "error", 1, None, "no header"),
    "no type": (text_of(shop()).replace("rating:float", "rating"), "error", 1, "rating", "no type"),
    "bad type": (text_of(shop()).replace("g:float", "g:int"), "error", 1, "rating", "type 'int'"),
    "wrong type": (text_of(shop()).replace("g:float", "g:token"), "error", 1, "rating", "be float"),
    "no name": (text_of(shop()).replace("rating:", ":"), "error", 1, None, "without a name"),
    "twice": (text_of(shop()).replace("rating", "item_id"), "error", 1, "item_id", "two columns"),
    "no user": (text_of(shop()).replace("user_id", "uid"), "error", 1, "user_id", "no such column"),
    "no time": (
        text_of(shop()).replace("times", "st"),
        "warning",
        1,
        "timestamp",
        "no such column",
    ),
    "short line": (with_line(7, "u0\ti5\n"), "error", 7, None, "fewer than the"),
    "long line": (with_line(7, "u0\ti5\t1\t1\t1\n"), "error", 7, None, "more than"),
    "blank line": (with_line(7, "\n"), "error", 7, None, "blank line"),
    "empty user": (changed(6, 0, ""), "error", 6, "user_id", "empty id"),
    "empty item": (changed(6, 1, ""), "error", 6, "item_id", "empty id"),
    "padding id": (changed(6, 1, "[PAD]"), "error", 6, "item_id", "[PAD]"),
    "id with space": (changed(6, 0, "u0 "), "warning", 6, "user_id", "spaces"),
    "NaN": (changed(6, 2, "nan"), "error", 6, "rating", "'nan'"),
    "infinity": (changed(6, 2, "-inf"), "error", 6, "rating", "'-inf'"),
    "text": (changed(6, 3, "monday"), "error", 6, "timestamp", "'monday'"),
    "rating 0": (changed(6, 2, "0"), "error", 6, "rating", "0 or less"),
    "outlier": (changed(6, 2, "500"), "warning", 6, "rating", "far above"),
    "all times 0": (all_times(lambda time: "0"), "error", 2, "timestamp", "all timestamps are 0"),
    "equal times": (all_times(lambda time: "7"), "warning", 2, "timestamp", "are equal"),
    "some times 0": (changed(6, 3, "0"), "note", 6, "timestamp", "means unknown"),
    "milliseconds": (
        all_times(lambda time: f"97830{time}000"),
        "warning",
        2,
        "timestamp",
        "milliseconds",
    ),
    "mixed units": (changed(6, 3, "978300760000"), "error", 6, "timestamp", "different units"),
    "nanoseconds": (
        all_times(lambda time: f"97830{time}000000000"),
        "error",
        2,
        "timestamp",
        "too large",
    ),
    "same pair": (with_line(7, "u0\ti0\t5\t1\n"), "warning", 7, None, "same user and item"),
    "few": (with_line(7, "new\ti0\t5\t1\n"), "warning", 7, "user_id", "fewer than 3 interactions"),
    "tied": (changed(5, 3, "1040"), "note", 6, "user_id", "several latest"),
    "cold": (with_line(7, "u0\tonly\t5\t3000\n"), "note", None, "item_id", "1 of 8 users' latest"),
}


@pytest.mark.parametrize("name", FINDS)
def test_finds(check, name):
    content, severity, line, column, part = FINDS[name]
    findings = check(content)
    matching = [finding for finding in findings if part in finding.message]
    assert len(matching) == 1, findings
    found = matching[0]
    assert (found.severity, found.file, found.line, found.column) == (
        severity,
        "shop.inter",
        line,
        column,
    )
    assert found.remedy or part in ("is empty",)


def test_all_findings_in_one_go_worst_first(check):
    rows = shop()
    rows[3][2], rows[4][2], rows[5][3], rows[6][0] = "nan", "-1", "x", ""
    content = (
        codecs.BOM_UTF8 + text_of(rows).encode() + "u0\té\n".encode("latin-1") + b"\nu1\ti7\t1\t5\n"
    )
    findings = check(content, item="item_id:token\ni0\nghost\n")
    for part in ("byte-order", "not UTF-8", "fewer than the", "blank", "'nan'", "0 or less", "'x'"):
        assert sum(part in finding.message for finding in findings) == 1, part
    order = [["error", "warning", "note"].index(finding.severity) for finding in findings]
    assert order == sorted(order)
    assert any(f.file == "shop.item" and "items without" in f.message for f in findings)


def test_repeated_findings_are_counted(check, folder, capsys):
    rows = [[*row[:2], "0" if number % 2 else "3", row[3]] for number, row in enumerate(shop())]
    (found,) = [f for f in check(text_of(rows)) if "0 or less" in f.message]
    assert (found.count, found.line, found.lines) == (len(rows) // 2, 3, (3, 5, 7, 9, 11))
    assert command.main([str(folder)]) == 2
    assert f"{len(rows) // 2} lines (3, 5, 7, 9, 11, ...)" in capsys.readouterr().out


def test_side_files(check):
    findings = check(
        text_of(shop()),
        item="item_id:token\tname:token\ni0\ta\ni0\tb\nghost\tc\n",
        user="user_id:token\tage:token\n"
        + "".join(f"{x}{k}\t1\n" for x in "uv" for k in range(4))
        + "nobody\n",
    )
    texts = [f"{f.severity} {f.file} {f.line} {f.message}" for f in findings]
    assert "warning shop.item 3 the same item again" in texts
    assert "note shop.item 4 items without any interaction" in texts
    assert any("239 items with interactions are not listed, e.g. 'i1'" in text for text in texts)
    assert "error shop.user 10 fewer than the header's 2 fields" in texts


def test_rating_scale_of_the_settings(check):
    findings = check(changed(6, 2, "5.5"), {"max_rating": 5})
    (found,) = [f for f in findings if "above max_rating" in f.message]
    assert (found.severity, found.line, found.column) == ("error", 6, "rating")
    assert check(changed(6, 2, "5.5"), {"max_rating": 6}) == []
    for wrong in ("5", [1, 5], 0, -1, True, float("nan")):
        assert any(
            "max_rating: " in f.message for f in check(text_of(shop()), {"max_rating": wrong})
        )


def test_settings_file(check, folder):
    text = text_of(shop(), "who:token\twhat:token\tstars:float\twhen:float\n", ",")
    names = "USER_ID_FIELD: who\nITEM_ID_FIELD: what\nRATING_FIELD: stars\nTIME_FIELD: when\n"
    findings = check(text, yaml=names + "field_separator: ','\n")
    assert all(finding.severity != "error" for finding in findings)
    (folder / "shop.yaml").write_text(names + "field_separator: '::'\nmode: 1\n")
    messages = [
        f"{f.message} {f.remedy}" for f in check_folder(folder, None, {"model", "TIME_FIELD"})
    ]
    assert any("field_separator" in message for message in messages)
    assert "unknown option 'mode'; did you mean model? Correct or remove it." in messages


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a: [1\n", "not a YAML file"),
        ("- a\n", "must hold `option: value`"),
        ("!!python/object:os.x {}\n", "YAML"),
    ],
)
def test_bad_settings_file(check, text, part):
    findings = check(text_of(shop()), yaml=text)
    assert any(f.file == "shop.yaml" and part in f.message for f in findings)


def test_missing_interactions(folder, tmp_path):
    assert "no such file" in check_folder(folder)[0].message
    (folder / "shops.inter").write_text(text_of(shop()))
    assert "there is shops.inter" in check_folder(folder)[0].message
    for missing in (tmp_path / "nothing", folder / "shops.inter"):
        with pytest.raises(UserError, match="is not a folder"):
            check_folder(missing)
        with pytest.raises(UserError, match="is not a folder"):
            fix_folder(missing, tmp_path / "new")


def test_exit_codes(check, folder, capsys):
    many = shop()
    check(text_of(many))
    assert command.main([str(folder)]) == 0
    assert "nothing found" in capsys.readouterr().out
    check(text_of([*many, many[0]]))
    assert command.main([str(folder)]) == 1
    check(text_of([*many, ["u1", "i99", "x", "1"]]))
    assert command.main([str(folder)]) == 2
    assert "column rating, line 342:" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"--properties=.*no such file"):
        command.main([str(folder), "--properties", str(folder / "no.yaml")])


def test_ml_100k_has_notes_only(capsys):
    assert command.main([str(ML_100K)]) == 0
    assert "415 of 943 users have several latest items" in capsys.readouterr().out


DAMAGES = [
    name
    for name in FINDS
    if name not in ("empty", "header only", "rating 0", "no user", "no header", "no name", "twice")
]


@pytest.mark.parametrize("name", DAMAGES)
def test_mended_copy_can_be_read(check, folder, tmp_path, name):
    check(FINDS[name][0])
    changes = fix_folder(folder, tmp_path / "better")
    time_field = None if name == "no time" else "timestamp"
    frame = read_inter(
        tmp_path / "better" / "better.inter", rating_field="rating", time_field=time_field
    )
    assert len(shop()) - 1 <= len(frame) <= len(shop()) + 1
    assert all(change.startswith("shop.inter: ") for change in changes)


def test_mended_copy_keeps_the_latest_and_every_good_row(check, folder, tmp_path):
    rows = shop()
    old, new, tied = ["u0", "i0", "2", "1"], ["u0", "i0", "4", "5000"], ["u0", "i0", "5", "5000"]
    content = text_of([old, *rows, new, tied]).replace("\n", "\r\n") + "bad line\r\n"
    check(codecs.BOM_UTF8 + content.encode(), item="item_id:token\ni0\n")
    changes = fix_folder(folder, tmp_path / "better")
    frame = read_inter(
        tmp_path / "better" / "better.inter", rating_field="rating", time_field="timestamp"
    )
    expected = [row for row in rows if row[:2] != ["u0", "i0"]] + [tied]
    got = [[u, i, str(int(r)), str(int(t))] for u, i, r, t in frame.itertuples(index=False)]
    assert got == expected
    assert (tmp_path / "better" / "better.item").read_text() == "item_id:token\ni0\n"
    assert (folder / "shop.inter").read_bytes().startswith(codecs.BOM_UTF8)
    assert "shop.inter: 1 of 344 lines left out" in changes
    assert any("3 duplicated (user, item) pairs" in change for change in changes)


def test_mended_times_are_in_seconds(check, folder, tmp_path):
    check(all_times(lambda time: f"97830{time.zfill(4)}123"))
    fix_folder(folder, tmp_path / "better")
    times = read_inter(
        tmp_path / "better" / "better.inter", rating_field=None, time_field="timestamp"
    )["timestamp"]
    expected = [float(f"97830{row[3].zfill(4)}.123") for row in shop()]
    np.testing.assert_array_equal(times, expected)


def test_latin_1_and_utf_8_in_one_file(check, folder, tmp_path):
    rows = shop()
    rows[0][0] = "ü"
    content = text_of(rows).encode() + "é\ti1\t1\t1\n".encode("latin-1")
    check(content)
    fix_folder(folder, tmp_path / "better")
    frame = read_inter(tmp_path / "better" / "better.inter", rating_field=None, time_field=None)
    assert (frame["user_id"].iloc[0], frame["user_id"].iloc[-1]) == ("ü", "é")


def test_mended_copy_goes_elsewhere(check, folder, tmp_path):
    check(text_of(shop()))
    with pytest.raises(UserError, match="the folder itself"):
        fix_folder(folder, folder)
    with pytest.raises(UserError, match="exists already"):
        fix_folder(folder, tmp_path)
    (folder / "shop.inter").write_text("")
    with pytest.raises(UserError, match="nothing in it can be read"):
        fix_folder(folder, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_fix_option(check, folder, tmp_path, capsys):
    check(codecs.BOM_UTF8 + text_of(shop()).encode())
    assert command.main([str(folder), "--fix", str(tmp_path / "better")]) == 0
    out = capsys.readouterr().out
    assert "byte-order mark" in out
    assert "mended copy in" in out
    assert out.count("byte-order mark") == 2


@pytest.mark.slow
@given(st.binary(max_size=200), st.booleans())
@hypothesis_settings
def test_random_bytes_never_break_the_check(check, folder, tmp_path_factory, content, with_header):
    check((HEADER.encode() if with_header else b"") + content)
    with contextlib.suppress(UserError):
        fix_folder(folder, tmp_path_factory.mktemp("fixed") / "better")


PIECES = [
    b"",
    b"\t",
    b"\n",
    b"\r",
    b"\r\n",
    b"\0",
    b'"',
    b" ",
    b",",
    b":",
    b"\xff",
    b"nan",
    b"1e999",
]


@given(
    st.lists(
        st.tuples(st.integers(61, 600), st.integers(0, 6), st.sampled_from(PIECES)), max_size=5
    )
)
@hypothesis_settings
@pytest.mark.slow
def test_mending_leaves_nothing_unreadable(check, folder, tmp_path_factory, changes):
    content = text_of(shop()[:30]).encode()
    for start, removed, piece in changes:
        content = content[:start] + piece + content[start + removed :]
    check(content)
    out = tmp_path_factory.mktemp("fixed") / "better"
    fix_folder(folder, out)
    try:
        read_inter(out / "better.inter", rating_field="rating", time_field="timestamp")
    except UserError as error:
        if "outside ratings above 0" not in str(error):
            raise
