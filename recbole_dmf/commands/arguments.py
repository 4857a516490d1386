"""One way of reading a command line, for all commands.

Every command takes `--name=value` and `--name value`, with `-` and `_` alike in a name, no name
shortened, and no option given twice.
"""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from recbole_dmf.errors import UserError
from recbole_dmf.literals import literal
from recbole_dmf.options import clip, nearest


class Parser(argparse.ArgumentParser):
    """The parser of a command that knows all of its options; declare them with dashes.

    Args:
        command: the command's name, after `recbole-dmf`.
        description: for `--help`; kept as it is written.
    """

    def __init__(self, command: str, description: str):
        super().__init__(
            prog=f"recbole-dmf {command}",
            description=description,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str):
        """Raise UserError in place of argparse's exit."""
        raise UserError(f"{message}; see {self.prog} --help.")

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """The options and words of a command line.

        Raises:
            UserError: an unknown option, one that is given twice, or a bad value.
        """
        known = self._option_string_actions
        words: list[str] = []
        given: set[str] = set()
        for word in argv:
            name, equals, value = word.partition("=")
            if name.startswith("--") and len(name) > 2:
                name = name.replace("_", "-")
                if name not in known:
                    names = [other.removeprefix("--") for other in known if other[:2] == "--"]
                    hint = nearest(clip(name.removeprefix("--")), names)
                    raise UserError(f"unknown option {clip(name)}{hint}; see {self.prog} --help.")
                if name in given:
                    raise UserError(f"{name} is given twice.")
                given.add(name)
                word = name + equals + value
            words.append(word)
        return self.parse_intermixed_args(words)


@dataclass
class CommandLine:
    """What the command line of a command with options of RecBole and of the models says.

    Attributes:
        named: values of the command's own options, as text.
        options: RecBole or model options, as literals.
        flags: command's own options without a value.
    """

    named: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    flags: set[str] = field(default_factory=set)


def parse_open(
    argv: Sequence[str], named: Iterable[str], flags: Iterable[str], short: dict[str, str]
) -> CommandLine:
    """Split a command line into the command's own options and all others.

    Args:
        argv: arguments after the program's name.
        named: own options that take a value, without dashes.
        flags: own options that take none.
        short: one-letter names, for example {"m": "model"}.

    Raises:
        UserError: a stray word, a missing value, or two values for one option.
    """
    result = CommandLine()
    words = list(argv)
    while words:
        word = words.pop(0)
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
        elif word.startswith("-") and word[1:2] in short and (len(word) == 2 or word[2] == "="):
            name, equals, value = short[word[1]], word[2:3], word[3:]
        else:
            raise UserError(f"{clip(repr(word))} stands alone; write options as --name=value.")
        name = name.replace("-", "_")
        if name in flags and not equals:
            result.flags.add(name)
            continue
        if not equals:
            if not words or (words[0].startswith("--") and len(words[0]) > 2):
                raise UserError(f"--{clip(name)} has no value; write --{clip(name)}=value.")
            value = words.pop(0)
        target = result.named if name in named else result.options
        if not name or name in target:
            raise UserError(
                f"--{clip(name)} is given twice." if name else f"{clip(repr(word))} has no name."
            )
        target[name] = value if name in named else literal(value)
    return result


def without_options(argv: Sequence[str], names: Iterable[str]) -> list[str]:
    """`argv` less the options `names` and their values, in both ways of writing them."""
    kept: list[str] = []
    words = iter(argv)
    for word in words:
        name, equals, _ = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name.replace("-", "_") not in names:
            kept.append(word)
        elif not equals:
            next(words, None)
    return kept
