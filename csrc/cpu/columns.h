// The kernels over channels-last maps, in which the values of a pixel lie one after another and a channel is a column.
//
// Rows of few channels are taken several pixels at a time, as a wider row. The rows of a sample are cut into blocks by its
// shape alone, so that results do not depend on the number of threads. A kernel is a few steps, each over all the blocks or
// all the planes, with what they tell each other in buffers.
#pragma once

#include "../kernels.h"
#include "isa.h"

namespace stylekit::cpu {

struct Columns {
  std::int64_t repeat, width;      // pixels in a row, values in a row
  std::int64_t rows, left;         // full rows of a sample, and the values behind them
  std::int64_t blocks, per_block;  // of rows: 64 blocks at most, and no small ones, which cost more to add up

  explicit Columns(const Maps& x)
      : repeat(x.channels < 64 ? (63 + x.channels) / x.channels : 1),
        width(repeat * x.channels),
        rows(x.pixels / repeat),
        left((x.pixels - rows * repeat) * x.channels),
        blocks(clamp(width < 1024 ? rows * width / 65536 : rows / 64, 1, 64)),
        per_block((rows + blocks - 1) / blocks) {}

  [[gnu::always_inline]] static std::int64_t clamp(std::int64_t value, std::int64_t least, std::int64_t most) {
    return value < least ? least : value > most ? most : value;
  }

  [[gnu::always_inline]] std::int64_t rows_of(std::int64_t block) const {
    const std::int64_t behind = rows - block * per_block;
    return behind < 0 ? 0 : behind < per_block ? behind : per_block;
  }
};

// The numbers in the columns of a row: (samples, width) each.
struct Numbers {
  float *center, *factor, *offset, *by_h;
};

// What the steps write for each other.
struct Buffers {
  double* sums;               // (samples, blocks, 2, width)
  float* room;                // (samples, blocks, 3, width): of one step only
  Numbers forward, backward;  // the map of the forward, and that of the gradient
};

// `prepare` and `combine` work over planes, `read` and `write` over the blocks of all samples.
enum class Step { prepare, read, combine, write };

#define STYLEKIT_DECLARE(isa)                                                                                         \
  namespace isa {                                                                                                     \
  void columns(const ChannelStats&, const Columns&, const Buffers&, Step, std::int64_t begin, std::int64_t end);      \
  void columns(const ChannelStatsBackward&, const Columns&, const Buffers&, Step, std::int64_t, std::int64_t);        \
  void columns(const Normalize&, const Columns&, const Buffers&, Step, std::int64_t begin, std::int64_t end);         \
  void columns(const NormalizeBackward&, const Columns&, const Buffers&, Step, std::int64_t begin, std::int64_t end); \
  }
STYLEKIT_EACH_ISA(STYLEKIT_DECLARE)
#undef STYLEKIT_DECLARE

}  // namespace stylekit::cpu
