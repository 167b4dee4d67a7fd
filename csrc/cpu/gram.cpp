// The Gram matrix, one block at a time; see gram.h. Compiled once per instruction set.
//
// A block's channels are packed into panels: LANES channels by DEPTH pixels, the channels of a pixel side by side. The
// same panels serve as the left factor, of which one channel is broadcast, and as the right one, of which a vector of
// channels is loaded. Lanes without a channel or a pixel are zero.
#include "gram.h"

#include "vector.h"

namespace stylekit::cpu::STYLEKIT_ISA {
namespace {

// The sums of ROWS channels by VECTORS * LANES channels stay in registers, beside the vectors they are made of.
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

// ---- What a lane of a panel holds ----

template <class T>
inline Vec load_up_to(const T* from, std::int64_t count) {
  return count >= LANES ? load(from) : load_some(from, static_cast<int>(count));
}

// One pixel in float32.
struct Single {
  static constexpr int PIXELS = 1;

  // From a plane of which `pixels` remain.
  template <class T>
  static Vec along(const T* plane, std::int64_t pixels) {
    return load_up_to(plane, pixels);
  }
  // From a pixel of which `channels` remain; it is followed by others at a distance of `stride`.
  template <class T>
  static Vec across(const T* pixel, std::int64_t channels, std::int64_t, std::int64_t) {
    return load_up_to(pixel, channels);
  }
  static void add_product(Vec& sum, Vec a, Vec b) { sum += a * b; }
};

#if defined(__AVX512F__)
// Two pixels in bfloat16, for processors that multiply such pairs and add them up in float32: twice the speed.
struct Pair {
  static constexpr int PIXELS = 2;

  static Vec along(const BFloat16* plane, std::int64_t pixels) {
    Vec pairs = {};
    if (pixels >= 2 * LANES)
      std::memcpy(&pairs, plane, sizeof pairs);
    else
      std::memcpy(&pairs, plane, static_cast<std::size_t>(pixels) * sizeof(BFloat16));
    return pairs;
  }
  static Vec across(const BFloat16* pixel, std::int64_t channels, std::int64_t stride, std::int64_t pixels) {
    const Vec first = load_up_to(pixel, channels), second = pixels > 1 ? load_up_to(pixel + stride, channels) : Vec{};
    return reinterpret_cast<Vec>(reinterpret_cast<Bits>(first) >> 16 | reinterpret_cast<Bits>(second));
  }
  // Not the intrinsic, which only functions compiled for such processors may use.
  static void add_product(Vec& sum, Vec a, Vec b) { asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b)); }
};
#endif

// ---- Packing ----

inline Four low(Four a, Four b) { return Four{a[0], b[0], a[1], b[1]}; }
inline Four high(Four a, Four b) { return Four{a[2], b[2], a[3], b[3]}; }

// Four rows of four floats become the four columns of `to`.
inline void transpose(const float* from, std::int64_t from_stride, float* to, std::int64_t to_stride) {
  Four row[4];
  for (int r = 0; r < 4; ++r) std::memcpy(&row[r], from + r * from_stride, sizeof(Four));
  const Four even[2] = {low(row[0], row[2]), high(row[0], row[2])};
  const Four odd[2] = {low(row[1], row[3]), high(row[1], row[3])};
  const Four column[4] = {low(even[0], odd[0]), high(even[0], odd[0]), low(even[1], odd[1]), high(even[1], odd[1])};
  for (int c = 0; c < 4; ++c) std::memcpy(to + c * to_stride, &column[c], sizeof(Four));
}

// Planes one after another; four at a time, so that few streams are read at once. Lanes beyond those four stay as is.
template <class Held, class T>
void pack_planes(const T* from, std::int64_t stride, std::int64_t channels, std::int64_t pixels, float* panels) {
  for (std::int64_t c = 0; c < channels; c += 4) {
    float* to = panels + c / LANES * PANEL + c % LANES;
    for (std::int64_t pixel = 0; pixel < pixels; pixel += LANES * Held::PIXELS, to += LANES * LANES) {
      alignas(sizeof(Vec)) float rows[4][LANES];
      for (int r = 0; r < 4; ++r)
        store(rows[r], c + r < channels ? Held::along(from + (c + r) * stride + pixel, pixels - pixel) : Vec{});
      for (int part = 0; part < LANES; part += 4) transpose(rows[0] + part, LANES, to + part * LANES, LANES);
    }
  }
}

// Channels last: they are side by side already.
template <class Held, class T>
void pack_pixels(const T* from, std::int64_t stride, std::int64_t channels, std::int64_t pixels, float* panels) {
  for (std::int64_t pixel = 0; pixel < pixels; pixel += Held::PIXELS, panels += LANES)
    for (std::int64_t c = 0; c < channels; c += LANES)
      store(panels + c / LANES * PANEL, Held::across(from + pixel * stride + c, channels - c, stride, pixels - pixel));
}

// From element `at` of x on.
template <class Held, class T>
void pack(const Maps& x, std::int64_t at, std::int64_t channels, std::int64_t pixels, float* panels) {
  const T* from = static_cast<const T*>(x.data) + at;
  if (x.channels_last)
    pack_pixels<Held>(from, x.channels, channels, pixels, panels);
  else
    pack_planes<Held>(from, x.pixels, channels, pixels, panels);
}

// ---- Multiplying ----

// The features to be packed next. Tiles ask the cache for them while they multiply, or packing would wait for memory.
// Addresses are integers, because those of the last pixels and channels lead past the end: fetching there is harmless.
struct Ahead {
  std::uintptr_t first;
  std::uint64_t channel, near, far;  // distances in bytes

  Ahead(const Maps& x, std::int64_t at) {
    const std::uint64_t size = x.dtype == DType::float32 ? 4 : 2;
    const std::uint64_t pixel = size * static_cast<std::uint64_t>(x.channels_last ? x.channels : 1);
    channel = size * static_cast<std::uint64_t>(x.channels_last ? 1 : x.pixels);
    first = reinterpret_cast<std::uintptr_t>(x.data) + size * static_cast<std::uint64_t>(at);
    near = x.channels_last ? pixel : channel;
    far = ROWS * pixel;
  }

  // For k = 0 ... DEPTH - 1: ROWS channels of DEPTH pixels.
  void fetch(std::int64_t skipped, std::int64_t k) const {
    const std::uint64_t step = static_cast<std::uint64_t>(k), c = static_cast<std::uint64_t>(skipped);
    const std::uintptr_t address = first + c * channel + step % ROWS * near + step / ROWS * far;
    __builtin_prefetch(reinterpret_cast<const void*>(address), 0, 2);
  }
};

// Two packed sets of channels, the same one on the diagonal, and where scale * left * right^T is added.
struct Product {
  const float* left;
  const float* right;
  std::int64_t rows, columns, depth;  // depth: how many lanes of a channel
  Ahead left_ahead, right_ahead;
  float scale;
  float* sums;
  std::int64_t stride;
};

// Moved as bits, because a pair is not to be treated as the float that it looks like.
inline Vec in_all_lanes(const float* from) {
  std::uint32_t bits;
  std::memcpy(&bits, from, sizeof bits);
  return reinterpret_cast<Vec>(bits - Bits{});
}

// ROWS rows by `V` whole panels.
template <class Held, int V>
void multiply_tile(const Product& p, std::int64_t row, std::int64_t column) {
  const float* left = p.left + row / LANES * PANEL + row % LANES;
  const float* right = p.right + column / LANES * PANEL;
  const Ahead ahead = column == 0 ? p.left_ahead : p.right_ahead;
  const std::int64_t depth = p.depth;
  Vec tile[ROWS][V] = {};
  for (std::int64_t k = 0; k < depth; ++k) {
    for (int i = 0; i < Held::PIXELS; ++i) ahead.fetch(row, k * Held::PIXELS + i);
    Vec by[V];
    for (int v = 0; v < V; ++v) by[v] = load(right + v * PANEL + k * LANES);
    for (int r = 0; r < ROWS; ++r) {
      const Vec value = in_all_lanes(left + k * LANES + r);
      for (int v = 0; v < V; ++v) Held::add_product(tile[r][v], value, by[v]);
    }
  }
  for (int r = 0; r < ROWS; ++r)
    for (int v = 0; v < V; ++v) {
      float* sum = p.sums + (row + r) * p.stride + column + v * LANES;
      store(sum, load(sum) + tile[r][v] * all(p.scale));
    }
}

// The left panels pass by VECTORS of the right ones, which stay in the nearest cache.
template <class Held>
void multiply(const Product& p) {
  const bool on_diagonal = p.left == p.right;
  for (std::int64_t column = 0; column < p.columns; column += VECTORS * LANES)
    for (std::int64_t row = on_diagonal ? column : 0; row < p.rows; row += ROWS) {
      const std::int64_t end = on_diagonal ? smaller(p.columns, row + ROWS) : p.columns;
      const std::int64_t vectors = divide_up(end - column, LANES);
      if (vectors >= VECTORS)
        multiply_tile<Held, VECTORS>(p, row, column);
      else if (vectors == 2)
        multiply_tile<Held, 2>(p, row, column);
      else
        multiply_tile<Held, 1>(p, row, column);
    }
}

// ---- Blocks ----

struct Block {
  std::int64_t row, column, rows, columns;  // in channels

  // The blocks below the diagonal come first: they are twice the work of those on it.
  Block(const Maps& x, const GramPlan& plan, std::int64_t pair) {
    std::int64_t i = 1, j = pair;
    while (i < plan.blocks && j >= i) j -= i++;
    if (i == plan.blocks) i = j;
    row = i * plan.edge;
    column = j * plan.edge;
    rows = smaller(plan.edge, x.channels - row);
    columns = smaller(plan.edge, x.channels - column);
  }
  bool on_diagonal() const { return row == column; }
};

// sums[0 ... size) += those of the other slices, in order.
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
      float *below = square + i * edge + j, *above = square + j * edge + i, turned[16];
      transpose(below, edge, turned, 4);
      transpose(above, edge, below, edge);
      for (int r = 0; r < 4; ++r) std::memcpy(above + r * edge, turned + 4 * r, sizeof(Four));
    }
}

template <class Held, class T>
void add_pixels(const Gram& task, const GramPlan& plan, std::int64_t sample, const Block& block, std::int64_t begin,
                std::int64_t end, float* packed, float* sums) {
  const Maps& x = task.x;
  const auto element = [&](std::int64_t channel, std::int64_t pixel) {
    const std::int64_t within = x.channels_last ? pixel * x.channels + channel : channel * x.pixels + pixel;
    return sample * x.channels * x.pixels + within;
  };
  float* left = packed;
  float* right = block.on_diagonal() ? left : packed + plan.edge * GramPlan::DEPTH;
  if (block.rows % LANES) std::memset(left + block.rows / LANES * PANEL, 0, PANEL * sizeof(float));
  for (std::int64_t pixel = begin; pixel < end; pixel += GramPlan::DEPTH) {
    const std::int64_t pixels = smaller(GramPlan::DEPTH, end - pixel), next = pixel + pixels;
    pack<Held, T>(x, element(block.row, pixel), block.rows, pixels, left);
    if (!block.on_diagonal()) pack<Held, T>(x, element(block.column, pixel), block.columns, pixels, right);
    multiply<Held>({left, right, block.rows, block.columns, divide_up(pixels, Held::PIXELS),
                    Ahead(x, element(block.row, next)), Ahead(x, element(block.column, next)), task.scale, sums,
                    plan.edge});
  }
}

}  // namespace

void gram_slice(const Gram& task, const GramPlan& plan, std::int64_t sample, std::int64_t pair, std::int64_t slice,
                float* packed, float* sums) {
  const Block block(task.x, plan, pair);
  const std::int64_t begin = slice * plan.slice_pixels, end = smaller(begin + plan.slice_pixels, task.x.pixels);
  std::memset(sums, 0, static_cast<std::size_t>(plan.sums_floats()) * sizeof(float));
#if defined(__AVX512F__)
  if (task.x.dtype == DType::bfloat16 && __builtin_cpu_supports("avx512bf16"))
    return add_pixels<Pair, BFloat16>(task, plan, sample, block, begin, end, packed, sums);
#endif
  with_type(task.x.dtype, [&](auto* type) {
    add_pixels<Single, std::remove_pointer_t<decltype(type)>>(task, plan, sample, block, begin, end, packed, sums);
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
