// How work is shared among torch's threads.
#pragma once

#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace stylekit::cpu {

// Calls body(thread, begin, end) until all the items are done, on so many threads, whose numbers begin at 0. Whoever is
// free takes the next few: a thread that is late does less.
template <class Body>
void hand_out(std::int64_t threads, std::int64_t items, std::int64_t few, const Body& body) {
  std::atomic<std::int64_t> next = 0;
  torch::stable::parallel_for(0, threads, 1, [&](std::int64_t thread, std::int64_t) {
    for (std::int64_t begin = next.fetch_add(few); begin < items; begin = next.fetch_add(few))
      body(thread, begin, std::min(items, begin + few));
  });
}

}  // namespace stylekit::cpu
