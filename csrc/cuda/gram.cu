// Gram matrices. Tiles on and below the diagonal are computed, each from a part of the pixels by one block, so that few
// channels with many pixels fill a GPU too; then the parts are added up in order and mirrored.
//
// bfloat16 and float16 go through tensor cores, which multiply exactly and add in float32. float32 does not, as TF32
// would drop 13 of its bits unasked.
#include "kernels.h"
#include "device.h"

namespace stylekit::cuda {
namespace {

constexpr int STEP = 32;      // pixels at a time
constexpr int SHORTEST = 512; // pixels of a part, at least: a part costs a tile of scratch
constexpr int LONGEST = 8192; // and at most: tensor cores round sums down

// How the products are shared among blocks.
struct Tiling {
  int tile;  // channels: rows and columns of a tile
  std::int64_t tiles, parts, per_part;

  explicit Tiling(const Maps& x) : tile(x.channels > 64 ? 128 : 64) {
    const std::int64_t side = ceil_div(x.channels, tile);
    tiles = side * (side + 1) / 2;
    // Two to four times the blocks that a large GPU runs at once.
    const std::int64_t wanted = ceil_div(tile == 64 ? 1024 : 264, x.samples * tiles);
    const std::int64_t fewest = ceil_div(x.pixels, LONGEST), most = ceil_div(x.pixels, SHORTEST);
    parts = wanted < fewest ? fewest : wanted > most ? most : wanted;
    per_part = ceil_div(ceil_div(x.pixels, parts), STEP) * STEP;
    parts = ceil_div(x.pixels, per_part);
  }
};

// A strip of TILE channels and STEP pixels in shared memory, laid out as in the maps. The padding puts neighbouring
// rows into different banks.
template <class T, bool LAST, int TILE>
struct Strip {
  static constexpr int ROWS = LAST ? STEP : TILE, COLUMNS = LAST ? TILE : STEP, STRIDE = COLUMNS + FULL<T>;
  static constexpr int SIZE = ROWS * STRIDE;

  // The place of a channel at a pixel.
  static __device__ __forceinline__ int at(int channel, int pixel) {
    return LAST ? pixel * STRIDE + channel : channel * STRIDE + pixel;
  }

  // Begins to copy the strip from a channel and a pixel on; zeros from pixel `end` on, and where there is no channel.
  template <int WIDTH>
  static __device__ __forceinline__ void read(T* to, const Maps& x, std::int64_t sample, std::int64_t channel,
                                              std::int64_t pixel, std::int64_t end) {
    const T* const from = static_cast<const T*>(x.data) + sample * x.channels * x.pixels;
    constexpr int PACKS = COLUMNS / WIDTH;
#pragma unroll 1  // registers are for the products
    for (int i = static_cast<int>(threadIdx.x); i < ROWS * PACKS; i += static_cast<int>(blockDim.x)) {
      const int row = i / PACKS, column = i % PACKS * WIDTH;
      const std::int64_t c = channel + (LAST ? column : row), p = pixel + (LAST ? row : column);
      const bool wanted = c < x.channels && p < end;
      const T* const place = wanted ? from + (LAST ? p * x.channels + c : c * x.pixels + p) : from;
      if constexpr (WIDTH > 1)
        copy_async(to + row * STRIDE + column, place, wanted);
      else
        to[row * STRIDE + column] = wanted ? *place : T{};
    }
  }
};

// Rows times columns on tensor cores: each warp has TILE / 2 rows and 32 columns.
template <class T, bool LAST, int TILE>
struct TensorCores {
  using S = Strip<T, LAST, TILE>;
  static constexpr int THREADS = 2 * TILE, BLOCKS = 2, STAGES = 3, HIGH = TILE / 32, WIDE = 4;
  float sums[HIGH][WIDE][4] = {};
  int row, column, lane;

  __device__ __forceinline__ TensorCores() {
    const int warp = static_cast<int>(threadIdx.x) / 32;
    row = warp % 2 * (TILE / 2);
    column = warp / 2 * 32;
    lane = static_cast<int>(threadIdx.x) % 32;
  }

  __device__ __forceinline__ void add(const T* rows, const T* columns, bool diagonal) {
    if (diagonal && column >= row + TILE / 2) return;  // nothing of this is below the diagonal
    const int low = lane % 8, middle = lane / 8 % 2 * 8, high = lane / 16 * 8;
#pragma unroll
    for (int k = 0; k < STEP; k += 16) {
      std::uint32_t a[HIGH][4], b[WIDE / 2][4];
#pragma unroll
      for (int i = 0; i < HIGH; ++i) {
        const int channel = row + i * 16;
        load_matrices<LAST>(a[i], rows + (LAST ? S::at(channel + middle, k + low + high)
                                               : S::at(channel + low + middle, k + high)));
      }
#pragma unroll
      for (int j = 0; j < WIDE / 2; ++j) {
        const int channel = column + j * 16;
        load_matrices<LAST>(b[j], columns + (LAST ? S::at(channel + high, k + low + middle)
                                                  : S::at(channel + low + high, k + middle)));
      }
#pragma unroll
      for (int i = 0; i < HIGH; ++i) {
#pragma unroll
        for (int j = 0; j < WIDE; ++j)
          multiply_add<T>(sums[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
      }
    }
  }

  __device__ __forceinline__ void write(float* tile, float scale) const {
#pragma unroll
    for (int i = 0; i < HIGH; ++i) {
#pragma unroll
      for (int j = 0; j < WIDE; ++j) {
        float* const to = tile + (row + i * 16 + lane / 4) * TILE + column + j * 8 + lane % 4 * 2;
        *reinterpret_cast<float2*>(to) = {scale * sums[i][j][0], scale * sums[i][j][1]};
        *reinterpret_cast<float2*>(to + 8 * TILE) = {scale * sums[i][j][2], scale * sums[i][j][3]};
      }
    }
  }
};

// Rows times columns of float32: each thread has 8 of either.
template <class T, bool LAST, int TILE>
struct Multipliers {
  static_assert(std::is_same_v<T, float>);
  using S = Strip<T, LAST, TILE>;
  static constexpr int SIDE = TILE / 8, THREADS = SIDE * SIDE, BLOCKS = TILE == 64 ? 6 : 2, STAGES = 2;
  float sums[8][8] = {};
  int row, column;

  __device__ __forceinline__ Multipliers()
      : row(static_cast<int>(threadIdx.x) / SIDE), column(static_cast<int>(threadIdx.x) % SIDE) {}

  // Channel number i of the 8, such that a warp's reads meet all banks.
  static __device__ __forceinline__ int channel(int thread, int i) {
    return LAST ? (i / 4 * SIDE + thread) * 4 + i % 4 : i * SIDE + thread;
  }

  __device__ __forceinline__ void add(const T* rows, const T* columns, bool) {
    if constexpr (LAST) {
#pragma unroll 4
      for (int k = 0; k < STEP; ++k) {
        float a[8], b[8];
#pragma unroll
        for (int i = 0; i < 8; i += 4) {
          four(a + i, rows + S::at(channel(row, i), k));
          four(b + i, columns + S::at(channel(column, i), k));
        }
#pragma unroll
        for (int i = 0; i < 8; ++i) {
#pragma unroll
          for (int j = 0; j < 8; ++j) sums[i][j] += a[i] * b[j];
        }
      }
    } else {
#pragma unroll 1
      for (int k = 0; k < STEP; k += 4) {
        float a[8][4];
#pragma unroll
        for (int i = 0; i < 8; ++i) four(a[i], rows + S::at(channel(row, i), k));
#pragma unroll
        for (int j = 0; j < 8; ++j) {
          float b[4];
          four(b, columns + S::at(channel(column, j), k));
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
  static __device__ __forceinline__ void four(float* to, const float* from) {
    const float4 v = *reinterpret_cast<const float4*>(from);
    to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
  }
};

template <class T, bool LAST, int TILE>
using Product =
    std::conditional_t<std::is_same_v<T, float>, Multipliers<float, LAST, TILE>, TensorCores<T, LAST, TILE>>;

template <class T, bool LAST, int TILE>
constexpr std::int64_t SHARED_BYTES =
    Product<T, LAST, TILE>::STAGES * 2 * Strip<T, LAST, TILE>::SIZE * static_cast<std::int64_t>(sizeof(T));

// Scratch: [sample][part][tile] of TILE x TILE.
template <class T, bool LAST, int TILE>
__global__ __launch_bounds__(Product<T, LAST, TILE>::THREADS, Product<T, LAST, TILE>::BLOCKS) void gram_of_parts(
    const Gram task, const Tiling tiling, float* partials, bool full) {
  using S = Strip<T, LAST, TILE>;
  constexpr int STAGES = Product<T, LAST, TILE>::STAGES;
  STYLEKIT_DYNAMIC_SHARED(shared);
  T* const strips = reinterpret_cast<T*>(shared);  // of each stage: of the rows, of the columns
  const std::int64_t block = blockIdx.x, tile = block % tiling.tiles, part = block / tiling.tiles % tiling.parts;
  const std::int64_t sample = block / tiling.tiles / tiling.parts;
  std::int64_t tile_row = 0, tile_column = tile;
  while (tile_column > tile_row) tile_column -= ++tile_row;
  const bool diagonal = tile_row == tile_column;
  const std::int64_t begin = part * tiling.per_part, left = task.x.pixels - begin;
  const std::int64_t end = begin + (left < tiling.per_part ? left : tiling.per_part);
  const int steps = static_cast<int>((end - begin + STEP - 1) / STEP);

  const auto read = [&](int step) {
    T* const to = strips + step % STAGES * (2 * S::SIZE);
    const std::int64_t pixel = begin + step * STEP;
    const auto strip = [&](T* where, std::int64_t channel) {
      if (full)
        S::template read<FULL<T>>(where, task.x, sample, channel, pixel, end);
      else
        S::template read<1>(where, task.x, sample, channel, pixel, end);
    };
    strip(to, tile_row * TILE);
    if (!diagonal) strip(to + S::SIZE, tile_column * TILE);
  };

  Product<T, LAST, TILE> product;
#pragma unroll
  for (int step = 0; step < STAGES - 1; ++step) {
    if (step < steps) read(step);
    copy_commit();
  }
  for (int step = 0; step < steps; ++step) {
    copy_wait<STAGES - 2>();
    __syncthreads();  // this step's strips are there, and nobody reads those of the step before any more
    if (step + STAGES - 1 < steps) read(step + STAGES - 1);
    copy_commit();
    const T* const rows = strips + step % STAGES * (2 * S::SIZE);
    product.add(rows, diagonal ? rows : rows + S::SIZE, diagonal);
  }
  product.write(partials + block * (TILE * TILE), task.scale);
}

constexpr int WIDTH = 32, SLICES = 8;  // of the block that adds up: columns, and threads that share the parts of each

__global__ __launch_bounds__(WIDTH* SLICES) void gram_of_all(const Gram task, const Tiling tiling,
                                                             const float* partials) {
  STYLEKIT_SHARED(float, sums, WIDTH * SLICES);
  const std::int64_t channels = task.x.channels, blocks = (channels + WIDTH - 1) / WIDTH;
  const std::int64_t j = blockIdx.x % blocks * WIDTH + threadIdx.x, i = blockIdx.x / blocks % channels;
  const std::int64_t sample = blockIdx.x / blocks / channels;
  if (blockIdx.x % blocks * WIDTH > i) return;  // all of the block
  const bool active = j <= i;
  float sum = 0.0f;
  if (active) {
    const std::int64_t side = tiling.tile, row = i / side, tile = row * (row + 1) / 2 + j / side;
    const std::int64_t first = sample * tiling.parts * tiling.tiles + tile;
    const float* const from = partials + (first * side + i % side) * side + j % side;
#pragma unroll 8
    for (std::int64_t part = threadIdx.y; part < tiling.parts; part += SLICES)
      sum += from[part * tiling.tiles * side * side];
  }
  sums[threadIdx.y * WIDTH + threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || !active) return;
#pragma unroll
  for (int slice = 1; slice < SLICES; ++slice) sum += sums[slice * WIDTH + threadIdx.x];
  float* const gram = task.gram + sample * channels * channels;
  gram[i * channels + j] = sum;
  gram[j * channels + i] = sum;
}

// Calls body(layout, tile) with the two as types.
template <class Body>
void with_tiling(const Maps& x, int tile, const Body& body) {
  const auto with_layout = [&](auto side) {
    if (x.channels_last)
      body(std::true_type(), side);
    else
      body(std::false_type(), side);
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
  const Maps& x = task.x;
  const Tiling tiling(x);
  float* const partials = static_cast<float*>(scratch);
  with_type(x.dtype, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const bool full = aligned(x.data) && (x.channels_last ? x.channels : x.pixels) % FULL<T> == 0;
    with_tiling(x, tiling.tile, [&](auto layout, auto tile) {
      constexpr bool LAST = decltype(layout)::value;
      constexpr int TILE = decltype(tile)::value;
      launch(&gram_of_parts<T, LAST, TILE>, x.samples * tiling.parts * tiling.tiles, Product<T, LAST, TILE>::THREADS,
             SHARED_BYTES<T, LAST, TILE>, stream, task, tiling, partials, full);
    });
  });
  launch(&gram_of_all, x.samples * x.channels * ceil_div(x.channels, WIDTH), dim3(WIDTH, SLICES), 0, stream, task,
         tiling, partials);
}

}  // namespace stylekit::cuda
