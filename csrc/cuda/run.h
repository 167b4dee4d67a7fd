// Runs the tasks on CUDA. Each needs `scratch(task)` bytes of device memory, and is queued on a stream.
#pragma once

#include <cstddef>

#include "../tasks.h"

namespace stylekit::cuda {

std::size_t scratch(const ChannelStats&);
std::size_t scratch(const ChannelStatsBackward&);
std::size_t scratch(const Normalize&);
std::size_t scratch(const NormalizeBackward&);
std::size_t scratch(const Gram&);

void run(const ChannelStats&, void* scratch, void* stream);
void run(const ChannelStatsBackward&, void* scratch, void* stream);
void run(const Normalize&, void* scratch, void* stream);
void run(const NormalizeBackward&, void* scratch, void* stream);
void run(const Gram&, void* scratch, void* stream);

}  // namespace stylekit::cuda
