"""The rooms of the package: who may import whom, and how large a room's pieces are."""

import ast
from pathlib import Path

import pytest

import recbole_dmf

PACKAGE = Path(recbole_dmf.__file__).parent
# From the top down; a module imports from its own floor and from those below.
FLOORS = (
    ("cli",),
    ("commands",),
    ("experiments",),
    ("serving",),
    ("run",),
    ("prepare", "result"),
    ("config",),
    ("host",),
    ("training",),
    ("models",),
    ("evaluation",),
    ("datasets",),
    ("data",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
GROUND = len(FLOORS)  # errors, files, lock, literals, options, run_folder and the like
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "properties" not in path.parts)


def room_of(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_imports_from_a_floor_above(path):
    own = FLOOR.get(room_of(path), GROUND)
    for name in imported(path):
        if name.startswith("recbole_dmf.") and path.name != "__init__.py":
            above = name.split(".")[1]
            assert FLOOR.get(above, GROUND) >= own, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_recbole_is_imported_in_its_rooms_alone(path):
    if room_of(path) not in ("host", "models", "training"):
        assert not [n for n in imported(path) if n.split(".")[0] == "recbole"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_and_functions_are_short(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            docstring = ast.get_docstring(node, clean=False) or ""
            length = node.end_lineno - node.lineno + 1 - (docstring.count("\n") + bool(docstring))
            assert length <= 60, f"{node.name} has {length} lines without its docstring"
