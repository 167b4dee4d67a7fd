// The kernels for the processor. They use torch's threads, and AVX2 or AVX-512 where the machine has them.
#pragma once

#include "../kernels.h"

namespace stylekit::cpu {

void run(const ChannelStats&);
void run(const ChannelStatsBackward&);
void run(const Normalize&);
void run(const NormalizeBackward&);
void run(const Gram&);

// One after the other, the second with what the first finds.
void run(const ChannelStats&, const Normalize&);

}  // namespace stylekit::cpu
