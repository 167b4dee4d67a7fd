// The operations' schemas, and the way from tensors to kernels. Gradients, shapes for tracing, validation and the
// references are in stylekit/ops: what arrives here is of four dimensions, on one device, of one of three types.
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

#include "cpu/kernels.h"

#if defined(STYLEKIT_CUDA) || defined(STYLEKIT_EMULATED)
#include "cuda/kernels.h"
#endif

#ifdef STYLEKIT_CUDA
#include <torch/csrc/stable/accelerator.h>
// Weak, so that one build loads into a torch without CUDA too, which lacks it.
extern "C" __attribute__((weak)) AOTITorchError aoti_torch_get_current_cuda_stream(int32_t, void**);
#endif

// The tests register the CUDA kernels once more, run by an emulator on the processor, under a name of their own.
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
using Maybe = std::optional<Tensor>;

// ---- Tensors to pointers ----

bool is_channels_last(const Tensor& x) {
  if (x.is_contiguous()) return false;
  const int64_t dense[4] = {x.size(1) * x.size(2) * x.size(3), 1, x.size(3) * x.size(1), x.size(1)};
  for (int d = 0; d < 4; ++d)
    if (x.size(d) > 1 && x.stride(d) != dense[d]) return false;
  return true;
}

Tensor without_gaps(const Tensor& x) {
  return x.is_contiguous() || is_channels_last(x) ? x : torch::stable::contiguous(x);
}

// `other` as it is, or copied to lie in memory as `x` does.
Tensor laid_out_as(const Tensor& x, const Tensor& other) {
  const bool last = is_channels_last(x);
  if (last ? is_channels_last(other) : other.is_contiguous()) return other;
  return torch::stable::contiguous(other, last ? MemoryFormat::ChannelsLast : MemoryFormat::Contiguous);
}

stylekit::DType dtype_of(const Tensor& x) {
  switch (x.scalar_type()) {
    case ScalarType::Float: return stylekit::DType::float32;
    case ScalarType::BFloat16: return stylekit::DType::bfloat16;
    case ScalarType::Half: return stylekit::DType::float16;
    default: throw std::invalid_argument("stylekit's kernels take float32, bfloat16 and float16");
  }
}

stylekit::Maps maps(const Tensor& x) {
  return {x.const_data_ptr(), x.size(0), x.size(1), x.size(2) * x.size(3), is_channels_last(x), dtype_of(x)};
}

// For a result as large as x. A fresh one costs a page fault for every 4 KB, which takes longer than writing them: Linux is
// asked for pages of 2 MB instead.
Tensor result_like(const Tensor& x) {
  Tensor result = torch::stable::empty_like(x);
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr std::uintptr_t PAGE = std::uintptr_t{1} << 21;
  if (result.is_cpu()) {
    const auto start = reinterpret_cast<std::uintptr_t>(result.mutable_data_ptr());
    const std::uintptr_t end = start + static_cast<std::uintptr_t>(result.numel()) * result.element_size();
    const std::uintptr_t first = (start + PAGE - 1) / PAGE * PAGE, last = end / PAGE * PAGE;
    if (last > first + PAGE) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
  }
#endif
  return result;
}

Tensor per_plane(const Tensor& x) {
  return torch::stable::new_empty(x, {x.size(0), x.size(1)}, ScalarType::Float);
}

Tensor nothing_like(const Tensor& x) { return torch::stable::new_empty(x, {0}); }

const float* read(const Tensor& x) { return static_cast<const float*>(x.const_data_ptr()); }
float* write(const Tensor& x) { return static_cast<float*>(x.mutable_data_ptr()); }

// Statistics and modulations: float32 without gaps.
Tensor plain(const Tensor& x) {
  const Tensor wide = x.scalar_type() == ScalarType::Float ? x : torch::stable::to(x, ScalarType::Float);
  return torch::stable::contiguous(wide);
}

Maybe plain(const Maybe& x) { return x ? Maybe(plain(*x)) : std::nullopt; }

stylekit::Modulation modulation(const Maybe& scale, const Maybe& shift) {
  return {scale ? read(*scale) : nullptr, shift ? read(*shift) : nullptr,
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

// ---- What would read beyond a tensor's end ----

void require(bool fits, const char* name) {
  if (!fits) throw std::invalid_argument(std::string("stylekit's kernels: ") + name + " does not fit the maps");
}

void require_like(const Tensor& x, const Tensor& other, const char* name) {
  require(other.scalar_type() == x.scalar_type() && other.dim() == 4, name);
  for (int d = 0; d < 4; ++d) require(other.size(d) == x.size(d), name);
}

void require_per_plane(const Tensor& x, const Tensor& values, const char* name) {
  require(values.numel() == x.size(0) * x.size(1) && values.scalar_type() == ScalarType::Float, name);
}

void require_modulation(const Tensor& x, const Maybe& scale, const Maybe& shift) {
  for (const Maybe& values : {scale, shift})
    require(!values || values->numel() == x.size(1) || values->numel() == x.size(0) * x.size(1), "scale or shift");
  require(!scale || !shift || scale->numel() == shift->numel(), "scale or shift");
}

// ---- The operations ----

std::tuple<Tensor, Tensor> channel_stats(const Tensor& features, double eps) {
  const Tensor x = without_gaps(features), mean = per_plane(x), std = per_plane(x);
  run(stylekit::ChannelStats{maps(x), static_cast<float>(eps), write(mean), write(std)}, x);
  return {mean, std};
}

Tensor channel_stats_backward(const Tensor& grad_mean, const Tensor& grad_std, const Tensor& features,
                              const Tensor& mean, const Tensor& std) {
  const Tensor x = without_gaps(features), grad_x = result_like(x);
  const Tensor to_mean = plain(grad_mean), to_std = plain(grad_std);
  for (const Tensor& values : {to_mean, to_std, mean, std}) require_per_plane(x, values, "a statistic");
  run(stylekit::ChannelStatsBackward{maps(x), read(to_mean), read(to_std), read(mean), read(std),
                                     grad_x.mutable_data_ptr()},
      x);
  return grad_x;
}

std::tuple<Tensor, Tensor, Tensor> normalize(const Tensor& features, const Maybe& scale, const Maybe& shift,
                                             const Maybe& residual, double eps, double alpha, double slope) {
  require_modulation(features, scale, shift);
  if (residual) require_like(features, *residual, "residual");
  const Tensor x = without_gaps(features), y = result_like(x);
  const Tensor mean = per_plane(x), rstd = per_plane(x);
  const Maybe by = plain(scale), to = plain(shift);
  const Maybe added = residual ? Maybe(laid_out_as(x, *residual)) : std::nullopt;
  run(stylekit::Normalize{maps(x), modulation(by, to), added ? added->const_data_ptr() : nullptr,
                          static_cast<float>(eps), static_cast<float>(alpha), static_cast<float>(slope),
                          y.mutable_data_ptr(), write(mean), write(rstd)},
      x);
  return {y, mean, rstd};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> adain(const Tensor& content, const Tensor& style, double eps,
                                                         double alpha) {
  require(style.size(1) == content.size(1) && (style.size(0) == 1 || style.size(0) == content.size(0)) &&
              style.scalar_type() == content.scalar_type(),
          "style");
  const Tensor x = without_gaps(content), by = without_gaps(style), y = result_like(x);
  const Tensor mean = per_plane(x), rstd = per_plane(x), style_mean = per_plane(by), style_std = per_plane(by);
  const auto small = static_cast<float>(eps);
  const stylekit::ChannelStats stats{maps(by), small, write(style_mean), write(style_std)};
  const stylekit::Normalize normalize{maps(x), modulation(style_std, style_mean), nullptr, small,
                                      static_cast<float>(alpha), 1.0f, y.mutable_data_ptr(), write(mean), write(rstd)};
  if (x.is_cpu() && !EMULATED && x.numel()) {
    stylekit::cpu::run(stats, normalize);
  } else {
    run(stats, by);
    run(normalize, x);
  }
  return {y, mean, rstd, style_mean, style_std};
}

// `y`: the forward's result if it had both a residual and an activation. Only then is grad_residual not empty.
std::tuple<Tensor, Tensor, Tensor, Tensor> normalize_backward(const Tensor& grad_y, const Tensor& features,
                                                              const Maybe& y, const Tensor& mean, const Tensor& rstd,
                                                              const Maybe& scale, const Maybe& shift, double alpha,
                                                              double slope) {
  require_modulation(features, scale, shift);
  require_like(features, grad_y, "grad");
  if (y) require_like(features, *y, "y");
  for (const Tensor& values : {mean, rstd}) require_per_plane(features, values, "a statistic");
  const Tensor x = without_gaps(features), grad = laid_out_as(x, grad_y), grad_x = result_like(x);
  const Tensor grad_residual = y ? result_like(x) : nothing_like(x);
  const Tensor grad_scale = per_plane(x), grad_shift = per_plane(x);
  const Maybe by = plain(scale), to = plain(shift);
  const Maybe result = y ? Maybe(laid_out_as(x, *y)) : std::nullopt;
  run(stylekit::NormalizeBackward{maps(x), grad.const_data_ptr(), result ? result->const_data_ptr() : nullptr,
                                  read(mean), read(rstd), modulation(by, to), static_cast<float>(alpha),
                                  static_cast<float>(slope), grad_x.mutable_data_ptr(),
                                  y ? grad_residual.mutable_data_ptr() : nullptr, write(grad_scale),
                                  write(grad_shift)},
      x);
  return {grad_x, grad_residual, grad_scale, grad_shift};
}

Tensor gram(const Tensor& features, bool normalize) {
  const Tensor x = without_gaps(features);
  const double scale = normalize ? 1.0 / static_cast<double>(x.size(1) * x.size(2) * x.size(3)) : 1.0;
  const Tensor products = torch::stable::new_empty(x, {x.size(0), x.size(1), x.size(1)}, ScalarType::Float);
  run(stylekit::Gram{maps(x), static_cast<float>(scale), write(products)}, x);
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
