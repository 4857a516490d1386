"""Archives and tables to convert, made to write elsewhere or to fill the memory."""

import gzip
import io
import zipfile

import numpy as np
import pytest

from conftest import random_rows
from hostile_trial import TINY, bait, cases_of, run, trial

HEADER = b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n"


CSV = b"userId,movieId,rating,timestamp\n" + b"".join(
    f"{u},{i},3,{n}\n".encode() for n, (u, i, _, _) in enumerate(random_rows(3, 20, 5))
)


def archive(here, *entries):
    with zipfile.ZipFile(here / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in entries:
            file.writestr(name, data)
    return ["convert", "a.zip", "out/shop"]


@bait("", code=0)
def zip_entry_above(here):
    return archive(here, ("../../ratings.csv", CSV))


@bait("", code=0)
def zip_entry_by_an_absolute_path(here):
    return archive(
        here, (f"{here}/ratings.csv", CSV), ("/../movies.csv", b"movieId,title,genres\n")
    )


@bait("a.zip:ratings.csv")
def zip_entry_that_is_a_link(here):
    info = zipfile.ZipInfo("ratings.csv")
    info.create_system, info.external_attr = 3, 0o120777 << 16
    return archive(here, (info, b"/etc/passwd"))


@bait("which no rating data does")
def zip_bomb(here):
    return archive(here, ("ratings.csv", b"1,1,1,1\n" * (4 << 20)))


@bait("claims to unpack to 4095 MB .* which no rating data does")
def zip_that_claims_gigabytes(here):
    words = archive(here, ("ratings.csv", CSV))
    data = bytearray((here / "a.zip").read_bytes())
    place = data.rfind(b"PK\1\2") + 24  # uncompressed size in the central directory
    data[place : place + 4] = (0xFFFFFFF0).to_bytes(4, "little")
    (here / "a.zip").write_bytes(data)
    return words


@bait("cannot be read|cannot be unpacked|line 1")
def zip_that_understates_its_size(here):
    words = archive(here, ("ratings.csv", CSV * 2000))
    data = bytearray((here / "a.zip").read_bytes())
    place = data.rfind(b"PK\1\2") + 24  # uncompressed size in the central directory
    data[place : place + 4] = (50).to_bytes(4, "little")
    (here / "a.zip").write_bytes(data)
    return words


@bait("Overlapped|cannot be read|not a usable")
def zip_of_overlapping_entries(here):
    words = archive(here, ("ratings.csv", CSV), ("movies.csv", b"movieId,title,genres\n1,A,B\n"))
    data = (here / "a.zip").read_bytes()
    first = data.find(b"PK\1\2")
    second = data.find(b"PK\1\2", first + 4)
    forged = bytearray(data)
    forged[second + 42 : second + 46] = data[first + 42 : first + 46]  # the first one's offset
    (here / "a.zip").write_bytes(forged)
    return words


@bait("not a usable zip|cannot be read|File name")
def zip_whose_names_differ(here):
    words = archive(here, ("ratings.csv", CSV))
    data = (here / "a.zip").read_bytes()
    (here / "a.zip").write_bytes(data.replace(b"ratings.csv", b"/tmp/xx.csv", 1))
    return words


@bait("unpacks to over|not a text file with lines")
def gzip_bomb(here):
    with gzip.open(here / "a.csv.gz", "wb", compresslevel=9) as file:
        for _ in range(40):
            file.write(b"1,1,1,1\n" * (1 << 17))
    return ["convert", "table", "a.csv.gz", "out/shop", "--columns=a,b,c,d", "--user=a", "--item=b"]


@bait("a NUL byte|not valid UTF-8")
def zip_within_a_zip(here):
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as file:
        file.writestr("ratings.csv", CSV)
    return archive(here, ("ratings.csv", inner.getvalue()))


@bait("u1/../../x|", code=0)
def ids_that_look_like_paths(here):
    rows = [f"../../{u},/etc/{i},3,{n}" for n, (u, i, _, _) in enumerate(random_rows(4, 20, 5))]
    (here / "a.csv").write_text("user_id,item_id,rating,timestamp\n" + "\n".join(rows) + "\n")
    return ["convert", "table", "a.csv", "out/shop", "--rating=rating"]


@bait("tab, a line end or a NUL")
def ids_with_line_ends(here):
    (here / "a.csv").write_text('user_id,item_id\n"a\tb\nc:token",1\n')
    return ["convert", "table", "a.csv", "out/shop"]


@bait("no name of its own")
def output_without_a_name(here):
    (here / "a.csv").write_text("user_id,item_id\n1,2\n")
    return ["convert", "table", "a.csv", "/"]


@bait("not a data set's name: it has over")
def output_with_a_long_name(here):
    (here / "a.csv").write_text("user_id,item_id\n1,2\n")
    return ["convert", "table", "a.csv", f"out/{'x' * 250}"]


@bait("claims 100,000,000 rows, which no rating data")
def parquet_of_billions_of_rows(here):
    import pyarrow as pa
    import pyarrow.parquet as pq

    column = pa.array(np.zeros(100_000_000, np.int8))
    path = here / "a.parquet"
    small = {"compression": "zstd", "row_group_size": 100_000_000, "write_statistics": False}
    pq.write_table(pa.table({"user_id": column, "item_id": column}), path, **small)
    return ["convert", "table", "a.parquet", "out/shop"]


@bait("line 2: 1 fields instead of 100004")
def header_of_a_million_columns(here):
    names = b"\t".join(b"c%d:token" % n for n in range(100_000))
    (here / "data" / "tiny" / "tiny.inter").write_bytes(HEADER.strip() + b"\t" + names + b"\n1\n")
    return ["init-dataset", "data/tiny"]


@run("line 1")
def header_of_many_megabytes(here):
    data = b"user_id" + b"x" * (20 << 20) + b":token\titem_id:token\n1\t2\n"
    (here / "data" / "tiny" / "tiny.inter").write_bytes(data)
    return ["--model=DMF", *TINY]


@bait("not a text file with lines")
def line_without_an_end(here):
    (here / "u.data").write_bytes(b"1" * (40 << 20))
    return ["convert", "movielens", ".", "out/shop"]


@pytest.mark.parametrize("name", cases_of(__name__))
def test_hostile(name, tmp_path, monkeypatch, capsys):
    trial(name, tmp_path, monkeypatch, capsys)
