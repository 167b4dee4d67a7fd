// The kernels over channels-last maps, in which the values of a pixel are adjacent and a channel is a column.
//
// With few channels, several pixels form one wider row. The rows of a sample are divided into blocks by its shape
// alone, so that results do not depend on the number of threads. A kernel is a few steps, each over all the blocks or
// all the planes, which exchange intermediate results in buffers.
#pragma once

#include "../tasks.h"
#include "isa.h"

namespace stylekit::cpu {

struct ColumnPlan {
  std::int64_t pixels_per_row, width;   // width: values per row
  std::int64_t rows, remainder;         // full rows of a sample, and the values after them
  std::int64_t blocks, rows_per_block;  // at most 64 blocks, and no small ones, which cost more to combine

  explicit ColumnPlan(const FeatureMaps& x)
      : pixels_per_row(x.channels < 64 ? (63 + x.channels) / x.channels : 1),
        width(pixels_per_row * x.channels),
        rows(x.pixels / pixels_per_row),
        remainder((x.pixels - rows * pixels_per_row) * x.channels),
        blocks(clamp(width < 1024 ? rows * width / 65536 : rows / 64, 1, 64)),
        rows_per_block((rows + blocks - 1) / blocks) {}

  [[gnu::always_inline]] static std::int64_t clamp(std::int64_t value, std::int64_t low, std::int64_t high) {
    return value < low ? low : value > high ? high : value;
  }

  [[gnu::always_inline]] std::int64_t rows_of(std::int64_t block) const {
    const std::int64_t remaining = rows - block * rows_per_block;
    return remaining < 0 ? 0 : remaining < rows_per_block ? remaining : rows_per_block;
  }
};

// The coefficients of every column of a row: (samples, width) each.
struct ColumnCoefficients {
  float *center, *factor, *offset, *h_factor;
};

// Intermediate results, which later steps read.
struct Buffers {
  double* sums;                          // (samples, blocks, 2, width)
  float* scratch;                        // (samples, blocks, 3, width): used within one step only
  ColumnCoefficients forward, backward;  // of the forward, and of the gradient
};

// `prepare` and `combine` run over planes, `read` and `write` over the blocks of all samples.
enum class Step { prepare, read, combine, write };

// Runs a step over planes or blocks begin ... end - 1.
#define STYLEKIT_DECLARE(isa)                                                                                         \
  namespace isa {                                                                                                     \
  void process_columns(const ChannelStats&, const ColumnPlan&, const Buffers&, Step, std::int64_t begin,              \
                       std::int64_t end);                                                                             \
  void process_columns(const ChannelStatsBackward&, const ColumnPlan&, const Buffers&, Step, std::int64_t begin,      \
                       std::int64_t end);                                                                             \
  void process_columns(const Normalize&, const ColumnPlan&, const Buffers&, Step, std::int64_t begin,                 \
                       std::int64_t end);                                                                             \
  void process_columns(const NormalizeBackward&, const ColumnPlan&, const Buffers&, Step, std::int64_t begin,         \
                       std::int64_t end);                                                                             \
  }
STYLEKIT_EACH_ISA(STYLEKIT_DECLARE)
#undef STYLEKIT_DECLARE

}  // namespace stylekit::cpu
