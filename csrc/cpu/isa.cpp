#include "isa.h"

#include <cstdlib>
#include <cstring>
#include <initializer_list>

namespace stylekit::cpu {
namespace {

Isa detect() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  Isa found = Isa::portable;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c")) {
    found = Isa::avx2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
      found = Isa::avx512;
  }
#else
  const Isa found = Isa::portable;
#endif
  const char* asked = std::getenv("STYLEKIT_ISA");
  for (Isa lesser : {Isa::portable, Isa::avx2})
    if (asked && lesser < found && std::strcmp(asked, name(lesser)) == 0) return lesser;
  return found;
}

}  // namespace

Isa best_isa() {
  static const Isa found = detect();
  return found;
}

const char* name(Isa isa) { return isa == Isa::avx512 ? "avx512" : isa == Isa::avx2 ? "avx2" : "portable"; }

}  // namespace stylekit::cpu
