#!/usr/bin/env python
"""Tests the wheel in fresh environments, on each Python that is found.

    python run_scripts/versions.py
    python run_scripts/versions.py --pythons=3.12,3.13 --sets=newest --steps=runs
    python run_scripts/versions.py --pythons=3.14 --sets=resolved

Three sets of versions: `newest` is what one plain `pip install` of the wheel takes, `lowest` what
pyproject.toml still allows, and `resolved` only asks whether a set exists, without the Python
itself. torch is `--torch` in all, so that results can be compared bit by bit, and since its older
builds bring gigabytes of their own. uv finds the lowest versions; it is installed aside.

In each environment: `pip check`, `recbole-dmf doctor`, DMF for two epochs on ml-100k with hashes of
data, candidates, weights and per-user values, an epoch each of RecBole's models with the warnings
that were shown, and the tests (`newest`: all of them, `lowest`: all but the slow ones). Entries
of `--out` for other environments stay.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SUPPORTED = [f"3.{minor}" for minor in range(10, 15)]
EXTRAS = ["report", "tune", "faiss", "onnx", "safetensors", "parquet", "dask"]
# As `--extra=test` without the linters.
TOOLS = ["pytest", "pytest-xdist", "hypothesis", "coverage", "nbclient", "ipykernel"]
MODELS = (
    *("BPR", "LightGCN", "EASE", "NeuMF", "ItemKNN"),
    *("Pop", "MultiVAE", "NGCF", "SLIMElastic", "RecVAE"),
)
STEPS = ("runs", "tests")
# What a wheel is made of, away from what earlier builds left in the checkout, and what tests read.
BUILT = ("recbole_dmf", "properties", "pyproject.toml", "README.md", "LICENSE")
READ = ("tests", "run_scripts", "properties", "constraints", "pyproject.toml")
READ += ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE")
HASHES = """
import hashlib, json, sys
from pathlib import Path
import torch
folder = Path(sys.argv[1])
result = json.loads((folder / "result.json").read_text())
weights = hashlib.sha256()
for name, tensor in torch.load(folder / "model.pt", weights_only=True)["state_dict"].items():
    weights.update(name.encode() + tensor.contiguous().numpy().tobytes())
print(json.dumps({
    "data_sha256": result["data_sha256"],
    "candidates_sha256": result["candidates_sha256"],
    "weights_sha256": weights.hexdigest(),
    "per_user_sha256": hashlib.sha256((folder / "per_user.csv").read_bytes()).hexdigest(),
    "metrics": result["metrics"],
}))
"""


def copied(folder: Path, *names: str) -> Path:
    """`folder` with copies of these files and folders of the checkout."""
    folder.mkdir()
    for name in names:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(ROOT / name, folder)
    return folder


def called(*words: Any, **options: Any) -> subprocess.CompletedProcess:
    """The finished process, its output as text; it may have failed."""
    words = tuple(map(str, words))
    return subprocess.run(words, capture_output=True, text=True, errors="replace", **options)


def must(*words: Any, **options: Any) -> str:
    """The output of a command that has to succeed."""
    done = called(*words, **options)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}\n{done.stdout}{done.stderr}")
    return done.stdout


def find_python(wanted: str) -> str | None:
    """A Python of this version that can make environments: in PATH, or one of pyenv's."""
    newest_first = sorted(Path.home().glob(f".pyenv/versions/{wanted}.*/bin/python"), reverse=True)
    for candidate in (f"python{wanted}", *newest_first):
        program = "import ensurepip, sys; print('%d.%d' % sys.version_info[:2])"
        try:
            if called(candidate, "-c", program).stdout.strip() == wanted:
                return str(candidate)
        except OSError:
            continue
    return None


def warnings_in(text: str) -> list[str]:
    """The lines that Python's warnings begin with."""
    return [line.strip()[:300] for line in text.splitlines() if re.search(r"\w*Warning: ", line)]


class Environment:
    """A fresh virtual environment with the wheel in it, and a folder to work in."""

    def __init__(self, python: str, kind: str, work: Path):
        self.kind, self.folder = kind, work / "environment"
        self.elsewhere = work / "elsewhere"
        self.elsewhere.mkdir(parents=True)
        must(python, "-m", "venv", self.folder)
        self.python = self.folder / "bin" / "python"
        self.variables = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        self.variables["OMP_NUM_THREADS"] = "1"  # results are bit-equal for equal threads alone

    def install(self, wheel: Path, torch: str, uv: Path) -> None:
        """One `pip install`, for the lowest versions that of uv."""
        wanted = [f"recbole-dmf[{','.join(EXTRAS)}] @ {wheel.as_uri()}", *TOOLS]
        bounds = self.elsewhere / "torch.txt"
        bounds.write_text(f"torch=={torch}\n")
        if self.kind == "newest":
            must(self.python, "-m", "pip", "install", "-q", "-c", bounds, *wanted)
            return
        lowest = self.elsewhere / "lowest.txt"
        extras = [f"--extra={extra}" for extra in EXTRAS]
        resolve = ["pip", "compile", "-q", "--only-binary=:all:", "--resolution=lowest-direct"]
        resolve += [f"--python={self.python}", "-c", bounds, "-o", lowest, *extras]
        must(uv, *resolve, ROOT / "pyproject.toml")
        must(uv, "pip", "install", "-q", f"--python={self.python}", "-c", lowest, *wanted)

    def versions(self) -> dict[str, str]:
        listed = must(self.python, "-m", "pip", "list", "--format=json")
        return {one["name"].lower(): one["version"] for one in json.loads(listed)}

    def command(self, name: str, *words: str) -> subprocess.CompletedProcess:
        command = self.folder / "bin" / name
        return called(command, *words, cwd=self.elsewhere, env=self.variables)

    def run(self, model: str, epochs: int) -> dict[str, Any]:
        """A training on ml-100k: its folder, metrics and the warnings that a user sees."""
        where = self.elsewhere / f"runs-{model}"
        words = ["--dataset=ml-100k", f"--epochs={epochs}", f"--checkpoint_dir={where}"]
        done = self.command("run_recbole", f"--model={model}", *words)
        if done.returncode:
            return {"error": (done.stdout + done.stderr)[-2000:]}
        (folder,) = where.iterdir()
        result = json.loads((folder / "result.json").read_text())
        return {
            "folder": str(folder),
            "test": result["metrics"]["test"]["sampled"],
            "warnings": warnings_in(done.stdout + done.stderr),
        }

    def tests(self) -> dict[str, Any]:
        """The tests beside a copy of what they read, so that the wheel is what they import."""
        beside = copied(self.elsewhere / "checkout", *READ)
        selection = [] if self.kind == "newest" else ["-m", "not slow"]
        start = time.perf_counter()
        done = called(
            *(self.folder / "bin" / "pytest", "-p", "no:cacheprovider", *selection),
            *("-n", "auto", "--dist=loadfile"),
            cwd=beside,
            env=self.variables,
        )
        lines = done.stdout.splitlines()
        counts = dict(
            (word, int(number))
            for number, word in re.findall(r"(\d+) (passed|failed|skipped|error)", lines[-1])
        )
        failed = [line[:300] for line in lines if line.startswith(("FAILED", "ERROR"))]
        if done.returncode and not failed:
            failed = [(done.stdout + done.stderr)[-2000:]]
        seconds = round(time.perf_counter() - start)
        return {"selection": selection or "all", **counts, "failures": failed, "seconds": seconds}


def tested(python: str, kind: str, steps: list[str], about: argparse.Namespace) -> dict[str, Any]:
    """What happened in one fresh environment."""
    with tempfile.TemporaryDirectory(dir=about.work) as work:
        here = Environment(python, kind, Path(work))
        here.install(about.wheel, about.torch, about.uv)
        version = must(here.python, "-c", "import platform; print(platform.python_version())")
        checked = called(here.python, "-m", "pip", "check")
        doctor = here.command("recbole-dmf", "doctor")
        found: dict[str, Any] = {
            "python": version.strip(),
            "set": kind,
            "commit": must("git", "-C", ROOT, "describe", "--always", "--dirty").strip(),
            "versions": here.versions(),
            "pip_check": checked.stdout.strip(),
            "doctor": doctor.stdout.strip().splitlines()[-1] if doctor.stdout else doctor.stderr,
            "doctor_exit_code": doctor.returncode,
        }
        if "runs" in steps:
            dmf = here.run("DMF", 2)
            if "error" not in dmf:
                hashes = must(here.python, "-c", HASHES, dmf.pop("folder"), cwd=work)
                dmf = {**json.loads(hashes), "warnings": dmf["warnings"]}
            found["dmf"] = dmf
            found["models"] = {name: here.run(name, 1) for name in MODELS}
            for run in found["models"].values():
                run.pop("folder", None)
        if "tests" in steps:
            found["tests"] = here.tests()
        return found


def resolved(wanted: str, about: argparse.Namespace) -> dict[str, Any]:
    """The versions that a Python would get, which need not be here."""
    bounds = Path(about.work) / "torch.txt"
    bounds.write_text(f"torch=={about.torch}\n")
    words = ["pip", "compile", "-q", "--only-binary=:all:", "--no-annotate", "--no-header"]
    words += [f"--python-version={wanted}", "-c", bounds, "--extra=test", ROOT / "pyproject.toml"]
    lines = must(about.uv, *words).split()
    return {"python": wanted, "set": "resolved", "versions": dict(x.split("==") for x in lines)}


def table(content: dict[str, Any]) -> str:
    """A line for each environment."""
    head = ("Python", "set", "RecBole", "NumPy", "pandas", "tests", "failed", "weights", "warnings")
    rows = [head]
    for one in content["environments"]:
        tests, dmf = one.get("tests", {}), one.get("dmf", {})
        runs = [dmf, *one.get("models", {}).values()]
        bad = sum(len(run.get("warnings", ["error"])) for run in runs) if dmf else ""
        names = [one["versions"].get(name, "") for name in ("recbole", "numpy", "pandas")]
        failed = len(tests["failures"]) if tests else ""
        counts = (tests.get("passed", ""), failed, dmf.get("weights_sha256", "")[:12], bad)
        rows.append((one["python"], one["set"], *names, *map(str, counts)))
    widths = [max(len(row[k]) for row in rows) for k in range(len(head))]
    return "\n".join(
        "  ".join(x.ljust(w) for x, w in zip(row, widths, strict=True)) for row in rows
    )


def equal_everywhere(environments: list[dict[str, Any]]) -> dict[str, bool]:
    """Whether DMF's hashes and metrics are the same in all environments that ran it."""
    runs = [one["dmf"] for one in environments if "dmf" in one]
    names = ("data_sha256", "candidates_sha256", "weights_sha256", "per_user_sha256", "metrics")
    return {name: len({json.dumps(run.get(name)) for run in runs}) == 1 for name in names if runs}


def merged(out: Path, entry: dict[str, Any], torch: str) -> dict[str, Any]:
    """The file's content with this entry in place of an older one of its kind; written."""
    environments = json.loads(out.read_text())["environments"] if out.exists() else []
    key = entry["python"].rsplit(".", 1)[0] if entry["python"].count(".") > 1 else entry["python"]
    entry = {"minor": key, **entry}
    for one in environments:
        if (one["minor"], one["set"]) == (key, entry["set"]):
            entry = {**one, **entry}  # steps that were not repeated stay
    others = [x for x in environments if (x["minor"], x["set"]) != (key, entry["set"])]
    order = sorted([*others, entry], key=lambda x: (x["set"], int(x["minor"].split(".")[1])))
    content = {
        "command": "bash run_scripts/test_versions.sh",
        "machine": f"{platform.system()} {platform.machine()}",
        "torch": torch,
        "dmf_equal_everywhere": equal_everywhere(order),
        "environments": order,
    }
    out.write_text(json.dumps(content, indent=1) + "\n")
    return content


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--pythons", default=",".join(SUPPORTED))
    parser.add_argument("--sets", default="newest,lowest,resolved")
    parser.add_argument("--steps", default=",".join(STEPS))
    parser.add_argument("--torch", help="version; default: that of the constraints")
    parser.add_argument("--out", type=Path, default=ROOT / "run_scripts/measured/versions.json")
    about = parser.parse_args()
    pins = (ROOT / "constraints" / "3.12.txt").read_text()
    about.torch = about.torch or re.findall(r"(?m)^torch==(.*)", pins)[0]
    content: dict[str, Any] = {"environments": []}
    with tempfile.TemporaryDirectory() as about.work:
        must(sys.executable, "-m", "venv", f"{about.work}/tools")
        must(f"{about.work}/tools/bin/pip", "install", "-q", "uv")
        about.uv = Path(about.work) / "tools/bin/uv"
        source = copied(Path(about.work) / "source", *BUILT)
        must(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", about.work, source)
        (about.wheel,) = Path(about.work).glob("*.whl")
        for wanted in about.pythons.split(","):
            python = find_python(wanted)
            for kind in about.sets.split(","):
                if kind != "resolved" and python is None:
                    print(f"Python {wanted} is not here")
                    continue
                print(f"Python {wanted}, {kind} versions", flush=True)
                steps = about.steps.split(",")
                entry = resolved(wanted, about) if kind == "resolved" else None
                entry = entry or tested(str(python), kind, steps, about)
                content = merged(about.out, entry, about.torch)
    print(table(content))
    bad = [one for one in content["environments"] if one.get("tests", {}).get("failures")]
    return 1 if bad or not all(equal_everywhere(content["environments"]).values()) else 0


if __name__ == "__main__":
    sys.exit(main())
