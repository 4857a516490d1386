"""Read files of one JSON object per line."""

import json
from collections.abc import Iterator

from recbole_dmf.datasets.archives import Member, blocks
from recbole_dmf.errors import UserError


def records(member: Member) -> Iterator[tuple[list[dict], list[int]]]:
    """Blocks of objects, each with the numbers of their lines; blank lines are left out.

    Raises:
        UserError: a line is no JSON object.
    """
    for line, data in blocks(member):
        rows, lines = [], []
        for number, text in enumerate(data.split(b"\n")[:-1], line):
            if not text.strip():
                continue
            try:
                found = json.loads(text)
                if not isinstance(found, dict):
                    raise ValueError(f"a {type(found).__name__}, not an object")
                rows.append(found)
            except (ValueError, RecursionError) as error:
                raise UserError(f"{member.place}, line {number}: {_reason(text, error)}") from None
            lines.append(number)
        yield rows, lines


def first_record(member: Member) -> dict | None:
    """The object on the first line that is not blank; None where there is none."""
    for _, data in blocks(member):
        text = data.strip().partition(b"\n")[0]
        if text:
            try:
                found = json.loads(text)
            except (ValueError, RecursionError):
                return None
            return found if isinstance(found, dict) else None
    return None


def _reason(text: bytes, error: Exception) -> str:
    start = text.strip()[:3]
    if start.startswith((b"{'", b"{u'", b'{u"')):
        return (
            "a Python dictionary, not JSON. Write each line as JSON first, in Python by "
            "`json.dumps(ast.literal_eval(line))`."
        )
    if start.startswith(b"["):
        return (
            "one JSON array, not one object per line. Write each of its objects on a line of its "
            "own, for instance by `jq -c '.[]'`."
        )
    return f"not JSON ({error}). Every line has to be one object; correct or remove the line."
