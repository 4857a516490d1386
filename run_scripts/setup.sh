# Sourced by the other scripts: makes .venv with the tested versions and puts it first in PATH.
# usage: source run_scripts/setup.sh EXTRAS      (for example "report" or "test")

set -eu
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV="$ROOT/.venv"

find_python() {
    for name in python3.11 python3.10 python3 python; do
        if command -v "$name" >/dev/null 2>&1 && "$name" -c \
            'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 12))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    echo "error: recbole-dmf needs Python 3.10 or 3.11 (RecBole 1.2.1 cannot be installed on" >&2
    echo "3.12 and later: pip would fall back to RecBole 1.2.0). Found: $(python3 --version 2>&1 || true)" >&2
    echo "Install Python 3.11 and run this script again." >&2
    exit 1
}

wanted=$(cat "$ROOT/pyproject.toml" "$ROOT/constraints.txt" | cksum)
if [ ! -x "$VENV/bin/python" ]; then
    PYTHON=$(find_python) || exit 1
    echo "making $VENV with $("$PYTHON" --version)"
    "$PYTHON" -m venv "$VENV"
fi
for extra in $(echo "$1" | tr ',' ' '); do
    stamp="$VENV/.installed-$extra"
    if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
        echo "installing recbole-dmf[$extra] (a minute or two, once)"
        # torch alone first: with it in place nothing pulls in a build for other hardware.
        "$VENV/bin/python" -m pip install -q --disable-pip-version-check \
            -c "$ROOT/constraints.txt" torch
        "$VENV/bin/python" -m pip install -q --disable-pip-version-check \
            -c "$ROOT/constraints.txt" -e "$ROOT[$extra]"
        echo "$wanted" > "$stamp"
    fi
done
PATH="$VENV/bin:$PATH"
export PATH
