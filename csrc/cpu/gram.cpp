// The Gram matrix, one block at a time; see gram.h. Compiled once per instruction set.
//
// A block's channels are packed into panels of LANES channels by DEPTH pixels, in which the channels of a pixel are
// adjacent. The same panels serve as the left factor, of which one channel is broadcast, and as the right factor, of
// which a vector of channels is loaded. Lanes without a channel or a pixel are zero.
#include "gram.h"

#include "vector.h"

namespace stylekit::cpu::STYLEKIT_ISA {
namespace {

// Register tiling: the sums of ROWS channels by VECTORS * LANES channels stay in registers, with their operands.
#if defined(__AVX512F__)
constexpr int ROWS = 8, VECTORS = 2;
#elif defined(__AVX2__)
constexpr int ROWS = 4, VECTORS = 3;
#else
constexpr int ROWS = 4, VECTORS = 2;
#endif
static_assert(LANES % ROWS == 0 && GramPlan::EDGE % LANES == 0 && GramPlan::DEPTH % LANES == 0);

constexpr std::int64_t PANEL = GramPlan::DEPTH * LANES;

typedef double Doubles __attribute__((vector_size(LANES * 8)));

// ---- Lane formats: what one 32-bit lane of a panel contains ----

template <class T>
inline Vec load_at_most(const T* from, std::int64_t count) {
  return count >= LANES ? load(from) : load_partial(from, static_cast<int>(count));
}

// One pixel, in float32.
struct Float32Lane {
  static constexpr int PIXELS = 1;

  // Adjacent pixels of a plane, of which `pixels` remain.
  template <class T>
  static Vec load_pixels(const T* plane, std::int64_t pixels) {
    return load_at_most(plane, pixels);
  }
  // Adjacent channels of a pixel, of which `channels` remain; the next pixel is `stride` elements away.
  template <class T>
  static Vec load_channels(const T* pixel, std::int64_t channels, std::int64_t, std::int64_t) {
    return load_at_most(pixel, channels);
  }
  static void multiply_add(Vec& sum, Vec a, Vec b) { sum += a * b; }
};

#if defined(__AVX512F__)
// Two pixels in bfloat16, for AVX512-BF16, which multiplies such pairs and accumulates in float32: twice the speed.
struct BFloat16PairLane {
  static constexpr int PIXELS = 2;

  static Vec load_pixels(const BFloat16* plane, std::int64_t pixels) {
    Vec pairs = {};
    if (pixels >= 2 * LANES)
      std::memcpy(&pairs, plane, sizeof pairs);
    else
      std::memcpy(&pairs, plane, static_cast<std::size_t>(pixels) * sizeof(BFloat16));
    return pairs;
  }
  static Vec load_channels(const BFloat16* pixel, std::int64_t channels, std::int64_t stride, std::int64_t pixels) {
    const Vec first = load_at_most(pixel, channels);
    const Vec second = pixels > 1 ? load_at_most(pixel + stride, channels) : Vec{};
    return reinterpret_cast<Vec>(reinterpret_cast<Bits>(first) >> 16 | reinterpret_cast<Bits>(second));
  }
  // Inline assembly, because the intrinsic is available only to functions compiled for AVX512-BF16.
  static void multiply_add(Vec& sum, Vec a, Vec b) { asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b)); }
};
#endif

// ---- Packing ----

inline Vec4 interleave_low(Vec4 a, Vec4 b) { return Vec4{a[0], b[0], a[1], b[1]}; }
inline Vec4 interleave_high(Vec4 a, Vec4 b) { return Vec4{a[2], b[2], a[3], b[3]}; }

// Writes the four rows of four floats at `from` as the four columns of `to`.
inline void transpose_4x4(const float* from, std::int64_t from_stride, float* to, std::int64_t to_stride) {
  Vec4 row[4];
  for (int r = 0; r < 4; ++r) std::memcpy(&row[r], from + r * from_stride, sizeof(Vec4));
  const Vec4 even[2] = {interleave_low(row[0], row[2]), interleave_high(row[0], row[2])};
  const Vec4 odd[2] = {interleave_low(row[1], row[3]), interleave_high(row[1], row[3])};
  const Vec4 column[4] = {interleave_low(even[0], odd[0]), interleave_high(even[0], odd[0]),
                          interleave_low(even[1], odd[1]), interleave_high(even[1], odd[1])};
  for (int c = 0; c < 4; ++c) std::memcpy(to + c * to_stride, &column[c], sizeof(Vec4));
}

// Contiguous maps: four planes at a time, so that few streams are read at once. Lanes of other channels are kept.
template <class LaneFormat, class T>
void pack_planes(const T* from, std::int64_t stride, std::int64_t channels, std::int64_t pixels, float* panels) {
  for (std::int64_t c = 0; c < channels; c += 4) {
    float* to = panels + c / LANES * PANEL + c % LANES;
    for (std::int64_t pixel = 0; pixel < pixels; pixel += LANES * LaneFormat::PIXELS, to += LANES * LANES) {
      alignas(sizeof(Vec)) float rows[4][LANES];
      for (int r = 0; r < 4; ++r)
        store(rows[r],
              c + r < channels ? LaneFormat::load_pixels(from + (c + r) * stride + pixel, pixels - pixel) : Vec{});
      for (int part = 0; part < LANES; part += 4) transpose_4x4(rows[0] + part, LANES, to + part * LANES, LANES);
    }
  }
}

// Channels-last maps: the channels of a pixel are adjacent already.
template <class LaneFormat, class T>
void pack_pixels(const T* from, std::int64_t stride, std::int64_t channels, std::int64_t pixels, float* panels) {
  for (std::int64_t pixel = 0; pixel < pixels; pixel += LaneFormat::PIXELS, panels += LANES)
    for (std::int64_t c = 0; c < channels; c += LANES)
      store(panels + c / LANES * PANEL,
            LaneFormat::load_channels(from + pixel * stride + c, channels - c, stride, pixels - pixel));
}

// Packs channels and pixels of x from element `at` on.
template <class LaneFormat, class T>
void pack(const FeatureMaps& x, std::int64_t at, std::int64_t channels, std::int64_t pixels, float* panels) {
  const T* from = static_cast<const T*>(x.data) + at;
  if (x.channels_last)
    pack_pixels<LaneFormat>(from, x.channels, channels, pixels, panels);
  else
    pack_planes<LaneFormat>(from, x.pixels, channels, pixels, panels);
}

// ---- Multiplying ----

// Prefetches the features that are packed next while tiles are multiplied; otherwise packing would wait for memory.
// Addresses are integers, because the last ones are past the end of the maps, where a prefetch is harmless.
struct Prefetch {
  std::uintptr_t first;
  std::uint64_t channel_stride, inner_stride, outer_stride;  // in bytes

  Prefetch(const FeatureMaps& x, std::int64_t at) {
    const std::uint64_t size = x.dtype == DType::float32 ? 4 : 2;
    const std::uint64_t pixel = size * static_cast<std::uint64_t>(x.channels_last ? x.channels : 1);
    channel_stride = size * static_cast<std::uint64_t>(x.channels_last ? 1 : x.pixels);
    first = reinterpret_cast<std::uintptr_t>(x.data) + size * static_cast<std::uint64_t>(at);
    inner_stride = x.channels_last ? pixel : channel_stride;
    outer_stride = ROWS * pixel;
  }

  // Called for k = 0 ... DEPTH - 1, it covers ROWS channels, from `channel` on, of DEPTH pixels.
  void fetch(std::int64_t channel, std::int64_t k) const {
    const std::uint64_t step = static_cast<std::uint64_t>(k), c = static_cast<std::uint64_t>(channel);
    const std::uintptr_t address = first + c * channel_stride + step % ROWS * inner_stride + step / ROWS * outer_stride;
    __builtin_prefetch(reinterpret_cast<const void*>(address), 0, 2);
  }
};

// A product of packed channels: sums += scale * left * right^T. On the diagonal, left and right are the same.
struct Product {
  const float* left;
  const float* right;
  std::int64_t rows, columns, depth;  // depth: lanes per channel
  Prefetch left_prefetch, right_prefetch;
  float scale;
  float* sums;
  std::int64_t stride;
};

// Copied as bits, because a pair of bfloat16 must not pass through float operations.
inline Vec broadcast_bits(const float* from) {
  std::uint32_t bits;
  std::memcpy(&bits, from, sizeof bits);
  return reinterpret_cast<Vec>(bits - Bits{});
}

// One register tile: ROWS rows by `V` whole panels.
template <class LaneFormat, int V>
void multiply_tile(const Product& p, std::int64_t row, std::int64_t column) {
  const float* left = p.left + row / LANES * PANEL + row % LANES;
  const float* right = p.right + column / LANES * PANEL;
  const Prefetch prefetch = column == 0 ? p.left_prefetch : p.right_prefetch;
  const std::int64_t depth = p.depth;
  Vec tile[ROWS][V] = {};
  for (std::int64_t k = 0; k < depth; ++k) {
    for (int i = 0; i < LaneFormat::PIXELS; ++i) prefetch.fetch(row, k * LaneFormat::PIXELS + i);
    Vec by[V];
    for (int v = 0; v < V; ++v) by[v] = load(right + v * PANEL + k * LANES);
    for (int r = 0; r < ROWS; ++r) {
      const Vec value = broadcast_bits(left + k * LANES + r);
      for (int v = 0; v < V; ++v) LaneFormat::multiply_add(tile[r][v], value, by[v]);
    }
  }
  for (int r = 0; r < ROWS; ++r)
    for (int v = 0; v < V; ++v) {
      float* sum = p.sums + (row + r) * p.stride + column + v * LANES;
      store(sum, load(sum) + tile[r][v] * broadcast(p.scale));
    }
}

// All the left panels are multiplied by VECTORS of the right ones, which stay in the L1 cache, then by the next ones.
template <class LaneFormat>
void multiply(const Product& p) {
  const bool on_diagonal = p.left == p.right;
  for (std::int64_t column = 0; column < p.columns; column += VECTORS * LANES)
    for (std::int64_t row = on_diagonal ? column : 0; row < p.rows; row += ROWS) {
      const std::int64_t end = on_diagonal ? min(p.columns, row + ROWS) : p.columns;
      const std::int64_t vectors = ceil_div(end - column, LANES);
      if (vectors >= VECTORS)
        multiply_tile<LaneFormat, VECTORS>(p, row, column);
      else if (vectors == 2)
        multiply_tile<LaneFormat, 2>(p, row, column);
      else
        multiply_tile<LaneFormat, 1>(p, row, column);
    }
}

// ---- Blocks ----

struct Block {
  std::int64_t row, column, rows, columns;  // in channels

  // The blocks below the diagonal come first: they take twice the work of those on it.
  Block(const FeatureMaps& x, const GramPlan& plan, std::int64_t pair) {
    std::int64_t i = 1, j = pair;
    while (i < plan.blocks && j >= i) j -= i++;
    if (i == plan.blocks) i = j;
    row = i * plan.edge;
    column = j * plan.edge;
    rows = min(plan.edge, x.channels - row);
    columns = min(plan.edge, x.channels - column);
  }
  bool on_diagonal() const { return row == column; }
};

// Adds the other slices' sums to the first `size` ones, in order.
void add_slices(float* sums, std::int64_t slices, std::int64_t size) {
  for (std::int64_t i = 0; i < size; i += LANES) {
    Doubles total = {};
    for (std::int64_t slice = 0; slice < slices; ++slice)
      total += __builtin_convertvector(load(sums + slice * size + i), Doubles);
    store(sums + i, __builtin_convertvector(total, Vec));
  }
}

void transpose_square(float* square, std::int64_t edge) {
  for (std::int64_t i = 0; i < edge; i += 4)
    for (std::int64_t j = 0; j <= i; j += 4) {
      float *below = square + i * edge + j, *above = square + j * edge + i, transposed[16];
      transpose_4x4(below, edge, transposed, 4);
      transpose_4x4(above, edge, below, edge);
      for (int r = 0; r < 4; ++r) std::memcpy(above + r * edge, transposed + 4 * r, sizeof(Vec4));
    }
}

template <class LaneFormat, class T>
void accumulate_pixels(const Gram& task, const GramPlan& plan, std::int64_t sample, const Block& block,
                       std::int64_t begin, std::int64_t end, float* packed, float* sums) {
  const FeatureMaps& x = task.x;
  const auto element = [&](std::int64_t channel, std::int64_t pixel) {
    const std::int64_t within = x.channels_last ? pixel * x.channels + channel : channel * x.pixels + pixel;
    return sample * x.channels * x.pixels + within;
  };
  float* left = packed;
  float* right = block.on_diagonal() ? left : packed + plan.edge * GramPlan::DEPTH;
  if (block.rows % LANES) std::memset(left + block.rows / LANES * PANEL, 0, PANEL * sizeof(float));
  for (std::int64_t pixel = begin; pixel < end; pixel += GramPlan::DEPTH) {
    const std::int64_t pixels = min(GramPlan::DEPTH, end - pixel), next = pixel + pixels;
    pack<LaneFormat, T>(x, element(block.row, pixel), block.rows, pixels, left);
    if (!block.on_diagonal()) pack<LaneFormat, T>(x, element(block.column, pixel), block.columns, pixels, right);
    multiply<LaneFormat>({left, right, block.rows, block.columns, ceil_div(pixels, LaneFormat::PIXELS),
                          Prefetch(x, element(block.row, next)), Prefetch(x, element(block.column, next)), task.scale,
                          sums, plan.edge});
  }
}

}  // namespace

void gram_slice(const Gram& task, const GramPlan& plan, std::int64_t sample, std::int64_t pair, std::int64_t slice,
                float* packed, float* sums) {
  const Block block(task.x, plan, pair);
  const std::int64_t begin = slice * plan.slice_pixels, end = min(begin + plan.slice_pixels, task.x.pixels);
  std::memset(sums, 0, static_cast<std::size_t>(plan.sums_floats()) * sizeof(float));
#if defined(__AVX512F__)
  if (task.x.dtype == DType::bfloat16 && __builtin_cpu_supports("avx512bf16"))
    return accumulate_pixels<BFloat16PairLane, BFloat16>(task, plan, sample, block, begin, end, packed, sums);
#endif
  dispatch_dtype(task.x.dtype, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    accumulate_pixels<Float32Lane, T>(task, plan, sample, block, begin, end, packed, sums);
  });
}

void gram_finish(const Gram& task, const GramPlan& plan, std::int64_t sample, std::int64_t pair, float* sums) {
  const Block block(task.x, plan, pair);
  const std::int64_t channels = task.x.channels;
  float* gram = task.gram + sample * channels * channels;
  const auto write = [&](std::int64_t row, std::int64_t column, const float* from, std::int64_t count) {
    std::memcpy(gram + row * channels + column, from, static_cast<std::size_t>(count) * sizeof(float));
  };
  if (plan.slices > 1) add_slices(sums, plan.slices, plan.sums_floats());
  for (std::int64_t r = 0; r < block.rows; ++r)
    write(block.row + r, block.column, sums + r * plan.edge, block.on_diagonal() ? r + 1 : block.columns);
  transpose_square(sums, plan.edge);
  for (std::int64_t c = 0; c < block.columns; ++c) {
    const std::int64_t skipped = block.on_diagonal() ? c : 0;
    write(block.column + c, block.row + skipped, sums + c * plan.edge + skipped, block.rows - skipped);
  }
}

}  // namespace stylekit::cpu::STYLEKIT_ISA
