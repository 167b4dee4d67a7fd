// What the kernels over planes share: merging statistics, and the elementwise functors that are applied afterwards.
#pragma once

#include "device.h"

namespace stylekit::cuda {

// ---- Partial statistics of a plane ----

// `mean` is relative to a value near it (mostly the plane's first), which keeps its last digits. `m2` is the sum of the
// squared differences from the mean.
struct Moments {
  float count, mean, m2;
};

// For a sum of squares, which rounding may make slightly negative. NaN stays NaN.
__device__ __forceinline__ float clamp_at_zero(float v) { return v < 0.0f ? 0.0f : v; }

// Merges two parts: Chan, Golub and LeVeque, 1979.
__device__ __forceinline__ Moments merge(const Moments& a, const Moments& b) {
  const float count = a.count + b.count;
  if (count == 0.0f) return a;
  const float delta = b.mean - a.mean, weight = b.count / count;
  return {count, a.mean + delta * weight, a.m2 + b.m2 + delta * delta * a.count * weight};
}

// ---- Modulation ----

__device__ __forceinline__ float scale_of(const Modulation& m, std::int64_t plane) {
  return m.scale ? m.scale[m.count == 1 ? 0 : plane % m.count] : 1.0f;
}

__device__ __forceinline__ float shift_of(const Modulation& m, std::int64_t plane) {
  return m.shift ? m.shift[m.count == 1 ? 0 : plane % m.count] : 0.0f;
}

// ---- Elementwise functors: y from x, with coefficients for each plane ----
//
// `at` is a pack's number in the whole tensor. The pack's elements belong to one plane (one set of coefficients) or to
// adjacent planes (one set each). A functor's inputs are loaded for PREFETCH packs before the first of them is
// processed, so that enough loads are in flight.

// (x - center) * factor + offset
struct Affine {
  float center, factor, offset;

  __device__ __forceinline__ float operator()(float x) const { return (x - center) * factor + offset; }
};

// The activation's input, without the residual. The backward computes it again, and must get the same sign.
__device__ __forceinline__ Affine forward_affine(const Modulation& m, float alpha, float mean, float rstd,
                                                 std::int64_t plane) {
  return {mean, alpha * scale_of(m, plane) * rstd + (1.0f - alpha), alpha * shift_of(m, plane) + (1.0f - alpha) * mean};
}

struct NormalizeFunctor {
  using Coefficients = Affine;
  static constexpr int PREFETCH = 4;
  template <class T, int N>
  struct Inputs {
    Pack<T, N> x, residual;
  };
  Normalize task;

  __device__ __forceinline__ Affine coefficients(std::int64_t plane, std::int64_t) const {
    return forward_affine(task.modulation, task.alpha, task.mean[plane], task.rstd[plane], plane);
  }

  template <class T, int N>
  __device__ __forceinline__ void read(Inputs<T, N>& to, std::int64_t at) const {
    to.x = load<T, N>(task.x.data, at);
    if (task.residual) to.residual = load<T, N>(task.residual, at);
  }

  template <class T, int N, int SETS>
  __device__ __forceinline__ void write(const Affine (&affine)[SETS], const Inputs<T, N>& inputs,
                                        std::int64_t at) const {
    write(affine, inputs.x, inputs.residual, at);
  }

  template <class T, int N, int SETS>
  __device__ __forceinline__ void write(const Affine (&affine)[SETS], const Pack<T, N>& x,
                                        const Pack<T, N>& residual_pack, std::int64_t at) const {
    float v[N];
    x.unpack(v);
#pragma unroll
    for (int e = 0; e < N; ++e) v[e] = affine[SETS == 1 ? 0 : e](v[e]);
    if (task.residual) {
      float residual[N];
      residual_pack.unpack(residual);
#pragma unroll
      for (int e = 0; e < N; ++e) v[e] += residual[e];
    }
#pragma unroll
    for (int e = 0; e < N; ++e) v[e] = leaky_relu_mask(v[e], v[e], task.slope);
    Pack<T, N> y;
    y.pack(v);
    store<T, N>(task.y, at, y);
  }
};

struct StatsBackwardFunctor {
  using Coefficients = Affine;
  static constexpr int PREFETCH = 4;
  template <class T, int N>
  using Inputs = Pack<T, N>;
  ChannelStatsBackward task;

  __device__ __forceinline__ Affine coefficients(std::int64_t plane, std::int64_t) const {
    const float pixels = static_cast<float>(task.x.pixels);
    return {task.mean[plane], task.grad_std[plane] / (pixels * task.std[plane]), task.grad_mean[plane] / pixels};
  }

  template <class T, int N>
  __device__ __forceinline__ void read(Pack<T, N>& to, std::int64_t at) const {
    to = load<T, N>(task.x.data, at);
  }

  template <class T, int N, int SETS>
  __device__ __forceinline__ void write(const Affine (&affine)[SETS], const Pack<T, N>& x, std::int64_t at) const {
    float v[N];
    x.unpack(v);
#pragma unroll
    for (int e = 0; e < N; ++e) v[e] = affine[SETS == 1 ? 0 : e](v[e]);
    Pack<T, N> grad;
    grad.pack(v);
    store<T, N>(task.grad_x, at, grad);
  }
};

// The inputs of the backward; y only where the task has one.
template <class T, int N>
struct BackwardInputs {
  Pack<T, N> x, grad, y;

  __device__ __forceinline__ void read(const NormalizeBackward& task, std::int64_t at) {
    x = load<T, N>(task.x.data, at);
    grad = load<T, N>(task.grad, at);
    if (task.y) y = load<T, N>(task.y, at);
  }
};

// Replaces the gradient of the activation's output by that of its input.
template <class T, int N, int SETS>
__device__ __forceinline__ void activation_backward(const NormalizeBackward& task, const Affine (&affine)[SETS],
                                                    const float (&x)[N], float (&grad)[N], const Pack<T, N>& y) {
  if (task.slope == 1.0f) return;
  float v[N];
  if (task.y) {
    y.unpack(v);
  } else {
#pragma unroll
    for (int e = 0; e < N; ++e) v[e] = affine[SETS == 1 ? 0 : e](x[e]);
  }
#pragma unroll
  for (int e = 0; e < N; ++e) grad[e] = leaky_relu_mask(v[e], grad[e], task.slope);
}

struct BackwardCoefficients {
  Affine forward;
  float h_factor, x_factor, offset;

  // sum_h and sum_hx: the plane's sums of h and h * xhat.
  __device__ __forceinline__ BackwardCoefficients(const NormalizeBackward& task, const Affine& affine,
                                                  std::int64_t plane, float sum_h, float sum_hx)
      : forward(affine) {
    const float pixels = static_cast<float>(task.x.pixels), rstd = task.rstd[plane];
    const float factor = task.alpha * scale_of(task.modulation, plane) * rstd;
    h_factor = factor + (1.0f - task.alpha);
    x_factor = -factor * (sum_hx / pixels) * rstd;
    offset = -factor * (sum_h / pixels);
  }

  __device__ __forceinline__ float operator()(float h, float x) const {
    return h_factor * h + (x_factor * (x - forward.center) + offset);
  }
};

struct NormalizeBackwardFunctor {
  using Coefficients = BackwardCoefficients;
  static constexpr int PREFETCH = 2;
  template <class T, int N>
  using Inputs = BackwardInputs<T, N>;
  NormalizeBackward task;
  const float* sums;  // of h for all planes, then of h * xhat for all planes

  __device__ __forceinline__ BackwardCoefficients coefficients(std::int64_t plane, std::int64_t planes) const {
    const Affine affine = forward_affine(task.modulation, task.alpha, task.mean[plane], task.rstd[plane], plane);
    return {task, affine, plane, sums[plane], sums[planes + plane]};
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
    Affine affine[SETS];
#pragma unroll
    for (int s = 0; s < SETS; ++s) affine[s] = c[s].forward;
    activation_backward(task, affine, x, h, inputs.y);
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
