// A vector of floats as wide as the instruction set's registers, with loads and stores for each element type.
// Only for the files that are compiled once per instruction set: everything is in the instruction set's namespace.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "../tasks.h"

#if defined(__F16C__)
#include <immintrin.h>
#endif

#ifndef STYLEKIT_ISA
#define STYLEKIT_ISA portable
#endif

namespace stylekit::cpu::STYLEKIT_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX2__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

typedef float Vec __attribute__((vector_size(LANES * 4)));
typedef std::int32_t Ints __attribute__((vector_size(LANES * 4)));
typedef std::uint32_t Bits __attribute__((vector_size(LANES * 4)));
typedef std::uint16_t Halves __attribute__((vector_size(LANES * 2)));

struct BFloat16 {
  std::uint16_t bits;
};
struct Float16 {
  std::uint16_t bits;
};

inline Vec broadcast(float value) { return value - Vec{}; }

typedef float Vec4 __attribute__((vector_size(16)));
typedef float Vec8 __attribute__((vector_size(32)));

inline float horizontal_sum(Vec4 v) { return (v[0] + v[2]) + (v[1] + v[3]); }
#if defined(__AVX2__)
inline float horizontal_sum(Vec8 v) {
  return horizontal_sum(__builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7));
}
#endif
#if defined(__AVX512F__)
inline float horizontal_sum(Vec v) {
  return horizontal_sum(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
             __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15));
}
#endif

// ---- float32 ----

inline Vec load(const float* from) {
  Vec v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

inline void store(float* to, Vec v) { std::memcpy(to, &v, sizeof v); }

// ---- bfloat16: the upper half of a float ----

inline Vec load(const BFloat16* from) {
  Halves halves;
  std::memcpy(&halves, from, sizeof halves);
  return reinterpret_cast<Vec>(__builtin_convertvector(halves, Bits) << 16);
}

inline void store(BFloat16* to, Vec v) {
  const Bits bits = reinterpret_cast<Bits>(v);
  const Bits rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;  // to nearest, ties to even
  const Bits is_nan = reinterpret_cast<Bits>(v != v);
  const Halves halves = __builtin_convertvector((is_nan & 0x7fc0u) | (~is_nan & rounded), Halves);
  std::memcpy(to, &halves, sizeof halves);
}

// ---- float16 ----

#if defined(__AVX512F__)
// The masked intrinsics with a full mask: gcc 12 warns that the unmasked ones use an uninitialised value.
inline Vec load(const Float16* from) {
  return reinterpret_cast<Vec>(_mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))));
}
inline void store(Float16* to, Vec v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                      _mm512_maskz_cvtps_ph(0xffff, reinterpret_cast<__m512>(v),
                                            _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
#elif defined(__F16C__)
inline Vec load(const Float16* from) {
  return reinterpret_cast<Vec>(_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
}
inline void store(Float16* to, Vec v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to),
                   _mm256_cvtps_ph(reinterpret_cast<__m256>(v), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
#else
inline float widen(std::uint16_t half) {
  // With its bits shifted into a float's fields, the value is too small by a factor of 2^112, subnormals included.
  std::uint32_t bits = static_cast<std::uint32_t>(half & 0x7fffu) << 13;
  float magnitude;
  std::memcpy(&magnitude, &bits, 4);
  magnitude *= 0x1p112f;
  if ((half & 0x7c00u) == 0x7c00u) {  // infinities and NaN
    bits = 0x7f800000u | (static_cast<std::uint32_t>(half & 0x03ffu) << 13);
    std::memcpy(&magnitude, &bits, 4);
  }
  return half & 0x8000u ? -magnitude : magnitude;
}

inline std::uint16_t narrow(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, 4);
  const std::uint32_t sign = (bits >> 16) & 0x8000u;
  bits &= 0x7fffffffu;
  if (bits > 0x7f800000u) return static_cast<std::uint16_t>(sign | 0x7e00u);
  if (bits >= 0x477ff000u) return static_cast<std::uint16_t>(sign | 0x7c00u);  // would round to 65536 or more
  if (bits < 0x38800000u) {  // subnormal: adding 0.5 leaves the rounded half in the lowest bits
    float magnitude;
    std::memcpy(&magnitude, &bits, 4);
    magnitude += 0.5f;
    std::memcpy(&bits, &magnitude, 4);
    return static_cast<std::uint16_t>(sign | (bits - 0x3f000000u));
  }
  bits += 0xfffu + ((bits >> 13) & 1u);  // to nearest, ties to even
  return static_cast<std::uint16_t>(sign | ((bits - 0x38000000u) >> 13));
}

inline Vec load(const Float16* from) {
  Vec v;
  for (int lane = 0; lane < LANES; ++lane) v[lane] = widen(from[lane].bits);
  return v;
}
inline void store(Float16* to, Vec v) {
  for (int lane = 0; lane < LANES; ++lane) to[lane].bits = narrow(v[lane]);
}
#endif

// ---- The end of a row ----

// Loads the first `count` elements; the other lanes are zero.
template <class T>
inline Vec load_partial(const T* from, int count) {
  T padded[LANES] = {};
  std::memcpy(padded, from, static_cast<unsigned>(count) * sizeof(T));
  return load(padded);
}

template <class T>
inline void store_partial(T* to, Vec v, int count) {
  T padded[LANES];
  store(padded, v);
  std::memcpy(to, padded, static_cast<unsigned>(count) * sizeof(T));
}

// Calls `body` with a null pointer to the C++ type of the elements.
template <class Body>
inline void dispatch_dtype(DType dtype, const Body& body) {
  if (dtype == DType::float32) body(static_cast<float*>(nullptr));
  if (dtype == DType::bfloat16) body(static_cast<BFloat16*>(nullptr));
  if (dtype == DType::float16) body(static_cast<Float16*>(nullptr));
}

}  // namespace
}  // namespace stylekit::cpu::STYLEKIT_ISA
