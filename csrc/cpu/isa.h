// The instruction sets that the inner loops are compiled for, and the choice among them at run time.
//
// planes.cpp, columns.cpp and gram.cpp are compiled once per instruction set, each time into a namespace of that name.
// They avoid other headers' inline functions: the linker keeps one copy of such a function, which could contain
// instructions that this machine lacks.
#pragma once

#if defined(__x86_64__)
#define STYLEKIT_EACH_ISA(declare) declare(portable) declare(avx2) declare(avx512)
#define STYLEKIT_ON_BEST_ISA(call)             \
  (best_isa() == Isa::avx512 ? avx512::call    \
   : best_isa() == Isa::avx2 ? avx2::call      \
                             : portable::call)
#else
#define STYLEKIT_EACH_ISA(declare) declare(portable)
#define STYLEKIT_ON_BEST_ISA(call) (portable::call)
#endif

namespace stylekit::cpu {

enum class Isa { portable, avx2, avx512 };

// The best instruction set of this machine. STYLEKIT_ISA=portable|avx2|avx512 in the environment selects a lower one.
Isa best_isa();

const char* name(Isa);

}  // namespace stylekit::cpu
