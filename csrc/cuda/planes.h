// What the kernels over planes have in common: merging statistics, and the maps that are applied once those are known.
#pragma once

#include "device.h"

namespace stylekit::cuda {

// ---- Statistics of a part of a plane ----

// `mean` is relative to some value near it (the plane's first, mostly), which keeps its last digits; `squares` sums up
// the squared differences from the mean.
struct Moments {
  float count, mean, squares;
};

// Rounding may leave a little less than none. NaN stays NaN.
__device__ __forceinline__ float not_negative(float v) { return v < 0.0f ? 0.0f : v; }

// Chan, Golub and LeVeque, 1979.
__device__ __forceinline__ Moments merge(const Moments& a, const Moments& b) {
  const float count = a.count + b.count;
  if (count == 0.0f) return a;
  const float apart = b.mean - a.mean, share = b.count / count;
  return {count, a.mean + apart * share, a.squares + b.squares + apart * apart * a.count * share};
}

// ---- Modulation ----

__device__ __forceinline__ float scale_of(const Modulation& m, std::int64_t plane) {
  return m.scale ? m.scale[m.count == 1 ? 0 : plane % m.count] : 1.0f;
}

__device__ __forceinline__ float shift_of(const Modulation& m, std::int64_t plane) {
  return m.shift ? m.shift[m.count == 1 ? 0 : plane % m.count] : 0.0f;
}

// ---- Maps: y of x, with some coefficients for each plane. `at` is a pack's number in the whole tensor, and its
// elements belong to one plane (one set of coefficients) or to neighbouring ones (a set each). What a map reads is read
// for AHEAD packs before the first of them is worked on, so that enough is on its way. ----

// (x - center) * factor + offset
struct Line {
  float center, factor, offset;

  __device__ __forceinline__ float operator()(float x) const { return (x - center) * factor + offset; }
};

// What goes through the activation, the residual apart. The backward computes it again and must get the same sign.
__device__ __forceinline__ Line normalizing(const Modulation& m, float alpha, float mean, float rstd,
                                            std::int64_t plane) {
  return {mean, alpha * scale_of(m, plane) * rstd + (1.0f - alpha), alpha * shift_of(m, plane) + (1.0f - alpha) * mean};
}

struct NormalizeMap {
  using Coefficients = Line;
  static constexpr int AHEAD = 4;
  template <class T, int N>
  struct Inputs {
    Pack<T, N> x, residual;
  };
  Normalize task;

  __device__ __forceinline__ Line coefficients(std::int64_t plane, std::int64_t) const {
    return normalizing(task.modulation, task.alpha, task.mean[plane], task.rstd[plane], plane);
  }

  template <class T, int N>
  __device__ __forceinline__ void read(Inputs<T, N>& to, std::int64_t at) const {
    to.x = load<T, N>(task.x.data, at);
    if (task.residual) to.residual = load<T, N>(task.residual, at);
  }

  template <class T, int N, int SETS>
  __device__ __forceinline__ void write(const Line (&lines)[SETS], const Inputs<T, N>& inputs, std::int64_t at) const {
    write(lines, inputs.x, inputs.residual, at);
  }

  template <class T, int N, int SETS>
  __device__ __forceinline__ void write(const Line (&lines)[SETS], const Pack<T, N>& x,
                                        const Pack<T, N>& residual_pack, std::int64_t at) const {
    float v[N];
    x.unpack(v);
#pragma unroll
    for (int e = 0; e < N; ++e) v[e] = lines[SETS == 1 ? 0 : e](v[e]);
    if (task.residual) {
      float residual[N];
      residual_pack.unpack(residual);
#pragma unroll
      for (int e = 0; e < N; ++e) v[e] += residual[e];
    }
#pragma unroll
    for (int e = 0; e < N; ++e) v[e] = let_through(v[e], v[e], task.slope);
    Pack<T, N> y;
    y.pack(v);
    store<T, N>(task.y, at, y);
  }
};

struct StatsBackwardMap {
  using Coefficients = Line;
  static constexpr int AHEAD = 4;
  template <class T, int N>
  using Inputs = Pack<T, N>;
  ChannelStatsBackward task;

  __device__ __forceinline__ Line coefficients(std::int64_t plane, std::int64_t) const {
    const float pixels = static_cast<float>(task.x.pixels);
    return {task.mean[plane], task.grad_std[plane] / (pixels * task.std[plane]), task.grad_mean[plane] / pixels};
  }

  template <class T, int N>
  __device__ __forceinline__ void read(Pack<T, N>& to, std::int64_t at) const {
    to = load<T, N>(task.x.data, at);
  }

  template <class T, int N, int SETS>
  __device__ __forceinline__ void write(const Line (&lines)[SETS], const Pack<T, N>& x, std::int64_t at) const {
    float v[N];
    x.unpack(v);
#pragma unroll
    for (int e = 0; e < N; ++e) v[e] = lines[SETS == 1 ? 0 : e](v[e]);
    Pack<T, N> grad;
    grad.pack(v);
    store<T, N>(task.grad_x, at, grad);
  }
};

// What the backward reads; y where the task has one.
template <class T, int N>
struct BackwardInputs {
  Pack<T, N> x, grad, y;

  __device__ __forceinline__ void read(const NormalizeBackward& task, std::int64_t at) {
    x = load<T, N>(task.x.data, at);
    grad = load<T, N>(task.grad, at);
    if (task.y) y = load<T, N>(task.y, at);
  }
};

// The gradient behind the activation, in place of that before it.
template <class T, int N, int SETS>
__device__ __forceinline__ void activation_backward(const NormalizeBackward& task, const Line (&lines)[SETS],
                                                    const float (&x)[N], float (&grad)[N], const Pack<T, N>& y) {
  if (task.slope == 1.0f) return;
  float v[N];
  if (task.y) {
    y.unpack(v);
  } else {
#pragma unroll
    for (int e = 0; e < N; ++e) v[e] = lines[SETS == 1 ? 0 : e](x[e]);
  }
#pragma unroll
  for (int e = 0; e < N; ++e) grad[e] = let_through(v[e], grad[e], task.slope);
}

struct BackwardCoefficients {
  Line forward;
  float of_h, of_x, offset;

  // From the plane's sums of h and h * xhat.
  __device__ __forceinline__ BackwardCoefficients(const NormalizeBackward& task, const Line& line, std::int64_t plane,
                                                  float sum_h, float sum_hx)
      : forward(line) {
    const float pixels = static_cast<float>(task.x.pixels), rstd = task.rstd[plane];
    const float factor = task.alpha * scale_of(task.modulation, plane) * rstd;
    of_h = factor + (1.0f - task.alpha);
    of_x = -factor * (sum_hx / pixels) * rstd;
    offset = -factor * (sum_h / pixels);
  }

  __device__ __forceinline__ float operator()(float h, float x) const {
    return of_h * h + (of_x * (x - forward.center) + offset);
  }
};

struct NormalizeBackwardMap {
  using Coefficients = BackwardCoefficients;
  static constexpr int AHEAD = 2;
  template <class T, int N>
  using Inputs = BackwardInputs<T, N>;
  NormalizeBackward task;
  const float* sums;  // h of all planes, then h * xhat of all planes

  __device__ __forceinline__ BackwardCoefficients coefficients(std::int64_t plane, std::int64_t planes) const {
    const Line line = normalizing(task.modulation, task.alpha, task.mean[plane], task.rstd[plane], plane);
    return {task, line, plane, sums[plane], sums[planes + plane]};
  }

  template <class T, int N>
  __device__ __forceinline__ void read(BackwardInputs<T, N>& to, std::int64_t at) const {
    to.read(task, at);
  }

  template <class T, int N, int SETS>
  __device__ __forceinline__ void write(const BackwardCoefficients (&c)[SETS], const BackwardInputs<T, N>& inputs,
                                        std::int64_t at) const {
    float x[N], h[N];
    inputs.x.unpack(x);
    inputs.grad.unpack(h);
    Line lines[SETS];
#pragma unroll
    for (int s = 0; s < SETS; ++s) lines[s] = c[s].forward;
    activation_backward(task, lines, x, h, inputs.y);
    Pack<T, N> result;
    if (task.grad_residual) {
      result.pack(h);
      store<T, N>(task.grad_residual, at, result);
    }
#pragma unroll
    for (int e = 0; e < N; ++e) x[e] = c[SETS == 1 ? 0 : e](h[e], x[e]);
    result.pack(x);
    store<T, N>(task.grad_x, at, result);
  }
};

}  // namespace stylekit::cuda
