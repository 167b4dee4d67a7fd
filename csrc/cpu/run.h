// Runs the tasks on the CPU, on torch's threads, with AVX2 or AVX-512 where the machine has them.
#pragma once

#include "../tasks.h"

namespace stylekit::cpu {

void run(const ChannelStats&);
void run(const ChannelStatsBackward&);
void run(const Normalize&);
void run(const NormalizeBackward&);
void run(const Gram&);

// Runs both in turn: the second task may read the first one's results.
void run(const ChannelStats&, const Normalize&);

}  // namespace stylekit::cpu
