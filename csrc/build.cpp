// How the kernels were built, for `stylekit doctor`. The operations do not pass through here.
#include <pybind11/pybind11.h>
#include <torch/headeronly/version.h>

#include <string>

#include "cpu/isa.h"

#if defined(__clang__)
#define STYLEKIT_COMPILER "clang " __clang_version__
#else
#define STYLEKIT_COMPILER "gcc " __VERSION__
#endif

#define STYLEKIT_APPEND(isa) isas.append(#isa);

namespace {

pybind11::dict report() {
  pybind11::list isas;
  STYLEKIT_EACH_ISA(STYLEKIT_APPEND)
  constexpr unsigned long long oldest = TORCH_TARGET_VERSION;
  pybind11::dict told;
  told["compiler"] = STYLEKIT_COMPILER;
  told["isas"] = isas;
  told["isa"] = stylekit::cpu::name(stylekit::cpu::best_isa());
  told["cuda"] = STYLEKIT_CUDA_VERSION;
  told["architectures"] = STYLEKIT_CUDA_TARGETS;
  told["torch"] = TORCH_VERSION;
  told["torch_from"] = std::to_string(oldest >> 56) + "." + std::to_string(oldest >> 48 & 0xff);
  return told;
}

}  // namespace

PYBIND11_MODULE(_build, m) { m.def("report", &report); }
