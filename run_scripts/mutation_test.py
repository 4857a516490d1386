#!/usr/bin/env python
"""Small errors put into the formulas, one at a time: the tests of that module have to notice.

    python run_scripts/mutation_test.py --out=run_scripts/measured

Each mutant is a process of its own, forked after the imports, in which the changed module is what
the tests import. Those that no test notices are printed with their lines; measured/mutation.md says
of each why it is no error.
"""

import argparse
import ast
import copy
import importlib.abc
import importlib.util
import json
import os
import select
import shlex
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import hypothesis  # noqa: F401  the tests import these; a fork does not have to
import numpy  # noqa: F401
import pandas  # noqa: F401
import pytest
import recbole.config
import recbole.data
import recbole.trainer  # noqa: F401
import scipy.stats  # noqa: F401
import torch  # noqa: F401

from recbole_dmf.files import make_folder, write_text
from recbole_dmf.manifest import versions

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 120  # for one mutant's tests; an endless loop is noticed as well
# module -> its tests, and the functions to change (None: all)
TARGETS: dict[str, tuple[list[str], set[str] | None]] = {
    "models.losses": (["models/test_losses.py"], None),
    "evaluation.metrics": (["evaluation/test_metrics.py"], None),
    "data.split": (["data/test_split.py"], None),
    "evaluation.candidates": (["evaluation/test_candidates.py"], None),
    "models.eals": (
        ["models/test_eals.py"],
        {
            "item_weights",
            "observed_targets",
            "objective",
            "update_users",
            "update_items",
            "_predictions",
            "_sweep",
            "fit_epoch",
        },
    ),
}
SWAPS: dict[type, tuple[type, ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.MatMult: (ast.Mult,),
    ast.Pow: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
}


def replacements(node: ast.AST) -> list[ast.AST]:
    """The changed forms of one node of the syntax tree."""
    found: list[ast.AST] = []

    def with_(**changed):
        new = copy.deepcopy(node)
        for name, value in changed.items():
            setattr(new, name, value)
        found.append(new)

    if isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp):
        for kind in SWAPS.get(type(node.op), ()):
            with_(op=kind())
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        for kind in SWAPS.get(type(node.ops[0]), ()):
            with_(ops=[kind()])
    elif isinstance(node, ast.UnaryOp):
        found.append(copy.deepcopy(node.operand))
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        with_(value=not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        with_(value=node.value + 1)
        with_(value=-node.value if node.value else -1)
    elif isinstance(node, ast.IfExp):
        with_(body=node.orelse, orelse=node.body)
    elif isinstance(node, ast.Call):
        for n in range(len(node.keywords)):
            with_(keywords=node.keywords[:n] + node.keywords[n + 1 :])
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("minimum", "maximum"):
            other = {"minimum": "maximum", "maximum": "minimum"}[node.func.attr]
            with_(func=ast.Attribute(node.func.value, other, ast.Load()))
    return found


def mutants(source: str, functions: set[str] | None) -> list[tuple[int, str, str]]:
    """(line, changed line as text, changed source) of every mutant of a module."""
    tree = ast.parse(source)
    found = []
    places = [  # (parent, field, position in it or None), in the order of the source
        (parent, name, n)
        for parent in _changeable(tree, functions)
        for name, value in ast.iter_fields(parent)
        if name not in ("annotation", "returns", "decorator_list")
        for n in (range(len(value)) if isinstance(value, list) else (None,))
    ]
    for parent, name, n in places:
        value = getattr(parent, name)
        node = value if n is None else value[n]
        if not isinstance(node, ast.AST):
            continue
        for new in replacements(node):
            ast.copy_location(new, node)
            _put(parent, name, n, new)
            ast.fix_missing_locations(tree)
            line = node.lineno
            changed, after = ast.unparse(tree), _shown(parent, new)
            _put(parent, name, n, node)
            found.append((line, f"{_shown(parent, node)}  ->  {after}", changed))
    return found


def _shown(parent: ast.AST, node: ast.AST) -> str:
    """The expression around a node that says nothing on its own."""
    return ast.unparse(parent if isinstance(parent, ast.expr) else node)


def _put(parent: ast.AST, name: str, n: int | None, node: ast.AST) -> None:
    if n is None:
        setattr(parent, name, node)
    else:
        getattr(parent, name)[n] = node


def _changeable(tree: ast.Module, functions: set[str] | None) -> list[ast.AST]:
    """All nodes but those of error messages, annotations and other functions."""
    found = []
    for top in ast.walk(tree):
        if isinstance(top, ast.FunctionDef) and (functions is None or top.name in functions):
            left: list[ast.AST] = [*top.body, top.args]
            while left:
                node = left.pop(0)
                if isinstance(node, ast.Raise | ast.FunctionDef | ast.JoinedStr):
                    continue
                found.append(node)
                left += ast.iter_child_nodes(node)
            found.append(top)
    return list(
        {id(node): node for node in found if not isinstance(node, ast.FunctionDef)}.values()
    )


class _Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports the changed source in the place of a module."""

    def __init__(self, name: str, path: Path, source: str):
        self.name, self.path, self.source = name, path, source

    def find_spec(self, fullname, path, target=None):
        if fullname == self.name:
            return importlib.util.spec_from_file_location(fullname, self.path, loader=self)
        return None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        exec(compile(self.source, str(self.path), "exec"), vars(module))


def survives(module: str, source: str, tests: list[str]) -> tuple[bool, str]:
    """Whether the tests pass with the changed source, and how they ended."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        os.setsid()
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        name = f"recbole_dmf.{module}"
        path = ROOT / "recbole_dmf" / f"{module.replace('.', '/')}.py"
        sys.meta_path.insert(0, _Changed(name, path, source))
        files = [str(ROOT / "tests" / test) for test in tests]
        words = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--durations=0"]
        code = 99
        try:
            code = int(pytest.main([*words, f"--rootdir={ROOT}", *files]))
        finally:
            os.write(write, bytes([code]))
            os._exit(0)
    os.close(write)
    ready, _, _ = select.select([read], [], [], SECONDS)
    said = os.read(read, 1) if ready else b""
    os.close(read)
    if not ready:
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if not said:
        return False, "crash" if ready else "endless"
    return said[0] == 0, {0: "passed", 1: "failed"}.get(said[0], "error")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--lines", default="", help="only these, as 20-40 (to look again)")
    parser.add_argument("--out", type=Path, help="folder; gets mutation-MODULE.json")
    given = parser.parse_args()
    start, _, end = given.lines.partition("-")
    alive_in_all = 0
    for module in given.targets.split(","):
        tests, functions = TARGETS[module]
        path = ROOT / "recbole_dmf" / f"{module.replace('.', '/')}.py"
        source = path.read_text(encoding="utf-8")
        passed, how = survives(module, ast.unparse(ast.parse(source)), tests)
        if not passed:
            raise SystemExit(f"{module}: its tests do not pass unchanged ({how})")
        begin, counts, survivors = time.perf_counter(), Counter(), []
        for line, shown, changed in mutants(source, functions):
            if given.lines and not int(start) <= line <= int(end or start):
                continue
            alive, how = survives(module, changed, tests)
            counts[how] += 1
            if alive:
                text = source.splitlines()[line - 1].strip()
                survivors.append({"line": line, "text": text, "change": shown})
                print(f"{module}:{line}: {shown}", flush=True)
        seconds = round(time.perf_counter() - begin, 1)
        alive_in_all += len(survivors)
        killed = sum(n for how, n in counts.items() if how != "passed")
        print(f"{module}: {killed} of {sum(counts.values())} killed, {seconds} s", flush=True)
        if given.out:
            about = {
                "command": shlex.join(["python", *sys.argv]),
                "module": module,
                "mutants": sum(counts.values()),
                "killed": killed,
                "outcomes": dict(counts),
                "survivors": survivors,
                "seconds": seconds,
                "versions": versions(),
            }
            file = make_folder(given.out) / f"mutation-{module}.json"
            write_text(file, json.dumps(about, indent=2) + "\n")
    return 1 if alive_in_all else 0


if __name__ == "__main__":
    sys.exit(main())
