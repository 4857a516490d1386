"""`recbole-dmf doctor`: what is installed and where, and mixes that are known to go wrong.

Nothing that may be broken is imported when this module is.
"""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from packaging.utils import canonicalize_name

from recbole_dmf.errors import UserError
from recbole_dmf.installation import (
    PACKAGE,
    installed_versions,
    known_bad,
    known_bad_environment,
    other_copies,
    properties_folder,
    requirements,
)
from recbole_dmf.manifest import commit, device_name
from recbole_dmf.version import __version__

HELP = """\
usage: recbole-dmf doctor

Print versions, the device, where data and property files are found and which folders can be
written, and what is known to go wrong with them. The exit code is 1 if there is a problem.
"""
PACKAGES = ("recbole-dmf", "recbole", "torch", "numpy", "scipy", "pandas")
FREE_GB = 1


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _tried(what: str, function: Callable[[], str], problems: list[str]) -> str:
    """The function's answer; what it raises is a problem."""
    try:
        return function()
    except Exception as error:  # a broken installation can raise anything
        reason = " ".join(str(error).split())[:300]
        told = reason if isinstance(error, UserError) else f"{type(error).__name__}: {reason}"
        problems.append(f"{what}: {told}")
        return "cannot be used, see below"


def usable_devices() -> str:
    """The devices that torch can use, and what hides a GPU from it; raises where torch fails."""
    import torch

    if not torch.equal(torch.from_numpy(torch.ones(1).numpy()), torch.ones(1)):
        raise RuntimeError("torch and numpy do not understand each other")
    shown = f"cpu, {device_name('cpu')}, {_cores()} cores, {torch.get_num_threads()} threads"
    if torch.cuda.is_available():
        return f"cuda, {device_name('cuda:0')}; {shown}"
    if shutil.which("nvidia-smi"):
        return f"{shown}; there seems to be a GPU, but torch {torch.__version__} does not see it"
    return shown


def _recbole() -> str:
    from recbole_dmf.host import lookup, plugin

    plugin.register()
    return f"{len(lookup.model_names())} models, DMF is {lookup.find_model('DMF').__module__}"


def _data(folder: Path) -> str:
    if not folder.is_dir():
        return f"{folder.absolute()} is not there; ml-100k comes with RecBole"
    names = sorted(path.name for path in folder.iterdir() if _is_data_set(path))
    return f"{folder.absolute()}: {', '.join(names[:20]) or 'no data sets'}"


def _is_data_set(folder: Path) -> bool:
    return folder.is_dir() and any(path.suffix == ".inter" for path in folder.iterdir())


def _writable(folder: Path, problems: list[str]) -> str:
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    if not os.access(there, os.W_OK):
        problems.append(f"{there} cannot be written; name another folder, --checkpoint_dir=FOLDER.")
    free = shutil.disk_usage(there).free / 1e9
    if free < FREE_GB:
        problems.append(f"{there} has {free:.1f} GB of free space; free some.")
    return f"{folder.absolute()} ({free:,.0f} GB free)"


def main(argv: list[str]) -> int:
    """The command `doctor`: 0 if all is well, 1 if there are problems.

    Raises:
        UserError: it is given anything.
    """
    if {"--help", "-h"} & set(argv):
        print(HELP, end="")
        return 0
    if argv:
        raise UserError(f"doctor takes no options, not {argv[0]!r}.")
    wanted = requirements()
    names = [*PACKAGES, *(canonicalize_name(one.name) for one in wanted)]
    installed = installed_versions(list(dict.fromkeys(names)))
    problems = known_bad(installed, sys.version_info[:3], wanted)
    problems += [
        f"there is another copy of this package, {folder}, which other programs may import. Keep "
        "one: uninstall it, or take its folder out of PYTHONPATH."
        for folder in other_copies()
    ]
    problems += known_bad_environment(dict(os.environ), _cores())
    told = {name: installed.get(name, "not installed") for name in PACKAGES} | installed
    saved = [Path("saved"), Path("results"), Path(tempfile.gettempdir())]
    lines = {
        "this": f"recbole-dmf {__version__} in {PACKAGE}",
        "commit": commit() or "none, not a checkout",
        "python": f"{platform.python_version()} at {sys.executable}, {platform.platform()}",
        "packages": ", ".join(f"{name} {text}" for name, text in told.items()),
        "device": _tried("torch", usable_devices, problems),
        "RecBole": _tried("RecBole", _recbole, problems),
        "data": _tried("dataset/", lambda: _data(Path("dataset")), problems),
        "properties": _tried("property files", lambda: str(properties_folder()), problems),
        "written to": "; ".join(_writable(folder, problems) for folder in saved),
    }
    for name, text in lines.items():
        print(f"{name:<12}{text}")
    if not problems:
        print("\nNo problem is known with this.")
        return 0
    print(f"\n{len(problems)} problem(s):", *(f"- {text}" for text in problems), sep="\n")
    return 1
