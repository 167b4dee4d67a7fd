#include "isa.h"

#include <cstdlib>
#include <cstring>
#include <initializer_list>

namespace stylekit::cpu {
namespace {

Isa detect() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  Isa best = Isa::portable;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c")) {
    best = Isa::avx2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
      best = Isa::avx512;
  }
#else
  const Isa best = Isa::portable;
#endif
  const char* requested = std::getenv("STYLEKIT_ISA");
  for (Isa isa : {Isa::portable, Isa::avx2})
    if (requested && isa < best && std::strcmp(requested, name(isa)) == 0) return isa;
  return best;
}

}  // namespace

Isa best_isa() {
  static const Isa best = detect();
  return best;
}

const char* name(Isa isa) { return isa == Isa::avx512 ? "avx512" : isa == Isa::avx2 ? "avx2" : "portable"; }

}  // namespace stylekit::cpu
