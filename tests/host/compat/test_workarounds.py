from pathlib import Path

from recbole_dmf.host import compat
from recbole_dmf.host.compat import older


def test_every_workaround_has_a_test():
    texts = [path.read_text() for path in Path(__file__).parent.glob("test_*.py")]
    names = [f.__name__ for f in (*compat.WORKAROUNDS, *older.DIFFERENCES)]
    assert [n for n in names if not any(f"def test_{n}(" in text for text in texts)] == []
