// From a plane's statistics to the numbers that its values are multiplied with: the same for every layout.
// For planes.cpp and columns.cpp only: everything is inside the namespace of the instruction set.
#pragma once

#include <cmath>

#include "vector.h"

namespace stylekit::cpu::STYLEKIT_ISA {
namespace {

// What is known of some values: how many, their mean, and the sum of their squared differences from it.
struct Moments {
  double count, mean, squares;

  // Chan et al. 1983: nothing is subtracted that could cancel.
  void add(const Moments& other) {
    const double difference = other.mean - mean, together = count + other.count;
    mean += difference * other.count / together;
    squares += other.squares + difference * difference * count * other.count / together;
    count = together;
  }

  float variance() const { return static_cast<float>(squares / count); }
};

// y = (x - center) * factor + offset
struct Affine {
  float center, factor, offset;
};

inline void store(const ChannelStats& task, std::int64_t plane, const Moments& moments) {
  task.mean[plane] = static_cast<float>(moments.mean);
  task.std[plane] = std::sqrt(moments.variance() + task.eps);
}

inline void store(const Normalize& task, std::int64_t plane, const Moments& moments) {
  task.mean[plane] = static_cast<float>(moments.mean);
  task.rstd[plane] = 1.0f / std::sqrt(moments.variance() + task.eps);
}

// Of the forward, from what it stored.
template <class Task>
inline Affine forward(const Task& task, std::int64_t plane) {
  const float mean = task.mean[plane], kept = 1.0f - task.alpha;
  return {mean, task.alpha * task.modulation.scale_of(plane) * task.rstd[plane] + kept,
          task.alpha * task.modulation.shift_of(plane) + kept * mean};
}

inline Affine backward(const ChannelStatsBackward& task, std::int64_t plane) {
  const float share = 1.0f / static_cast<float>(task.x.pixels);
  return {task.mean[plane], task.grad_std[plane] * share / task.std[plane], task.grad_mean[plane] * share};
}

// What a plane's gradient adds up to: h is the gradient behind the activation.
struct Sums {
  double h, h_centred;  // of h, and of h * (x - mean)
};

// grad_x = h * by_h + (x - center) * factor + offset
struct Gradient {
  float by_h;
  Affine affine;
};

// Stores the gradients of scale and shift, and tells that of x.
inline Gradient backward(const NormalizeBackward& task, std::int64_t plane, const Sums& sums) {
  const double rstd = task.rstd[plane], count = static_cast<double>(task.x.pixels);
  task.grad_shift[plane] = static_cast<float>(task.alpha * sums.h);
  task.grad_scale[plane] = static_cast<float>(task.alpha * sums.h_centred * rstd);
  const double by = task.alpha * task.modulation.scale_of(plane) * rstd;
  return {static_cast<float>(by + 1.0 - task.alpha),
          {task.mean[plane], static_cast<float>(-by * rstd * rstd * sums.h_centred / count),
           static_cast<float>(-by * sums.h / count)}};
}

}  // namespace
}  // namespace stylekit::cpu::STYLEKIT_ISA
