"""What is installed and where, and what is known to go wrong with it."""

import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from recbole_dmf.errors import UserError
from recbole_dmf.version import __version__

PACKAGE = Path(__file__).resolve().parent
RECBOLES = ("1.2.0", "1.2.1")  # that the workarounds in `host.compat` are written for
# Why a bound in pyproject.toml is there, where it guards from more than an untested version.
REASONS = {
    "torch": "before 2.6, loading with weights_only=True runs code (CVE-2025-32434)",
    "pyarrow": "before 15, it runs code that is hidden in Parquet files (CVE-2023-47248)",
    "setuptools": "82 has no pkg_resources, which RecBole 1.2.1's ray imports",
    "optuna": "before 4, it lacks the journal that `tune` keeps",
}


def properties_folder() -> Path:
    """The folder of the property files that belong to this code.

    They are found beside the code, never by import: with two copies of the package on sys.path the
    code of one and the property files of the other would run together.

    Raises:
        UserError: there are none.
    """
    for folder in (PACKAGE / "properties", PACKAGE.parent / "properties"):  # wheel, checkout
        if (folder / "protocol.yaml").is_file():
            return folder
    raise UserError(
        f"the property files that belong to {PACKAGE} are missing; install recbole-dmf again."
    )


def property_names(kind: str) -> list[str]:
    """Names of our property files `<kind>/*.yaml`."""
    return sorted(file.stem for file in (properties_folder() / kind).glob("*.yaml"))


def other_copies() -> list[Path]:
    """Folders of further copies of this package that this process could import."""
    folders = [Path(entry or ".").resolve() / PACKAGE.name for entry in sys.path]
    for finder in sys.meta_path:  # an editable install has one of its own
        spec = finder.find_spec(PACKAGE.name, None)
        if spec is not None and spec.origin is not None:
            folders.append(Path(spec.origin).resolve().parent)
    copies = [folder for folder in folders if (folder / "version.py").is_file()]
    return [folder for folder in dict.fromkeys(copies) if folder != PACKAGE]


def check_same_package(expected: str) -> None:
    """Raise in a child process that has imported another copy of the package than its parent.

    Python looks in the working folder first, and a child may look in another order.

    Args:
        expected: the parent's `PACKAGE`.

    Raises:
        UserError: it is another one.
    """
    if str(PACKAGE) != expected:
        raise UserError(
            f"two copies of this package would work together: {expected} started this process, "
            f"and it imports {PACKAGE}. Start it from another folder, or take one copy out of "
            "PYTHONPATH; `recbole-dmf doctor` lists them."
        )


def requirements() -> list[Requirement]:
    """What the installed metadata asks for, without the developers' tools; [] if there is none."""
    try:
        found = [Requirement(line) for line in requires("recbole-dmf") or ()]
    except PackageNotFoundError:
        return []
    return [one for one in found if one.name != "recbole-dmf" and "test" not in str(one.marker)]


def installed_versions(names: Iterable[str]) -> dict[str, str]:
    """Versions by package, without those that are not installed."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def known_bad(
    installed: dict[str, str], python: tuple[int, ...], wanted: list[Requirement]
) -> list[str]:
    """What is wrong with a set of versions, and what to do.

    Args:
        installed: versions by canonical package name; what is not there is not installed.
        python: its version.
        wanted: as `requirements` gives them.
    """
    shown = ".".join(map(str, python[:2]))
    found = []
    if python[:2] < (3, 10):
        found.append(f"Python {shown} is too old. Make an environment of Python 3.10 or later.")
    for requirement in wanted:
        name = canonicalize_name(requirement.name)
        here, marker = installed.get(name), requirement.marker
        extra = marker is not None and "extra" in str(marker)
        if name == "recbole" or (extra and here is None):
            continue
        if marker and not extra and not marker.evaluate({"python_version": shown}):
            continue
        fits = here is not None and requirement.specifier.contains(here, prereleases=True)
        if here is None:
            found.append(f"{name} is not installed. Run: pip install {_asked(requirement)}")
        elif not fits:
            reason = REASONS.get(name, f"this package is tested with {requirement.specifier}")
            found.append(f"{name} {here}: {reason}. Run: pip install {_asked(requirement)}")
    found += _wrong_recbole(installed.get("recbole"), python)
    own = installed.get("recbole-dmf")
    if own is not None and own != __version__:
        found.append(
            f"version {own} is installed, but {__version__} is imported from {PACKAGE}. Install "
            f"that one: pip install -e {PACKAGE.parent}"
        )
    return found


def _asked(requirement: Requirement) -> str:
    return f'"{requirement.name}{requirement.specifier}"'


def _wrong_recbole(here: str | None, python: tuple[int, ...]) -> list[str]:
    if here in RECBOLES:
        return []
    plain = "recbole==1.2.1" if python[:2] < (3, 12) else "recbole==1.2.0 kmeans-pytorch==0.3"
    if here is None:
        return [f"recbole is not installed. Run: pip install {plain}"]
    return [
        f"recbole {here}: this package knows {' and '.join(RECBOLES)}, and is untested with any "
        f"other. Run: pip install {plain}"
    ]


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
