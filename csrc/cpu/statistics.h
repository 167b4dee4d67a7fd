// Coefficients of the elementwise passes, computed from a plane's statistics: the same for every memory layout.
// Only for planes.cpp and columns.cpp: everything is in the instruction set's namespace.
#pragma once

#include <cmath>

#include "vector.h"

namespace stylekit::cpu::STYLEKIT_ISA {
namespace {

// The moments of a set of values: their number, their mean, and the sum of their squared differences from it.
struct Moments {
  double count, mean, m2;

  // Chan et al. 1983: avoids cancellation.
  void merge(const Moments& other) {
    const double delta = other.mean - mean, total = count + other.count;
    mean += delta * other.count / total;
    m2 += other.m2 + delta * delta * count * other.count / total;
    count = total;
  }

  float variance() const { return static_cast<float>(m2 / count); }
};

// y = (x - center) * factor + offset
struct Affine {
  float center, factor, offset;
};

inline void store_statistics(const ChannelStats& task, std::int64_t plane, const Moments& moments) {
  task.mean[plane] = static_cast<float>(moments.mean);
  task.std[plane] = std::sqrt(moments.variance() + task.eps);
}

inline void store_statistics(const Normalize& task, std::int64_t plane, const Moments& moments) {
  task.mean[plane] = static_cast<float>(moments.mean);
  task.rstd[plane] = 1.0f / std::sqrt(moments.variance() + task.eps);
}

// The affine map of the forward, from the statistics that it stored.
template <class Task>
inline Affine forward_affine(const Task& task, std::int64_t plane) {
  const float mean = task.mean[plane], input_weight = 1.0f - task.alpha;
  return {mean, task.alpha * task.modulation.scale_of(plane) * task.rstd[plane] + input_weight,
          task.alpha * task.modulation.shift_of(plane) + input_weight * mean};
}

// The coefficients of grad_x in the backward of the statistics.
inline Affine backward_affine(const ChannelStatsBackward& task, std::int64_t plane) {
  const float weight = 1.0f / static_cast<float>(task.x.pixels);
  return {task.mean[plane], task.grad_std[plane] * weight / task.std[plane], task.grad_mean[plane] * weight};
}

// Sums over a plane, where h is the gradient with respect to the activation's input.
struct GradSums {
  double h, h_centred;  // of h, and of h * (x - mean)
};

// grad_x = h * h_factor + (x - center) * factor + offset
struct GradCoefficients {
  float h_factor;
  Affine affine;
};

// Stores the gradients of scale and shift, and returns the coefficients of grad_x.
inline GradCoefficients finish_backward(const NormalizeBackward& task, std::int64_t plane, const GradSums& sums) {
  const double rstd = task.rstd[plane], count = static_cast<double>(task.x.pixels);
  task.grad_shift[plane] = static_cast<float>(task.alpha * sums.h);
  task.grad_scale[plane] = static_cast<float>(task.alpha * sums.h_centred * rstd);
  const double factor = task.alpha * task.modulation.scale_of(plane) * rstd;
  return {static_cast<float>(factor + 1.0 - task.alpha),
          {task.mean[plane], static_cast<float>(-factor * rstd * rstd * sums.h_centred / count),
           static_cast<float>(-factor * sums.h / count)}};
}

}  // namespace
}  // namespace stylekit::cpu::STYLEKIT_ISA
