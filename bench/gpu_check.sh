#!/usr/bin/env bash
# What needs a GPU, in one unattended run of at most 12 minutes: what never ran on one first, then all tests and rows.
#
#   bench/gpu_check.sh [OUT]       rows, test report and log go to OUT (bench/results/<time>)
#   PYTHON=/path/to/python bench/gpu_check.sh
#   ROUNDS=3 QUICK=1 bench/gpu_check.sh
#   MINUTES=30 bench/gpu_check.sh
#
# Needs a CUDA device, torch and Triton (exit 3 without), pytest for the tests. CuPy and RAPIDS are used where they are
# installed; tests and rows that need them are left out by name. Each step has what is left of the time, and the log says
# what was cut off. Exit 1 if a test fails, the benchmark breaks, or the time runs out.
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
ends=$((SECONDS + 60 * ${MINUTES:-12}))

# step NAME SHARE COMMAND...: runs it in at most SHARE percent of the time that is left.
step() {
  local name=$1 share=$2 seconds=$(((ends - SECONDS) * $2 / 100)) code
  shift 2
  echo "== $name, at most $seconds s"
  if ((seconds < 5)); then
    echo "left out: $name, the time is over"
    status=1
    return
  fi
  timeout "$seconds" "$@"
  code=$?
  ((code == 124)) && echo "cut off: $name, after $seconds s"
  ((code == 0)) || status=1
}

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

# By what has never run on a device: views through cudf and cugraph, one-GPU Dask clusters; recorded selections and the
# kernels as they were fused since the last run; then the rows; then every test, those above included.
tests=("$PYTHON" -m pytest -m gpu -ra)
if "$PYTHON" -c "import pytest" 2>/dev/null; then
  step "views and clusters" 25 "${tests[@]}" tests/gpu/test_gpu_device.py tests/gpu/test_gpu_cluster.py \
    -k "views or cupy or cugraph or cluster" --junitxml="$OUT/views.xml"
  step "recorded selections, beside other threads, and the fused kernels" 40 "${tests[@]}" \
    tests/selection/test_capture.py tests/gpu/test_gpu_recording.py tests/gpu/test_gpu_device.py \
    --junitxml="$OUT/device.xml"
else
  echo "left out: the tests, pytest is not installed"
fi
step "benchmark" 70 "$PYTHON" -m stgraph bench --device cuda --rounds "${ROUNDS:-9}" ${QUICK:+--quick} -o "$OUT/rows.csv"
if "$PYTHON" -c "import pytest" 2>/dev/null; then
  step "all tests marked gpu" 100 "${tests[@]}" tests --junitxml="$OUT/tests.xml"
fi

echo "== done, status $status; everything is in $OUT"
exit "$status"
