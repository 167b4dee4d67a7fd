// Divides the kernels over planes and over columns among torch's threads.
#include <algorithm>
#include <memory>
#include <vector>

#include "columns.h"
#include "parallel.h"
#include "planes.h"
#include "run.h"

namespace stylekit::cpu {
namespace {

constexpr std::int64_t MIN_VALUES_PER_THREAD = 131072;  // they take about as long as waking a thread
constexpr std::int64_t GRAIN_VALUES = 32768;            // that a thread takes at a time

// Calls body(begin, end) until all the items are done, on as many threads as are worth waking.
template <class Body>
void parallel_for(std::int64_t items, std::int64_t values_per_item, const Body& body) {
  const std::int64_t threads = std::clamp<std::int64_t>(items * values_per_item / MIN_VALUES_PER_THREAD, 1,
                                                        torch::stable::get_num_threads());
  parallel_for_dynamic(threads, items, std::max<std::int64_t>(1, GRAIN_VALUES / values_per_item),
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
  const ColumnPlan plan(task.x);
  const std::int64_t blocks = task.x.samples * plan.blocks, coefficients = task.x.samples * plan.width;
  const auto sums = uninitialised<double>(2 * blocks * plan.width);
  const auto scratch = uninitialised<float>(3 * blocks * plan.width), tables = uninitialised<float>(8 * coefficients);
  const auto table = [&](int k) { return tables.get() + k * coefficients; };
  const Buffers buffers{sums.get(), scratch.get(), {table(0), table(1), table(2), table(3)},
                        {table(4), table(5), table(6), table(7)}};
  for (const Step step : steps(task)) {
    const bool over_blocks = step == Step::read || step == Step::write;
    parallel_for(over_blocks ? blocks : task.x.planes(),
                 over_blocks ? plan.rows_per_block * plan.width + 1 : 16 * plan.blocks,
                 [&](std::int64_t begin, std::int64_t end) {
                   STYLEKIT_ON_BEST_ISA(process_columns(task, plan, buffers, step, begin, end));
                 });
  }
}

template <class Task>
void run_maps(const Task& task) {
  if (task.x.channels_last) return run_columns(task);
  parallel_for(task.x.planes(), task.x.pixels,
               [&](std::int64_t begin, std::int64_t end) { STYLEKIT_ON_BEST_ISA(process_planes(task, begin, end)); });
}

}  // namespace

void run(const ChannelStats& task) { run_maps(task); }
void run(const ChannelStatsBackward& task) { run_maps(task); }
void run(const Normalize& task) { run_maps(task); }
void run(const NormalizeBackward& task) { run_maps(task); }

void run(const ChannelStats& stats, const Normalize& normalize) {
  const FeatureMaps &style = stats.x, &content = normalize.x;
  if (style.channels_last || content.channels_last || style.planes() != content.planes()) {
    run(stats);
    return run(normalize);
  }
  // Both in one parallel loop over planes, so that the threads are woken once.
  parallel_for(content.planes(), std::max(style.pixels, content.pixels), [&](std::int64_t begin, std::int64_t end) {
    STYLEKIT_ON_BEST_ISA(process_planes(stats, begin, end));
    STYLEKIT_ON_BEST_ISA(process_planes(normalize, begin, end));
  });
}

}  // namespace stylekit::cpu
