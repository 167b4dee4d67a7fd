// The inner loops: over one row of memory, which is a plane, or, channels last, some pixels with all their channels.
// For planes.cpp and columns.cpp only: everything is inside the namespace of the instruction set.
#pragma once

#include "vector.h"

namespace stylekit::cpu::STYLEKIT_ISA {
namespace {

// A full vector of a row, or the first few lanes at its end.
struct Full {
  template <class T>
  Vec load(const T* from) const {
    return STYLEKIT_ISA::load(from);
  }
  template <class T>
  void store(T* to, Vec v) const {
    STYLEKIT_ISA::store(to, v);
  }
  Vec keep(Vec v) const { return v; }
};

struct Some {
  int count;
  template <class T>
  Vec load(const T* from) const {
    return load_some(from, count);
  }
  template <class T>
  void store(T* to, Vec v) const {
    store_some(to, v, count);
  }
  Vec keep(Vec v) const {  // zero in the lanes that are not there
    float lanes[LANES];
    STYLEKIT_ISA::store(lanes, v);
    return load_some(lanes, count);
  }
};

// A number for a whole row, or one for each column of it.
struct Same {
  float value;
  template <class Part>
  Vec at(std::int64_t, Part) const {
    return all(value);
  }
};

struct Each {
  const float* values;
  template <class Part>
  Vec at(std::int64_t i, Part part) const {
    return part.load(values + i);
  }
};

// Calls body(i, part) for every vector of a row.
template <class Body>
inline void sweep(std::int64_t count, const Body& body) {
  std::int64_t i = 0;
  for (; i + LANES <= count; i += LANES) body(i, Full{});
  if (i < count) body(i, Some{static_cast<int>(count - i)});
}

// The sum of term(i, part) over a row. Four sums at a time hide the latency of an addition.
template <class Term>
inline float total(std::int64_t count, const Term& term) {
  Vec a{}, b{}, c{}, d{};
  std::int64_t i = 0;
  for (; i + 4 * LANES <= count; i += 4 * LANES) {
    a += term(i, Full{});
    b += term(i + LANES, Full{});
    c += term(i + 2 * LANES, Full{});
    d += term(i + 3 * LANES, Full{});
  }
  for (; i + LANES <= count; i += LANES) a += term(i, Full{});
  if (i < count) {
    const Some part{static_cast<int>(count - i)};
    b += part.keep(term(i, part));
  }
  return sum((a + b) + (c + d));
}

// Two sums at once: term(i, part, first, second) adds to both.
template <class Term>
inline void totals(std::int64_t count, const Term& term, float& first, float& second) {
  Vec a[2]{}, b[2]{};
  std::int64_t i = 0;
  for (; i + 2 * LANES <= count; i += 2 * LANES)
    for (int k = 0; k < 2; ++k) term(i + k * LANES, Full{}, a[k], b[k]);
  sweep(count - i, [&](std::int64_t rest, auto part) { term(i + rest, part, a[0], b[0]); });
  first = sum(a[0] + a[1]);
  second = sum(b[0] + b[1]);
}

inline Vec choose(Ints condition, Vec yes, Vec no) { return condition ? yes : no; }

// What is above zero, or NaN; the rest times slope, of which nothing is left if that is 0, be it infinite.
inline Vec let_through(Vec by, Vec values, float slope) {
  const Vec rest = slope == 0.0f ? Vec{} : values * slope;
  return choose(by <= 0.0f, rest, values);
}

// y = act((x - center) * factor + offset + residual), where act multiplies what is not above 0 by slope.
template <bool RESIDUAL, bool ACTIVATION, class T, class Number>
inline void affine_row(const T* x, const T* residual, T* y, std::int64_t count, Number center, Number factor,
                       Number offset, float slope) {
  sweep(count, [=](std::int64_t i, auto part) {
    Vec v = (part.load(x + i) - center.at(i, part)) * factor.at(i, part) + offset.at(i, part);
    if constexpr (RESIDUAL) v += part.load(residual + i);
    if constexpr (ACTIVATION) v = let_through(v, v, slope);
    part.store(y + i, v);
  });
}

template <class T, class Number>
inline void affine_row(const T* x, const T* residual, T* y, std::int64_t count, Number center, Number factor,
                       Number offset, float slope) {
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

// Where the sign of the activation's input comes from: nowhere (no activation), the forward's result, or x again.
enum class Mask { none, from_result, from_input };

// The gradient behind the activation, at position i of the maps and column j of a row.
template <Mask MASK, class T, class Number>
struct Behind {
  const T *grad, *x, *y;
  Number center, factor, offset;  // of the forward
  float slope;

  template <class Part>
  Vec operator()(std::int64_t i, std::int64_t j, Part part) const {
    const Vec g = part.load(grad + i);
    if constexpr (MASK == Mask::none) return g;
    if constexpr (MASK == Mask::from_result) return let_through(part.load(y + i), g, slope);
    const Vec v = (part.load(x + i) - center.at(j, part)) * factor.at(j, part) + offset.at(j, part);
    return let_through(v, g, slope);
  }
};

// Calls body(h) with the right kind of Behind.
template <class T, class Number, class Body>
inline void with_mask(const T* grad, const T* x, const T* y, Number center, Number factor, Number offset, float slope,
                      const Body& body) {
  if (slope == 1.0f)
    body(Behind<Mask::none, T, Number>{grad, x, y, center, factor, offset, slope});
  else if (y)
    body(Behind<Mask::from_result, T, Number>{grad, x, y, center, factor, offset, slope});
  else
    body(Behind<Mask::from_input, T, Number>{grad, x, y, center, factor, offset, slope});
}

}  // namespace
}  // namespace stylekit::cpu::STYLEKIT_ISA
