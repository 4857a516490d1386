"""Text to plain values, without evaluating anything and without importing torch."""

import ast
from typing import Any


def literal(text: str) -> Any:
    """The Python or YAML literal that `text` spells, else `text` itself."""
    stripped = text.strip()
    lowered = stripped.lower()
    if lowered in ("true", "false"):
        return lowered == "true"
    if lowered in ("none", "null", "~"):
        return None
    try:
        return ast.literal_eval(stripped)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
