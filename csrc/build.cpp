// Reports how the kernels were built, for `stylekit doctor`. The operations themselves are registered in ops.cpp.
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
  pybind11::dict result;
  result["compiler"] = STYLEKIT_COMPILER;
  result["isas"] = isas;
  result["isa"] = stylekit::cpu::name(stylekit::cpu::best_isa());
  result["cuda"] = STYLEKIT_CUDA_VERSION;
  result["architectures"] = STYLEKIT_CUDA_TARGETS;
  result["torch"] = TORCH_VERSION;
  result["torch_from"] = std::to_string(oldest >> 56) + "." + std::to_string(oldest >> 48 & 0xff);
  return result;
}

}  // namespace

PYBIND11_MODULE(_build, m) { m.def("report", &report); }
