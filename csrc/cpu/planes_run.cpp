// Shares the kernels over planes and over columns among torch's threads.
#include <algorithm>
#include <memory>
#include <vector>

#include "columns.h"
#include "hand_out.h"
#include "kernels.h"
#include "planes.h"

namespace stylekit::cpu {
namespace {

constexpr std::int64_t WORTH_A_THREAD = 131072;  // values, which take about as long as waking a thread does
constexpr std::int64_t AT_ONCE = 32768;          // values that a thread takes, before it asks for more

// Calls body(begin, end) for all the items, on as many threads as they are worth.
template <class Body>
void share(std::int64_t items, std::int64_t values_of_one, const Body& body) {
  const std::int64_t threads = std::clamp<std::int64_t>(items * values_of_one / WORTH_A_THREAD, 1,
                                                        torch::stable::get_num_threads());
  hand_out(threads, items, std::max<std::int64_t>(1, AT_ONCE / values_of_one),
           [&](std::int64_t, std::int64_t begin, std::int64_t end) { body(begin, end); });
}

template <class T>
std::unique_ptr<T[]> uninitialised(std::int64_t count) {
  return std::unique_ptr<T[]>(new T[static_cast<std::size_t>(count)]);
}

std::vector<Step> steps(const ChannelStats&) { return {Step::read, Step::combine}; }
std::vector<Step> steps(const ChannelStatsBackward&) { return {Step::prepare, Step::write}; }
std::vector<Step> steps(const Normalize&) { return {Step::read, Step::combine, Step::write}; }
std::vector<Step> steps(const NormalizeBackward&) {
  return {Step::prepare, Step::read, Step::combine, Step::write};
}

template <class Task>
void run_columns(const Task& task) {
  const Columns shape(task.x);
  const std::int64_t blocks = task.x.samples * shape.blocks, row = task.x.samples * shape.width;
  const auto sums = uninitialised<double>(2 * blocks * shape.width);
  const auto room = uninitialised<float>(3 * blocks * shape.width), numbers = uninitialised<float>(8 * row);
  const auto table = [&](int k) { return numbers.get() + k * row; };
  const Buffers buffers{sums.get(), room.get(), {table(0), table(1), table(2), table(3)},
                        {table(4), table(5), table(6), table(7)}};
  for (const Step step : steps(task)) {
    const bool over_blocks = step == Step::read || step == Step::write;
    share(over_blocks ? blocks : task.x.planes(), over_blocks ? shape.per_block * shape.width + 1 : 16 * shape.blocks,
          [&](std::int64_t begin, std::int64_t end) {
            STYLEKIT_ON_BEST_ISA(columns(task, shape, buffers, step, begin, end));
          });
  }
}

template <class Task>
void run_maps(const Task& task) {
  if (task.x.channels_last) return run_columns(task);
  share(task.x.planes(), task.x.pixels,
        [&](std::int64_t begin, std::int64_t end) { STYLEKIT_ON_BEST_ISA(planes(task, begin, end)); });
}

}  // namespace

void run(const ChannelStats& task) { run_maps(task); }
void run(const ChannelStatsBackward& task) { run_maps(task); }
void run(const Normalize& task) { run_maps(task); }
void run(const NormalizeBackward& task) { run_maps(task); }

void run(const ChannelStats& stats, const Normalize& normalize) {
  const Maps &style = stats.x, &content = normalize.x;
  if (style.channels_last || content.channels_last || style.planes() != content.planes()) {
    run(stats);
    return run(normalize);
  }
  // Plane by plane: the threads are woken once.
  share(content.planes(), std::max(style.pixels, content.pixels), [&](std::int64_t begin, std::int64_t end) {
    STYLEKIT_ON_BEST_ISA(planes(stats, begin, end));
    STYLEKIT_ON_BEST_ISA(planes(normalize, begin, end));
  });
}

}  // namespace stylekit::cpu
