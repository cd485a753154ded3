#!/usr/bin/env bash
# Everything that needs a GPU, in one unattended run: the tests marked "gpu" and the benchmark.
#
#   bench/gpu_check.sh [OUT]       rows, test report and log go to OUT (bench/results/<time>)
#   PYTHON=/path/to/python bench/gpu_check.sh
#   ROUNDS=3 QUICK=1 bench/gpu_check.sh
#
# Needs a CUDA device, torch and Triton (exit 3 without), pytest for the tests. CuPy and RAPIDS are used where they are
# installed; tests and rows that need them are left out by name. Exit 1 if a test fails or the benchmark breaks.
set -uo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python}
OUT=${1:-bench/results/$(date +%Y%m%d-%H%M%S)}
mkdir -p "$OUT"
OUT=$(cd "$OUT" && pwd)
exec > >(tee "$OUT/log.txt") 2>&1
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
unset TRITON_INTERPRET
status=0

echo "== $(date -u +%FT%TZ) $(git describe --always --dirty 2>/dev/null)"
"$PYTHON" -m stgraph doctor || exit 3

"$PYTHON" - <<'PY' || exit 3
import importlib.util, sys
missing = [name for name in ("torch", "triton") if importlib.util.find_spec(name) is None]
if missing:
    sys.exit(f"not run: {', '.join(missing)} not installed")
import torch
if not torch.cuda.is_available():
    sys.exit("not run: torch finds no CUDA device")
PY

for module in cupy pylibcugraph cudf cugraph dask_cudf dask_cuda; do
  "$PYTHON" -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('$module') is None)" ||
    echo "left out: what needs $module, which is not installed"
done

echo "== tests marked gpu"
if "$PYTHON" -c "import pytest" 2>/dev/null; then
  "$PYTHON" -m pytest tests -m gpu -ra --junitxml="$OUT/tests.xml" || status=1
else
  echo "left out: the tests, pytest is not installed"
fi

echo "== benchmark"
"$PYTHON" -m stgraph bench --device cuda --rounds "${ROUNDS:-15}" ${QUICK:+--quick} -o "$OUT/rows.csv" || status=1

echo "== done, status $status; everything is in $OUT"
exit "$status"
