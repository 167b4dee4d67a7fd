// The kernels' tasks: their arguments as plain pointers and sizes, the same for the CPU and for CUDA.
//
// A plane is one channel of one sample, with `pixels` values. Planes are numbered sample * channels + channel.
// Statistics are float32, one value per plane.
#pragma once

#include <cstdint>

namespace stylekit {

enum class DType : int { float32, bfloat16, float16 };

// Feature maps (N, C, H, W) without gaps: contiguous (plane after plane) or channels-last (pixel after pixel).
struct FeatureMaps {
  const void* data;
  std::int64_t samples, channels, pixels;
  bool channels_last;
  DType dtype;

  [[gnu::always_inline]] std::int64_t planes() const { return samples * channels; }
};

// mean and std = sqrt(variance + eps) of every plane; the variance is the biased one, divided by the number of pixels.
struct ChannelStats {
  FeatureMaps x;
  float eps;
  float* mean;
  float* std;
};

// grad_x = grad_mean / pixels + grad_std * (x - mean) / (pixels * std)
struct ChannelStatsBackward {
  FeatureMaps x;
  const float* grad_mean;
  const float* grad_std;
  const float* mean;
  const float* std;
  void* grad_x;
};

// A scale and a shift in float32, each null (none), one value per channel (count = channels) or one per plane
// (count = planes). Plane p uses element p % count.
struct Modulation {
  const float* scale;
  const float* shift;
  std::int64_t count;

  [[gnu::always_inline]] float scale_of(std::int64_t plane) const { return scale ? scale[plane % count] : 1.0f; }
  [[gnu::always_inline]] float shift_of(std::int64_t plane) const { return shift ? shift[plane % count] : 0.0f; }
};

// y = act(alpha * (scale * (x - mean) * rstd + shift) + (1 - alpha) * x + residual)
// with rstd = 1 / sqrt(variance + eps), and act(v) = slope * v where v <= 0, else v. A slope of 1 means no activation.
// A slope of 0 is ReLU, and maps -infinity to 0 as well.
struct Normalize {
  FeatureMaps x;
  Modulation modulation;
  const void* residual;  // of x's type and layout, or null
  float eps, alpha, slope;
  void* y;
  float* mean;
  float* rstd;
};

// With h = grad where the activation's input was above 0, else slope * grad:
//   grad_shift = alpha * sum(h)              per plane
//   grad_scale = alpha * sum(h * xhat)       per plane, xhat = (x - mean) * rstd
//   grad_x = alpha * scale * rstd * (h - mean(h) - xhat * mean(h * xhat)) + (1 - alpha) * h
//   grad_residual = h
struct NormalizeBackward {
  FeatureMaps x;
  const void* grad;
  const void* y;  // the forward's output if it had a residual and an activation (its sign is the mask), else null
  const float* mean;
  const float* rstd;
  Modulation modulation;
  float alpha, slope;
  void* grad_x;
  void* grad_residual;  // null unless y is given
  float* grad_scale;    // one per plane
  float* grad_shift;    // one per plane
};

// gram[n] = scale * F F^T, with F = x[n] as a matrix of channels x pixels; (samples, channels, channels), float32.
struct Gram {
  FeatureMaps x;
  float scale;
  float* gram;
};

}  // namespace stylekit
