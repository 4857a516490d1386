#!/usr/bin/env bash
# From a clean checkout: installs, then runs the checks and the tests.
# Further options go to pytest, for example: bash run_scripts/test.sh -k metrics
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh" test
cd "$ROOT"
ruff check .
ruff format --check .
mypy
# A file's tests stay in one process, since they share what takes long to make.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
exec python -m pytest -n auto --dist=loadfile "$@"
