import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from recbole_dmf import installation
from recbole_dmf.errors import UserError
from recbole_dmf.literals import load_yaml
from recbole_dmf.training import parallel
from recbole_dmf.version import __version__

PACKAGE = Path(installation.__file__).parent
WANTED = [
    Requirement(line)
    for line in (
        "recbole==1.2.1; python_version < '3.12'",
        "recbole==1.2.0; python_version >= '3.12'",
        "kmeans-pytorch==0.3; python_version >= '3.12'",
        "torch>=2.6,<3",
        "numpy>=1.24.2,<3",
        "setuptools<82; python_version < '3.12'",
        "optuna>=4.0,<6; extra == 'tune'",
        "pyarrow>=15,<27; extra == 'parquet'",
        "pytest>=8; extra == 'test'",
    )
]
OLD = {
    "recbole-dmf": __version__,
    "recbole": "1.2.1",
    "torch": "2.13.0+cpu",
    "numpy": "1.26.4",
    "setuptools": "81.0.0",
}
NEW = {
    **OLD,
    "recbole": "1.2.0",
    "kmeans-pytorch": "0.3",
    "numpy": "2.5.5",
    "setuptools": "84.2.1",
    "pyarrow": "26.0.1",
}


@pytest.mark.parametrize(
    ("installed", "python"),
    [
        (OLD, (3, 10, 0)),
        (OLD, (3, 11, 7)),
        ({**OLD, "pyarrow": "15.0.0", "torch": "2.6.0"}, (3, 11, 7)),
        (NEW, (3, 12, 1)),
        (NEW, (3, 14, 0)),
        ({**NEW, "recbole": "1.2.1"}, (3, 13, 0)),
    ],
)
def test_nothing_is_wrong_with_either_recbole(installed, python):
    assert installation.known_bad(installed, python, WANTED) == []


@pytest.mark.parametrize(
    ("changed", "python", "message"),
    [
        ({"numpy": "3.0.0"}, (3, 11), r'numpy 3\.0\.0: .*tested with .*pip install "numpy.*<3'),
        ({"numpy": None}, (3, 11), "numpy is not installed"),
        ({"setuptools": "84.2.1"}, (3, 11), "pkg_resources.*setuptools<82"),
        ({"torch": "2.5.1"}, (3, 11), "CVE-2025-32434"),
        ({"pyarrow": "14.0.2"}, (3, 11), "CVE-2023-47248.*pyarrow.*>=15"),
        ({"optuna": "3.6.1"}, (3, 11), "optuna.*>=4.0"),
        ({}, (3, 12), "kmeans-pytorch is not installed"),
        ({"recbole": "1.1.1"}, (3, 11), r"knows 1\.2\.0 and 1\.2\.1.*install recbole==1\.2\.1"),
        ({"recbole": None}, (3, 11), r"recbole is not installed. Run: .* recbole==1\.2\.1"),
        (
            {"recbole": None, "kmeans-pytorch": "0.3"},
            (3, 13),
            r"Run: pip install recbole==1\.2\.0 kmeans-pytorch==0\.3",
        ),
        ({"recbole-dmf": "0.0.9"}, (3, 11), r"version 0\.0\.9 is installed, but"),
        ({}, (3, 9), r"Python 3\.9 is too old"),
    ],
)
def test_known_bad_mixes(changed, python, message):
    installed = {name: text for name, text in {**OLD, **changed}.items() if text}
    (problem,) = installation.known_bad(installed, python, WANTED)
    assert re.search(message, problem), problem


def test_requirements_are_those_of_the_metadata():
    names = {one.name for one in installation.requirements()}
    assert {"recbole", "torch", "numpy", "pandas", "scipy", "optuna"} <= names
    installed = installation.installed_versions([*names, "no-such-package"])
    assert "torch" in installed
    assert "no-such-package" not in installed


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}, "unset it"),
        ({"TORCH_FORCE_WEIGHTS_ONLY_LOAD": "True"}, "cannot reload"),
        ({"OMP_NUM_THREADS": "64"}, "2 cores can be used"),
        ({"OPENBLAS_NUM_THREADS": "many"}, "no number of threads"),
        ({"MKL_NUM_THREADS": "0"}, "no number of threads"),
    ],
)
def test_known_bad_environments(environment, message):
    (problem,) = installation.known_bad_environment(environment, 2)
    assert message in problem


def test_an_environment_that_is_well():
    given = {"OMP_NUM_THREADS": "2", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "0", "HOME": "/root"}
    assert installation.known_bad_environment(given, 2) == []


@pytest.fixture
def second_copy(tmp_path):
    """A second checkout of the package whose protocol is another; this one stays importable."""
    package = tmp_path / "copy" / "recbole_dmf"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("properties"))
    shutil.copytree(installation.properties_folder(), package / "properties")
    protocol = package / "properties" / "protocol.yaml"
    protocol.write_text(protocol.read_text() + "\nwandb_project: of-the-copy\n")
    return tmp_path / "copy"


def test_other_copies_are_found(second_copy, monkeypatch):
    assert installation.other_copies() == []
    monkeypatch.syspath_prepend(str(second_copy))
    assert installation.other_copies() == [second_copy / "recbole_dmf"]


def test_lost_property_files(monkeypatch, tmp_path):
    monkeypatch.setattr(installation, "PACKAGE", tmp_path / "recbole_dmf")
    with pytest.raises(UserError, match="are missing; install recbole-dmf again"):
        installation.properties_folder()


@pytest.mark.slow
def test_every_run_says_which_copy_it_is_made_by(second_copy, tiny, tmp_path):
    """Code and property files are those of the copy that is imported, never a mixture."""
    second = second_copy / "recbole_dmf"
    words = ["--model=ItemPop", "--dataset=tiny", f"--data_path={tiny}"]
    done = subprocess.run(
        [sys.executable, "-m", "recbole_dmf.cli", *words],
        env={"PATH": "", "PYTHONPATH": f"{second_copy}:{PACKAGE.parent}"},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    said = f"another copy of this package, {PACKAGE}. This run is made by the code and the property"
    assert said in done.stdout
    assert f"files of {second} alone" in done.stdout
    (path,) = tmp_path.glob("saved/*/result.json")
    result = json.loads(path.read_text())
    assert (result["package"], result["other_copies"]) == (str(second), [str(PACKAGE)])
    assert load_yaml(path.parent / "config.yaml")["wandb_project"] == "of-the-copy"


@pytest.mark.slow
def test_a_child_of_another_copy_reads_nothing(second_copy, tiny):
    """Python's processes look in the working folder first, which is another checkout here."""
    program = f"""if 1:
        import sys
        sys.path = [entry for entry in sys.path if entry]  # as an installed script has it
        from recbole_dmf.experiments.run_process import check_data_set
        if __name__ == "__main__":
            check_data_set("ItemPop", "tiny", {{"data_path": {str(tiny)!r}}})
    """
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": "", "PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        cwd=second_copy,
    )
    assert done.returncode == 1
    said = f"two copies of this package would work together: {PACKAGE} started this process, and "
    assert f"{said}it imports {second_copy / 'recbole_dmf'}" in done.stderr


def test_a_launched_process_of_another_copy_stops(monkeypatch):
    parallel.join()
    monkeypatch.setenv("RECBOLE_DMF_PACKAGE", str(PACKAGE))
    parallel.join()
    monkeypatch.setenv("RECBOLE_DMF_PACKAGE", "/elsewhere")
    with pytest.raises(UserError, match=r"/elsewhere started this process, and it imports"):
        parallel.join()
