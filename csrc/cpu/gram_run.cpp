// The Gram matrix: its plan, and the items handed out to torch's threads.
#include <algorithm>
#include <atomic>
#include <memory>
#include <vector>

#include "gram.h"
#include "hand_out.h"
#include "kernels.h"

namespace stylekit::cpu {
namespace {

constexpr std::int64_t ENOUGH_ITEMS = 32;
constexpr std::int64_t SHORTEST_SLICE = 4 * GramPlan::DEPTH;   // else adding up the slices shows
constexpr std::int64_t LONGEST_SLICE = 128 * GramPlan::DEPTH;  // else the error of float32 sums does
constexpr double WORTH_A_THREAD = 1e6;                         // multiplications, in the time of waking a thread

// `count` arrays of floats, each beginning a cache line. They are not initialized: a thread touches what it uses.
class Arrays {
 public:
  Arrays(std::int64_t count, std::int64_t floats)
      : lines_(divide_up(floats, 16)), memory_(new Line[static_cast<std::size_t>(count * lines_)]) {}
  float* operator[](std::int64_t i) const { return memory_[static_cast<std::size_t>(i * lines_)].floats; }

 private:
  struct alignas(64) Line {
    float floats[16];
  };
  std::int64_t lines_;
  std::unique_ptr<Line[]> memory_;
};

std::int64_t workers(const Maps& x, std::int64_t items) {
  const double work = 0.5 * static_cast<double>(x.planes()) * static_cast<double>(x.channels * x.pixels);
  const std::int64_t threads = torch::stable::get_num_threads();
  return std::min({threads, items, 1 + static_cast<std::int64_t>(work / WORTH_A_THREAD)});
}

}  // namespace

GramPlan::GramPlan(const Maps& x) {
  edge = std::min(divide_up(x.channels, 16) * 16, EDGE);
  blocks = divide_up(x.channels, edge);
  pairs = blocks * (blocks + 1) / 2;
  const std::int64_t most = divide_up(x.pixels, SHORTEST_SLICE), least = divide_up(x.pixels, LONGEST_SLICE);
  const std::int64_t wanted = std::clamp(divide_up(ENOUGH_ITEMS, x.samples * pairs), least, most);
  slice_pixels = divide_up(divide_up(x.pixels, wanted), DEPTH) * DEPTH;
  slices = divide_up(x.pixels, slice_pixels);
}

void run(const Gram& task) {
  const GramPlan plan(task.x);
  const std::int64_t all = task.x.samples * plan.pairs, items = all * plan.slices, threads = workers(task.x, items);
  const bool sliced = plan.slices > 1;
  const Arrays packed(threads, plan.packed_floats()), sums(sliced ? items : threads, plan.sums_floats());
  std::vector<std::atomic<std::int64_t>> done(static_cast<std::size_t>(all));  // slices of each block

  hand_out(threads, items, 1, [&](std::int64_t thread, std::int64_t item, std::int64_t) {
    const std::int64_t block = item / plan.slices, slice = item % plan.slices;
    const std::int64_t sample = block / plan.pairs, pair = block % plan.pairs;
    STYLEKIT_ON_BEST_ISA(gram_slice(task, plan, sample, pair, slice, packed[thread], sums[sliced ? item : thread]));
    if (++done[static_cast<std::size_t>(block)] == plan.slices)
      STYLEKIT_ON_BEST_ISA(gram_finish(task, plan, sample, pair, sums[sliced ? item - slice : thread]));
  });
}

}  // namespace stylekit::cpu
