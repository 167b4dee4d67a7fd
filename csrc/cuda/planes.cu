// Statistics, normalization, and their gradients. All of it waits for memory, so what counts is how often a tensor
// crosses it:
//
// - A plane that fits into a block's registers and shared memory is read once, and stays there until it is written.
// - Other planes, and all planes of channels-last maps, are read twice: by blocks that sum up a part each, and, those
//   sums combined, by blocks that apply the result. These begin with what was read last, and may still be in the cache.
//
// Parts and the order in which they are combined follow from shapes alone (and from what fits): results repeat exactly.
#include "kernels.h"
#include "planes.h"

namespace stylekit::cuda {
namespace {

// Blocks that hold a plane of one map, or of two (these need more registers to work with): how many threads they have
// at most, and how many packs of each map a thread has in registers. Two such blocks fit on a multiprocessor.
constexpr int THREADS = 512, HELD = 8;
constexpr int THREADS_OF_TWO = 384, HELD_OF_TWO = 4;
constexpr int PART_THREADS = 256;
constexpr std::int64_t COMBINE_THREADS = 128;

// Reads what belongs to some numbers from `first` on, before it works on them.
template <int GROUP, class Inputs, class Index, class Read, class Body>
__device__ __forceinline__ void in_groups(Index first, Index end, Index stride, const Read& read, const Body& body) {
  for (Index begin = first; begin < end; begin += GROUP * stride) {
    Inputs inputs[GROUP];
#pragma unroll
    for (int i = 0; i < GROUP; ++i)
      if (const Index k = begin + i * stride; k < end) read(inputs[i], k);
#pragma unroll
    for (int i = 0; i < GROUP; ++i)
      if (const Index k = begin + i * stride; k < end) body(inputs[i], k);
  }
}

// ---- Planes one after another ----

// One thread's packs of a plane, or of a part of it: numbers first, first + stride, ... below count. The first few are
// in registers, the others in shared memory, where no other thread looks for them.
template <class T, int N, int REGISTERS>
struct Packs {
  Pack<T, N> held[REGISTERS];
  Pack<T, N>* rest;
  int first, stride, count;

  __device__ __forceinline__ Packs(void* shared, int count_)
      : rest(static_cast<Pack<T, N>*>(shared)),
        first(static_cast<int>(threadIdx.x)),
        stride(static_cast<int>(blockDim.x)),
        count(count_) {}

  __device__ __forceinline__ int first_of_rest() const { return first + REGISTERS * stride; }
  __device__ __forceinline__ Pack<T, N>& of_rest(int k) { return rest[k - REGISTERS * stride]; }

  // Packs from number `base` of the tensor on.
  __device__ __forceinline__ void read(const void* data, std::int64_t base) {
    for (int k = first_of_rest(); k < count; k += stride) {
      if constexpr (N > 1)
        copy_async(&of_rest(k), static_cast<const Pack<T, N>*>(data) + (base + k));
      else
        of_rest(k) = load<T, N>(data, base + k);
    }
    copy_commit();
#pragma unroll
    for (int i = 0; i < REGISTERS; ++i)
      if (const int k = first + i * stride; k < count) held[i] = load<T, N>(data, base + k);
  }

  template <class Body>
  __device__ __forceinline__ void each(const Body& body) {
#pragma unroll
    for (int i = 0; i < REGISTERS; ++i)
      if (const int k = first + i * stride; k < count) body(held[i], k);
    for (int k = first_of_rest(); k < count; k += stride) body(of_rest(k), k);
  }

  // Reads something else for a group of packs before it goes through them.
  template <int GROUP, class Read, class Body>
  __device__ __forceinline__ void each_in_groups(const Read& read, const Body& body) {
#pragma unroll
    for (int begin = 0; begin < REGISTERS; begin += GROUP) {
      Pack<T, N> others[GROUP];
#pragma unroll
      for (int i = 0; i < GROUP; ++i)
        if (const int k = first + (begin + i) * stride; k < count) others[i] = read(k);
#pragma unroll
      for (int i = 0; i < GROUP; ++i)
        if (const int k = first + (begin + i) * stride; k < count) body(held[begin + i], others[i], k);
    }
    in_groups<GROUP, Pack<T, N>>(
        first_of_rest(), count, stride, [&](Pack<T, N>& to, int k) { to = read(k); },
        [&](const Pack<T, N>& other, int k) { body(of_rest(k), other, k); });
  }
};

// The same packs of two maps.
template <class T, int N, int REGISTERS, class Body>
__device__ __forceinline__ void each(Packs<T, N, REGISTERS>& a, Packs<T, N, REGISTERS>& b, const Body& body) {
#pragma unroll
  for (int i = 0; i < REGISTERS; ++i)
    if (const int k = a.first + i * a.stride; k < a.count) body(a.held[i], b.held[i], k);
  for (int k = a.first_of_rest(); k < a.count; k += a.stride) body(a.of_rest(k), b.of_rest(k), k);
}

// Of all the packs that a row of threads has: about their mean, so that nothing cancels. The result's mean is relative
// to `origin`. A first mean that is a little off does no harm, as the second pass measures by how much.
template <class T, int N, int REGISTERS>
__device__ __forceinline__ Moments moments(Packs<T, N, REGISTERS>& packs, float origin) {
  STYLEKIT_SHARED(float, partial_sum, 32);
  STYLEKIT_SHARED(float, partial_squares, 64);
  const float count = static_cast<float>(packs.count) * N;
  float sum[1] = {0.0f};
  packs.each([&](const Pack<T, N>& pack, int) {
    float v[N];
    pack.unpack(v);
    float of_pack = v[0];
#pragma unroll
    for (int e = 1; e < N; ++e) of_pack += v[e];
    sum[0] += of_pack;
  });
  row_sum(sum, partial_sum);
  const float center = sum[0] / count;
  float off[2] = {0.0f, 0.0f};
  packs.each([&](const Pack<T, N>& pack, int) {
    float v[N];
    pack.unpack(v);
#pragma unroll
    for (int e = 0; e < N; ++e) {
      const float difference = v[e] - center;
      off[0] += difference;
      off[1] += difference * difference;
    }
  });
  row_sum(off, partial_squares);
  const float correction = off[0] / count;
  return {count, (center - origin) + correction, not_negative(off[1] - off[0] * correction)};
}

__device__ __forceinline__ float variance_of(const Moments& m) { return m.squares / m.count; }

// A row of threads per plane: a warp, or the block. y, rstd and std are written where they are not null.
template <class T, int N>
__global__ __launch_bounds__(THREADS, 2) void normalize_whole(const Normalize task, float* std, int packs) {
  STYLEKIT_DYNAMIC_SHARED(shared);
  const std::int64_t plane = static_cast<std::int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (plane >= task.x.samples * task.x.channels) return;  // with its whole row, and rows are not to meet
  const std::int64_t base = plane * packs;
  Packs<T, N, HELD> x(shared, packs);
  x.read(task.x.data, base);
  copy_wait<0>();
  const Moments m = moments(x, 0.0f);
  const float variance = variance_of(m) + task.eps, rstd = 1.0f / sqrtf(variance);
  if (threadIdx.x == 0) {
    task.mean[plane] = m.mean;
    if (task.rstd) task.rstd[plane] = rstd;
    if (std) std[plane] = sqrtf(variance);
  }
  if (!task.y) return;
  const Line line[1] = {normalizing(task.modulation, task.alpha, m.mean, rstd, plane)};
  const NormalizeMap map{task};
  if (!task.residual) {
    x.each([&](const Pack<T, N>& pack, int k) { map.write(line, pack, pack, base + k); });
    return;
  }
  x.template each_in_groups<2>(
      [&](int k) { return load<T, N>(task.residual, base + k); },
      [&](const Pack<T, N>& pack, const Pack<T, N>& residual, int k) { map.write(line, pack, residual, base + k); });
}

template <class T, int N>
__global__ __launch_bounds__(THREADS_OF_TWO, 2) void normalize_backward_whole(const NormalizeBackward task, int packs) {
  STYLEKIT_DYNAMIC_SHARED(shared);
  STYLEKIT_SHARED(float, partial, 64);
  constexpr int REGISTERS = HELD_OF_TWO;
  const std::int64_t plane = static_cast<std::int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (plane >= task.x.samples * task.x.channels) return;
  const std::int64_t base = plane * packs;
  const int rest = packs - REGISTERS * static_cast<int>(blockDim.x);
  Packs<T, N, REGISTERS> x(shared, packs), h(reinterpret_cast<Pack<T, N>*>(shared) + (rest > 0 ? rest : 0), packs);
  x.read(task.x.data, base);
  h.read(task.grad, base);
  const float mean = task.mean[plane], rstd = task.rstd[plane];
  const Line line[1] = {normalizing(task.modulation, task.alpha, mean, rstd, plane)};
  copy_wait<0>();
  float sums[2] = {0.0f, 0.0f};
  each(x, h, [&](const Pack<T, N>& pack, Pack<T, N>& pack_h, int k) {
    float v[N], g[N];
    pack.unpack(v);
    pack_h.unpack(g);
    Pack<T, N> y;
    if (task.y) y = load<T, N>(task.y, base + k);
    activation_backward(task, line, v, g, y);
    pack_h.pack(g);
#pragma unroll
    for (int e = 0; e < N; ++e) {
      sums[0] += g[e];
      sums[1] += g[e] * (v[e] - mean);
    }
  });
  row_sum(sums, partial);
  sums[1] *= rstd;
  if (threadIdx.x == 0) {
    task.grad_shift[plane] = task.alpha * sums[0];
    task.grad_scale[plane] = task.alpha * sums[1];
  }
  const BackwardCoefficients c(task, line[0], plane, sums[0], sums[1]);
  each(x, h, [&](const Pack<T, N>& pack, const Pack<T, N>& pack_h, int k) {
    float v[N], g[N];
    pack.unpack(v);
    pack_h.unpack(g);
#pragma unroll
    for (int e = 0; e < N; ++e) v[e] = c(g[e], v[e]);
    Pack<T, N> result;
    result.pack(v);
    store<T, N>(task.grad_x, base + k, result);
    if (task.grad_residual) store<T, N>(task.grad_residual, base + k, pack_h);
  });
}

// A part of a plane: this block's, in the order of the grid or against it.
struct Part {
  std::int64_t plane, begin;  // begin: a pack of the plane
  std::int64_t number;
  int count;

  __device__ __forceinline__ Part(std::int64_t block, std::int64_t packs, std::int64_t parts, int per_part)
      : plane(block / parts), begin(block % parts * per_part), number(block % parts) {
    const std::int64_t left = packs - begin;
    count = left < per_part ? static_cast<int>(left) : per_part;
  }
};

// Partial results: [part][plane], first of one kind, then of the other.
template <class T, int N>
__global__ __launch_bounds__(PART_THREADS, 2) void moments_of_parts(const Maps maps, float* partials,
                                                                    std::int64_t parts) {
  const std::int64_t packs = maps.pixels / N, planes = maps.samples * maps.channels;
  const Part part(blockIdx.x, packs, parts, PART_THREADS * HELD);
  Packs<T, N, HELD> x(nullptr, part.count);
  x.read(maps.data, part.plane * packs + part.begin);
  const float origin = widen(static_cast<const T*>(maps.data)[part.plane * maps.pixels]);
  const Moments m = moments(x, origin);
  if (threadIdx.x != 0) return;
  partials[part.number * planes + part.plane] = m.mean;
  partials[(parts + part.number) * planes + part.plane] = m.squares;
}

template <class T, int N>
__global__ __launch_bounds__(PART_THREADS, 2) void sums_of_parts(const NormalizeBackward task, float* partials,
                                                                 std::int64_t parts) {
  STYLEKIT_SHARED(float, partial, 64);
  const std::int64_t packs = task.x.pixels / N, planes = task.x.samples * task.x.channels;
  const Part part(blockIdx.x, packs, parts, PART_THREADS * HELD);
  const std::int64_t plane = part.plane, base = plane * packs + part.begin;
  const float mean = task.mean[plane], rstd = task.rstd[plane];
  const Line line[1] = {normalizing(task.modulation, task.alpha, mean, rstd, plane)};
  float sums[2] = {0.0f, 0.0f};
  in_groups<2, BackwardInputs<T, N>>(
      static_cast<int>(threadIdx.x), part.count, PART_THREADS,
      [&](BackwardInputs<T, N>& to, int k) { to.read(task, base + k); },
      [&](const BackwardInputs<T, N>& inputs, int) {
        float v[N], g[N];
        inputs.x.unpack(v);
        inputs.grad.unpack(g);
        activation_backward(task, line, v, g, inputs.y);
#pragma unroll
        for (int e = 0; e < N; ++e) {
          sums[0] += g[e];
          sums[1] += g[e] * (v[e] - mean);
        }
      });
  row_sum(sums, partial);
  if (threadIdx.x != 0) return;
  partials[part.number * planes + plane] = sums[0];
  partials[(parts + part.number) * planes + plane] = sums[1] * rstd;
}

template <class T, int N, class Map>
__global__ __launch_bounds__(PART_THREADS, 2) void map_parts(const Maps maps, const Map map, std::int64_t parts) {
  const std::int64_t packs = maps.pixels / N, planes = maps.samples * maps.channels;
  const Part part(gridDim.x - 1 - blockIdx.x, packs, parts, PART_THREADS * HELD);
  const std::int64_t base = part.plane * packs + part.begin;
  const typename Map::Coefficients coefficients[1] = {map.coefficients(part.plane, planes)};
  using Inputs = typename Map::template Inputs<T, N>;
  in_groups<Map::AHEAD, Inputs>(
      static_cast<int>(threadIdx.x), part.count, PART_THREADS,
      [&](Inputs& to, int k) { map.read(to, base + k); },
      [&](const Inputs& inputs, int k) { map.write(coefficients, inputs, base + k); });
}

// ---- Channels last: blocks of `lanes` threads across the channels, a pack each, and several pixels at a time ----

struct Columns {
  int lanes, rows;
  std::int64_t packs, tiles;  // of a pixel: packs, and blocks that share them
  std::int64_t parts;         // that a sample's pixels are cut into
  std::int64_t per_part;      // pixels

  Columns(const Maps& x, int pack)
      : lanes(1), packs(x.channels / pack) {
    while (lanes < 32 && lanes < packs) lanes *= 2;
    rows = PART_THREADS / lanes;
    tiles = ceil_div(packs, lanes);
    // Enough blocks to fill a large GPU several times over, but 8 pixels a thread or more, and not so many that float32
    // sums lose digits.
    const std::int64_t wanted = x.samples * tiles * x.pixels / rows / 1024;
    per_part = rows * (wanted < 8 ? 8 : wanted > 128 ? 128 : wanted);
    parts = ceil_div(x.pixels, per_part);
  }

  std::int64_t blocks(const Maps& x) const { return x.samples * tiles * parts; }
  dim3 threads() const { return dim3(static_cast<unsigned>(lanes), static_cast<unsigned>(rows)); }
};

// This thread's place.
struct Column {
  std::int64_t sample, number;  // number: of the part
  std::int64_t pack;            // of the pixel
  std::int64_t begin, end;      // pixels of the part
  bool active;

  __device__ __forceinline__ Column(std::int64_t block, const Maps& maps, const Columns& columns) {
    pack = block % columns.tiles * columns.lanes + threadIdx.x;
    number = block / columns.tiles % columns.parts;
    sample = block / columns.tiles / columns.parts;
    begin = number * columns.per_part;
    end = begin + columns.per_part < maps.pixels ? begin + columns.per_part : maps.pixels;
    active = pack < columns.packs;
  }

  __device__ __forceinline__ std::int64_t at(std::int64_t pixel, const Maps& maps, const Columns& columns) const {
    return (sample * maps.pixels + pixel) * columns.packs + pack;
  }
};

template <class T, int N>
__global__ __launch_bounds__(PART_THREADS, 2) void moments_of_columns(const Maps maps, const Columns columns,
                                                                      float* partials) {
  STYLEKIT_SHARED(float, counts, PART_THREADS);
  STYLEKIT_SHARED(float, means, PART_THREADS* N);
  STYLEKIT_SHARED(float, squares, PART_THREADS* N);
  const Column c(blockIdx.x, maps, columns);
  Moments m[N];
#pragma unroll
  for (int e = 0; e < N; ++e) m[e] = {0.0f, 0.0f, 0.0f};
  const std::int64_t from = c.begin + threadIdx.y;
  if (c.active && from < c.end) {
    // Each thread measures from its own first value: as that is among its values, what cancels is no more than their
    // number makes up for.
    float origin[N], first[N], sum[N], sum_squares[N], count = 0.0f;
    load<T, N>(maps.data, c.at(0, maps, columns)).unpack(origin);
    load<T, N>(maps.data, c.at(from, maps, columns)).unpack(first);
#pragma unroll
    for (int e = 0; e < N; ++e) sum[e] = sum_squares[e] = 0.0f;
#pragma unroll 4
    for (std::int64_t p = from; p < c.end; p += columns.rows) {
      float v[N];
      load<T, N>(maps.data, c.at(p, maps, columns)).unpack(v);
      count += 1.0f;
#pragma unroll
      for (int e = 0; e < N; ++e) {
        const float difference = v[e] - first[e];
        sum[e] += difference;
        sum_squares[e] += difference * difference;
      }
    }
#pragma unroll
    for (int e = 0; e < N; ++e) {
      const float mean = sum[e] / count;
      m[e] = {count, (first[e] - origin[e]) + mean, not_negative(sum_squares[e] - sum[e] * mean)};
    }
  }
  const int thread = static_cast<int>(threadIdx.y) * columns.lanes + static_cast<int>(threadIdx.x);
  for (int half = columns.rows / 2; half > 0; half /= 2) {
    const int row = static_cast<int>(threadIdx.y);
    if (row >= half && row < 2 * half) {
      counts[thread] = m[0].count;
#pragma unroll
      for (int e = 0; e < N; ++e) means[e * PART_THREADS + thread] = m[e].mean;
#pragma unroll
      for (int e = 0; e < N; ++e) squares[e * PART_THREADS + thread] = m[e].squares;
    }
    __syncthreads();
    if (row < half) {
      const int other = thread + half * columns.lanes;
#pragma unroll
      for (int e = 0; e < N; ++e)
        m[e] = merge(m[e], {counts[other], means[e * PART_THREADS + other], squares[e * PART_THREADS + other]});
    }
  }
  if (threadIdx.y != 0 || !c.active) return;
  const std::int64_t planes = maps.samples * maps.channels, plane = c.sample * maps.channels + c.pack * N;
#pragma unroll
  for (int e = 0; e < N; ++e) {
    partials[c.number * planes + plane + e] = m[e].mean;
    partials[(columns.parts + c.number) * planes + plane + e] = m[e].squares;
  }
}

template <class T, int N>
__global__ __launch_bounds__(PART_THREADS, 2) void sums_of_columns(const NormalizeBackward task,
                                                                   const Columns columns, float* partials) {
  STYLEKIT_SHARED(float, partial, PART_THREADS * 2 * N);
  const Column c(blockIdx.x, task.x, columns);
  const std::int64_t planes = task.x.samples * task.x.channels, plane = c.sample * task.x.channels + c.pack * N;
  float sums[2 * N];  // of h, then of h * xhat
#pragma unroll
  for (int e = 0; e < 2 * N; ++e) sums[e] = 0.0f;
  if (c.active) {
    Line lines[N];
#pragma unroll
    for (int e = 0; e < N; ++e)
      lines[e] = normalizing(task.modulation, task.alpha, task.mean[plane + e], task.rstd[plane + e], plane + e);
    in_groups<2, BackwardInputs<T, N>>(
        c.begin + threadIdx.y, c.end, static_cast<std::int64_t>(columns.rows),
        [&](BackwardInputs<T, N>& to, std::int64_t p) { to.read(task, c.at(p, task.x, columns)); },
        [&](const BackwardInputs<T, N>& inputs, std::int64_t) {
          float v[N], g[N];
          inputs.x.unpack(v);
          inputs.grad.unpack(g);
          activation_backward(task, lines, v, g, inputs.y);
#pragma unroll
          for (int e = 0; e < N; ++e) {
            sums[e] += g[e];
            sums[N + e] += g[e] * (v[e] - lines[e].center);
          }
        });
#pragma unroll
    for (int e = 0; e < N; ++e) sums[N + e] *= task.rstd[plane + e];
  }
  const int thread = static_cast<int>(threadIdx.y) * columns.lanes + static_cast<int>(threadIdx.x);
  for (int half = columns.rows / 2; half > 0; half /= 2) {
    const int row = static_cast<int>(threadIdx.y);
    if (row >= half && row < 2 * half) {
#pragma unroll
      for (int e = 0; e < 2 * N; ++e) partial[e * PART_THREADS + thread] = sums[e];
    }
    __syncthreads();
    if (row < half) {
#pragma unroll
      for (int e = 0; e < 2 * N; ++e) sums[e] += partial[e * PART_THREADS + thread + half * columns.lanes];
    }
  }
  if (threadIdx.y != 0 || !c.active) return;
#pragma unroll
  for (int e = 0; e < N; ++e) {
    partials[c.number * planes + plane + e] = sums[e];
    partials[(columns.parts + c.number) * planes + plane + e] = sums[N + e];
  }
}

template <class T, int N, class Map>
__global__ __launch_bounds__(PART_THREADS, 2) void map_columns(const Maps maps, const Columns columns, const Map map) {
  const Column c(gridDim.x - 1 - blockIdx.x, maps, columns);
  if (!c.active) return;
  const std::int64_t planes = maps.samples * maps.channels, plane = c.sample * maps.channels + c.pack * N;
  // Not an array's initialization in a loop: coefficients have no empty state.
  struct Sets {
    typename Map::Coefficients of[N];
  };
  const Sets sets = [&]<int... E>(std::integer_sequence<int, E...>) {
    return Sets{{map.coefficients(plane + E, planes)...}};
  }(std::make_integer_sequence<int, N>());
  using Inputs = typename Map::template Inputs<T, N>;
  in_groups<Map::AHEAD, Inputs>(
      c.begin + threadIdx.y, c.end, static_cast<std::int64_t>(columns.rows),
      [&](Inputs& to, std::int64_t p) { map.read(to, c.at(p, maps, columns)); },
      [&](const Inputs& inputs, std::int64_t p) { map.write(sets.of, inputs, c.at(p, maps, columns)); });
}

// ---- Parts to planes: a warp for each plane ----

// Part i has per_part values, the last one what is left.
__global__ __launch_bounds__(COMBINE_THREADS) void combine_moments(const Maps maps, const float* partials,
                                                                   std::int64_t parts, std::int64_t per_part, float eps,
                                                                   float* mean, float* rstd, float* std) {
  const std::int64_t planes = maps.samples * maps.channels;
  const std::int64_t plane = (static_cast<std::int64_t>(blockIdx.x) * COMBINE_THREADS + threadIdx.x) / 32;
  if (plane >= planes) return;
  Moments m{0.0f, 0.0f, 0.0f};
#pragma unroll 4
  for (std::int64_t i = threadIdx.x % 32; i < parts; i += 32) {
    const std::int64_t left = maps.pixels - i * per_part, count = left < per_part ? left : per_part;
    m = merge(m, {static_cast<float>(count), partials[i * planes + plane], partials[(parts + i) * planes + plane]});
  }
#pragma unroll
  for (int apart = 1; apart < 32; apart *= 2) {
    const Moments other{__shfl_xor_sync(0xffffffffu, m.count, apart), __shfl_xor_sync(0xffffffffu, m.mean, apart),
                        __shfl_xor_sync(0xffffffffu, m.squares, apart)};
    m = threadIdx.x & apart ? merge(other, m) : merge(m, other);
  }
  if (threadIdx.x % 32 != 0) return;
  float origin = 0.0f;
  const std::int64_t at =
      maps.channels_last ? plane / maps.channels * maps.pixels * maps.channels + plane % maps.channels
                         : plane * maps.pixels;
  if (maps.dtype == DType::float32) origin = static_cast<const float*>(maps.data)[at];
  if (maps.dtype == DType::bfloat16) origin = widen(static_cast<const bfloat16*>(maps.data)[at]);
  if (maps.dtype == DType::float16) origin = widen(static_cast<const float16*>(maps.data)[at]);
  const float variance = m.squares / static_cast<float>(maps.pixels) + eps;
  mean[plane] = origin + m.mean;
  if (rstd) rstd[plane] = 1.0f / sqrtf(variance);
  if (std) std[plane] = sqrtf(variance);
}

__global__ __launch_bounds__(COMBINE_THREADS) void combine_sums(const NormalizeBackward task, const float* partials,
                                                                std::int64_t parts, float* sums) {
  const std::int64_t planes = task.x.samples * task.x.channels;
  const std::int64_t plane = (static_cast<std::int64_t>(blockIdx.x) * COMBINE_THREADS + threadIdx.x) / 32;
  if (plane >= planes) return;
  float h = 0.0f, hx = 0.0f;
#pragma unroll 4
  for (std::int64_t i = threadIdx.x % 32; i < parts; i += 32) {
    h += partials[i * planes + plane];
    hx += partials[(parts + i) * planes + plane];
  }
  h = warp_sum(h);
  hx = warp_sum(hx);
  if (threadIdx.x % 32 != 0) return;
  sums[plane] = h;
  sums[planes + plane] = hx;
  task.grad_shift[plane] = task.alpha * h;
  task.grad_scale[plane] = task.alpha * hx;
}

// ---- The host's side ----

// How a task's planes are shared among threads and blocks.
struct Plan {
  bool full;   // packs of 16 bytes, else of one element
  bool whole;  // each plane by one row of threads
  dim3 threads;
  std::int64_t blocks, packs, shared_bytes;  // of the whole planes
  std::int64_t parts, per_part;              // else; per_part in pixels

  // copies: of a plane that a block holds.
  Plan(const Maps& x, bool all_aligned, int copies) {
    const std::int64_t bytes = x.dtype == DType::float32 ? 4 : 2, planes = x.planes();
    full = all_aligned && (x.channels_last ? x.channels : x.pixels) % (16 / bytes) == 0;
    const int pack = full ? static_cast<int>(16 / bytes) : 1, held = copies == 1 ? HELD : HELD_OF_TWO;
    whole = false;
    blocks = packs = shared_bytes = 0;
    if (x.channels_last) {
      const Columns columns(x, pack);
      parts = columns.parts;
      per_part = columns.per_part;
      return;
    }
    packs = x.pixels / pack;
    per_part = static_cast<std::int64_t>(PART_THREADS) * HELD * pack;
    parts = ceil_div(x.pixels, per_part);
    std::int64_t row = ceil_div(ceil_div(packs, held), 32) * 32;
    if (row > (copies == 1 ? THREADS : THREADS_OF_TWO)) row = copies == 1 ? THREADS : THREADS_OF_TWO;
    const std::int64_t rest = packs > row * held ? packs - row * held : 0;
    shared_bytes = rest * copies * pack * bytes;
    // A few large planes would leave most of the GPU idle.
    whole = shared_bytes <= shared_limit() && (planes >= 32 || rest == 0);
    const unsigned rows = row == 32 ? 8 : 1;
    threads = dim3(static_cast<unsigned>(row), rows);
    blocks = ceil_div(planes, rows);
  }

  std::int64_t partials(const Maps& x) const { return whole ? 0 : 2 * parts * x.planes(); }
};

Plan plan(const Normalize& task) {
  return {task.x, aligned(task.x.data) && aligned(task.y) && aligned(task.residual), 1};
}

Plan plan(const ChannelStatsBackward& task) { return {task.x, aligned(task.x.data) && aligned(task.grad_x), 1}; }

Plan plan(const NormalizeBackward& task) {
  return {task.x,
          aligned(task.x.data) && aligned(task.grad) && aligned(task.y) && aligned(task.grad_x) &&
              aligned(task.grad_residual),
          2};
}

// Calls body(null pointer of the element type, pack size as a type).
template <class Body>
void with_packs(const Maps& x, bool full, const Body& body) {
  with_type(x.dtype, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    if (full)
      body(type, std::integral_constant<int, FULL<T>>());
    else
      body(type, std::integral_constant<int, 1>());
  });
}

template <class Map>
void apply(const Maps& x, const Plan& plan, const Map& map, void* stream) {
  with_packs(x, plan.full, [&](auto* type, auto pack) {
    using T = std::remove_pointer_t<decltype(type)>;
    constexpr int N = decltype(pack)::value;
    if (x.channels_last) {
      const Columns columns(x, N);
      launch(&map_columns<T, N, Map>, columns.blocks(x), columns.threads(), 0, stream, x, columns, map);
    } else {
      launch(&map_parts<T, N, Map>, x.planes() * plan.parts, PART_THREADS, 0, stream, x, map, plan.parts);
    }
  });
}

std::int64_t combine_blocks(const Maps& x) { return ceil_div(x.planes() * 32, COMBINE_THREADS); }

// Statistics, and y where it is not null.
void normalize(const Normalize& task, float* std, float* partials, void* stream) {
  const Maps& x = task.x;
  const Plan plan = cuda::plan(task);
  with_packs(x, plan.full, [&](auto* type, auto pack) {
    using T = std::remove_pointer_t<decltype(type)>;
    constexpr int N = decltype(pack)::value;
    if (plan.whole) {
      launch(&normalize_whole<T, N>, plan.blocks, plan.threads, plan.shared_bytes, stream, task, std,
             static_cast<int>(plan.packs));
    } else if (x.channels_last) {
      const Columns columns(x, N);
      launch(&moments_of_columns<T, N>, columns.blocks(x), columns.threads(), 0, stream, x, columns, partials);
    } else {
      launch(&moments_of_parts<T, N>, x.planes() * plan.parts, PART_THREADS, 0, stream, x, partials, plan.parts);
    }
  });
  if (plan.whole) return;
  launch(&combine_moments, combine_blocks(x), COMBINE_THREADS, 0, stream, x, partials, plan.parts, plan.per_part,
         task.eps, task.mean, task.rstd, std);
  if (task.y) apply(x, plan, NormalizeMap{task}, stream);
}

// As a normalization that nobody wants the result of.
Normalize only_stats(const ChannelStats& task) {
  return {task.x, {nullptr, nullptr, 1}, nullptr, task.eps, 1.0f, 1.0f, nullptr, task.mean, nullptr};
}

std::size_t floats(std::int64_t count) { return static_cast<std::size_t>(count) * sizeof(float); }

}  // namespace

std::size_t scratch(const Normalize& task) { return floats(plan(task).partials(task.x)); }

std::size_t scratch(const ChannelStats& task) { return scratch(only_stats(task)); }

std::size_t scratch(const ChannelStatsBackward&) { return 0; }

std::size_t scratch(const NormalizeBackward& task) {
  const Plan plan = cuda::plan(task);
  return floats(plan.whole ? 0 : plan.partials(task.x) + 2 * task.x.planes());
}

void run(const ChannelStats& task, void* scratch, void* stream) {
  normalize(only_stats(task), task.std, static_cast<float*>(scratch), stream);
}

void run(const Normalize& task, void* scratch, void* stream) {
  normalize(task, nullptr, static_cast<float*>(scratch), stream);
}

void run(const ChannelStatsBackward& task, void*, void* stream) {
  apply(task.x, plan(task), StatsBackwardMap{task}, stream);
}

void run(const NormalizeBackward& task, void* scratch, void* stream) {
  const Maps& x = task.x;
  const Plan plan = cuda::plan(task);
  float* const partials = static_cast<float*>(scratch);
  with_packs(x, plan.full, [&](auto* type, auto pack) {
    using T = std::remove_pointer_t<decltype(type)>;
    constexpr int N = decltype(pack)::value;
    if (plan.whole) {
      launch(&normalize_backward_whole<T, N>, plan.blocks, plan.threads, plan.shared_bytes, stream, task,
             static_cast<int>(plan.packs));
    } else if (x.channels_last) {
      const Columns columns(x, N);
      launch(&sums_of_columns<T, N>, columns.blocks(x), columns.threads(), 0, stream, task, columns, partials);
    } else {
      launch(&sums_of_parts<T, N>, x.planes() * plan.parts, PART_THREADS, 0, stream, task, partials, plan.parts);
    }
  });
  if (plan.whole) return;
  float* const sums = partials + plan.partials(x);
  launch(&combine_sums, combine_blocks(x), COMBINE_THREADS, 0, stream, task, partials, plan.parts, sums);
  apply(x, plan, NormalizeBackwardMap{task, sums}, stream);
}

}  // namespace stylekit::cuda
