#!/usr/bin/env bash
# Builds a wheel and tests it, away from the checkout, in fresh environments with the lowest and
# with the highest versions that pyproject.toml allows.
#
#   bash run_scripts/test_versions.sh                # both, some ten minutes
#   bash run_scripts/test_versions.sh lowest
#
# torch is $TORCH in both (default: the version in constraints.txt): its older builds on PyPI bring
# gigabytes of GPU libraries along. Set TORCH=2.6.0 to test the lowest one as well.

set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$ROOT/run_scripts/setup.sh" ""  # only finds a Python
TORCH=${TORCH:-$(sed -n 's/^torch==//p' "$ROOT/constraints.txt")}
EXTRAS=report,tune,faiss,onnx,safetensors,parquet
TESTS="test_plugin.py host/test_compat.py commands/test_doctor.py data/test_atomic.py data/test_split.py
evaluation/test_metrics.py models/test_dmf.py models/test_losses.py serving/test_export.py
experiments/test_report.py"

WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
python -m pip wheel -q --no-deps -w "$WORK" "$ROOT"
WHEEL=$(ls "$WORK"/*.whl)

# name==X for every name>=X in pyproject.toml
lowest() {
    python - "$ROOT/pyproject.toml" <<'EOF'
import re, sys
from pip._vendor import tomli
project = tomli.loads(open(sys.argv[1], encoding="utf-8").read())["project"]
groups = {k: v for k, v in project["optional-dependencies"].items() if k != "test"}
for line in [*project["dependencies"], *(one for group in groups.values() for one in group)]:
    found = re.match(r"([A-Za-z0-9_-]+)>=([0-9.]+)", line)
    if found and found[1] != "torch":
        print("==".join(found.groups()))
EOF
}

for which in "${@:-lowest highest}"; do
    for kind in $which; do
        echo "== $kind versions, torch $TORCH"
        environment="$WORK/$kind"
        python -m venv "$environment"
        echo "torch==$TORCH" > "$WORK/$kind.txt"
        if [ "$kind" = lowest ]; then lowest >> "$WORK/$kind.txt"; fi
        "$environment/bin/python" -m pip install -q -c "$WORK/$kind.txt" torch
        "$environment/bin/python" -m pip install -q -c "$WORK/$kind.txt" \
            "recbole-dmf[$EXTRAS] @ file://$WHEEL" pytest hypothesis
        "$environment/bin/python" -m pip check
        "$environment/bin/python" -m pip freeze | grep -iE \
            "^(recbole|torch|numpy|pandas|scipy|pyyaml|tabulate|tqdm|setuptools|matplotlib|optuna|faiss|onnx|safetensors|pyarrow|scikit)"
        mkdir "$WORK/elsewhere-$kind"
        cd "$WORK/elsewhere-$kind"
        "$environment/bin/recbole-dmf" doctor
        "$environment/bin/run_recbole" --model=DMF --dataset=ml-100k --epochs=1
        cd "$ROOT"
        # not `python -m pytest`, which would import the checkout
        (cd tests && "$environment/bin/pytest" -c ../pyproject.toml -p no:cacheprovider --rootdir . $TESTS)
        rm -rf "$environment"
    done
done
