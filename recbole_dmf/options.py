"""Checked options: unknown names and wrong types are errors."""

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from recbole_dmf.errors import UserError
from recbole_dmf.literals import not_finite, not_plain


class Config(Protocol):
    """What the code here knows of RecBole's Config."""

    internal_config_dict: dict[str, Any]
    external_config_dict: dict[str, Any]
    final_config_dict: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        """The value of an option; None where nobody set it."""


# Smallest sensible values of RecBole's and our own numeric options.
MINIMUM = {
    "epochs": 0,
    "train_batch_size": 1,
    "eval_batch_size": 1,
    "eval_step": 0,
    "stopping_step": 0,
    "embedding_size": 1,
    "seed": 0,
    "split_seed": 0,
    "weight_decay": 0,
    "worker": 0,
}
MAX_NAME = 150  # bytes; file systems take 255, and names get endings
POSITIVE = ("learning_rate", "max_rating")
CHOICES = {
    "valid_reading": ("sampled", "expected", "full"),
    "sampling": ("per_epoch", "once"),
    "candidate_items": ("rated", "raw"),
}
# RecBole pickles these and unpickles whatever it finds there; data/utils.py:61 and 122.
PICKLED = ("save_dataset", "dataset_save_path", "save_dataloaders", "dataloaders_save_path")
PATHS = ("data_path", "checkpoint_dir")
INTERVALS = ("val_interval", "user_inter_num_interval", "item_inter_num_interval")
# Mappings of which people name some keys and mean the others as they are.
KEYS = {
    "eval_args": ("split", "group_by", "order", "mode"),
    "train_neg_sample_args": ("distribution", "sample_num", "alpha", "dynamic", "candidate_num"),
}
_EITHER = {
    "topk": (int, list),
    "recent_items": (int, list),
    "recent_decay": (float, int, list),
    "metrics": (str, list),
    "gpu_id": (str, int, tuple),
    "data_path": (str,),
}


_FIRST_WIDTH = "RecBole's DMF, which runs as RecBoleDMF, has it; here it is the first number of"
_WIDTHS = "RecBole's DMF, which runs as RecBoleDMF, has it; here the widths stand in"
_EARLIER = "it is of earlier versions of RecBole; write"
_EVAL_ARGS = f"{_EARLIER} eval_args, for example"
# What to write in the place of options of RecBole's DMF and of older versions of RecBole.
INSTEAD = {
    "user_embedding_size": f"{_FIRST_WIDTH} user_layers, for example [64, 64]",
    "item_embedding_size": f"{_FIRST_WIDTH} item_layers, for example [64, 64]",
    "user_hidden_size_list": f"{_WIDTHS} user_layers, for example [64, 64]",
    "item_hidden_size_list": f"{_WIDTHS} item_layers, for example [64, 64]",
    "inter_matrix_type": "RecBole's DMF, which runs as RecBoleDMF, has it; here it is "
    "interaction_matrix: binary ('01') or rating",
    "eval_setting": f"{_EVAL_ARGS} {{split: {{RS: [8, 1, 1]}}, order: RO, mode: full}}",
    "split_ratio": f"{_EVAL_ARGS} {{split: {{RS: [8, 1, 1]}}}}",
    "leave_one_num": f"{_EVAL_ARGS} {{split: {{LS: valid_and_test}}}}",
    "group_by_user": f"{_EVAL_ARGS} {{group_by: user}}",
    "neg_sampling": f"{_EARLIER} train_neg_sample_args: {{distribution: uniform, sample_num: 1}}",
    "training_neg_sample_num": f"{_EARLIER} train_neg_sample_args: {{sample_num: 1}}",
    "min_user_inter_num": f'{_EARLIER} user_inter_num_interval: "[5,inf)"',
    "max_user_inter_num": f'{_EARLIER} user_inter_num_interval: "[0,100]"',
    "min_item_inter_num": f'{_EARLIER} item_inter_num_interval: "[5,inf)"',
    "max_item_inter_num": f'{_EARLIER} item_inter_num_interval: "[0,100]"',
    "lowest_val": f'{_EARLIER} val_interval: {{rating: "[3,inf)"}}',
    "highest_val": f'{_EARLIER} val_interval: {{rating: "(-inf,3]"}}',
    "equal_val": f'{_EARLIER} val_interval: {{rating: "[5,5]"}}',
    "not_equal_val": f'{_EARLIER} val_interval: {{rating: "(-inf,5);(5,inf)"}}',
}


def check_name(name: str, what: str) -> None:
    """Raise for a name that is no plain file name.

    Args:
        name: becomes a folder's or a file's name.
        what: in the message, for example "a data set's name".

    Raises:
        UserError: it has a path separator, NUL or control character in it, is too long, or
            means a folder's parent.
    """
    try:
        too_long = len(name.encode()) > MAX_NAME
    except UnicodeEncodeError:
        raise UserError(f"{name!r} is not {what}: it is not valid Unicode.") from None
    if too_long:
        raise UserError(f"{name[:60]!r}... is not {what}: it has over {MAX_NAME} bytes.")
    if name in ("", ".", "..") or any(c in "/\\" or not c.isprintable() for c in name):
        raise UserError(f"{name!r} is not {what}; use letters, digits, '-', '_' and '.'.")


def _bad_path(text: str) -> str | None:
    """Why no file system has a file of this name."""
    if "\0" in text:
        return "has a NUL character in it"
    long = any(len(part.encode(errors="replace")) > 255 for part in text.split("/"))
    return "is longer than a path can be" if long or len(text) > 4000 else None


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Layers of options as one; later layers win.

    Of a mapping in `KEYS` a layer may name some keys: the others keep the value of the layers
    below. `mode` in eval_args is merged in the same way, valid and test each; `split` is replaced.
    """
    result: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            below = result.get(name)
            if name in KEYS and isinstance(value, dict) and isinstance(below, dict):
                both = {**below, **value}
                if isinstance(value.get("mode"), dict) and "mode" in below:
                    both["mode"] = {**_modes(below["mode"]), **value["mode"]}
                value = both
            result[name] = value
    return result


def _modes(mode: Any) -> dict[str, Any]:
    """`mode` of eval_args by phase; as text it is of both."""
    return mode if isinstance(mode, dict) else {"valid": mode, "test": mode}


def nearest(name: str, known: Iterable[str]) -> str:
    """'; did you mean X?' for the known name closest to `name`, small letters or large, or ''."""
    by_small = {one.lower(): one for one in known}
    found = difflib.get_close_matches(name.lower(), by_small, n=1, cutoff=0.6)
    return f"; did you mean {by_small[found[0]]}?" if found else ""


def _type_name(value: Any) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    names |= {list: "a list such as [64, 64]", dict: "a mapping such as {'key': value}"}
    return names.get(type(value), type(value).__name__)


def clip(text: str, length: int = 200) -> str:
    """`text`, short enough for a message."""
    return text if len(text) <= length else text[: length - 3] + "..."


def _short(value: Any) -> str:
    return clip(repr(value))


def _wrong_type(name: str, value: Any, default: Any, strict: bool) -> str | None:
    if name in _EITHER:
        ok = isinstance(value, _EITHER[name]) and not isinstance(value, bool)
    elif default is None or value is None:
        return None
    elif isinstance(default, bool):
        ok = isinstance(value, bool)
    elif isinstance(default, int):
        whole = isinstance(value, int) or (isinstance(value, float) and not strict)
        ok = whole and not isinstance(value, bool)
    elif isinstance(default, float):
        ok = isinstance(value, (int, float)) and not isinstance(value, bool)
    elif isinstance(default, list):
        ok = isinstance(value, (list, tuple))
    elif isinstance(default, str):
        ok = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    else:
        ok = isinstance(value, type(default))
    if ok:
        return None
    expected = _type_name(default) if default is not None else _type_name(_EITHER[name][0]())
    return f"expects {expected}, not {_short(value)}"


def _bad_negatives(args: dict[str, Any]) -> str | None:
    """What cannot be used; RecBole writes 'none' where there are no negatives."""
    count, alpha = args.get("sample_num", 1), args.get("alpha", 1.0)
    if count != "none" and (type(count) is not int or count < 1):
        return f"has the sample_num {_short(count)}; give a whole number of at least 1"
    if alpha != "none" and (isinstance(alpha, bool) or not isinstance(alpha, int | float)):
        return f"has the alpha {_short(alpha)}; give a number"
    return None


def _bad_interval(value: Any) -> str | None:
    """Why RecBole would pass over an interval, or one of several by column, without a word."""
    for one in value.values() if isinstance(value, dict) else (value,):
        if isinstance(one, list | tuple):  # of the ids that stay
            continue
        for interval in str(one).split(";"):
            ends = re.fullmatch(r"[\[(]([^,]+),([^,]+)[\])]", interval.strip())
            try:
                low, high = map(float, ends.groups()) if ends else (math.nan, math.nan)
            except ValueError:
                low = high = math.nan
            if not low <= high:
                return f"has {_short(one)}, which is no interval; write for example '[3,inf)'"
    return None


def _unknown_key(value: dict[str, Any], known: Iterable[str]) -> str | None:
    for key in value:
        if key not in known:
            shown = clip(repr(key))
            return f"has the key {shown}{nearest(str(key), known)}; known: {', '.join(known)}"
    return None


def check_options(
    options: dict[str, Any], defaults: dict[str, Any], own: Iterable[str], source: str
) -> None:
    """Raise for an option that no part of the run knows or whose value cannot be used.

    Args:
        options: to check.
        defaults: every known option with its default; None: any type.
        own: options with strict types (RecBole's general ones and ours).
        source: where the options were given, for the message.

    Raises:
        UserError: on the first such option.
    """
    own = set(own)
    for name, value in options.items():
        if name not in defaults:
            shown = clip(str(name))
            hint = f"; {INSTEAD[name]}." if name in INSTEAD else nearest(shown, defaults)
            raise UserError(f"unknown option '{shown}' in {source}{hint}")
        if reason := not_plain(value):
            raise UserError(f"option '{name}' in {source} is no plain value: {reason}.")
        problem = _wrong_type(name, value, defaults[name], name in own)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if problem is None and number and name in MINIMUM and value < MINIMUM[name]:
            problem = f"must be at least {MINIMUM[name]}, not {_short(value)}"
        if problem is None and number and name in POSITIVE and not 0 < value < float("inf"):
            problem = f"must be a positive number, not {_short(value)}"
        if problem is None and name in CHOICES and value not in CHOICES[name]:
            problem = f"must be one of {', '.join(CHOICES[name])}, not {_short(value)}"
        if problem is None and not_finite(value):
            problem = f"must be finite, not {_short(value)}"
        if problem is None and name in KEYS and isinstance(value, dict):
            problem = _unknown_key(value, KEYS[name])
        if problem is None and name == "train_neg_sample_args" and isinstance(value, dict):
            problem = _bad_negatives(value)
        if problem is None and name in INTERVALS and value is not None:
            problem = _bad_interval(value)
        if name in PATHS and isinstance(value, str):
            problem = problem or _bad_path(value)
        if name in PICKLED and value:
            problem = (
                "is not supported: RecBole's caches are pickles, and loading one runs whatever "
                "code is in it. Leave it out; reading the data again takes seconds"
            )
        if problem:
            raise UserError(f"option '{name}' in {source} {problem}.")


def choice(config: Config, name: str, choices: Iterable[str]) -> str:
    """A model option that must be one of `choices`.

    Raises:
        UserError: it is something else.
    """
    value = config[name]
    if value not in choices:
        raise UserError(f"{name} is {_short(value)}; choose one of {', '.join(choices)}.")
    return value


def number(config: Config, name: str, least: float, most: float = math.inf) -> float:
    """A model option that must be a finite number from `least` to `most`.

    Raises:
        UserError: it is something else.
    """
    value = config[name]
    good = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not good or not least <= value <= most or math.isinf(value):
        bound = f"of at least {least}" if most == math.inf else f"between {least} and {most}"
        raise UserError(f"{name} is {_short(value)}; give a number {bound}.")
    return value
