// The kernels over contiguous planes. One thread processes a plane from the first pass to the last, so that it is read
// from memory once, and then from the cache.
#pragma once

#include "../tasks.h"
#include "isa.h"

namespace stylekit::cpu {

// Processes planes begin ... end - 1.
#define STYLEKIT_DECLARE(isa)                                                               \
  namespace isa {                                                                           \
  void process_planes(const ChannelStats&, std::int64_t begin, std::int64_t end);           \
  void process_planes(const ChannelStatsBackward&, std::int64_t begin, std::int64_t end);   \
  void process_planes(const Normalize&, std::int64_t begin, std::int64_t end);              \
  void process_planes(const NormalizeBackward&, std::int64_t begin, std::int64_t end);      \
  }
STYLEKIT_EACH_ISA(STYLEKIT_DECLARE)
#undef STYLEKIT_DECLARE

}  // namespace stylekit::cpu
