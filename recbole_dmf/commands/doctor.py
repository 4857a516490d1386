"""`recbole-dmf doctor`: what is installed and where, and mixes that are known to go wrong.

Nothing that may be broken is imported when this module is.
"""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from recbole_dmf.errors import UserError
from recbole_dmf.manifest import commit, device_name, versions
from recbole_dmf.version import __version__

HELP = """\
usage: recbole-dmf doctor

Print versions, the device, where data and property files are found and which folders can be
written, and what is known to go wrong with them. The exit code is 1 if there is a problem.
"""
OPTIONAL = ("setuptools", "matplotlib", "optuna", "pyarrow", "faiss-cpu", "onnx", "safetensors")
FREE_GB = 1
PACKAGE = Path(__file__).parents[1]
# package, first bad version (None: any), first good version again (None: none), why, what to do
BAD = (
    ("numpy", "2", None, "RecBole uses names that NumPy 2 no longer has", "numpy<2"),
    (
        "pandas",
        "3",
        None,
        "RecBole's chained fillna does nothing there, without an error: missing values stay",
        "pandas<3",
    ),
    (
        "setuptools",
        "82",
        None,
        "it has no pkg_resources any more, which ray imports, and RecBole's quick_start with it",
        "setuptools<82",
    ),
    (
        "torch",
        "0",
        "2.6",
        "loading with weights_only=True does not protect from code there (CVE-2025-32434)",
        "torch>=2.6",
    ),
    (
        "pyarrow",
        "0",
        "15",
        "it runs code that is hidden in Parquet files (CVE-2023-47248)",
        "pyarrow>=15,<22",
    ),
    ("pyarrow", "22", None, "it needs NumPy 2, which RecBole cannot use", "pyarrow<22"),
    ("optuna", "0", "4", "`tune` needs its newer journal", "optuna>=4"),
)


def parsed(text: str) -> tuple[int, ...]:
    """The numbers at the start of a version: "2.13.0+cpu" is (2, 13, 0)."""
    numbers = []
    for part in text.split("+")[0].split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)


def known_bad(installed: dict[str, str], python: tuple[int, ...]) -> list[str]:
    """What is wrong with a set of versions, and what to do.

    Args:
        installed: versions by package; what is not there is not installed.
        python: its version.
    """
    found = []
    if not (3, 10) <= python[:2] < (3, 12):
        shown = ".".join(map(str, python[:2]))
        found.append(
            f"Python {shown}: RecBole 1.2.1 cannot be installed (its ray has no wheel), and pip "
            "takes RecBole 1.2.0 without a word. Make an environment of Python 3.10 or 3.11."
        )
    for package, first, until, why, remedy in BAD:
        here = parsed(installed.get(package, ""))
        if here >= parsed(first) and here and (until is None or here < parsed(until)):
            found.append(f'{package} {installed[package]}: {why}. Run: pip install "{remedy}"')
    recbole = installed.get("recbole")
    if recbole is None:
        found.append('recbole is not installed. Run: pip install "recbole==1.2.1"')
    elif recbole != "1.2.1":
        found.append(
            f"recbole {recbole}: this package knows 1.2.1, and is untested with any other. "
            'Run: pip install "recbole==1.2.1"'
        )
    found += [
        f"{package} is not installed. Run: pip install {package}"
        for package in ("torch", "numpy", "pandas", "scipy")
        if package not in installed
    ]
    own = installed.get("recbole-dmf")
    if own is not None and own != __version__:
        found.append(
            f"version {own} is installed, but {__version__} is imported from "
            f"{PACKAGE}. Install that one: pip install -e {PACKAGE.parent}"
        )
    return found


def known_bad_environment(environment: dict[str, str], n_cores: int) -> list[str]:
    """What is wrong with the environment's variables, and what to do."""
    found = []
    on = ("1", "y", "yes", "true")  # as torch reads it
    if environment.get("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "").lower() in on:
        found.append(
            "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD is set: other programs' torch.load runs whatever "
            "code is in a file. This package does not need it; unset it."
        )
    if environment.get("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "").lower() in on:
        found.append(
            "TORCH_FORCE_WEIGHTS_ONLY_LOAD is set: RecBole's trainer cannot reload its own "
            "checkpoints. This package loads weights only anyway; unset it."
        )
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        text = environment.get(name, "")
        if text and (not text.isdigit() or int(text) < 1):
            found.append(f"{name} is {text!r}, which is no number of threads; unset it.")
        elif text and int(text) > n_cores:
            found.append(
                f"{name} is {text}, but {n_cores} cores can be used: threads that wait for each "
                f"other make everything slow. Set it to {n_cores} or less."
            )
    return found


def _installed() -> dict[str, str]:
    found = {}
    for name in ("recbole-dmf", "recbole", "torch", "numpy", "scipy", "pandas", *OPTIONAL):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


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


def _device() -> str:
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


def _properties() -> str:
    folder = PACKAGE.resolve() / "properties"
    if not folder.is_dir():  # a checkout keeps them beside the package
        folder = PACKAGE.resolve().parent / "properties"
    if not (folder / "protocol.yaml").is_file():
        raise FileNotFoundError(f"{folder} holds no protocol.yaml; install the package again")
    return str(folder)


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
    installed = _installed()
    problems = known_bad(installed, sys.version_info[:3])
    problems += known_bad_environment(dict(os.environ), _cores())
    told = {name.replace("_", "-"): text for name, text in versions().items()} | installed
    saved = [Path("saved"), Path("results"), Path(tempfile.gettempdir())]
    lines = {
        "this": f"recbole-dmf {__version__} in {PACKAGE}",
        "commit": commit() or "none, not a checkout",
        "python": f"{platform.python_version()} at {sys.executable}, {platform.platform()}",
        "packages": ", ".join(f"{k} {v}" for k, v in told.items() if k != "python"),
        "device": _tried("torch", _device, problems),
        "RecBole": _tried("RecBole", _recbole, problems),
        "data": _tried("dataset/", lambda: _data(Path("dataset")), problems),
        "properties": _tried("property files", _properties, problems),
        "written to": "; ".join(_writable(folder, problems) for folder in saved),
    }
    for name, text in lines.items():
        print(f"{name:<12}{text}")
    if not problems:
        print("\nNo problem is known with this.")
        return 0
    print(f"\n{len(problems)} problem(s):", *(f"- {text}" for text in problems), sep="\n")
    return 1
