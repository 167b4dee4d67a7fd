#!/usr/bin/env bash
# Builds, tests and benchmarks the kernels on this machine's GPU: benchmarks/gpu.sh [arguments of pytest, such as -k bf16]
#
# Requires PyTorch with CUDA, nvcc, and stylekit's dependencies; stylekit itself is installed from this repository. Arguments
# select benchmarks, and skip the tests and the training step. Each figure is merged into benchmarks/results/<device>.json when
# it is measured, so the benchmarks can be run in several parts. The training step is measured on the CPU and recorded in
# <device>-cpu.json. CHECK=1 runs compute-sanitizer at the end. If OUT is a folder, the results are also copied there.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHON=${PYTHON:-python} OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}
python=$PYTHON
device=$("$python" - <<'END'
import re, torch

print(re.sub(r"[^a-z0-9]+", "-", torch.cuda.get_device_name().lower()).strip("-"))
END
)

STYLEKIT_CUDA=1 "$python" -m pip install --quiet --no-deps --no-build-isolation -e .
"$python" -m stylekit kernels build --cuda
"$python" -c "import sys; from stylekit.ops import kernel; sys.exit(not kernel.KERNELS.cuda and kernel.KERNELS.why)"

save() {
  "$python" benchmarks/report.py --targets
  for results in benchmarks/results/"$device".json benchmarks/results/"$device"-cpu.json; do
    if [ -e "$results" ]; then
      echo "$results"
      if [ -n "${OUT:-}" ]; then cp "$results" "$OUT/"; fi
    fi
  done
}
trap save EXIT

if [ $# -eq 0 ]; then
  "$python" -m pytest -m cuda tests -q
fi
"$python" -m pytest benchmarks/bench_kernels.py -q --device cuda --record "$device" "$@"
if [ $# -eq 0 ]; then
  "$python" -m pytest benchmarks/bench_step.py -q --device cpu --record "$device-cpu"
fi
if [ "${CHECK:-}" = 1 ]; then
  bash csrc/cuda/check.sh
fi
