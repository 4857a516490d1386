#!/usr/bin/env bash
# From a clean checkout: installs, then runs the checks and the tests.
# Further options go to pytest, for example: bash run_scripts/test.sh -k metrics
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh" test
cd "$ROOT"
ruff check .
ruff format --check .
mypy
exec python -m pytest "$@"
