"""Search spaces: property files `tune/<Model>.yaml`, or a user's own, as Optuna's distributions."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recbole_dmf.errors import UserError
from recbole_dmf.host.properties import shipped_properties
from recbole_dmf.literals import load_yaml

_KEYS = {
    "float": {"type", "low", "high", "log"},
    "int": {"type", "low", "high", "log"},
    "categorical": {"type", "choices"},
}
Space = dict[str, dict[str, Any]]


def read_search_space(model: str, file: Path | None, fixed: Mapping[str, Any]) -> Space:
    """The search space of a model.

    An entry is `option: {type: float|int, low, high, log}` or `option: {type: categorical,
    choices}`. Where every choice is a mapping, a choice sets the options in it, and the entry's
    own name is only a name.

    Args:
        model: its name, for the property file.
        file: a user's file instead.
        fixed: options that are given; they are not searched.

    Raises:
        UserError: there is no such file, or it is not as described.
    """
    content = load_yaml(file) if file else shipped_properties("tune", model)
    source = str(file or f"tune/{model}.yaml")
    if not content:
        raise UserError(
            f"{source}: no search space"
            + (" in it." if file else f" for {model} comes with this package; give a file with ")
            + (
                ""
                if file
                else "--search=FILE, one `option: {type: float, low: .., high: ..}` each."
            )
        )
    for name, about in content.items():
        _check_entry(f"{source}: '{name}'", about)
    space = {k: v for k, v in content.items() if not set(_option_names(k, v)) & set(fixed)}
    if not space:
        raise UserError(f"{source}: all its options are given, so nothing is left to search.")
    return space


def _check_entry(where: str, about: Any) -> None:
    kind = about.get("type") if isinstance(about, dict) else None
    if kind not in _KEYS or not set(about) <= _KEYS[kind]:
        raise UserError(
            f"{where} must be {{type: float, low, high, log}}, the same with type: int, or "
            "{type: categorical, choices}."
        )
    if kind == "categorical":
        choices = about.get("choices")
        if not isinstance(choices, list) or not choices:
            raise UserError(f"{where} needs a list of choices.")
        mappings = [choice for choice in choices if isinstance(choice, dict)]
        if mappings and (len(mappings) < len(choices) or len({*map(frozenset, mappings)}) > 1):
            raise UserError(f"{where}: either all choices set the same options, or none does.")
        try:
            json.dumps(choices)
        except TypeError as error:
            raise UserError(f"{where}: its choices must be plain values ({error}).") from error
        return
    wanted: tuple[type, ...] = (int,) if kind == "int" else (int, float)
    low, high = (about.get(end) for end in ("low", "high"))
    if not all(isinstance(end, wanted) and not isinstance(end, bool) for end in (low, high)):
        raise UserError(f"{where} needs numbers as low and high; write 1.0e-4, not 1e-4.")
    if not isinstance(about.get("log", False), bool):
        raise UserError(f"{where}: log must be true or false.")
    if not low <= high < float("inf") or low == -float("inf") or (about.get("log") and low <= 0):
        raise UserError(f"{where}: low must not be above high, and above 0 where log is true.")


def distributions(space: Space) -> dict[str, Any]:
    """The space in Optuna's terms; choices as JSON text, since Optuna takes no lists."""
    from optuna import distributions as optuna

    found: dict[str, Any] = {}
    for name, about in space.items():
        if about["type"] == "categorical":
            found[name] = optuna.CategoricalDistribution(list(map(json.dumps, about["choices"])))
        else:
            kind = getattr(optuna, f"{about['type'].capitalize()}Distribution")
            found[name] = kind(about["low"], about["high"], log=about.get("log", False))
    return found


def as_options(space: Space, point: Mapping[str, Any]) -> dict[str, Any]:
    """The options that a point of the space stands for."""
    options: dict[str, Any] = {}
    for name, value in point.items():
        if space[name]["type"] != "categorical":
            options[name] = value
        else:
            chosen = json.loads(value)
            options.update(chosen if isinstance(chosen, dict) else {name: chosen})
    return options


def as_point(space: Space, options: Mapping[str, Any]) -> dict[str, Any]:
    """The point that stands for these options; what is outside of the space is left out."""
    point: dict[str, Any] = {}
    for name, about in space.items():
        if about["type"] == "categorical":
            for choice in about["choices"]:
                chosen = choice if isinstance(choice, dict) else {name: choice}
                if all(options.get(k) == v for k, v in chosen.items()):
                    point[name] = json.dumps(choice)
        elif name in options and about["low"] <= options[name] <= about["high"]:
            point[name] = options[name]
    return point


def corner(space: Space) -> dict[str, Any]:
    """Some point of the space."""
    return {
        name: json.dumps(about["choices"][0]) if "choices" in about else about["low"]
        for name, about in space.items()
    }


def _option_names(name: str, about: Mapping[str, Any]) -> list[str]:
    first = about.get("choices", [None])[0]
    return list(first) if isinstance(first, dict) else [name]
