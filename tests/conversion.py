"""Short ways to convert a file and to read what came out."""

import zipfile

from recbole_dmf.commands import convert as command
from recbole_dmf.data.atomic import read_inter

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


# ---- NCF


def write_ncf(folder):
    (folder / "x.train.rating").write_text("0\t32\t4\t978824330\n1\t34\t4\t978824330\n")
    (folder / "x.test.rating").write_text("0\t25\t5\t978824351\n1\t133\t3\t978300174\n")
    (folder / "x.test.negative").write_text("(0,25)\t1064\t174\n(1,133)\t1072\t3154\t3368\n")
    return folder / "x"
