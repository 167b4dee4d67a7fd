// Gram matrices. Only tiles on and below the diagonal are computed. Each block computes a tile from a part of the
// pixels (split-K), so that few channels with many pixels fill a GPU too. A second kernel adds up the parts in order,
// and mirrors the result.
//
// bfloat16 and float16 use tensor cores, which multiply exactly and accumulate in float32. float32 does not, because
// TF32 would silently drop 13 of its bits.
#include "device.h"
#include "run.h"

namespace stylekit::cuda {
namespace {

constexpr int STEP_PIXELS = 32;        // that are copied to shared memory at a time
constexpr int MIN_PART_PIXELS = 512;   // because each part needs a tile of scratch
constexpr int MAX_PART_PIXELS = 8192;  // because tensor cores truncate sums

// How the products are divided among blocks.
struct Tiling {
  int tile;  // channels of a tile: its rows and its columns
  std::int64_t tiles, parts, pixels_per_part;

  explicit Tiling(const FeatureMaps& x) : tile(x.channels > 64 ? 128 : 64) {
    const std::int64_t tile_rows = ceil_div(x.channels, tile);
    tiles = tile_rows * (tile_rows + 1) / 2;
    // Two to four times the number of blocks that a large GPU runs at once.
    const std::int64_t target = ceil_div(tile == 64 ? 1024 : 264, x.samples * tiles);
    const std::int64_t min_parts = ceil_div(x.pixels, MAX_PART_PIXELS), max_parts = ceil_div(x.pixels, MIN_PART_PIXELS);
    parts = target < min_parts ? min_parts : target > max_parts ? max_parts : target;
    pixels_per_part = ceil_div(ceil_div(x.pixels, parts), STEP_PIXELS) * STEP_PIXELS;
    parts = ceil_div(x.pixels, pixels_per_part);
  }
};

// TILE channels by STEP_PIXELS pixels in shared memory, in the memory layout of the maps. The padding puts adjacent
// rows into different banks.
template <class T, bool CHANNELS_LAST, int TILE>
struct OperandTile {
  static constexpr int ROWS = CHANNELS_LAST ? STEP_PIXELS : TILE, COLUMNS = CHANNELS_LAST ? TILE : STEP_PIXELS;
  static constexpr int STRIDE = COLUMNS + PACK_WIDTH<T>, SIZE = ROWS * STRIDE;

  // The index of a channel's value at a pixel.
  static __device__ __forceinline__ int at(int channel, int pixel) {
    return CHANNELS_LAST ? pixel * STRIDE + channel : channel * STRIDE + pixel;
  }

  // Starts to copy the tile, from `channel` and `pixel` on. Values from pixel `end` on, or without a channel, are zero.
  template <int WIDTH>
  static __device__ __forceinline__ void read(T* to, const FeatureMaps& x, std::int64_t sample, std::int64_t channel,
                                              std::int64_t pixel, std::int64_t end) {
    const T* const from = static_cast<const T*>(x.data) + sample * x.channels * x.pixels;
    constexpr int PACKS = COLUMNS / WIDTH;
#pragma unroll 1  // saves registers for the products
    for (int i = static_cast<int>(threadIdx.x); i < ROWS * PACKS; i += static_cast<int>(blockDim.x)) {
      const int row = i / PACKS, column = i % PACKS * WIDTH;
      const std::int64_t c = channel + (CHANNELS_LAST ? column : row), p = pixel + (CHANNELS_LAST ? row : column);
      const bool valid = c < x.channels && p < end;
      const T* const source = valid ? from + (CHANNELS_LAST ? p * x.channels + c : c * x.pixels + p) : from;
      if constexpr (WIDTH > 1)
        copy_async(to + row * STRIDE + column, source, valid);
      else
        to[row * STRIDE + column] = valid ? *source : T{};
    }
  }
};

// Rows times columns on tensor cores: each warp computes TILE / 2 rows by 32 columns.
template <class T, bool CHANNELS_LAST, int TILE>
struct TensorCoreProduct {
  using S = OperandTile<T, CHANNELS_LAST, TILE>;
  static constexpr int THREADS = 2 * TILE, BLOCKS = 2, STAGES = 3, ROW_FRAGMENTS = TILE / 32, COLUMN_FRAGMENTS = 4;
  float sums[ROW_FRAGMENTS][COLUMN_FRAGMENTS][4] = {};
  int row, column, lane;

  __device__ __forceinline__ TensorCoreProduct() {
    const int warp = static_cast<int>(threadIdx.x) / 32;
    row = warp % 2 * (TILE / 2);
    column = warp / 2 * 32;
    lane = static_cast<int>(threadIdx.x) % 32;
  }

  __device__ __forceinline__ void add(const T* rows, const T* columns, bool diagonal) {
    if (diagonal && column >= row + TILE / 2) return;  // entirely above the diagonal
    const int low = lane % 8, middle = lane / 8 % 2 * 8, high = lane / 16 * 8;
#pragma unroll
    for (int k = 0; k < STEP_PIXELS; k += 16) {
      std::uint32_t a[ROW_FRAGMENTS][4], b[COLUMN_FRAGMENTS / 2][4];
#pragma unroll
      for (int i = 0; i < ROW_FRAGMENTS; ++i) {
        const int channel = row + i * 16;
        load_matrices<CHANNELS_LAST>(a[i], rows + (CHANNELS_LAST ? S::at(channel + middle, k + low + high)
                                                                 : S::at(channel + low + middle, k + high)));
      }
#pragma unroll
      for (int j = 0; j < COLUMN_FRAGMENTS / 2; ++j) {
        const int channel = column + j * 16;
        load_matrices<CHANNELS_LAST>(b[j], columns + (CHANNELS_LAST ? S::at(channel + high, k + low + middle)
                                                                    : S::at(channel + low + high, k + middle)));
      }
#pragma unroll
      for (int i = 0; i < ROW_FRAGMENTS; ++i) {
#pragma unroll
        for (int j = 0; j < COLUMN_FRAGMENTS; ++j)
          multiply_add<T>(sums[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
      }
    }
  }

  __device__ __forceinline__ void write(float* tile, float scale) const {
#pragma unroll
    for (int i = 0; i < ROW_FRAGMENTS; ++i) {
#pragma unroll
      for (int j = 0; j < COLUMN_FRAGMENTS; ++j) {
        float* const to = tile + (row + i * 16 + lane / 4) * TILE + column + j * 8 + lane % 4 * 2;
        *reinterpret_cast<float2*>(to) = {scale * sums[i][j][0], scale * sums[i][j][1]};
        *reinterpret_cast<float2*>(to + 8 * TILE) = {scale * sums[i][j][2], scale * sums[i][j][3]};
      }
    }
  }
};

// Rows times columns in float32: each thread computes 8 by 8.
template <class T, bool CHANNELS_LAST, int TILE>
struct FmaProduct {
  static_assert(std::is_same_v<T, float>);
  using S = OperandTile<T, CHANNELS_LAST, TILE>;
  static constexpr int EDGE = TILE / 8, THREADS = EDGE * EDGE, BLOCKS = TILE == 64 ? 6 : 2, STAGES = 2;
  float sums[8][8] = {};
  int row, column;

  __device__ __forceinline__ FmaProduct()
      : row(static_cast<int>(threadIdx.x) / EDGE), column(static_cast<int>(threadIdx.x) % EDGE) {}

  // The i-th of the thread's 8 channels, chosen so that a warp's reads use all banks.
  static __device__ __forceinline__ int channel(int thread, int i) {
    return CHANNELS_LAST ? (i / 4 * EDGE + thread) * 4 + i % 4 : i * EDGE + thread;
  }

  __device__ __forceinline__ void add(const T* rows, const T* columns, bool) {
    if constexpr (CHANNELS_LAST) {
#pragma unroll 4
      for (int k = 0; k < STEP_PIXELS; ++k) {
        float a[8], b[8];
#pragma unroll
        for (int i = 0; i < 8; i += 4) {
          load_float4(a + i, rows + S::at(channel(row, i), k));
          load_float4(b + i, columns + S::at(channel(column, i), k));
        }
#pragma unroll
        for (int i = 0; i < 8; ++i) {
#pragma unroll
          for (int j = 0; j < 8; ++j) sums[i][j] += a[i] * b[j];
        }
      }
    } else {
#pragma unroll 1
      for (int k = 0; k < STEP_PIXELS; k += 4) {
        float a[8][4];
#pragma unroll
        for (int i = 0; i < 8; ++i) load_float4(a[i], rows + S::at(channel(row, i), k));
#pragma unroll
        for (int j = 0; j < 8; ++j) {
          float b[4];
          load_float4(b, columns + S::at(channel(column, j), k));
#pragma unroll
          for (int i = 0; i < 8; ++i) {
#pragma unroll
            for (int e = 0; e < 4; ++e) sums[i][j] += a[i][e] * b[e];
          }
        }
      }
    }
  }

  __device__ __forceinline__ void write(float* tile, float scale) const {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
#pragma unroll
      for (int j = 0; j < 8; ++j) tile[channel(row, i) * TILE + channel(column, j)] = scale * sums[i][j];
    }
  }

 private:
  static __device__ __forceinline__ void load_float4(float* to, const float* from) {
    const float4 v = *reinterpret_cast<const float4*>(from);
    to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
  }
};

template <class T, bool CHANNELS_LAST, int TILE>
using Product = std::conditional_t<std::is_same_v<T, float>, FmaProduct<float, CHANNELS_LAST, TILE>,
                                   TensorCoreProduct<T, CHANNELS_LAST, TILE>>;

template <class T, bool CHANNELS_LAST, int TILE>
constexpr std::int64_t SHARED_BYTES = Product<T, CHANNELS_LAST, TILE>::STAGES * 2 *
                                      OperandTile<T, CHANNELS_LAST, TILE>::SIZE * static_cast<std::int64_t>(sizeof(T));

// Scratch: [sample][part][tile] of TILE x TILE.
template <class T, bool CHANNELS_LAST, int TILE>
__global__
__launch_bounds__(Product<T, CHANNELS_LAST, TILE>::THREADS, Product<T, CHANNELS_LAST, TILE>::BLOCKS) void gram_partials(
    const Gram task, const Tiling tiling, float* partials, bool vectorized) {
  using S = OperandTile<T, CHANNELS_LAST, TILE>;
  constexpr int STAGES = Product<T, CHANNELS_LAST, TILE>::STAGES;
  STYLEKIT_DYNAMIC_SHARED(shared);
  T* const tiles = reinterpret_cast<T*>(shared);  // for each stage: the rows' tile, the columns' tile
  const std::int64_t block = blockIdx.x, tile = block % tiling.tiles, part = block / tiling.tiles % tiling.parts;
  const std::int64_t sample = block / tiling.tiles / tiling.parts;
  std::int64_t tile_row = 0, tile_column = tile;
  while (tile_column > tile_row) tile_column -= ++tile_row;
  const bool diagonal = tile_row == tile_column;
  const std::int64_t begin = part * tiling.pixels_per_part, remaining = task.x.pixels - begin;
  const std::int64_t end = begin + (remaining < tiling.pixels_per_part ? remaining : tiling.pixels_per_part);
  const int steps = static_cast<int>((end - begin + STEP_PIXELS - 1) / STEP_PIXELS);

  const auto read = [&](int step) {
    T* const to = tiles + step % STAGES * (2 * S::SIZE);
    const std::int64_t pixel = begin + step * STEP_PIXELS;
    const auto read_tile = [&](T* where, std::int64_t channel) {
      if (vectorized)
        S::template read<PACK_WIDTH<T>>(where, task.x, sample, channel, pixel, end);
      else
        S::template read<1>(where, task.x, sample, channel, pixel, end);
    };
    read_tile(to, tile_row * TILE);
    if (!diagonal) read_tile(to + S::SIZE, tile_column * TILE);
  };

  Product<T, CHANNELS_LAST, TILE> product;
#pragma unroll
  for (int step = 0; step < STAGES - 1; ++step) {
    if (step < steps) read(step);
    copy_commit();
  }
  for (int step = 0; step < steps; ++step) {
    copy_wait<STAGES - 2>();
    __syncthreads();  // this step's tiles have arrived, and no thread still reads those of the step before
    if (step + STAGES - 1 < steps) read(step + STAGES - 1);
    copy_commit();
    const T* const rows = tiles + step % STAGES * (2 * S::SIZE);
    product.add(rows, diagonal ? rows : rows + S::SIZE, diagonal);
  }
  product.write(partials + block * (TILE * TILE), task.scale);
}

// Adds up the parts and mirrors the result. A block has REDUCE_COLUMNS columns of a row, and SLICES threads per column.
constexpr int REDUCE_COLUMNS = 32, SLICES = 8;

__global__ __launch_bounds__(REDUCE_COLUMNS* SLICES) void gram_reduce(const Gram task, const Tiling tiling,
                                                                      const float* partials) {
  STYLEKIT_SHARED(float, sums, REDUCE_COLUMNS * SLICES);
  const std::int64_t channels = task.x.channels, blocks = (channels + REDUCE_COLUMNS - 1) / REDUCE_COLUMNS;
  const std::int64_t j = blockIdx.x % blocks * REDUCE_COLUMNS + threadIdx.x, i = blockIdx.x / blocks % channels;
  const std::int64_t sample = blockIdx.x / blocks / channels;
  if (blockIdx.x % blocks * REDUCE_COLUMNS > i) return;  // the entire block
  const bool active = j <= i;
  float sum = 0.0f;
  if (active) {
    const std::int64_t edge = tiling.tile, row = i / edge, tile = row * (row + 1) / 2 + j / edge;
    const std::int64_t first = sample * tiling.parts * tiling.tiles + tile;
    const float* const from = partials + (first * edge + i % edge) * edge + j % edge;
#pragma unroll 8
    for (std::int64_t part = threadIdx.y; part < tiling.parts; part += SLICES)
      sum += from[part * tiling.tiles * edge * edge];
  }
  sums[threadIdx.y * REDUCE_COLUMNS + threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || !active) return;
#pragma unroll
  for (int slice = 1; slice < SLICES; ++slice) sum += sums[slice * REDUCE_COLUMNS + threadIdx.x];
  float* const gram = task.gram + sample * channels * channels;
  gram[i * channels + j] = sum;
  gram[j * channels + i] = sum;
}

// Calls body(channels_last, tile) with both as types.
template <class Body>
void dispatch_tiling(const FeatureMaps& x, int tile, const Body& body) {
  const auto with_layout = [&](auto edge) {
    if (x.channels_last)
      body(std::true_type(), edge);
    else
      body(std::false_type(), edge);
  };
  if (tile == 64)
    with_layout(std::integral_constant<int, 64>());
  else
    with_layout(std::integral_constant<int, 128>());
}

}  // namespace

std::size_t scratch(const Gram& task) {
  const Tiling tiling(task.x);
  return static_cast<std::size_t>(task.x.samples * tiling.parts * tiling.tiles * tiling.tile * tiling.tile) *
         sizeof(float);
}

void run(const Gram& task, void* scratch, void* stream) {
  const FeatureMaps& x = task.x;
  const Tiling tiling(x);
  float* const partials = static_cast<float*>(scratch);
  dispatch_dtype(x.dtype, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const bool vectorized = aligned(x.data) && (x.channels_last ? x.channels : x.pixels) % PACK_WIDTH<T> == 0;
    dispatch_tiling(x, tiling.tile, [&](auto layout, auto tile) {
      constexpr bool CHANNELS_LAST = decltype(layout)::value;
      constexpr int TILE = decltype(tile)::value;
      launch(&gram_partials<T, CHANNELS_LAST, TILE>, x.samples * tiling.parts * tiling.tiles,
             Product<T, CHANNELS_LAST, TILE>::THREADS, SHARED_BYTES<T, CHANNELS_LAST, TILE>, stream, task, tiling,
             partials, vectorized);
    });
  });
  launch(&gram_reduce, x.samples * x.channels * ceil_div(x.channels, REDUCE_COLUMNS), dim3(REDUCE_COLUMNS, SLICES), 0,
         stream, task, tiling, partials);
}

}  // namespace stylekit::cuda
