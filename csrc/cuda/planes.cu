// Statistics, normalization, and their gradients. All of these are limited by memory bandwidth, so the number of passes
// over a tensor counts:
//
// - Single-pass: a plane that fits into a block's registers and shared memory is read once, and stays there until it is
//   written.
// - Two-pass: other planes, and all planes of channels-last maps, are read twice: by blocks that sum up one part each,
//   and, once these sums are combined, by blocks that apply the result. The latter begin with the parts that were read
//   last, which may still be in the cache.
//
// The parts, and the order in which they are combined, depend only on shapes (and on what fits), so results are exactly
// reproducible.
#include "planes.h"
#include "run.h"

namespace stylekit::cuda {
namespace {

// Blocks that hold a plane of one input, or of two (which need more registers to compute): their maximum number of
// threads, and how many packs of each input a thread holds in registers. Two such blocks fit on a multiprocessor.
constexpr int MAX_THREADS = 512, REGISTER_PACKS = 8;
constexpr int MAX_THREADS_TWO_INPUTS = 384, REGISTER_PACKS_TWO_INPUTS = 4;
constexpr int PART_THREADS = 256;
constexpr std::int64_t COMBINE_THREADS = 128;

// Calls body(inputs, k) for k = first, first + stride, ... below end. read(inputs, k) is called for PREFETCH numbers k
// before the first of them is processed.
template <int PREFETCH, class Inputs, class Index, class Read, class Body>
__device__ __forceinline__ void for_each_prefetched(Index first, Index end, Index stride, const Read& read,
                                                     const Body& body) {
  for (Index begin = first; begin < end; begin += PREFETCH * stride) {
    Inputs inputs[PREFETCH];
#pragma unroll
    for (int i = 0; i < PREFETCH; ++i)
      if (const Index k = begin + i * stride; k < end) read(inputs[i], k);
#pragma unroll
    for (int i = 0; i < PREFETCH; ++i)
      if (const Index k = begin + i * stride; k < end) body(inputs[i], k);
  }
}

// ---- Contiguous maps ----

// One thread's packs of a plane, or of a part of it: numbers first, first + stride, ... below count. The first ones are
// in registers, the others in shared memory, where no other thread accesses them.
template <class T, int N, int REGISTERS>
struct ThreadPacks {
  Pack<T, N> in_registers[REGISTERS];
  Pack<T, N>* in_shared;
  int first, stride, count;

  __device__ __forceinline__ ThreadPacks(void* shared, int count_)
      : in_shared(static_cast<Pack<T, N>*>(shared)),
        first(static_cast<int>(threadIdx.x)),
        stride(static_cast<int>(blockDim.x)),
        count(count_) {}

  __device__ __forceinline__ int first_in_shared() const { return first + REGISTERS * stride; }
  __device__ __forceinline__ Pack<T, N>& shared_pack(int k) { return in_shared[k - REGISTERS * stride]; }

  // Reads the packs from number `base` of the tensor on.
  __device__ __forceinline__ void read(const void* data, std::int64_t base) {
    for (int k = first_in_shared(); k < count; k += stride) {
      if constexpr (N > 1)
        copy_async(&shared_pack(k), static_cast<const Pack<T, N>*>(data) + (base + k));
      else
        shared_pack(k) = load<T, N>(data, base + k);
    }
    copy_commit();
#pragma unroll
    for (int i = 0; i < REGISTERS; ++i)
      if (const int k = first + i * stride; k < count) in_registers[i] = load<T, N>(data, base + k);
  }

  template <class Body>
  __device__ __forceinline__ void for_each(const Body& body) {
#pragma unroll
    for (int i = 0; i < REGISTERS; ++i)
      if (const int k = first + i * stride; k < count) body(in_registers[i], k);
    for (int k = first_in_shared(); k < count; k += stride) body(shared_pack(k), k);
  }

  // Calls body(pack, other, k) with other = read(k), which is called for PREFETCH packs before the first is processed.
  template <int PREFETCH, class Read, class Body>
  __device__ __forceinline__ void for_each_with_input(const Read& read, const Body& body) {
#pragma unroll
    for (int begin = 0; begin < REGISTERS; begin += PREFETCH) {
      Pack<T, N> others[PREFETCH];
#pragma unroll
      for (int i = 0; i < PREFETCH; ++i)
        if (const int k = first + (begin + i) * stride; k < count) others[i] = read(k);
#pragma unroll
      for (int i = 0; i < PREFETCH; ++i)
        if (const int k = first + (begin + i) * stride; k < count) body(in_registers[begin + i], others[i], k);
    }
    for_each_prefetched<PREFETCH, Pack<T, N>>(
        first_in_shared(), count, stride, [&](Pack<T, N>& to, int k) { to = read(k); },
        [&](const Pack<T, N>& other, int k) { body(shared_pack(k), other, k); });
  }
};

// Calls body(pack of a, pack of b, k) for all the packs of two inputs.
template <class T, int N, int REGISTERS, class Body>
__device__ __forceinline__ void for_each(ThreadPacks<T, N, REGISTERS>& a, ThreadPacks<T, N, REGISTERS>& b,
                                         const Body& body) {
#pragma unroll
  for (int i = 0; i < REGISTERS; ++i)
    if (const int k = a.first + i * a.stride; k < a.count) body(a.in_registers[i], b.in_registers[i], k);
  for (int k = a.first_in_shared(); k < a.count; k += a.stride) body(a.shared_pack(k), b.shared_pack(k), k);
}

// The moments of all the packs of a row of threads, computed about their mean to avoid cancellation. The resulting mean
// is relative to `origin`. Rounding of the first mean does no harm, because the second pass corrects for it.
template <class T, int N, int REGISTERS>
__device__ __forceinline__ Moments moments(ThreadPacks<T, N, REGISTERS>& packs, float origin) {
  STYLEKIT_SHARED(float, partial_sum, 32);
  STYLEKIT_SHARED(float, partial_squares, 64);
  const float count = static_cast<float>(packs.count) * N;
  float sum[1] = {0.0f};
  packs.for_each([&](const Pack<T, N>& pack, int) {
    float v[N];
    pack.unpack(v);
    float of_pack = v[0];
#pragma unroll
    for (int e = 1; e < N; ++e) of_pack += v[e];
    sum[0] += of_pack;
  });
  row_sum(sum, partial_sum);
  const float center = sum[0] / count;
  float sums[2] = {0.0f, 0.0f};
  packs.for_each([&](const Pack<T, N>& pack, int) {
    float v[N];
    pack.unpack(v);
#pragma unroll
    for (int e = 0; e < N; ++e) {
      const float difference = v[e] - center;
      sums[0] += difference;
      sums[1] += difference * difference;
    }
  });
  row_sum(sums, partial_squares);
  const float correction = sums[0] / count;
  return {count, (center - origin) + correction, clamp_at_zero(sums[1] - sums[0] * correction)};
}

__device__ __forceinline__ float variance_of(const Moments& m) { return m.m2 / m.count; }

// One row of threads per plane: a warp, or the block. y, rstd and std are written unless they are null.
template <class T, int N>
__global__ __launch_bounds__(MAX_THREADS, 2) void normalize_single_pass(const Normalize task, float* std, int packs) {
  STYLEKIT_DYNAMIC_SHARED(shared);
  const std::int64_t plane = static_cast<std::int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  // The entire row of threads returns, and rows do not synchronise with each other.
  if (plane >= task.x.samples * task.x.channels) return;
  const std::int64_t base = plane * packs;
  ThreadPacks<T, N, REGISTER_PACKS> x(shared, packs);
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
  const Affine affine[1] = {forward_affine(task.modulation, task.alpha, m.mean, rstd, plane)};
  const NormalizeFunctor functor{task};
  if (!task.residual) {
    x.for_each([&](const Pack<T, N>& pack, int k) { functor.write(affine, pack, pack, base + k); });
    return;
  }
  x.template for_each_with_input<2>(
      [&](int k) { return load<T, N>(task.residual, base + k); },
      [&](const Pack<T, N>& pack, const Pack<T, N>& residual, int k) {
        functor.write(affine, pack, residual, base + k);
      });
}

template <class T, int N>
__global__ __launch_bounds__(MAX_THREADS_TWO_INPUTS, 2) void normalize_backward_single_pass(
    const NormalizeBackward task, int packs) {
  STYLEKIT_DYNAMIC_SHARED(shared);
  STYLEKIT_SHARED(float, partial, 64);
  constexpr int REGISTERS = REGISTER_PACKS_TWO_INPUTS;
  const std::int64_t plane = static_cast<std::int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (plane >= task.x.samples * task.x.channels) return;
  const std::int64_t base = plane * packs;
  const int shared_packs = packs - REGISTERS * static_cast<int>(blockDim.x);
  ThreadPacks<T, N, REGISTERS> x(shared, packs);
  ThreadPacks<T, N, REGISTERS> h(reinterpret_cast<Pack<T, N>*>(shared) + (shared_packs > 0 ? shared_packs : 0), packs);
  x.read(task.x.data, base);
  h.read(task.grad, base);
  const float mean = task.mean[plane], rstd = task.rstd[plane];
  const Affine affine[1] = {forward_affine(task.modulation, task.alpha, mean, rstd, plane)};
  copy_wait<0>();
  float sums[2] = {0.0f, 0.0f};
  for_each(x, h, [&](const Pack<T, N>& pack, Pack<T, N>& pack_h, int k) {
    float v[N], g[N];
    pack.unpack(v);
    pack_h.unpack(g);
    Pack<T, N> y;
    if (task.y) y = load<T, N>(task.y, base + k);
    activation_backward(task, affine, v, g, y);
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
  const BackwardCoefficients c(task, affine[0], plane, sums[0], sums[1]);
  for_each(x, h, [&](const Pack<T, N>& pack, const Pack<T, N>& pack_h, int k) {
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

// The part of a plane that block number `block` processes; these numbers count in the grid's order, or against it.
struct Part {
  std::int64_t plane, begin;  // begin: a pack of the plane
  std::int64_t index;
  int count;

  __device__ __forceinline__ Part(std::int64_t block, std::int64_t packs, std::int64_t parts, int per_part)
      : plane(block / parts), begin(block % parts * per_part), index(block % parts) {
    const std::int64_t remaining = packs - begin;
    count = remaining < per_part ? static_cast<int>(remaining) : per_part;
  }
};

// Partial results: [part][plane], first all of one kind, then all of the other.
template <class T, int N>
__global__ __launch_bounds__(PART_THREADS, 2) void moments_of_parts(const FeatureMaps maps, float* partials,
                                                                    std::int64_t parts) {
  const std::int64_t packs = maps.pixels / N, planes = maps.samples * maps.channels;
  const Part part(blockIdx.x, packs, parts, PART_THREADS * REGISTER_PACKS);
  ThreadPacks<T, N, REGISTER_PACKS> x(nullptr, part.count);
  x.read(maps.data, part.plane * packs + part.begin);
  const float origin = widen(static_cast<const T*>(maps.data)[part.plane * maps.pixels]);
  const Moments m = moments(x, origin);
  if (threadIdx.x != 0) return;
  partials[part.index * planes + part.plane] = m.mean;
  partials[(parts + part.index) * planes + part.plane] = m.m2;
}

template <class T, int N>
__global__ __launch_bounds__(PART_THREADS, 2) void sums_of_parts(const NormalizeBackward task, float* partials,
                                                                 std::int64_t parts) {
  STYLEKIT_SHARED(float, partial, 64);
  const std::int64_t packs = task.x.pixels / N, planes = task.x.samples * task.x.channels;
  const Part part(blockIdx.x, packs, parts, PART_THREADS * REGISTER_PACKS);
  const std::int64_t plane = part.plane, base = plane * packs + part.begin;
  const float mean = task.mean[plane], rstd = task.rstd[plane];
  const Affine affine[1] = {forward_affine(task.modulation, task.alpha, mean, rstd, plane)};
  float sums[2] = {0.0f, 0.0f};
  for_each_prefetched<2, BackwardInputs<T, N>>(
      static_cast<int>(threadIdx.x), part.count, PART_THREADS,
      [&](BackwardInputs<T, N>& to, int k) { to.read(task, base + k); },
      [&](const BackwardInputs<T, N>& inputs, int) {
        float v[N], g[N];
        inputs.x.unpack(v);
        inputs.grad.unpack(g);
        activation_backward(task, affine, v, g, inputs.y);
#pragma unroll
        for (int e = 0; e < N; ++e) {
          sums[0] += g[e];
          sums[1] += g[e] * (v[e] - mean);
        }
      });
  row_sum(sums, partial);
  if (threadIdx.x != 0) return;
  partials[part.index * planes + plane] = sums[0];
  partials[(parts + part.index) * planes + plane] = sums[1] * rstd;
}

template <class T, int N, class Functor>
__global__ __launch_bounds__(PART_THREADS, 2) void apply_to_parts(const FeatureMaps maps, const Functor functor,
                                                                  std::int64_t parts) {
  const std::int64_t packs = maps.pixels / N, planes = maps.samples * maps.channels;
  const Part part(gridDim.x - 1 - blockIdx.x, packs, parts, PART_THREADS * REGISTER_PACKS);
  const std::int64_t base = part.plane * packs + part.begin;
  const typename Functor::Coefficients coefficients[1] = {functor.coefficients(part.plane, planes)};
  using Inputs = typename Functor::template Inputs<T, N>;
  for_each_prefetched<Functor::PREFETCH, Inputs>(
      static_cast<int>(threadIdx.x), part.count, PART_THREADS,
      [&](Inputs& to, int k) { functor.read(to, base + k); },
      [&](const Inputs& inputs, int k) { functor.write(coefficients, inputs, base + k); });
}

// ---- Channels-last maps: blocks of `lanes` threads across the channels, one pack each, by `rows` pixels ----

struct ColumnPlan {
  int lanes, rows;
  std::int64_t packs, tiles;     // of a pixel: packs, and blocks that they are divided among
  std::int64_t parts, per_part;  // of a sample: parts, and pixels per part

  ColumnPlan(const FeatureMaps& x, int pack)
      : lanes(1), packs(x.channels / pack) {
    while (lanes < 32 && lanes < packs) lanes *= 2;
    rows = PART_THREADS / lanes;
    tiles = ceil_div(packs, lanes);
    // Enough blocks to fill a large GPU several times over, but at least 8 pixels per thread, and not so many that
    // float32 sums lose digits.
    const std::int64_t target = x.samples * tiles * x.pixels / rows / 1024;
    per_part = rows * (target < 8 ? 8 : target > 128 ? 128 : target);
    parts = ceil_div(x.pixels, per_part);
  }

  std::int64_t blocks(const FeatureMaps& x) const { return x.samples * tiles * parts; }
  dim3 threads() const { return dim3(static_cast<unsigned>(lanes), static_cast<unsigned>(rows)); }
};

// What this thread processes.
struct ColumnPosition {
  std::int64_t sample, index;  // index: of the part
  std::int64_t pack;           // of the pixel
  std::int64_t begin, end;     // pixels of the part
  bool active;

  __device__ __forceinline__ ColumnPosition(std::int64_t block, const FeatureMaps& maps, const ColumnPlan& columns) {
    pack = block % columns.tiles * columns.lanes + threadIdx.x;
    index = block / columns.tiles % columns.parts;
    sample = block / columns.tiles / columns.parts;
    begin = index * columns.per_part;
    end = begin + columns.per_part < maps.pixels ? begin + columns.per_part : maps.pixels;
    active = pack < columns.packs;
  }

  __device__ __forceinline__ std::int64_t at(std::int64_t pixel, const FeatureMaps& maps,
                                             const ColumnPlan& columns) const {
    return (sample * maps.pixels + pixel) * columns.packs + pack;
  }
};

template <class T, int N>
__global__ __launch_bounds__(PART_THREADS, 2) void moments_of_columns(const FeatureMaps maps, const ColumnPlan columns,
                                                                      float* partials) {
  STYLEKIT_SHARED(float, counts, PART_THREADS);
  STYLEKIT_SHARED(float, means, PART_THREADS* N);
  STYLEKIT_SHARED(float, m2, PART_THREADS* N);
  const ColumnPosition c(blockIdx.x, maps, columns);
  Moments m[N];
#pragma unroll
  for (int e = 0; e < N; ++e) m[e] = {0.0f, 0.0f, 0.0f};
  const std::int64_t from = c.begin + threadIdx.y;
  if (c.active && from < c.end) {
    // Each thread takes differences from its own first value. As that is one of the values, their number limits the
    // cancellation.
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
      m[e] = {count, (first[e] - origin[e]) + mean, clamp_at_zero(sum_squares[e] - sum[e] * mean)};
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
      for (int e = 0; e < N; ++e) m2[e * PART_THREADS + thread] = m[e].m2;
    }
    __syncthreads();
    if (row < half) {
      const int other = thread + half * columns.lanes;
#pragma unroll
      for (int e = 0; e < N; ++e)
        m[e] = merge(m[e], {counts[other], means[e * PART_THREADS + other], m2[e * PART_THREADS + other]});
    }
  }
  if (threadIdx.y != 0 || !c.active) return;
  const std::int64_t planes = maps.samples * maps.channels, plane = c.sample * maps.channels + c.pack * N;
#pragma unroll
  for (int e = 0; e < N; ++e) {
    partials[c.index * planes + plane + e] = m[e].mean;
    partials[(columns.parts + c.index) * planes + plane + e] = m[e].m2;
  }
}

template <class T, int N>
__global__ __launch_bounds__(PART_THREADS, 2) void sums_of_columns(const NormalizeBackward task,
                                                                   const ColumnPlan columns, float* partials) {
  STYLEKIT_SHARED(float, partial, PART_THREADS * 2 * N);
  const ColumnPosition c(blockIdx.x, task.x, columns);
  const std::int64_t planes = task.x.samples * task.x.channels, plane = c.sample * task.x.channels + c.pack * N;
  float sums[2 * N];  // of h, then of h * xhat
#pragma unroll
  for (int e = 0; e < 2 * N; ++e) sums[e] = 0.0f;
  if (c.active) {
    Affine affine[N];
#pragma unroll
    for (int e = 0; e < N; ++e)
      affine[e] = forward_affine(task.modulation, task.alpha, task.mean[plane + e], task.rstd[plane + e], plane + e);
    for_each_prefetched<2, BackwardInputs<T, N>>(
        c.begin + threadIdx.y, c.end, static_cast<std::int64_t>(columns.rows),
        [&](BackwardInputs<T, N>& to, std::int64_t p) { to.read(task, c.at(p, task.x, columns)); },
        [&](const BackwardInputs<T, N>& inputs, std::int64_t) {
          float v[N], g[N];
          inputs.x.unpack(v);
          inputs.grad.unpack(g);
          activation_backward(task, affine, v, g, inputs.y);
#pragma unroll
          for (int e = 0; e < N; ++e) {
            sums[e] += g[e];
            sums[N + e] += g[e] * (v[e] - affine[e].center);
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
    partials[c.index * planes + plane + e] = sums[e];
    partials[(columns.parts + c.index) * planes + plane + e] = sums[N + e];
  }
}

template <class T, int N, class Functor>
__global__ __launch_bounds__(PART_THREADS, 2) void apply_to_columns(const FeatureMaps maps, const ColumnPlan columns,
                                                                    const Functor functor) {
  const ColumnPosition c(gridDim.x - 1 - blockIdx.x, maps, columns);
  if (!c.active) return;
  const std::int64_t planes = maps.samples * maps.channels, plane = c.sample * maps.channels + c.pack * N;
  // Initialised by a pack expansion, not in a loop, because coefficients have no default constructor.
  struct CoefficientSets {
    typename Functor::Coefficients values[N];
  };
  const CoefficientSets sets = [&]<int... E>(std::integer_sequence<int, E...>) {
    return CoefficientSets{{functor.coefficients(plane + E, planes)...}};
  }(std::make_integer_sequence<int, N>());
  using Inputs = typename Functor::template Inputs<T, N>;
  for_each_prefetched<Functor::PREFETCH, Inputs>(
      c.begin + threadIdx.y, c.end, static_cast<std::int64_t>(columns.rows),
      [&](Inputs& to, std::int64_t p) { functor.read(to, c.at(p, maps, columns)); },
      [&](const Inputs& inputs, std::int64_t p) { functor.write(sets.values, inputs, c.at(p, maps, columns)); });
}

// ---- Combining the parts: one warp per plane ----

// Each part has per_part values, the last one the remaining values.
__global__ __launch_bounds__(COMBINE_THREADS) void combine_moments(const FeatureMaps maps, const float* partials,
                                                                   std::int64_t parts, std::int64_t per_part, float eps,
                                                                   float* mean, float* rstd, float* std) {
  const std::int64_t planes = maps.samples * maps.channels;
  const std::int64_t plane = (static_cast<std::int64_t>(blockIdx.x) * COMBINE_THREADS + threadIdx.x) / 32;
  if (plane >= planes) return;
  Moments m{0.0f, 0.0f, 0.0f};
#pragma unroll 4
  for (std::int64_t i = threadIdx.x % 32; i < parts; i += 32) {
    const std::int64_t remaining = maps.pixels - i * per_part, count = remaining < per_part ? remaining : per_part;
    m = merge(m, {static_cast<float>(count), partials[i * planes + plane], partials[(parts + i) * planes + plane]});
  }
#pragma unroll
  for (int offset = 1; offset < 32; offset *= 2) {
    const Moments other{__shfl_xor_sync(0xffffffffu, m.count, offset), __shfl_xor_sync(0xffffffffu, m.mean, offset),
                        __shfl_xor_sync(0xffffffffu, m.m2, offset)};
    m = threadIdx.x & offset ? merge(other, m) : merge(m, other);
  }
  if (threadIdx.x % 32 != 0) return;
  float origin = 0.0f;
  const std::int64_t at =
      maps.channels_last ? plane / maps.channels * maps.pixels * maps.channels + plane % maps.channels
                         : plane * maps.pixels;
  if (maps.dtype == DType::float32) origin = static_cast<const float*>(maps.data)[at];
  if (maps.dtype == DType::bfloat16) origin = widen(static_cast<const bfloat16*>(maps.data)[at]);
  if (maps.dtype == DType::float16) origin = widen(static_cast<const float16*>(maps.data)[at]);
  const float variance = m.m2 / static_cast<float>(maps.pixels) + eps;
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

// ---- Host code ----

// How a task's planes are divided among blocks and threads.
struct Plan {
  bool vectorized;   // packs of 16 bytes, otherwise of one element
  bool single_pass;  // each plane by one row of threads, otherwise in two passes
  dim3 threads;
  std::int64_t blocks, packs, shared_bytes;  // of the single pass
  std::int64_t parts, per_part;              // of the two passes; per_part in pixels

  // inputs: how many tensors a block holds a plane of.
  Plan(const FeatureMaps& x, bool all_aligned, int inputs) {
    const std::int64_t bytes = x.dtype == DType::float32 ? 4 : 2, planes = x.planes();
    vectorized = all_aligned && (x.channels_last ? x.channels : x.pixels) % (16 / bytes) == 0;
    const int pack = vectorized ? static_cast<int>(16 / bytes) : 1;
    const int register_packs = inputs == 1 ? REGISTER_PACKS : REGISTER_PACKS_TWO_INPUTS;
    const int max_threads = inputs == 1 ? MAX_THREADS : MAX_THREADS_TWO_INPUTS;
    single_pass = false;
    blocks = packs = shared_bytes = 0;
    if (x.channels_last) {
      const ColumnPlan columns(x, pack);
      parts = columns.parts;
      per_part = columns.per_part;
      return;
    }
    packs = x.pixels / pack;
    per_part = static_cast<std::int64_t>(PART_THREADS) * REGISTER_PACKS * pack;
    parts = ceil_div(x.pixels, per_part);
    std::int64_t row = ceil_div(ceil_div(packs, register_packs), 32) * 32;
    if (row > max_threads) row = max_threads;
    const std::int64_t shared_packs = packs > row * register_packs ? packs - row * register_packs : 0;
    shared_bytes = shared_packs * inputs * pack * bytes;
    // A few large planes, one block each, would leave most of the GPU idle.
    single_pass = shared_bytes <= shared_limit() && (planes >= 32 || shared_packs == 0);
    const unsigned rows = row == 32 ? 8 : 1;
    threads = dim3(static_cast<unsigned>(row), rows);
    blocks = ceil_div(planes, rows);
  }

  std::int64_t partials(const FeatureMaps& x) const { return single_pass ? 0 : 2 * parts * x.planes(); }
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

// Calls body(type, pack) with a null pointer to the type of the elements, and their number in a pack as a type.
template <class Body>
void dispatch_packs(const FeatureMaps& x, bool vectorized, const Body& body) {
  dispatch_dtype(x.dtype, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    if (vectorized)
      body(type, std::integral_constant<int, PACK_WIDTH<T>>());
    else
      body(type, std::integral_constant<int, 1>());
  });
}

template <class Functor>
void apply(const FeatureMaps& x, const Plan& plan, const Functor& functor, void* stream) {
  dispatch_packs(x, plan.vectorized, [&](auto* type, auto pack) {
    using T = std::remove_pointer_t<decltype(type)>;
    constexpr int N = decltype(pack)::value;
    if (x.channels_last) {
      const ColumnPlan columns(x, N);
      launch(&apply_to_columns<T, N, Functor>, columns.blocks(x), columns.threads(), 0, stream, x, columns, functor);
    } else {
      launch(&apply_to_parts<T, N, Functor>, x.planes() * plan.parts, PART_THREADS, 0, stream, x, functor, plan.parts);
    }
  });
}

std::int64_t combine_blocks(const FeatureMaps& x) { return ceil_div(x.planes() * 32, COMBINE_THREADS); }

// Computes the statistics, and y unless it is null.
void normalize(const Normalize& task, float* std, float* partials, void* stream) {
  const FeatureMaps& x = task.x;
  const Plan plan = cuda::plan(task);
  dispatch_packs(x, plan.vectorized, [&](auto* type, auto pack) {
    using T = std::remove_pointer_t<decltype(type)>;
    constexpr int N = decltype(pack)::value;
    if (plan.single_pass) {
      launch(&normalize_single_pass<T, N>, plan.blocks, plan.threads, plan.shared_bytes, stream, task, std,
             static_cast<int>(plan.packs));
    } else if (x.channels_last) {
      const ColumnPlan columns(x, N);
      launch(&moments_of_columns<T, N>, columns.blocks(x), columns.threads(), 0, stream, x, columns, partials);
    } else {
      launch(&moments_of_parts<T, N>, x.planes() * plan.parts, PART_THREADS, 0, stream, x, partials, plan.parts);
    }
  });
  if (plan.single_pass) return;
  launch(&combine_moments, combine_blocks(x), COMBINE_THREADS, 0, stream, x, partials, plan.parts, plan.per_part,
         task.eps, task.mean, task.rstd, std);
  if (task.y) apply(x, plan, NormalizeFunctor{task}, stream);
}

// The statistics as a normalization without an output.
Normalize stats_as_normalize(const ChannelStats& task) {
  return {task.x, {nullptr, nullptr, 1}, nullptr, task.eps, 1.0f, 1.0f, nullptr, task.mean, nullptr};
}

std::size_t float_bytes(std::int64_t count) { return static_cast<std::size_t>(count) * sizeof(float); }

}  // namespace

std::size_t scratch(const Normalize& task) { return float_bytes(plan(task).partials(task.x)); }

std::size_t scratch(const ChannelStats& task) { return scratch(stats_as_normalize(task)); }

std::size_t scratch(const ChannelStatsBackward&) { return 0; }

std::size_t scratch(const NormalizeBackward& task) {
  const Plan plan = cuda::plan(task);
  return float_bytes(plan.single_pass ? 0 : plan.partials(task.x) + 2 * task.x.planes());
}

void run(const ChannelStats& task, void* scratch, void* stream) {
  normalize(stats_as_normalize(task), task.std, static_cast<float*>(scratch), stream);
}

void run(const Normalize& task, void* scratch, void* stream) {
  normalize(task, nullptr, static_cast<float*>(scratch), stream);
}

void run(const ChannelStatsBackward& task, void*, void* stream) {
  apply(task.x, plan(task), StatsBackwardFunctor{task}, stream);
}

void run(const NormalizeBackward& task, void* scratch, void* stream) {
  const FeatureMaps& x = task.x;
  const Plan plan = cuda::plan(task);
  float* const partials = static_cast<float*>(scratch);
  dispatch_packs(x, plan.vectorized, [&](auto* type, auto pack) {
    using T = std::remove_pointer_t<decltype(type)>;
    constexpr int N = decltype(pack)::value;
    if (plan.single_pass) {
      launch(&normalize_backward_single_pass<T, N>, plan.blocks, plan.threads, plan.shared_bytes, stream, task,
             static_cast<int>(plan.packs));
    } else if (x.channels_last) {
      const ColumnPlan columns(x, N);
      launch(&sums_of_columns<T, N>, columns.blocks(x), columns.threads(), 0, stream, task, columns, partials);
    } else {
      launch(&sums_of_parts<T, N>, x.planes() * plan.parts, PART_THREADS, 0, stream, task, partials, plan.parts);
    }
  });
  if (plan.single_pass) return;
  float* const sums = partials + plan.partials(x);
  launch(&combine_sums, combine_blocks(x), COMBINE_THREADS, 0, stream, task, partials, plan.parts, sums);
  apply(x, plan, NormalizeBackwardFunctor{task, sums}, stream);
}

}  // namespace stylekit::cuda
