# Sourced by the other scripts: makes .venv with the tested versions and puts it first in PATH.
# usage: source run_scripts/setup.sh EXTRAS      (for example "report" or "test")

set -eu
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV="$ROOT/.venv"

# Whether this Python runs the package and can make an environment.
supported() {
    command -v "$1" >/dev/null 2>&1 && "$1" -c '
import ensurepip, sys, venv
sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null
}

# The machine's own Python if it is supported, else the newest supported one.
find_python() {
    for name in python3 python3.14 python3.13 python3.12 python3.11 python3.10 python; do
        if supported "$name"; then
            command -v "$name"
            return
        fi
    done
    echo "error: recbole-dmf needs Python 3.10 to 3.14 with its venv module." >&2
    echo "Found: $(python3 --version 2>&1 || true). Install one and run this script again." >&2
    exit 1
}

if [ ! -x "$VENV/bin/python" ]; then
    PYTHON=$(find_python) || exit 1
    echo "making $VENV with $("$PYTHON" --version)"
    "$PYTHON" -m venv "$VENV"
fi
# 3.12.txt is for all later ones as well: the resolution is the same.
VERSION=$("$VENV/bin/python" -c 'import sys; print("3.%d" % min(sys.version_info.minor, 12))')
CONSTRAINTS="$ROOT/constraints/$VERSION.txt"
wanted=$(cat "$ROOT/pyproject.toml" "$CONSTRAINTS" | cksum)
for extra in $(echo "$1" | tr ',' ' '); do
    stamp="$VENV/.installed-$extra"
    if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
        echo "installing recbole-dmf[$extra] (some minutes, once)"
        # torch alone first: with it in place nothing pulls in a build for other hardware.
        "$VENV/bin/python" -m pip install -q --disable-pip-version-check -c "$CONSTRAINTS" torch
        "$VENV/bin/python" -m pip install -q --disable-pip-version-check -c "$CONSTRAINTS" \
            -e "$ROOT[$extra]"
        echo "$wanted" > "$stamp"
    fi
done
PATH="$VENV/bin:$PATH"
export PATH
