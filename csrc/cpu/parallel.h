// A parallel loop with dynamic scheduling on torch's threads.
#pragma once

#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace stylekit::cpu {

// Calls body(thread, begin, end) on `threads` threads, numbered from 0, until all the items are done. A free thread
// takes the next `grain` items, so a thread that starts late does less.
template <class Body>
void parallel_for_dynamic(std::int64_t threads, std::int64_t items, std::int64_t grain, const Body& body) {
  std::atomic<std::int64_t> next = 0;
  torch::stable::parallel_for(0, threads, 1, [&](std::int64_t thread, std::int64_t) {
    for (std::int64_t begin = next.fetch_add(grain); begin < items; begin = next.fetch_add(grain))
      body(thread, begin, std::min(items, begin + grain));
  });
}

}  // namespace stylekit::cpu
