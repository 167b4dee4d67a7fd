// Film grain. operation.py contains the shapes for tracing, the gradient and the same operation in plain PyTorch.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <cstdint>
#include <stdexcept>
#include <vector>

namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

std::uint32_t mix(std::uint32_t bits) {
  bits = (bits ^ bits >> 15) * 0x58f5f663u;
  bits = (bits ^ bits >> 13) * 0x6bb491abu;
  return bits ^ bits >> 16;
}

// Noise in [-1, 1) for the position of a pixel and a seed.
float noise(std::int64_t row, std::int64_t column, std::int64_t seed) {
  const std::uint32_t bits = static_cast<std::uint32_t>(row) * 0x528e9f05u +
                              static_cast<std::uint32_t>(column) * 0x7c52288du +
                              mix(static_cast<std::uint32_t>(seed));
  return static_cast<float>(mix(bits) >> 8) / 8388608.0f - 1.0f;
}

// image + strength * noise * image * (1 - image), which stays in [0, 1] if the strength of each channel is in [-1, 1].
Tensor grain(const Tensor& image, const Tensor& strength, std::int64_t seed) {
  if (image.dim() != 4 || image.scalar_type() != ScalarType::Float || strength.scalar_type() != ScalarType::Float ||
      strength.numel() != image.size(1))
    throw std::invalid_argument("grain expects float32 images (N, C, H, W) and strengths (C)");
  const Tensor x = torch::stable::contiguous(image), s = torch::stable::contiguous(strength);
  const Tensor y = torch::stable::empty_like(x);
  const std::int64_t channels = x.size(1), height = x.size(2), width = x.size(3), planes = x.size(0) * channels;
  const float *from = static_cast<const float*>(x.const_data_ptr()), *by = static_cast<const float*>(s.const_data_ptr());
  float* to = static_cast<float*>(y.mutable_data_ptr());
  torch::stable::parallel_for(0, height, 16, [&](std::int64_t first, std::int64_t last) {
    std::vector<float> line(static_cast<std::size_t>(width));
    for (std::int64_t row = first; row < last; ++row) {
      for (std::int64_t column = 0; column < width; ++column) line[column] = noise(row, column, seed);
      for (std::int64_t plane = 0; plane < planes; ++plane) {
        const std::int64_t start = (plane * height + row) * width;
        const float amount = by[plane % channels];
        for (std::int64_t column = 0; column < width; ++column) {
          const float value = from[start + column];
          to[start + column] = value + amount * line[column] * value * (1.0f - value);
        }
      }
    }
  });
  return y;
}

}  // namespace

STABLE_TORCH_LIBRARY(stylekit_grain, m) { m.def("grain(Tensor image, Tensor strength, int seed) -> Tensor"); }

STABLE_TORCH_LIBRARY_IMPL(stylekit_grain, CPU, m) { m.impl("grain", TORCH_BOX(&grain)); }
