#!/usr/bin/env bash
# Builds a wheel and tests it away from the checkout, in fresh environments: the newest versions
# that plain pip takes and the lowest that pyproject.toml allows, on each Python that is found.
# Downloads gigabytes and takes hours; what was run where is in run_scripts/measured/versions.json.
#
#   bash run_scripts/test_versions.sh                                  # all
#   bash run_scripts/test_versions.sh --pythons=3.12 --sets=newest
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh" test
exec python "$ROOT/run_scripts/versions.py" "$@"
