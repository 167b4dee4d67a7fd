#!/usr/bin/env bash
# Runs the tests of the CUDA kernels on a device, under each of compute-sanitizer's tools. Prints why if it cannot.
# Set PYTHON to the interpreter to use.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}

skip() {
  echo "CUDA kernels: not checked on a device: $1"
  exit 0
}

sanitizer=$(command -v compute-sanitizer || true)
for home in "${CUDA_HOME:-}" "${CUDA_PATH:-}" /usr/local/cuda; do
  if [[ -z $sanitizer && -n $home && -x $home/bin/compute-sanitizer ]]; then sanitizer=$home/bin/compute-sanitizer; fi
done
[[ -n $sanitizer ]] || skip "compute-sanitizer is not installed"
"$python" -c "import sys, torch; sys.exit(not torch.cuda.is_available())" || skip "torch finds no CUDA device"
"$python" -c "import sys; from stylekit.ops import kernel; sys.exit(not kernel.KERNELS.cuda)" ||
  skip "the kernels are not built for CUDA; run: stylekit kernels build"

# Every allocation is separate, so that accesses past the end of a block within torch's memory pool are detected.
export PYTORCH_NO_CUDA_MEMORY_CACHING=1
for tool in memcheck racecheck synccheck initcheck; do
  echo "== $tool"
  # Only stylekit's kernels are checked, not torch's own. But initcheck has to see what torch's kernels write.
  only=(--kernel-regex kns=stylekit)
  if [[ $tool == initcheck ]]; then only=(); fi
  "$sanitizer" --tool "$tool" --error-exitcode 1 "${only[@]}" "$python" -m pytest -q -m cuda tests/native/test_emulation.py
done
