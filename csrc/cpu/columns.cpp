#include "columns.h"

#include "rows.h"
#include "statistics.h"

namespace stylekit::cpu::STYLEKIT_ISA {
namespace {

// One block of a sample: its rows, its place in the maps, and its buffers.
struct Block {
  std::int64_t sample, rows, left, width;
  std::int64_t start;  // of its values in the maps
  double* sums[2];
  float* room[3];

  Block(const Maps& x, const Columns& shape, const Buffers& buffers, std::int64_t item) {
    const std::int64_t block = item % shape.blocks, first = block * shape.per_block;
    sample = item / shape.blocks;
    width = shape.width;
    rows = shape.rows_of(block);
    left = block == shape.blocks - 1 ? shape.left : 0;
    start = sample * x.pixels * x.channels + first * width;
    if (left) start = (sample + 1) * x.pixels * x.channels - left - rows * width;
    for (int k = 0; k < 2; ++k) sums[k] = buffers.sums + (2 * item + k) * width;
    for (int k = 0; k < 3; ++k) room[k] = buffers.room + (3 * item + k) * width;
  }
};

// Rows that are summed in float32, before the sums are added up in float64.
constexpr std::int64_t CHUNK = 64;

void clear(float* values, std::int64_t count) { std::memset(values, 0, static_cast<unsigned long>(count) * 4); }

// Adds the rows' differences from `center`, and their squares, to `first` and `second`; four rows at a time, so that the
// sums are fetched and stored once in four, and no more, since rows may share their places in the cache.
template <int ROWS, class T>
void add_rows(const T* x, std::int64_t width, const float* center, float* first, float* second) {
  sweep(width, [=](std::int64_t j, auto part) {
    const Vec middle = part.load(center + j);
    Vec a = part.load(first + j), b = part.load(second + j);
    for (int row = 0; row < ROWS; ++row) {
      const Vec d = part.load(x + row * width + j) - middle;
      a += d;
      b += d * d;
    }
    part.store(first + j, a);
    part.store(second + j, b);
  });
}

template <class T>
void add_rows(const T* x, std::int64_t rows, std::int64_t width, const float* center, float* first, float* second) {
  std::int64_t row = 0;
  for (; row + 4 <= rows; row += 4) add_rows<4>(x + row * width, width, center, first, second);
  for (; row < rows; ++row) add_rows<1>(x + row * width, width, center, first, second);
}

// Adds a chunk of `rows` rows to the block's moments, of `before` rows, and moves the center to the chunk's mean.
void merge(const Block& block, double before, double rows) {
  const double together = before + rows, weight = rows / together, between = before * weight;
  float *center = block.room[0], *first = block.room[1], *second = block.room[2];
  const float share = static_cast<float>(1 / rows);
  for (std::int64_t j = 0; j < block.width; ++j) {
    const float shift = first[j] * share, mean = center[j] + shift;
    const double difference = mean - block.sums[0][j];
    block.sums[0][j] += difference * weight;
    block.sums[1][j] += (second[j] - first[j] * shift) + difference * difference * between;
    center[j] = mean;
  }
}

// One pass: a chunk's differences are taken from the mean of the chunk before it, and the first one's from the mean of its
// first rows. What cancels if the mean jumps is small beside what the jump itself adds to the squares.
template <class T>
void block_moments(const Block& block, const T* x) {
  const std::int64_t width = block.width;
  float *center = block.room[0], *first = block.room[1];
  std::memset(block.sums[0], 0, static_cast<unsigned long>(width) * 16);
  clear(center, 3 * width);
  const std::int64_t few = block.rows < 8 ? block.rows : 8;
  add_rows(x, few, width, center, first, block.room[2]);
  for (std::int64_t j = 0; j < width && few; ++j) center[j] = first[j] / static_cast<float>(few);
  for (std::int64_t row = 0; row < block.rows; row += CHUNK) {
    const std::int64_t rows = block.rows - row < CHUNK ? block.rows - row : CHUNK;
    clear(first, 2 * width);
    add_rows(x + row * width, rows, width, center, first, block.room[2]);
    merge(block, static_cast<double>(row), static_cast<double>(rows));
  }
}

// Moves float32 sums on to the float64 ones.
void flush(const Block& block) {
  for (std::int64_t j = 0; j < 2 * block.width; ++j) block.sums[0][j] += block.room[0][j];
  clear(block.room[0], 2 * block.width);
}

// Calls body(mean, squares, count) for all that is known of a plane: each block's moments, then the values left over.
template <class T, class Body>
void pieces(const Maps& x, const Columns& shape, const Buffers& buffers, std::int64_t plane, const Body& body) {
  const std::int64_t sample = plane / x.channels, channel = plane % x.channels;
  const double* means = buffers.sums + 2 * sample * shape.blocks * shape.width;
  for (std::int64_t block = 0; block < shape.blocks; ++block, means += 2 * shape.width)
    for (std::int64_t j = channel; j < shape.width; j += x.channels)
      body(means[j], means[shape.width + j], static_cast<double>(shape.rows_of(block)));
  const T* behind = static_cast<const T*>(x.data) + (sample + 1) * x.pixels * x.channels - shape.left;
  for (std::int64_t j = channel; j < shape.left; j += x.channels)
    body(static_cast<double>(load_some(behind + j, 1)[0]), 0.0, 1.0);
}

template <class T>
Moments plane_moments(const Maps& x, const Columns& shape, const Buffers& buffers, std::int64_t plane) {
  Moments all_of_it{static_cast<double>(x.pixels), 0, 0};
  pieces<T>(x, shape, buffers, plane, [&](double mean, double, double count) { all_of_it.mean += count * mean; });
  all_of_it.mean /= all_of_it.count;
  pieces<T>(x, shape, buffers, plane, [&](double mean, double squares, double count) {
    const double difference = mean - all_of_it.mean;
    all_of_it.squares += squares + count * difference * difference;
  });
  return all_of_it;
}

// Sets a plane's number in all its columns.
void spread(const Maps& x, const Columns& shape, std::int64_t plane, float* into, float value) {
  float* row = into + plane / x.channels * shape.width;
  for (std::int64_t j = plane % x.channels; j < shape.width; j += x.channels) row[j] = value;
}

void spread(const Maps& x, const Columns& shape, std::int64_t plane, const Numbers& into, Affine map) {
  spread(x, shape, plane, into.center, map.center);
  spread(x, shape, plane, into.factor, map.factor);
  spread(x, shape, plane, into.offset, map.offset);
}

// Calls body(place, count) for every row of a block, and for what is left over.
template <class Body>
void each_row(const Block& block, const Body& body) {
  for (std::int64_t row = 0; row < block.rows; ++row) body(block.start + row * block.width, block.width);
  if (block.left) body(block.start + block.rows * block.width, block.left);
}

// The numbers of a block's sample, as they lie under a row.
struct Under {
  Each center, factor, offset, by_h;

  Under(const Block& block, const Numbers& numbers)
      : center{numbers.center + block.sample * block.width},
        factor{numbers.factor + block.sample * block.width},
        offset{numbers.offset + block.sample * block.width},
        by_h{numbers.by_h + block.sample * block.width} {}
};

template <class T>
void affine(const Block& block, const Under& map, const void* x, const void* residual, void* y, float slope) {
  each_row(block, [&](std::int64_t at, std::int64_t count) {
    affine_row<T, Each>(static_cast<const T*>(x) + at, residual ? static_cast<const T*>(residual) + at : nullptr,
                        static_cast<T*>(y) + at, count, map.center, map.factor, map.offset, slope);
  });
}

// Calls body(h) with the gradient behind the activation from a place of the maps on.
template <class T, class Body>
void behind(const NormalizeBackward& task, const Under& map, std::int64_t at, const Body& body) {
  with_mask<T, Each>(static_cast<const T*>(task.grad) + at, static_cast<const T*>(task.x.data) + at,
                     task.y ? static_cast<const T*>(task.y) + at : nullptr, map.center, map.factor, map.offset,
                     task.slope, body);
}

// Adds the sums of h and of h * (x - center) over the rows to the block's room.
template <int ROWS, class T>
void add_gradient(const NormalizeBackward& task, const Block& block, const Under& forward, std::int64_t at,
                  std::int64_t count) {
  float *first = block.room[0], *second = block.room[1];
  const T* x = static_cast<const T*>(task.x.data) + at;
  behind<T>(task, forward, at, [=](auto h) {
    sweep(count, [=](std::int64_t j, auto part) {
      Vec a = part.load(first + j), b = part.load(second + j);
      for (int row = 0; row < ROWS; ++row) {
        const std::int64_t i = row * count + j;
        const Vec here = h(i, j, part);
        a += here;
        b += here * (part.load(x + i) - h.center.at(j, part));
      }
      part.store(first + j, a);
      part.store(second + j, b);
    });
  });
}

template <class T>
void block_sums(const NormalizeBackward& task, const Block& block, const Under& forward) {
  const std::int64_t width = block.width;
  std::memset(block.sums[0], 0, static_cast<unsigned long>(width) * 16);
  clear(block.room[0], 2 * width);
  for (std::int64_t row = 0; row < block.rows;) {
    const std::int64_t end = block.rows - row < CHUNK ? block.rows : row + CHUNK;
    for (; row + 4 <= end; row += 4) add_gradient<4, T>(task, block, forward, block.start + row * width, width);
    for (; row < end; ++row) add_gradient<1, T>(task, block, forward, block.start + row * width, width);
    flush(block);
  }
  if (!block.left) return;
  add_gradient<1, T>(task, block, forward, block.start + block.rows * width, block.left);
  flush(block);
}

Sums plane_sums(const Maps& x, const Columns& shape, const Buffers& buffers, std::int64_t plane) {
  Sums all_of_it{};
  const double* sums = buffers.sums + 2 * (plane / x.channels) * shape.blocks * shape.width;
  for (std::int64_t block = 0; block < shape.blocks; ++block, sums += 2 * shape.width)
    for (std::int64_t j = plane % x.channels; j < shape.width; j += x.channels) {
      all_of_it.h += sums[j];
      all_of_it.h_centred += sums[shape.width + j];
    }
  return all_of_it;
}

template <class T>
void block_gradient(const NormalizeBackward& task, const Block& block, const Under& forward, const Under& to) {
  each_row(block, [&](std::int64_t at, std::int64_t count) {
    const T* x = static_cast<const T*>(task.x.data) + at;
    T* grad_x = static_cast<T*>(task.grad_x) + at;
    T* grad_residual = task.grad_residual ? static_cast<T*>(task.grad_residual) + at : nullptr;
    behind<T>(task, forward, at, [&](auto h) {
      sweep(count, [&](std::int64_t j, auto part) {
        const Vec here = h(j, j, part), centred = part.load(x + j) - to.center.at(j, part);
        if (grad_residual) part.store(grad_residual + j, here);
        part.store(grad_x + j,
                   here * to.by_h.at(j, part) + centred * to.factor.at(j, part) + to.offset.at(j, part));
      });
    });
  });
}

// ---- The steps ----

template <class T>
void read(const Maps& x, const Block& block) {
  block_moments(block, static_cast<const T*>(x.data) + block.start);
}

template <class T>
void step(const ChannelStats& task, const Columns& shape, const Buffers& buffers, Step which, std::int64_t item) {
  if (which == Step::read) read<T>(task.x, Block(task.x, shape, buffers, item));
  if (which == Step::combine) store(task, item, plane_moments<T>(task.x, shape, buffers, item));
}

template <class T>
void step(const ChannelStatsBackward& task, const Columns& shape, const Buffers& buffers, Step which,
          std::int64_t item) {
  if (which == Step::prepare) spread(task.x, shape, item, buffers.backward, backward(task, item));
  if (which != Step::write) return;
  const Block block(task.x, shape, buffers, item);
  affine<T>(block, Under(block, buffers.backward), task.x.data, nullptr, task.grad_x, 1.0f);
}

template <class T>
void step(const Normalize& task, const Columns& shape, const Buffers& buffers, Step which, std::int64_t item) {
  if (which == Step::read) read<T>(task.x, Block(task.x, shape, buffers, item));
  if (which == Step::combine) {
    store(task, item, plane_moments<T>(task.x, shape, buffers, item));
    spread(task.x, shape, item, buffers.forward, forward(task, item));
  }
  if (which != Step::write) return;
  const Block block(task.x, shape, buffers, item);
  affine<T>(block, Under(block, buffers.forward), task.x.data, task.residual, task.y, task.slope);
}

template <class T>
void step(const NormalizeBackward& task, const Columns& shape, const Buffers& buffers, Step which, std::int64_t item) {
  if (which == Step::prepare) spread(task.x, shape, item, buffers.forward, forward(task, item));
  if (which == Step::combine) {
    const Gradient to = backward(task, item, plane_sums(task.x, shape, buffers, item));
    spread(task.x, shape, item, buffers.backward, to.affine);
    spread(task.x, shape, item, buffers.backward.by_h, to.by_h);
  }
  if (which != Step::read && which != Step::write) return;
  const Block block(task.x, shape, buffers, item);
  const Under map(block, buffers.forward);
  if (which == Step::read) block_sums<T>(task, block, map);
  if (which == Step::write) block_gradient<T>(task, block, map, Under(block, buffers.backward));
}

template <class Task>
void each(const Task& task, const Columns& shape, const Buffers& buffers, Step which, std::int64_t begin,
          std::int64_t end) {
  with_type(task.x.dtype, [&](auto* type) {
    for (std::int64_t item = begin; item < end; ++item)
      step<std::remove_pointer_t<decltype(type)>>(task, shape, buffers, which, item);
  });
}

}  // namespace

#define STYLEKIT_DEFINE(Task)                                                                                      \
  void columns(const Task& task, const Columns& shape, const Buffers& buffers, Step which, std::int64_t begin,     \
               std::int64_t end) {                                                                                 \
    each(task, shape, buffers, which, begin, end);                                                                 \
  }
STYLEKIT_DEFINE(ChannelStats)
STYLEKIT_DEFINE(ChannelStatsBackward)
STYLEKIT_DEFINE(Normalize)
STYLEKIT_DEFINE(NormalizeBackward)
#undef STYLEKIT_DEFINE

}  // namespace stylekit::cpu::STYLEKIT_ISA
