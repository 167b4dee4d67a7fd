// The device functions that the kernels use: CUDA's own when nvcc compiles them, their emulation when g++ does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "../tasks.h"

#ifdef STYLEKIT_EMULATED
#include "emulator.h"  // in tests/native
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <atomic>

// Shared memory: a block's array, and the block's dynamic shared memory. Macros, because the emulator allocates it.
#define STYLEKIT_SHARED(type, name, count) __shared__ type name[count]
#define STYLEKIT_DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#endif

namespace stylekit::cuda {

// ---- Element types ----

struct bfloat16 {
  std::uint16_t bits;
};
struct float16 {
  std::uint16_t bits;
};

#ifdef STYLEKIT_EMULATED
inline float widen(float v) { return v; }
inline float widen(bfloat16 v) { return emulator::from_bits(static_cast<std::uint32_t>(v.bits) << 16); }
inline float widen(float16 v) { return emulator::widen_half(v.bits); }
inline void narrow(float v, float& to) { to = v; }
inline void narrow(float v, bfloat16& to) { to.bits = emulator::narrow_bfloat16(v); }
inline void narrow(float v, float16& to) { to.bits = emulator::narrow_half(v); }
#else
__device__ __forceinline__ float widen(float v) { return v; }
__device__ __forceinline__ float widen(bfloat16 v) { return __uint_as_float(static_cast<std::uint32_t>(v.bits) << 16); }
__device__ __forceinline__ float widen(float16 v) { return __half2float(__ushort_as_half(v.bits)); }
__device__ __forceinline__ void narrow(float v, float& to) { to = v; }
__device__ __forceinline__ void narrow(float v, bfloat16& to) {
  to.bits = __bfloat16_as_ushort(__float2bfloat16_rn(v));
}
__device__ __forceinline__ void narrow(float v, float16& to) { to.bits = __half_as_ushort(__float2half_rn(v)); }
#endif

// ---- Packs: N elements that are loaded and stored at once, 16 bytes of them or a single one ----

template <class T>
constexpr int PACK_WIDTH = 16 / static_cast<int>(sizeof(T));

template <class T, int N>
struct Pack {
  static_assert(N == 1 || N == PACK_WIDTH<T>);
  using Raw = std::conditional_t<N == 1, T, uint4>;
  Raw raw;

  __device__ __forceinline__ void unpack(float (&to)[N]) const {
    T values[N];
    memcpy(values, &raw, sizeof raw);
#pragma unroll
    for (int e = 0; e < N; ++e) to[e] = widen(values[e]);
  }

  __device__ __forceinline__ void pack(const float (&from)[N]) {
    T values[N];
#pragma unroll
    for (int e = 0; e < N; ++e) narrow(from[e], values[e]);
    memcpy(&raw, values, sizeof raw);
  }
};

// Loads pack number `index`. The memory must not be written while the kernel runs.
template <class T, int N>
__device__ __forceinline__ Pack<T, N> load(const void* base, std::int64_t index) {
  using Raw = typename Pack<T, N>::Raw;
  const Raw* from = static_cast<const Raw*>(base) + index;
#ifdef STYLEKIT_EMULATED
  return {*from};
#else
  if constexpr (sizeof(Raw) == 2)
    return {{__ldg(reinterpret_cast<const unsigned short*>(from))}};
  else
    return {__ldg(from)};
#endif
}

template <class T, int N>
__device__ __forceinline__ void store(void* base, std::int64_t index, const Pack<T, N>& pack) {
  static_cast<typename Pack<T, N>::Raw*>(base)[index] = pack.raw;
}

// ---- The activation ----

// `value` where `input` is above zero or NaN, elsewhere slope * value. A slope of 0 gives 0, even for infinities.
__device__ __forceinline__ float leaky_relu_mask(float input, float value, float slope) {
  return input <= 0.0f ? (slope == 0.0f ? 0.0f : slope * value) : value;
}

// ---- Reductions ----

__device__ __forceinline__ float warp_sum(float v) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) v += __shfl_xor_sync(0xffffffffu, v, offset);
  return v;
}

// The sum over the row of threads that processes one plane: a warp, or the whole block. `partial` is shared memory,
// with 32 elements for each value, and must not be used for anything else. Every thread gets the sums.
template <int VALUES>
__device__ __forceinline__ void row_sum(float (&v)[VALUES], float* partial) {
#pragma unroll
  for (int i = 0; i < VALUES; ++i) v[i] = warp_sum(v[i]);
  if (blockDim.x == 32) return;
  const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  if (lane == 0) {
#pragma unroll
    for (int i = 0; i < VALUES; ++i) partial[i * 32 + warp] = v[i];
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < VALUES; ++i) v[i] = warp_sum(lane < blockDim.x / 32 ? partial[i * 32 + lane] : 0.0f);
}

// ---- Asynchronous copies: 16 bytes from global to shared memory ----

// Copies from `from` if `valid`, else writes zeros.
__device__ __forceinline__ void copy_async(void* to, const void* from, bool valid = true) {
#ifdef STYLEKIT_EMULATED
  emulator::copy_async(to, from, valid);
#else
  const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(address), "l"(from), "r"(valid ? 16 : 0));
#endif
}

// Commits the copies so far as a group.
__device__ __forceinline__ void copy_commit() {
#ifdef STYLEKIT_EMULATED
  emulator::copy_commit();
#else
  asm volatile("cp.async.commit_group;\n" ::);
#endif
}

// Waits for this thread's groups, except for the latest `PENDING`.
template <int PENDING>
__device__ __forceinline__ void copy_wait() {
#ifdef STYLEKIT_EMULATED
  emulator::copy_wait(PENDING);
#else
  asm volatile("cp.async.wait_group %0;\n" ::"n"(PENDING) : "memory");
#endif
}

// ---- Tensor cores: fragments in the PTX manual's layout for m16n8k16 ----

// Loads four 8x8 matrices of 16-bit elements. Lane l passes the address of row l % 8 of matrix l / 8. Each lane gets
// two adjacent elements of row lane / 4 of each matrix, or, if transposed, of column lane / 4.
template <bool TRANSPOSED>
__device__ __forceinline__ void load_matrices(std::uint32_t (&to)[4], const void* row) {
#ifdef STYLEKIT_EMULATED
  emulator::load_matrices(to, row, TRANSPOSED);
#else
  const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(row));
  if constexpr (TRANSPOSED)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(address)
                 : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(address)
                 : "memory");
#endif
}

// d += a b, where a is 16 x 16 and b is 16 x 8.
template <class T>
__device__ __forceinline__ void multiply_add(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                             std::uint32_t b1) {
#ifdef STYLEKIT_EMULATED
  emulator::multiply_add(d, a, b0, b1, [](std::uint16_t bits) { return widen(T{bits}); });
#else
  if constexpr (std::is_same_v<T, bfloat16>)
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};\n"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};\n"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

// ---- Host code ----

#ifndef STYLEKIT_EMULATED
inline void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess)
    throw std::runtime_error(std::string("CUDA failed to ") + what + ": " + cudaGetErrorString(error));
}
#endif

// The dynamic shared memory in bytes that a block may request on the current device, in addition to 1 KB of arrays.
inline std::int64_t shared_limit() {
#ifdef STYLEKIT_EMULATED
  return emulator::SHARED_LIMIT;
#else
  constexpr int MAX_DEVICES = 64;
  static std::atomic<int> limits[MAX_DEVICES];
  int device = 0, limit = 0;
  check(cudaGetDevice(&device), "get the current device");
  if (device < MAX_DEVICES && (limit = limits[device].load(std::memory_order_relaxed))) return limit;
  check(cudaDeviceGetAttribute(&limit, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
        "get the size of the shared memory");
  limit -= 1024;
  if (device < MAX_DEVICES) limits[device].store(limit, std::memory_order_relaxed);
  return limit;
#endif
}

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), std::int64_t blocks, dim3 threads, std::int64_t shared_bytes, void* stream,
            Arguments... arguments) {
  if (blocks > 0x7fffffff) throw std::runtime_error("the feature maps are too large for one launch of a CUDA kernel");
  const dim3 grid(static_cast<unsigned>(blocks));
#ifdef STYLEKIT_EMULATED
  static_cast<void>(stream);
  emulator::launch(grid, threads, static_cast<std::size_t>(shared_bytes), [&] { kernel(arguments...); });
#else
  constexpr std::int64_t DEFAULT_SHARED_BYTES = 48 * 1024;
  if (shared_bytes > DEFAULT_SHARED_BYTES)
    check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared_bytes)),
          "set the shared memory of a stylekit kernel");
  kernel<<<grid, threads, static_cast<std::size_t>(shared_bytes), static_cast<cudaStream_t>(stream)>>>(arguments...);
  check(cudaGetLastError(), "launch a stylekit kernel");
#endif
}

// Calls `body` with a null pointer to the C++ type of the elements.
template <class Body>
void dispatch_dtype(DType dtype, const Body& body) {
  if (dtype == DType::float32) body(static_cast<float*>(nullptr));
  if (dtype == DType::bfloat16) body(static_cast<bfloat16*>(nullptr));
  if (dtype == DType::float16) body(static_cast<float16*>(nullptr));
}

inline std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

inline bool aligned(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; }

}  // namespace stylekit::cuda
