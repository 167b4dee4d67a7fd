// The inner loops over a row: a plane, or in channels-last maps some pixels with all their channels.
// Only for planes.cpp and columns.cpp: everything is in the instruction set's namespace.
#pragma once

#include "vector.h"

namespace stylekit::cpu::STYLEKIT_ISA {
namespace {

// Access to a full vector of a row, or to the first `count` lanes of one at its end.
struct FullVector {
  template <class T>
  Vec load(const T* from) const {
    return STYLEKIT_ISA::load(from);
  }
  template <class T>
  void store(T* to, Vec v) const {
    STYLEKIT_ISA::store(to, v);
  }
  Vec mask(Vec v) const { return v; }
};

struct PartialVector {
  int count;
  template <class T>
  Vec load(const T* from) const {
    return load_partial(from, count);
  }
  template <class T>
  void store(T* to, Vec v) const {
    store_partial(to, v, count);
  }
  Vec mask(Vec v) const {  // zeroes the unused lanes
    float lanes[LANES];
    STYLEKIT_ISA::store(lanes, v);
    return load_partial(lanes, count);
  }
};

// A coefficient: one for the whole row, or one per column.
struct Scalar {
  float value;
  template <class Vector>
  Vec load(std::int64_t, Vector) const {
    return broadcast(value);
  }
};

struct PerColumn {
  const float* values;
  template <class Vector>
  Vec load(std::int64_t i, Vector vector) const {
    return vector.load(values + i);
  }
};

// Calls body(i, vector) for every vector of a row, with the index of its first element.
template <class Body>
inline void for_each_vector(std::int64_t count, const Body& body) {
  std::int64_t i = 0;
  for (; i + LANES <= count; i += LANES) body(i, FullVector{});
  if (i < count) body(i, PartialVector{static_cast<int>(count - i)});
}

// The sum of term(i, vector) over a row. Four accumulators hide the latency of an addition.
template <class Term>
inline float row_sum(std::int64_t count, const Term& term) {
  Vec a{}, b{}, c{}, d{};
  std::int64_t i = 0;
  for (; i + 4 * LANES <= count; i += 4 * LANES) {
    a += term(i, FullVector{});
    b += term(i + LANES, FullVector{});
    c += term(i + 2 * LANES, FullVector{});
    d += term(i + 3 * LANES, FullVector{});
  }
  for (; i + LANES <= count; i += LANES) a += term(i, FullVector{});
  if (i < count) {
    const PartialVector vector{static_cast<int>(count - i)};
    b += vector.mask(term(i, vector));
  }
  return horizontal_sum((a + b) + (c + d));
}

// Two sums over a row at once: term(i, vector, first, second) adds to both.
template <class Term>
inline void row_sums(std::int64_t count, const Term& term, float& first, float& second) {
  Vec a[2]{}, b[2]{};
  std::int64_t i = 0;
  for (; i + 2 * LANES <= count; i += 2 * LANES)
    for (int k = 0; k < 2; ++k) term(i + k * LANES, FullVector{}, a[k], b[k]);
  for_each_vector(count - i, [&](std::int64_t rest, auto vector) { term(i + rest, vector, a[0], b[0]); });
  first = horizontal_sum(a[0] + a[1]);
  second = horizontal_sum(b[0] + b[1]);
}

inline Vec select(Ints condition, Vec yes, Vec no) { return condition ? yes : no; }

// `values` where `input` is above zero or NaN, elsewhere slope * values. A slope of 0 gives 0, even for infinities.
inline Vec leaky_relu_mask(Vec input, Vec values, float slope) {
  const Vec scaled = slope == 0.0f ? Vec{} : values * slope;
  return select(input <= 0.0f, scaled, values);
}

// y = act((x - center) * factor + offset + residual), where act multiplies what is not above 0 by slope.
template <bool RESIDUAL, bool ACTIVATION, class T, class Coefficient>
inline void affine_row(const T* x, const T* residual, T* y, std::int64_t count, Coefficient center, Coefficient factor,
                       Coefficient offset, float slope) {
  for_each_vector(count, [=](std::int64_t i, auto vector) {
    Vec v = (vector.load(x + i) - center.load(i, vector)) * factor.load(i, vector) + offset.load(i, vector);
    if constexpr (RESIDUAL) v += vector.load(residual + i);
    if constexpr (ACTIVATION) v = leaky_relu_mask(v, v, slope);
    vector.store(y + i, v);
  });
}

template <class T, class Coefficient>
inline void affine_row(const T* x, const T* residual, T* y, std::int64_t count, Coefficient center, Coefficient factor,
                       Coefficient offset, float slope) {
  if (residual) {
    if (slope != 1.0f)
      affine_row<true, true>(x, residual, y, count, center, factor, offset, slope);
    else
      affine_row<true, false>(x, residual, y, count, center, factor, offset, slope);
  } else if (slope != 1.0f) {
    affine_row<false, true>(x, residual, y, count, center, factor, offset, slope);
  } else {
    affine_row<false, false>(x, residual, y, count, center, factor, offset, slope);
  }
}

// Source of the sign of the activation's input: none (no activation), the forward's output, or recomputed from x.
enum class Mask { none, from_output, from_input };

// The gradient with respect to the activation's input, at position i of the maps and column j of a row.
template <Mask MASK, class T, class Coefficient>
struct MaskedGrad {
  const T *grad, *x, *y;
  Coefficient center, factor, offset;  // of the forward
  float slope;

  template <class Vector>
  Vec operator()(std::int64_t i, std::int64_t j, Vector vector) const {
    const Vec g = vector.load(grad + i);
    if constexpr (MASK == Mask::none) return g;
    if constexpr (MASK == Mask::from_output) return leaky_relu_mask(vector.load(y + i), g, slope);
    const Vec v = (vector.load(x + i) - center.load(j, vector)) * factor.load(j, vector) + offset.load(j, vector);
    return leaky_relu_mask(v, g, slope);
  }
};

// Calls body(masked_grad) with the MaskedGrad for this activation: y is null unless the mask is read from it.
template <class T, class Coefficient, class Body>
inline void dispatch_mask(const T* grad, const T* x, const T* y, Coefficient center, Coefficient factor,
                          Coefficient offset, float slope, const Body& body) {
  if (slope == 1.0f)
    body(MaskedGrad<Mask::none, T, Coefficient>{grad, x, y, center, factor, offset, slope});
  else if (y)
    body(MaskedGrad<Mask::from_output, T, Coefficient>{grad, x, y, center, factor, offset, slope});
  else
    body(MaskedGrad<Mask::from_input, T, Coefficient>{grad, x, y, center, factor, offset, slope});
}

}  // namespace
}  // namespace stylekit::cpu::STYLEKIT_ISA
