#!/usr/bin/env bash
# From a clean checkout: installs, then trains and tests DMF on ml-100k (it comes with RecBole).
# Further options are passed on, for example: bash run_scripts/quickstart.sh --epochs=5
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh" report
exec run_recbole --model=DMF --dataset=ml-100k "$@"
