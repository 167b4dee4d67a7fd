// How the Gram matrix is divided into work items. The division follows from the shape alone, never from the number of
// threads, and every sum has a fixed order, so the result is bit-identical for any number of threads.
//
// The matrix is divided into blocks, of which those on and below the diagonal are computed. The pixels are divided into
// slices, so that all threads are busy even with few channels and many pixels. One item is one block over one slice.
// The thread that finishes a block's last slice adds up its slices, and writes the block and its mirror image.
#pragma once

#include "../tasks.h"
#include "isa.h"

namespace stylekit::cpu {

struct GramPlan {
  static constexpr std::int64_t EDGE = 128;   // maximum channels of a block; a multiple of every vector's length
  static constexpr std::int64_t DEPTH = 256;  // pixels that are packed at a time and summed in registers

  std::int64_t edge, blocks, pairs;           // channels of a block, blocks per side, and blocks that are computed
  std::int64_t slices, slice_pixels;

  explicit GramPlan(const FeatureMaps&);

  [[gnu::always_inline]] std::int64_t packed_floats() const { return 2 * edge * DEPTH; }  // scratch of a thread
  [[gnu::always_inline]] std::int64_t sums_floats() const { return edge * edge; }         // an item's result
};

[[gnu::always_inline]] inline std::int64_t min(std::int64_t a, std::int64_t b) { return a < b ? a : b; }
[[gnu::always_inline]] inline std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// gram_slice: the sums of block `pair` of a sample over one slice of pixels.
// gram_finish: adds up the block's slices, whose sums are adjacent in memory, and writes the block into task.gram.
#define STYLEKIT_DECLARE_GRAM(isa)                                                                               \
  namespace isa {                                                                                                \
  void gram_slice(const Gram& task, const GramPlan& plan, std::int64_t sample, std::int64_t pair,                \
                  std::int64_t slice, float* packed, float* sums);                                               \
  void gram_finish(const Gram& task, const GramPlan& plan, std::int64_t sample, std::int64_t pair, float* sums); \
  }
STYLEKIT_EACH_ISA(STYLEKIT_DECLARE_GRAM)

}  // namespace stylekit::cpu
