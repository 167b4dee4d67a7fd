#include "planes.h"

#include "rows.h"
#include "statistics.h"

namespace stylekit::cpu::STYLEKIT_ISA {
namespace {

// Values that stay in the first cache between two passes over them.
constexpr std::int64_t CHUNK = 2048;

template <class T>
Moments moments(const T* x, std::int64_t pixels) {
  Moments all_of_it{};
  for (std::int64_t start = 0; start < pixels; start += CHUNK) {
    const std::int64_t count = pixels - start < CHUNK ? pixels - start : CHUNK;
    const T* chunk = x + start;
    const float about =
        total(count, [=](std::int64_t i, auto part) { return part.load(chunk + i); }) / static_cast<float>(count);
    float off, squares;  // off: what the rounding of that mean leaves over
    totals(
        count,
        [=](std::int64_t i, auto part, Vec& first, Vec& second) {
          const Vec d = part.keep(part.load(chunk + i) - about);
          first += d;
          second += d * d;
        },
        off, squares);
    const double size = static_cast<double>(count), correction = off / size;
    all_of_it.add({size, about + correction, squares - off * correction});
  }
  return all_of_it;
}

template <class H, class T>
Sums sums(const H& h, const T* x, std::int64_t pixels) {
  Sums all_of_it{};
  for (std::int64_t start = 0; start < pixels; start += CHUNK) {
    const std::int64_t count = pixels - start < CHUNK ? pixels - start : CHUNK;
    float plain, centred;
    totals(
        count,
        [=](std::int64_t i, auto part, Vec& first, Vec& second) {
          const Vec here = part.keep(h(start + i, 0, part));
          first += here;
          second += here * (part.load(x + start + i) - h.center.value);
        },
        plain, centred);
    all_of_it.h += plain;
    all_of_it.h_centred += centred;
  }
  return all_of_it;
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
void one(const ChannelStats& task, std::int64_t plane, const T* x) {
  store(task, plane, moments(x, task.x.pixels));
}

template <class T>
void one(const ChannelStatsBackward& task, std::int64_t plane, const T* x) {
  const Affine map = backward(task, plane);
  affine_row<false, false, T, Same>(x, nullptr, plane_of<T>(task.grad_x, plane, task.x.pixels), task.x.pixels,
                                    {map.center}, {map.factor}, {map.offset}, 1.0f);
}

template <class T>
void one(const Normalize& task, std::int64_t plane, const T* x) {
  const std::int64_t pixels = task.x.pixels;
  store(task, plane, moments(x, pixels));
  const Affine map = forward(task, plane);
  affine_row<T, Same>(x, plane_of<T>(task.residual, plane, pixels), plane_of<T>(task.y, plane, pixels), pixels,
                      {map.center}, {map.factor}, {map.offset}, task.slope);
}

template <class T>
void one(const NormalizeBackward& task, std::int64_t plane, const T* x) {
  const std::int64_t pixels = task.x.pixels;
  const Affine map = forward(task, plane);
  T* grad_x = plane_of<T>(task.grad_x, plane, pixels);
  T* grad_residual = plane_of<T>(task.grad_residual, plane, pixels);
  with_mask<T, Same>(
      plane_of<T>(task.grad, plane, pixels), x, plane_of<T>(task.y, plane, pixels), {map.center}, {map.factor},
      {map.offset}, task.slope, [=, &task](auto h) {
        const Gradient to = backward(task, plane, sums(h, x, pixels));
        sweep(pixels, [=](std::int64_t i, auto part) {
          const Vec here = h(i, 0, part);
          if (grad_residual) part.store(grad_residual + i, here);
          part.store(grad_x + i, here * to.by_h + (part.load(x + i) - to.affine.center) * to.affine.factor +
                                     to.affine.offset);
        });
      });
}

template <class Task>
void each(const Task& task, std::int64_t begin, std::int64_t end) {
  with_type(task.x.dtype, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    for (std::int64_t plane = begin; plane < end; ++plane)
      one(task, plane, plane_of<T>(task.x.data, plane, task.x.pixels));
  });
}

}  // namespace

void planes(const ChannelStats& task, std::int64_t begin, std::int64_t end) { each(task, begin, end); }
void planes(const ChannelStatsBackward& task, std::int64_t begin, std::int64_t end) { each(task, begin, end); }
void planes(const Normalize& task, std::int64_t begin, std::int64_t end) { each(task, begin, end); }
void planes(const NormalizeBackward& task, std::int64_t begin, std::int64_t end) { each(task, begin, end); }

}  // namespace stylekit::cpu::STYLEKIT_ISA
