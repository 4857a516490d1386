"""What a run's figures depend on besides its options: versions, source, device and files."""

import hashlib
import platform
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

from recbole_dmf.installation import installed_versions

PACKAGES = ("recbole-dmf", "recbole", "torch", "numpy", "scipy", "pandas")
_ROOT = Path(__file__).resolve().parents[1]
_ENDINGS = (".inter", ".user", ".item", ".candidates", ".yaml")
_BLOCK = 1 << 20


def versions() -> dict[str, str]:
    """Versions of Python and of the packages, "not installed" where one is missing."""
    found = installed_versions(PACKAGES)
    here = {name.replace("-", "_"): found.get(name, "not installed") for name in PACKAGES}
    return {"python": platform.python_version()} | here


@lru_cache
def commit(root: Path = _ROOT) -> str | None:
    """The git commit of a checkout, with "+changes" if its files differ; None for an install."""
    if not (root / ".git").exists() or not (root / "recbole_dmf").is_dir():
        return None
    git = ["git", "-C", str(root)]
    settings = {"capture_output": True, "text": True, "timeout": 10, "stdin": subprocess.DEVNULL}
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], **settings)  # type: ignore[call-overload]
        files = ("recbole_dmf", "properties")
        same = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", *files], **settings)  # type: ignore[call-overload]
    except (OSError, subprocess.SubprocessError):
        return None
    if head.returncode or same.returncode not in (0, 1):
        return None
    return head.stdout.strip() + ("+changes" if same.returncode else "")


def device_name(device: str) -> str:
    """The hardware behind "cpu" or "cuda:0"."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def file_hashes(folder: str | Path, name: str) -> dict[str, str]:
    """SHA-256 of each file of a data set, by file name; a second per some 500 MB."""
    found = {}
    for path in sorted(Path(folder).iterdir()):
        if path.name.startswith(f"{name}.") and path.suffix in _ENDINGS and path.is_file():
            digest = hashlib.sha256()
            with path.open("rb") as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
            found[path.name] = digest.hexdigest()
    return found


def peak_memory_mb() -> float:
    """Peak resident memory of this process in MiB."""
    import resource  # which Windows lacks, and `versions` is for any system

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)  # bytes on macOS, else KiB
