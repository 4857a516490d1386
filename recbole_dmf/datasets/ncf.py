"""He et al.'s ready-made splits: `X.train.rating`, `X.test.rating` and `X.test.negative`."""

from pathlib import Path

from recbole_dmf.data.lines import check_text
from recbole_dmf.datasets.archives import Member, blocks, first_line, members
from recbole_dmf.datasets.gather import Gatherer, Interactions, as_texts
from recbole_dmf.datasets.sources import COLUMNS, read_lines
from recbole_dmf.errors import UserError

NCF_PARTS = ("train.rating", "test.rating", "test.negative")


def is_ncf(source: Path) -> bool:
    """Whether a source is a prefix, a file, or a folder of such files."""
    if source.is_dir():
        return any(source.glob(f"*.{NCF_PARTS[0]}"))
    return ncf_file(source, NCF_PARTS[0]).is_file()


def ncf_file(source: Path, part: str) -> Path:
    """The file of a part (`train.rating`, ...) for a prefix, or for the name of another part."""
    name = source.name
    for ending in NCF_PARTS:
        name = name.removesuffix(f".{ending}")
    return source.with_name(f"{name}.{part}")


def ncf(source: Path) -> tuple[Interactions, Interactions, Interactions]:
    """He et al.'s files `X.train.rating`, `X.test.rating` and `X.test.negative`.

    Lines are `user item rating timestamp`, tab-separated, the timestamp perhaps left out: the
    split and the candidates are ready-made, so that none is needed.

    Returns:
        The training and the test interactions, and the candidates of each test user without the
        test item, as (user, item) rows in file order.
    """
    source = _prefix(source)
    train, test = (_ratings(_only(ncf_file(source, part))) for part in NCF_PARTS[:2])
    pairs = set(zip(test.users, test.items, strict=True))
    gatherer, member = Gatherer(), _only(ncf_file(source, NCF_PARTS[2]))
    for line, data in blocks(member):
        check_text(member.place, data, line=line)
        users: list[str] = []
        items: list[str] = []
        lines: list[int] = []
        for number, text in enumerate(data.decode().splitlines(), line):
            pair, *negatives = text.rstrip("\t").split("\t")
            user, comma, item = pair.strip("()").partition(",")
            if not comma or (user, item) not in pairs:
                raise UserError(
                    f"{member.place}, line {number}: {pair[:60]!r} is no (user,item) of "
                    f"{ncf_file(source, NCF_PARTS[1]).name}. Use files that belong together."
                )
            users += [user] * len(negatives)
            items += negatives
            lines += [number] * len(negatives)

        def place(row: int, lines: list[int] = lines) -> str:
            return f"{member.place}, line {lines[row]}"

        gatherer.add(
            as_texts(users, place, "user"), as_texts(items, place, "item"), None, None, place
        )
    return train, test, gatherer.result(member.place)


def _prefix(source: Path) -> Path:
    """The source itself; in a folder, its one `*.train.rating`."""
    if not source.is_dir():
        return source
    found = sorted(source.glob(f"*.{NCF_PARTS[0]}"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise UserError(
            f"{source}: one *.{NCF_PARTS[0]} file is needed, but there is {names}. Name the file."
        )
    return found[0]


def _ratings(member: Member) -> Interactions:
    n_fields = len(first_line(member).split("\t"))
    return read_lines(member, "\t", COLUMNS[:3] if n_fields == 3 else COLUMNS)


def _only(path: Path) -> Member:
    ((_, member),) = members(path).items()
    return member
