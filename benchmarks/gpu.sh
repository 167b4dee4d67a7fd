#!/usr/bin/env bash
# Builds, tests and measures the kernels on this machine's GPU: benchmarks/gpu.sh [pytest's arguments, as -k bf16]
#
# It needs a torch with CUDA, and nvcc. The figures are merged into benchmarks/results/<device>.json, so a selection may
# follow another one. The training step, which is measured on the processor, goes to <device>-cpu.json, and is left out
# if there are arguments. If OUT names a folder, the files are copied there as well.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}
device=$("$python" - <<'END'
import re, torch

print(re.sub(r"[^a-z0-9]+", "-", torch.cuda.get_device_name().lower()).strip("-"))
END
)

"$python" -m stylekit kernels build
"$python" -m pytest -m cuda tests -q
if [ -e csrc/cuda/check.sh ]; then
  bash csrc/cuda/check.sh
fi
"$python" -m pytest benchmarks/bench_kernels.py -q --device cuda --record "$device" "$@"
if [ $# -eq 0 ]; then
  "$python" -m pytest benchmarks/bench_step.py -q --device cpu --record "$device-cpu"
fi
"$python" benchmarks/report.py --targets
for results in "benchmarks/results/$device"*.json; do
  echo "$results"
  if [ -n "${OUT:-}" ]; then
    cp "$results" "$OUT/"
  fi
done
