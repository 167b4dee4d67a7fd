// The Gram matrix: its plan, and the division of its work items among torch's threads.
#include <algorithm>
#include <atomic>
#include <memory>
#include <vector>

#include "gram.h"
#include "parallel.h"
#include "run.h"

namespace stylekit::cpu {
namespace {

constexpr std::int64_t MIN_ITEMS = 32;
constexpr std::int64_t MIN_SLICE = 4 * GramPlan::DEPTH;    // shorter slices: adding them up takes noticeable time
constexpr std::int64_t MAX_SLICE = 128 * GramPlan::DEPTH;  // longer slices: the error of float32 sums grows
constexpr double MIN_PRODUCTS_PER_THREAD = 1e6;            // they take about as long as waking a thread

// `count` arrays of floats, each aligned to a cache line. They are not initialised: a thread touches only what it uses.
class AlignedArrays {
 public:
  AlignedArrays(std::int64_t count, std::int64_t floats)
      : lines_(ceil_div(floats, 16)), memory_(new Line[static_cast<std::size_t>(count * lines_)]) {}
  float* operator[](std::int64_t i) const { return memory_[static_cast<std::size_t>(i * lines_)].floats; }

 private:
  struct alignas(64) Line {
    float floats[16];
  };
  std::int64_t lines_;
  std::unique_ptr<Line[]> memory_;
};

std::int64_t thread_count(const FeatureMaps& x, std::int64_t items) {
  const double products = 0.5 * static_cast<double>(x.planes()) * static_cast<double>(x.channels * x.pixels);
  const std::int64_t threads = torch::stable::get_num_threads();
  return std::min({threads, items, 1 + static_cast<std::int64_t>(products / MIN_PRODUCTS_PER_THREAD)});
}

}  // namespace

GramPlan::GramPlan(const FeatureMaps& x) {
  edge = std::min(ceil_div(x.channels, 16) * 16, EDGE);
  blocks = ceil_div(x.channels, edge);
  pairs = blocks * (blocks + 1) / 2;
  const std::int64_t max_slices = ceil_div(x.pixels, MIN_SLICE), min_slices = ceil_div(x.pixels, MAX_SLICE);
  const std::int64_t target = std::clamp(ceil_div(MIN_ITEMS, x.samples * pairs), min_slices, max_slices);
  slice_pixels = ceil_div(ceil_div(x.pixels, target), DEPTH) * DEPTH;
  slices = ceil_div(x.pixels, slice_pixels);
}

void run(const Gram& task) {
  const GramPlan plan(task.x);
  const std::int64_t blocks = task.x.samples * plan.pairs, items = blocks * plan.slices;
  const std::int64_t threads = thread_count(task.x, items);
  const bool sliced = plan.slices > 1;
  const AlignedArrays packed(threads, plan.packed_floats()), sums(sliced ? items : threads, plan.sums_floats());
  std::vector<std::atomic<std::int64_t>> done(static_cast<std::size_t>(blocks));  // slices of each block

  parallel_for_dynamic(threads, items, 1, [&](std::int64_t thread, std::int64_t item, std::int64_t) {
    const std::int64_t block = item / plan.slices, slice = item % plan.slices;
    const std::int64_t sample = block / plan.pairs, pair = block % plan.pairs;
    STYLEKIT_ON_BEST_ISA(gram_slice(task, plan, sample, pair, slice, packed[thread], sums[sliced ? item : thread]));
    if (++done[static_cast<std::size_t>(block)] == plan.slices)
      STYLEKIT_ON_BEST_ISA(gram_finish(task, plan, sample, pair, sums[sliced ? item - slice : thread]));
  });
}

}  // namespace stylekit::cpu
