// How the Gram matrix is cut into items of work. The cut follows from the shape alone, never from the number of
// threads, and every sum has a fixed order: the result is the same to the bit however many threads there are.
//
// The matrix is cut into blocks, of which those on and below the diagonal are computed; the pixels are cut into slices,
// so that few channels and many pixels occupy every thread too. One item is one block over one slice. Whoever does the
// last slice of a block adds up its slices and writes the block and its mirror image.
#pragma once

#include "../kernels.h"
#include "isa.h"

namespace stylekit::cpu {

struct GramPlan {
  static constexpr std::int64_t EDGE = 128;   // channels of a block; a multiple of every vector's length
  static constexpr std::int64_t DEPTH = 256;  // pixels packed at a time and summed in registers

  std::int64_t edge, blocks, pairs;          // blocks along a side, and those on and below the diagonal
  std::int64_t slices, slice_pixels;

  explicit GramPlan(const Maps&);

  [[gnu::always_inline]] std::int64_t packed_floats() const { return 2 * edge * DEPTH; }  // scratch of a thread
  [[gnu::always_inline]] std::int64_t sums_floats() const { return edge * edge; }         // an item's result
};

[[gnu::always_inline]] inline std::int64_t smaller(std::int64_t a, std::int64_t b) { return a < b ? a : b; }
[[gnu::always_inline]] inline std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// gram_slice: the sums of block `pair` of a sample over one slice of pixels.
// gram_finish: adds up the block's slices, whose sums lie one after another, and writes them into task.gram.
#define STYLEKIT_DECLARE_GRAM(isa)                                                                               \
  namespace isa {                                                                                                \
  void gram_slice(const Gram& task, const GramPlan& plan, std::int64_t sample, std::int64_t pair,                \
                  std::int64_t slice, float* packed, float* sums);                                               \
  void gram_finish(const Gram& task, const GramPlan& plan, std::int64_t sample, std::int64_t pair, float* sums); \
  }
STYLEKIT_EACH_ISA(STYLEKIT_DECLARE_GRAM)

}  // namespace stylekit::cpu
