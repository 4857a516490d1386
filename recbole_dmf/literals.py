"""Text and YAML files to plain values, without evaluating anything and without importing torch."""

import ast
import math
import re
import warnings
from pathlib import Path
from typing import Any

import yaml

from recbole_dmf.errors import UserError

MAX_VALUES = 100_000  # a file of options has a few hundred
MAX_DEPTH = 50


def literal(text: str) -> Any:
    """The Python or YAML literal that `text` spells, else `text` itself.

    Numbers, text, booleans, None, and lists, tuples and mappings of these; nothing else.
    """
    stripped = text.strip()
    lowered = stripped.lower()
    if lowered in ("true", "false"):
        return lowered == "true"
    if lowered in ("none", "null", "~"):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python warns of odd code, but this is none
            value = ast.literal_eval(stripped)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        value = _flow(stripped)
    return text if value is None or not_plain(value) is not None else value


def _flow(text: str) -> list | dict | None:
    """YAML's `[Hit, NDCG]` or `{k: v}`, in which words need no quotes; None for anything else."""
    if text[:1] + text[-1:] not in ("[]", "{}"):
        return None
    try:
        value = yaml.load(text, Loader=Loader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, AttributeError):
        return None
    return value if isinstance(value, list | dict) else None


def not_plain(value: Any) -> str | None:
    """Why `value` is no option's value, or None if it is one.

    YAML's aliases let a few lines stand for billions of values, or for one that holds itself.
    """
    left = [(value, 0)]
    for _ in range(MAX_VALUES):
        if not left:
            return None
        one, depth = left.pop()
        if depth > MAX_DEPTH:
            return f"it is nested more than {MAX_DEPTH} levels deep"
        if isinstance(one, dict):
            left += [(key, depth + 1) for key in one]
            left += [(item, depth + 1) for item in one.values()]
        elif isinstance(one, list | tuple):
            left += [(item, depth + 1) for item in one]
        elif not isinstance(one, str | int | float | bool | None):
            return f"it holds a {type(one).__name__}"
    return f"it holds more than {MAX_VALUES:,} values"


def not_finite(value: Any) -> bool:
    """Whether a plain value is or holds an infinite number or NaN."""
    if isinstance(value, dict):
        return any(map(not_finite, value.values()))
    if isinstance(value, list | tuple):
        return any(map(not_finite, value))
    return isinstance(value, float) and not math.isfinite(value)


class Loader(yaml.SafeLoader):
    """SafeLoader that reads 1e-4 as a number, as RecBole's does."""


Loader.yaml_implicit_resolvers = {
    first: list(resolvers) for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9][0-9_]*)(?:\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def load_yaml(path: Path) -> dict[str, Any]:
    """A YAML file of options as plain values.

    Raises:
        UserError: missing, not YAML, or not a mapping of plain values.
    """
    try:
        content = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=Loader)
    except OSError as error:
        raise UserError(f"cannot read the config file {path}: {error.strerror}.") from error
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, AttributeError) as error:
        reason = " ".join(str(error).split())[:500]
        raise UserError(f"{path} is not a YAML file of plain values: {reason}") from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise UserError(f"{path} must hold `option: value` lines.")
    if (wrong := not_plain(content)) is not None:
        raise UserError(f"{path} is not a YAML file of plain values: {wrong}.")
    return content
