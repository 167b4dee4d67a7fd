// The kernels over planes that lie one after another. One thread has a plane from the first pass to the last, so that it
// is read from memory once, and again from the cache.
#pragma once

#include "../kernels.h"
#include "isa.h"

namespace stylekit::cpu {

#define STYLEKIT_DECLARE(isa)                                                         \
  namespace isa {                                                                     \
  void planes(const ChannelStats&, std::int64_t begin, std::int64_t end);             \
  void planes(const ChannelStatsBackward&, std::int64_t begin, std::int64_t end);     \
  void planes(const Normalize&, std::int64_t begin, std::int64_t end);                \
  void planes(const NormalizeBackward&, std::int64_t begin, std::int64_t end);        \
  }
STYLEKIT_EACH_ISA(STYLEKIT_DECLARE)
#undef STYLEKIT_DECLARE

}  // namespace stylekit::cpu
