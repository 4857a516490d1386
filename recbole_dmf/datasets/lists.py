"""Lines of a user and all of the user's items, `user item item ...`, as LightGCN's files are."""

from itertools import chain
from pathlib import Path

from recbole_dmf.data.lines import check_text
from recbole_dmf.datasets.archives import Member, blocks, members
from recbole_dmf.datasets.gather import Gatherer, Interactions, as_texts
from recbole_dmf.errors import UserError

_SAMPLE = 1000


def looks_like_lists(member: Member) -> bool:
    """Whether the lines are whole numbers between spaces, of different counts."""
    text = next(blocks(member))[1].decode("utf-8", "replace")
    lines = [line.split(" ") for line in text.strip().split("\n")[:_SAMPLE]]
    numbers = all(part.isdigit() for line in lines for part in line if part.strip())
    return numbers and len({len(line) for line in lines}) > 1


def lists(source: Path) -> Interactions:
    """The interactions of such a file; a user without items is left out.

    Raises:
        UserError: the source is not one file, or not text.
    """
    found = members(source)
    if source.is_dir() or len(found) != 1:
        raise UserError(f"{source}: name one file, not {len(found)}.")
    ((_, member),) = found.items()
    gatherer = Gatherer()
    for line, data in blocks(member):
        check_text(member.place, data, line=line)
        rows = [text.split() for text in data.decode().split("\n")[:-1]]
        lines = list(chain.from_iterable([n] * (len(row) - 1) for n, row in enumerate(rows, line)))
        users = list(chain.from_iterable(row[:1] * (len(row) - 1) for row in rows))
        items = list(chain.from_iterable(row[1:] for row in rows))

        def place(row: int, lines: list[int] = lines) -> str:
            return f"{member.place}, line {lines[row]}"

        gatherer.add(
            as_texts(users, place, "user"), as_texts(items, place, "item"), None, None, place
        )
    return gatherer.result(member.place)
