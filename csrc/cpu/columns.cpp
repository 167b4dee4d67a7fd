#include "columns.h"

#include "rows.h"
#include "statistics.h"

namespace stylekit::cpu::STYLEKIT_ISA {
namespace {

// One block of a sample: its rows, its position in the maps, and its buffers. The last block has the remainder too.
struct Block {
  std::int64_t sample, rows, remainder, width;
  std::int64_t start;  // of its values in the maps
  double* sums[2];
  float* scratch[3];

  Block(const FeatureMaps& x, const ColumnPlan& plan, const Buffers& buffers, std::int64_t item) {
    const std::int64_t block = item % plan.blocks, first_row = block * plan.rows_per_block;
    sample = item / plan.blocks;
    width = plan.width;
    rows = plan.rows_of(block);
    remainder = block == plan.blocks - 1 ? plan.remainder : 0;
    start = sample * x.pixels * x.channels + first_row * width;
    if (remainder) start = (sample + 1) * x.pixels * x.channels - remainder - rows * width;
    for (int k = 0; k < 2; ++k) sums[k] = buffers.sums + (2 * item + k) * width;
    for (int k = 0; k < 3; ++k) scratch[k] = buffers.scratch + (3 * item + k) * width;
  }
};

// Rows that are summed in float32 before the sums are added up in float64.
constexpr std::int64_t CHUNK = 64;

void clear(float* values, std::int64_t count) { std::memset(values, 0, static_cast<unsigned long>(count) * 4); }

// Adds the rows' differences from `center` to `first`, and their squares to `second`. Four rows at a time, so that the
// sums are loaded and stored once per four rows; not more, since rows may map to the same cache sets.
template <int ROWS, class T>
void add_rows(const T* x, std::int64_t width, const float* center, float* first, float* second) {
  for_each_vector(width, [=](std::int64_t j, auto vector) {
    const Vec c = vector.load(center + j);
    Vec a = vector.load(first + j), b = vector.load(second + j);
    for (int row = 0; row < ROWS; ++row) {
      const Vec d = vector.load(x + row * width + j) - c;
      a += d;
      b += d * d;
    }
    vector.store(first + j, a);
    vector.store(second + j, b);
  });
}

template <class T>
void add_rows(const T* x, std::int64_t rows, std::int64_t width, const float* center, float* first, float* second) {
  std::int64_t row = 0;
  for (; row + 4 <= rows; row += 4) add_rows<4>(x + row * width, width, center, first, second);
  for (; row < rows; ++row) add_rows<1>(x + row * width, width, center, first, second);
}

// Merges a chunk of `rows` rows into the block's moments of `rows_before` rows, and sets the center to its mean.
void merge_chunk(const Block& block, double rows_before, double rows) {
  const double total = rows_before + rows, weight = rows / total, m2_weight = rows_before * weight;
  float *center = block.scratch[0], *first = block.scratch[1], *second = block.scratch[2];
  const float inverse_rows = static_cast<float>(1 / rows);
  for (std::int64_t j = 0; j < block.width; ++j) {
    const float shift = first[j] * inverse_rows, mean = center[j] + shift;
    const double delta = mean - block.sums[0][j];
    block.sums[0][j] += delta * weight;
    block.sums[1][j] += (second[j] - first[j] * shift) + delta * delta * m2_weight;
    center[j] = mean;
  }
}

// The moments of each column in one pass. A chunk's differences are taken from the mean of the chunk before it, and
// those of the first chunk from the mean of its first rows. If the mean jumps, the cancellation is small compared with
// what the jump itself adds to the squares.
template <class T>
void block_moments(const Block& block, const T* x) {
  const std::int64_t width = block.width;
  float *center = block.scratch[0], *first = block.scratch[1];
  std::memset(block.sums[0], 0, static_cast<unsigned long>(width) * 16);
  clear(center, 3 * width);
  const std::int64_t first_rows = block.rows < 8 ? block.rows : 8;
  add_rows(x, first_rows, width, center, first, block.scratch[2]);
  for (std::int64_t j = 0; j < width && first_rows; ++j) center[j] = first[j] / static_cast<float>(first_rows);
  for (std::int64_t row = 0; row < block.rows; row += CHUNK) {
    const std::int64_t rows = block.rows - row < CHUNK ? block.rows - row : CHUNK;
    clear(first, 2 * width);
    add_rows(x + row * width, rows, width, center, first, block.scratch[2]);
    merge_chunk(block, static_cast<double>(row), static_cast<double>(rows));
  }
}

// Adds the float32 sums to the float64 ones, and clears them.
void flush(const Block& block) {
  for (std::int64_t j = 0; j < 2 * block.width; ++j) block.sums[0][j] += block.scratch[0][j];
  clear(block.scratch[0], 2 * block.width);
}

// Calls body(mean, m2, count) for every partial result of a plane: the blocks' moments, then the remainder's values.
template <class T, class Body>
void for_each_partial(const FeatureMaps& x, const ColumnPlan& plan, const Buffers& buffers, std::int64_t plane,
                      const Body& body) {
  const std::int64_t sample = plane / x.channels, channel = plane % x.channels;
  const double* means = buffers.sums + 2 * sample * plan.blocks * plan.width;
  for (std::int64_t block = 0; block < plan.blocks; ++block, means += 2 * plan.width)
    for (std::int64_t j = channel; j < plan.width; j += x.channels)
      body(means[j], means[plan.width + j], static_cast<double>(plan.rows_of(block)));
  const T* remainder = static_cast<const T*>(x.data) + (sample + 1) * x.pixels * x.channels - plan.remainder;
  for (std::int64_t j = channel; j < plan.remainder; j += x.channels)
    body(static_cast<double>(load_partial(remainder + j, 1)[0]), 0.0, 1.0);
}

template <class T>
Moments plane_moments(const FeatureMaps& x, const ColumnPlan& plan, const Buffers& buffers, std::int64_t plane) {
  Moments moments{static_cast<double>(x.pixels), 0, 0};
  for_each_partial<T>(x, plan, buffers, plane,
                      [&](double mean, double, double count) { moments.mean += count * mean; });
  moments.mean /= moments.count;
  for_each_partial<T>(x, plan, buffers, plane, [&](double mean, double m2, double count) {
    const double delta = mean - moments.mean;
    moments.m2 += m2 + count * delta * delta;
  });
  return moments;
}

// Writes a plane's coefficient into all its columns.
void broadcast_to_columns(const FeatureMaps& x, const ColumnPlan& plan, std::int64_t plane, float* to, float value) {
  float* row = to + plane / x.channels * plan.width;
  for (std::int64_t j = plane % x.channels; j < plan.width; j += x.channels) row[j] = value;
}

void broadcast_to_columns(const FeatureMaps& x, const ColumnPlan& plan, std::int64_t plane,
                          const ColumnCoefficients& to, Affine map) {
  broadcast_to_columns(x, plan, plane, to.center, map.center);
  broadcast_to_columns(x, plan, plane, to.factor, map.factor);
  broadcast_to_columns(x, plan, plane, to.offset, map.offset);
}

// Calls body(position, count) for every row of a block, and for the remainder.
template <class Body>
void for_each_row(const Block& block, const Body& body) {
  for (std::int64_t row = 0; row < block.rows; ++row) body(block.start + row * block.width, block.width);
  if (block.remainder) body(block.start + block.rows * block.width, block.remainder);
}

// The coefficients of a block's sample, one per column of a row.
struct RowCoefficients {
  PerColumn center, factor, offset, h_factor;

  RowCoefficients(const Block& block, const ColumnCoefficients& coefficients)
      : center{coefficients.center + block.sample * block.width},
        factor{coefficients.factor + block.sample * block.width},
        offset{coefficients.offset + block.sample * block.width},
        h_factor{coefficients.h_factor + block.sample * block.width} {}
};

template <class T>
void affine_block(const Block& block, const RowCoefficients& map, const void* x, const void* residual, void* y,
                  float slope) {
  for_each_row(block, [&](std::int64_t at, std::int64_t count) {
    affine_row<T, PerColumn>(static_cast<const T*>(x) + at, residual ? static_cast<const T*>(residual) + at : nullptr,
                             static_cast<T*>(y) + at, count, map.center, map.factor, map.offset, slope);
  });
}

// Calls body(masked_grad) with the gradient with respect to the activation's input, from a position of the maps on.
template <class T, class Body>
void with_masked_grad(const NormalizeBackward& task, const RowCoefficients& map, std::int64_t at, const Body& body) {
  dispatch_mask<T, PerColumn>(static_cast<const T*>(task.grad) + at, static_cast<const T*>(task.x.data) + at,
                              task.y ? static_cast<const T*>(task.y) + at : nullptr, map.center, map.factor, map.offset,
                              task.slope, body);
}

// Adds the sums of h and of h * (x - center) over the rows to the block's scratch.
template <int ROWS, class T>
void add_grad_rows(const NormalizeBackward& task, const Block& block, const RowCoefficients& forward, std::int64_t at,
                   std::int64_t count) {
  float *first = block.scratch[0], *second = block.scratch[1];
  const T* x = static_cast<const T*>(task.x.data) + at;
  with_masked_grad<T>(task, forward, at, [=](auto masked_grad) {
    for_each_vector(count, [=](std::int64_t j, auto vector) {
      Vec a = vector.load(first + j), b = vector.load(second + j);
      for (int row = 0; row < ROWS; ++row) {
        const std::int64_t i = row * count + j;
        const Vec h = masked_grad(i, j, vector);
        a += h;
        b += h * (vector.load(x + i) - masked_grad.center.load(j, vector));
      }
      vector.store(first + j, a);
      vector.store(second + j, b);
    });
  });
}

template <class T>
void block_sums(const NormalizeBackward& task, const Block& block, const RowCoefficients& forward) {
  const std::int64_t width = block.width;
  std::memset(block.sums[0], 0, static_cast<unsigned long>(width) * 16);
  clear(block.scratch[0], 2 * width);
  for (std::int64_t row = 0; row < block.rows;) {
    const std::int64_t end = block.rows - row < CHUNK ? block.rows : row + CHUNK;
    for (; row + 4 <= end; row += 4) add_grad_rows<4, T>(task, block, forward, block.start + row * width, width);
    for (; row < end; ++row) add_grad_rows<1, T>(task, block, forward, block.start + row * width, width);
    flush(block);
  }
  if (!block.remainder) return;
  add_grad_rows<1, T>(task, block, forward, block.start + block.rows * width, block.remainder);
  flush(block);
}

GradSums plane_sums(const FeatureMaps& x, const ColumnPlan& plan, const Buffers& buffers, std::int64_t plane) {
  GradSums total{};
  const double* sums = buffers.sums + 2 * (plane / x.channels) * plan.blocks * plan.width;
  for (std::int64_t block = 0; block < plan.blocks; ++block, sums += 2 * plan.width)
    for (std::int64_t j = plane % x.channels; j < plan.width; j += x.channels) {
      total.h += sums[j];
      total.h_centred += sums[plan.width + j];
    }
  return total;
}

template <class T>
void write_grad(const NormalizeBackward& task, const Block& block, const RowCoefficients& forward,
                const RowCoefficients& backward) {
  for_each_row(block, [&](std::int64_t at, std::int64_t count) {
    const T* x = static_cast<const T*>(task.x.data) + at;
    T* grad_x = static_cast<T*>(task.grad_x) + at;
    T* grad_residual = task.grad_residual ? static_cast<T*>(task.grad_residual) + at : nullptr;
    with_masked_grad<T>(task, forward, at, [&](auto masked_grad) {
      for_each_vector(count, [&](std::int64_t j, auto vector) {
        const Vec h = masked_grad(j, j, vector), centred = vector.load(x + j) - backward.center.load(j, vector);
        if (grad_residual) vector.store(grad_residual + j, h);
        vector.store(grad_x + j, h * backward.h_factor.load(j, vector) + centred * backward.factor.load(j, vector) +
                                     backward.offset.load(j, vector));
      });
    });
  });
}

// ---- The steps: for one plane or one block, `item` ----

template <class T>
void read_block(const FeatureMaps& x, const Block& block) {
  block_moments(block, static_cast<const T*>(x.data) + block.start);
}

template <class T>
void run_step(const ChannelStats& task, const ColumnPlan& plan, const Buffers& buffers, Step step, std::int64_t item) {
  if (step == Step::read) read_block<T>(task.x, Block(task.x, plan, buffers, item));
  if (step == Step::combine) store_statistics(task, item, plane_moments<T>(task.x, plan, buffers, item));
}

template <class T>
void run_step(const ChannelStatsBackward& task, const ColumnPlan& plan, const Buffers& buffers, Step step,
              std::int64_t item) {
  if (step == Step::prepare)
    broadcast_to_columns(task.x, plan, item, buffers.backward, backward_affine(task, item));
  if (step != Step::write) return;
  const Block block(task.x, plan, buffers, item);
  affine_block<T>(block, RowCoefficients(block, buffers.backward), task.x.data, nullptr, task.grad_x, 1.0f);
}

template <class T>
void run_step(const Normalize& task, const ColumnPlan& plan, const Buffers& buffers, Step step, std::int64_t item) {
  if (step == Step::read) read_block<T>(task.x, Block(task.x, plan, buffers, item));
  if (step == Step::combine) {
    store_statistics(task, item, plane_moments<T>(task.x, plan, buffers, item));
    broadcast_to_columns(task.x, plan, item, buffers.forward, forward_affine(task, item));
  }
  if (step != Step::write) return;
  const Block block(task.x, plan, buffers, item);
  affine_block<T>(block, RowCoefficients(block, buffers.forward), task.x.data, task.residual, task.y, task.slope);
}

template <class T>
void run_step(const NormalizeBackward& task, const ColumnPlan& plan, const Buffers& buffers, Step step,
              std::int64_t item) {
  if (step == Step::prepare) broadcast_to_columns(task.x, plan, item, buffers.forward, forward_affine(task, item));
  if (step == Step::combine) {
    const GradCoefficients c = finish_backward(task, item, plane_sums(task.x, plan, buffers, item));
    broadcast_to_columns(task.x, plan, item, buffers.backward, c.affine);
    broadcast_to_columns(task.x, plan, item, buffers.backward.h_factor, c.h_factor);
  }
  if (step != Step::read && step != Step::write) return;
  const Block block(task.x, plan, buffers, item);
  const RowCoefficients forward(block, buffers.forward);
  if (step == Step::read) block_sums<T>(task, block, forward);
  if (step == Step::write) write_grad<T>(task, block, forward, RowCoefficients(block, buffers.backward));
}

template <class Task>
void process(const Task& task, const ColumnPlan& plan, const Buffers& buffers, Step step, std::int64_t begin,
             std::int64_t end) {
  dispatch_dtype(task.x.dtype, [&](auto* type) {
    for (std::int64_t item = begin; item < end; ++item)
      run_step<std::remove_pointer_t<decltype(type)>>(task, plan, buffers, step, item);
  });
}

}  // namespace

#define STYLEKIT_DEFINE(Task)                                                                                     \
  void process_columns(const Task& task, const ColumnPlan& plan, const Buffers& buffers, Step step,               \
                       std::int64_t begin, std::int64_t end) {                                                    \
    process(task, plan, buffers, step, begin, end);                                                               \
  }
STYLEKIT_DEFINE(ChannelStats)
STYLEKIT_DEFINE(ChannelStatsBackward)
STYLEKIT_DEFINE(Normalize)
STYLEKIT_DEFINE(NormalizeBackward)
#undef STYLEKIT_DEFINE

}  // namespace stylekit::cpu::STYLEKIT_ISA
