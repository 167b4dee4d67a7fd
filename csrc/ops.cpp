// The operations' schemas, and the conversion of tensors to the kernels' tasks. Gradients, shapes for tracing,
// validation and the reference are in stylekit/ops: what is passed here has four dimensions, is on one device, and has
// one of three types.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "cpu/run.h"

#if defined(STYLEKIT_CUDA) || defined(STYLEKIT_EMULATED)
#include "cuda/run.h"
#endif

#ifdef STYLEKIT_CUDA
#include <torch/csrc/stable/accelerator.h>
// Weak, so that one build also loads into a torch without CUDA, which does not define it.
extern "C" __attribute__((weak)) AOTITorchError aoti_torch_get_current_cuda_stream(int32_t, void**);
#endif

// The tests run the CUDA kernels in an emulator on the CPU, and register them in a separate namespace.
#ifdef STYLEKIT_EMULATED
#define STYLEKIT_NAMESPACE stylekit_emulated
constexpr bool EMULATED = true;
#else
#define STYLEKIT_NAMESPACE stylekit
constexpr bool EMULATED = false;
#endif

namespace {

using torch::headeronly::MemoryFormat;
using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using OptionalTensor = std::optional<Tensor>;

// ---- Tensors to tasks ----

bool is_channels_last(const Tensor& x) {
  if (x.is_contiguous()) return false;
  const int64_t dense[4] = {x.size(1) * x.size(2) * x.size(3), 1, x.size(3) * x.size(1), x.size(1)};
  for (int d = 0; d < 4; ++d)
    if (x.size(d) > 1 && x.stride(d) != dense[d]) return false;
  return true;
}

Tensor ensure_contiguous(const Tensor& x) {
  return x.is_contiguous() || is_channels_last(x) ? x : torch::stable::contiguous(x);
}

// `other` in the memory layout of `x`; copied only if its layout differs.
Tensor with_layout_of(const Tensor& x, const Tensor& other) {
  const bool channels_last = is_channels_last(x);
  if (channels_last ? is_channels_last(other) : other.is_contiguous()) return other;
  return torch::stable::contiguous(other, channels_last ? MemoryFormat::ChannelsLast : MemoryFormat::Contiguous);
}

stylekit::DType dtype_of(const Tensor& x) {
  switch (x.scalar_type()) {
    case ScalarType::Float: return stylekit::DType::float32;
    case ScalarType::BFloat16: return stylekit::DType::bfloat16;
    case ScalarType::Half: return stylekit::DType::float16;
    default: throw std::invalid_argument("stylekit's kernels support only float32, bfloat16 and float16");
  }
}

stylekit::FeatureMaps feature_maps(const Tensor& x) {
  return {x.const_data_ptr(), x.size(0), x.size(1), x.size(2) * x.size(3), is_channels_last(x), dtype_of(x)};
}

// An uninitialised output of x's size. Newly allocated memory costs one page fault per 4 KB, which takes longer than
// writing the 4 KB, so pages of 2 MB are requested on Linux.
Tensor empty_output_like(const Tensor& x) {
  Tensor output = torch::stable::empty_like(x);
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr std::uintptr_t PAGE = std::uintptr_t{1} << 21;
  if (output.is_cpu()) {
    const auto start = reinterpret_cast<std::uintptr_t>(output.mutable_data_ptr());
    const std::uintptr_t end = start + static_cast<std::uintptr_t>(output.numel()) * output.element_size();
    const std::uintptr_t first = (start + PAGE - 1) / PAGE * PAGE, last = end / PAGE * PAGE;
    if (last > first + PAGE) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
  }
#endif
  return output;
}

Tensor empty_per_plane(const Tensor& x) {
  return torch::stable::new_empty(x, {x.size(0), x.size(1)}, ScalarType::Float);
}

Tensor empty_tensor_like(const Tensor& x) { return torch::stable::new_empty(x, {0}); }

const float* floats(const Tensor& x) { return static_cast<const float*>(x.const_data_ptr()); }
float* mutable_floats(const Tensor& x) { return static_cast<float*>(x.mutable_data_ptr()); }

// For statistics and modulations, which the kernels expect as contiguous float32.
Tensor to_contiguous_float(const Tensor& x) {
  const Tensor converted = x.scalar_type() == ScalarType::Float ? x : torch::stable::to(x, ScalarType::Float);
  return torch::stable::contiguous(converted);
}

OptionalTensor to_contiguous_float(const OptionalTensor& x) {
  return x ? OptionalTensor(to_contiguous_float(*x)) : std::nullopt;
}

stylekit::Modulation make_modulation(const OptionalTensor& scale, const OptionalTensor& shift) {
  return {scale ? floats(*scale) : nullptr, shift ? floats(*shift) : nullptr,
          scale ? scale->numel() : shift ? shift->numel() : 1};
}

template <class Task>
void run(const Task& task, const Tensor& x) {
  if (x.numel() == 0) return;
#ifdef STYLEKIT_EMULATED
  const Tensor scratch = torch::stable::new_empty(
      x, {static_cast<int64_t>(stylekit::cuda::scratch(task))}, ScalarType::Byte);
  stylekit::cuda::run(task, scratch.mutable_data_ptr(), nullptr);
#else
#ifdef STYLEKIT_CUDA
  if (x.is_cuda()) {
    const torch::stable::accelerator::DeviceGuard guard(x.get_device_index());
    void* stream = nullptr;
    TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(x.get_device_index(), &stream));
    const Tensor scratch = torch::stable::new_empty(
        x, {static_cast<int64_t>(stylekit::cuda::scratch(task))}, ScalarType::Byte);
    stylekit::cuda::run(task, scratch.mutable_data_ptr(), stream);
    return;
  }
#endif
  stylekit::cpu::run(task);
#endif
}

// ---- Checks that prevent reads past a tensor's end ----

void require(bool matches, const char* name) {
  if (!matches)
    throw std::invalid_argument(std::string("stylekit's kernels: ") + name + " does not match the feature maps");
}

void require_like(const Tensor& x, const Tensor& other, const char* name) {
  require(other.scalar_type() == x.scalar_type() && other.dim() == 4, name);
  for (int d = 0; d < 4; ++d) require(other.size(d) == x.size(d), name);
}

void require_per_plane(const Tensor& x, const Tensor& values, const char* name) {
  require(values.numel() == x.size(0) * x.size(1) && values.scalar_type() == ScalarType::Float, name);
}

void require_modulation(const Tensor& x, const OptionalTensor& scale, const OptionalTensor& shift) {
  for (const OptionalTensor& values : {scale, shift})
    require(!values || values->numel() == x.size(1) || values->numel() == x.size(0) * x.size(1), "scale or shift");
  require(!scale || !shift || scale->numel() == shift->numel(), "scale or shift");
}

// ---- The operations ----

std::tuple<Tensor, Tensor> channel_stats(const Tensor& features, double eps) {
  const Tensor x = ensure_contiguous(features), mean = empty_per_plane(x), std = empty_per_plane(x);
  run(stylekit::ChannelStats{feature_maps(x), static_cast<float>(eps), mutable_floats(mean), mutable_floats(std)}, x);
  return {mean, std};
}

Tensor channel_stats_backward(const Tensor& grad_mean, const Tensor& grad_std, const Tensor& features,
                              const Tensor& mean, const Tensor& std) {
  const Tensor x = ensure_contiguous(features), grad_x = empty_output_like(x);
  const Tensor float_grad_mean = to_contiguous_float(grad_mean), float_grad_std = to_contiguous_float(grad_std);
  for (const Tensor& values : {float_grad_mean, float_grad_std, mean, std})
    require_per_plane(x, values, "a statistic");
  run(stylekit::ChannelStatsBackward{feature_maps(x), floats(float_grad_mean), floats(float_grad_std), floats(mean),
                                     floats(std), grad_x.mutable_data_ptr()},
      x);
  return grad_x;
}

std::tuple<Tensor, Tensor, Tensor> normalize(const Tensor& features, const OptionalTensor& scale,
                                             const OptionalTensor& shift, const OptionalTensor& residual, double eps,
                                             double alpha, double slope) {
  require_modulation(features, scale, shift);
  if (residual) require_like(features, *residual, "residual");
  const Tensor x = ensure_contiguous(features), y = empty_output_like(x);
  const Tensor mean = empty_per_plane(x), rstd = empty_per_plane(x);
  const OptionalTensor float_scale = to_contiguous_float(scale), float_shift = to_contiguous_float(shift);
  const OptionalTensor dense_residual = residual ? OptionalTensor(with_layout_of(x, *residual)) : std::nullopt;
  run(stylekit::Normalize{feature_maps(x), make_modulation(float_scale, float_shift),
                          dense_residual ? dense_residual->const_data_ptr() : nullptr, static_cast<float>(eps),
                          static_cast<float>(alpha), static_cast<float>(slope), y.mutable_data_ptr(),
                          mutable_floats(mean), mutable_floats(rstd)},
      x);
  return {y, mean, rstd};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> adain(const Tensor& content, const Tensor& style, double eps,
                                                         double alpha) {
  require(style.size(1) == content.size(1) && (style.size(0) == 1 || style.size(0) == content.size(0)) &&
              style.scalar_type() == content.scalar_type(),
          "style");
  const Tensor x = ensure_contiguous(content), s = ensure_contiguous(style), y = empty_output_like(x);
  const Tensor mean = empty_per_plane(x), rstd = empty_per_plane(x);
  const Tensor style_mean = empty_per_plane(s), style_std = empty_per_plane(s);
  const auto float_eps = static_cast<float>(eps);
  const stylekit::ChannelStats stats{feature_maps(s), float_eps, mutable_floats(style_mean), mutable_floats(style_std)};
  const stylekit::Normalize normalize{feature_maps(x), make_modulation(style_std, style_mean), nullptr, float_eps,
                                      static_cast<float>(alpha), 1.0f, y.mutable_data_ptr(), mutable_floats(mean),
                                      mutable_floats(rstd)};
  if (x.is_cpu() && !EMULATED && x.numel()) {
    stylekit::cpu::run(stats, normalize);
  } else {
    run(stats, s);
    run(normalize, x);
  }
  return {y, mean, rstd, style_mean, style_std};
}

// `y`: the forward's output if it had both a residual and an activation; otherwise grad_residual is empty.
std::tuple<Tensor, Tensor, Tensor, Tensor> normalize_backward(const Tensor& grad_y, const Tensor& features,
                                                              const OptionalTensor& y, const Tensor& mean,
                                                              const Tensor& rstd, const OptionalTensor& scale,
                                                              const OptionalTensor& shift, double alpha,
                                                              double slope) {
  require_modulation(features, scale, shift);
  require_like(features, grad_y, "grad");
  if (y) require_like(features, *y, "y");
  for (const Tensor& values : {mean, rstd}) require_per_plane(features, values, "a statistic");
  const Tensor x = ensure_contiguous(features), grad = with_layout_of(x, grad_y), grad_x = empty_output_like(x);
  const Tensor grad_residual = y ? empty_output_like(x) : empty_tensor_like(x);
  const Tensor grad_scale = empty_per_plane(x), grad_shift = empty_per_plane(x);
  const OptionalTensor float_scale = to_contiguous_float(scale), float_shift = to_contiguous_float(shift);
  const OptionalTensor dense_y = y ? OptionalTensor(with_layout_of(x, *y)) : std::nullopt;
  run(stylekit::NormalizeBackward{feature_maps(x), grad.const_data_ptr(), dense_y ? dense_y->const_data_ptr() : nullptr,
                                  floats(mean), floats(rstd), make_modulation(float_scale, float_shift),
                                  static_cast<float>(alpha), static_cast<float>(slope), grad_x.mutable_data_ptr(),
                                  y ? grad_residual.mutable_data_ptr() : nullptr, mutable_floats(grad_scale),
                                  mutable_floats(grad_shift)},
      x);
  return {grad_x, grad_residual, grad_scale, grad_shift};
}

Tensor gram(const Tensor& features, bool normalize) {
  const Tensor x = ensure_contiguous(features);
  const double scale = normalize ? 1.0 / static_cast<double>(x.size(1) * x.size(2) * x.size(3)) : 1.0;
  const Tensor products = torch::stable::new_empty(x, {x.size(0), x.size(1), x.size(1)}, ScalarType::Float);
  run(stylekit::Gram{feature_maps(x), static_cast<float>(scale), mutable_floats(products)}, x);
  return products;
}

}  // namespace

#define STYLEKIT_LIBRARY(name, module) STABLE_TORCH_LIBRARY(name, module)
#define STYLEKIT_LIBRARY_IMPL(name, key, module) STABLE_TORCH_LIBRARY_IMPL(name, key, module)

STYLEKIT_LIBRARY(STYLEKIT_NAMESPACE, m) {
  m.def("channel_stats(Tensor x, float eps) -> (Tensor mean, Tensor std)");
  m.def("channel_stats_backward(Tensor grad_mean, Tensor grad_std, Tensor x, Tensor mean, Tensor std) -> Tensor");
  m.def(
      "adain(Tensor content, Tensor style, float eps, float alpha)"
      " -> (Tensor y, Tensor mean, Tensor rstd, Tensor style_mean, Tensor style_std)");
  m.def(
      "normalize(Tensor x, Tensor? scale, Tensor? shift, Tensor? residual, float eps, float alpha, float slope)"
      " -> (Tensor y, Tensor mean, Tensor rstd)");
  m.def(
      "normalize_backward(Tensor grad, Tensor x, Tensor? y, Tensor mean, Tensor rstd, Tensor? scale, Tensor? shift,"
      " float alpha, float slope) -> (Tensor x, Tensor residual, Tensor scale, Tensor shift)");
  m.def("gram(Tensor x, bool normalize) -> Tensor");
}

#define STYLEKIT_KERNELS(m)                                            \
  m.impl("channel_stats", TORCH_BOX(&channel_stats));                   \
  m.impl("channel_stats_backward", TORCH_BOX(&channel_stats_backward)); \
  m.impl("adain", TORCH_BOX(&adain));                                   \
  m.impl("normalize", TORCH_BOX(&normalize));                           \
  m.impl("normalize_backward", TORCH_BOX(&normalize_backward));         \
  m.impl("gram", TORCH_BOX(&gram))

STYLEKIT_LIBRARY_IMPL(STYLEKIT_NAMESPACE, CPU, m) { STYLEKIT_KERNELS(m); }

#ifdef STYLEKIT_CUDA
STYLEKIT_LIBRARY_IMPL(STYLEKIT_NAMESPACE, CUDA, m) { STYLEKIT_KERNELS(m); }
#endif
