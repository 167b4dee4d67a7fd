#include "planes.h"

#include "rows.h"
#include "statistics.h"

namespace stylekit::cpu::STYLEKIT_ISA {
namespace {

// Values that stay in the L1 cache between two passes over them.
constexpr std::int64_t CHUNK = 2048;

template <class T>
Moments plane_moments(const T* x, std::int64_t pixels) {
  Moments moments{};
  for (std::int64_t start = 0; start < pixels; start += CHUNK) {
    const std::int64_t count = pixels - start < CHUNK ? pixels - start : CHUNK;
    const T* chunk = x + start;
    const float mean = row_sum(count, [=](std::int64_t i, auto vector) { return vector.load(chunk + i); }) /
                       static_cast<float>(count);
    float deviation, squares;  // deviation: not 0, because the mean is rounded
    row_sums(
        count,
        [=](std::int64_t i, auto vector, Vec& first, Vec& second) {
          const Vec d = vector.mask(vector.load(chunk + i) - mean);
          first += d;
          second += d * d;
        },
        deviation, squares);
    const double size = static_cast<double>(count), correction = deviation / size;
    moments.merge({size, mean + correction, squares - deviation * correction});
  }
  return moments;
}

template <class Grad, class T>
GradSums plane_sums(const Grad& masked_grad, const T* x, std::int64_t pixels) {
  GradSums sums{};
  for (std::int64_t start = 0; start < pixels; start += CHUNK) {
    const std::int64_t count = pixels - start < CHUNK ? pixels - start : CHUNK;
    float of_h, of_h_centred;
    row_sums(
        count,
        [=](std::int64_t i, auto vector, Vec& first, Vec& second) {
          const Vec h = vector.mask(masked_grad(start + i, 0, vector));
          first += h;
          second += h * (vector.load(x + start + i) - masked_grad.center.value);
        },
        of_h, of_h_centred);
    sums.h += of_h;
    sums.h_centred += of_h_centred;
  }
  return sums;
}

template <class T>
T* plane_of(void* maps, std::int64_t plane, std::int64_t pixels) {
  return maps ? static_cast<T*>(maps) + plane * pixels : nullptr;
}

template <class T>
const T* plane_of(const void* maps, std::int64_t plane, std::int64_t pixels) {
  return maps ? static_cast<const T*>(maps) + plane * pixels : nullptr;
}

template <class T>
void process_plane(const ChannelStats& task, std::int64_t plane, const T* x) {
  store_statistics(task, plane, plane_moments(x, task.x.pixels));
}

template <class T>
void process_plane(const ChannelStatsBackward& task, std::int64_t plane, const T* x) {
  const Affine map = backward_affine(task, plane);
  affine_row<false, false, T, Scalar>(x, nullptr, plane_of<T>(task.grad_x, plane, task.x.pixels), task.x.pixels,
                                      {map.center}, {map.factor}, {map.offset}, 1.0f);
}

template <class T>
void process_plane(const Normalize& task, std::int64_t plane, const T* x) {
  const std::int64_t pixels = task.x.pixels;
  store_statistics(task, plane, plane_moments(x, pixels));
  const Affine map = forward_affine(task, plane);
  affine_row<T, Scalar>(x, plane_of<T>(task.residual, plane, pixels), plane_of<T>(task.y, plane, pixels), pixels,
                        {map.center}, {map.factor}, {map.offset}, task.slope);
}

template <class T>
void process_plane(const NormalizeBackward& task, std::int64_t plane, const T* x) {
  const std::int64_t pixels = task.x.pixels;
  const Affine map = forward_affine(task, plane);
  T* grad_x = plane_of<T>(task.grad_x, plane, pixels);
  T* grad_residual = plane_of<T>(task.grad_residual, plane, pixels);
  dispatch_mask<T, Scalar>(
      plane_of<T>(task.grad, plane, pixels), x, plane_of<T>(task.y, plane, pixels), {map.center}, {map.factor},
      {map.offset}, task.slope, [=, &task](auto masked_grad) {
        const GradCoefficients c = finish_backward(task, plane, plane_sums(masked_grad, x, pixels));
        for_each_vector(pixels, [=](std::int64_t i, auto vector) {
          const Vec h = masked_grad(i, 0, vector);
          if (grad_residual) vector.store(grad_residual + i, h);
          vector.store(grad_x + i, h * c.h_factor + (vector.load(x + i) - c.affine.center) * c.affine.factor +
                                       c.affine.offset);
        });
      });
}

template <class Task>
void process(const Task& task, std::int64_t begin, std::int64_t end) {
  dispatch_dtype(task.x.dtype, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    for (std::int64_t plane = begin; plane < end; ++plane)
      process_plane(task, plane, plane_of<T>(task.x.data, plane, task.x.pixels));
  });
}

}  // namespace

void process_planes(const ChannelStats& task, std::int64_t begin, std::int64_t end) { process(task, begin, end); }
void process_planes(const ChannelStatsBackward& task, std::int64_t begin, std::int64_t end) {
  process(task, begin, end);
}
void process_planes(const Normalize& task, std::int64_t begin, std::int64_t end) { process(task, begin, end); }
void process_planes(const NormalizeBackward& task, std::int64_t begin, std::int64_t end) { process(task, begin, end); }

}  // namespace stylekit::cpu::STYLEKIT_ISA
