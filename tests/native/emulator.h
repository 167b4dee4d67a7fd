// Runs the CUDA kernels of csrc/cuda on the CPU, for tests under sanitizers: one block after another, with every thread
// as a fiber that yields only at barriers and shuffles. It is strict where a GPU would continue with wrong results, or
// hang:
//
// - Shared memory is initialised to NaN, and every array is a separate allocation, which AddressSanitizer guards.
// - Between barriers each warp runs alone as far as it can, in the order that STYLEKIT_EMULATOR_ORDER sets: forward,
//   reverse or shuffled. Code that lacks a barrier fails in one of these orders.
// - A barrier that not all threads of the block reach, or a shuffle that not all lanes of the warp reach, is an error.
// - Asynchronous copies are done as late as possible.
#pragma once

#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <source_location>
#include <stdexcept>
#include <string>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define STYLEKIT_SHARED(type, name, count)      \
  static const char name##_key = 0;             \
  type* const name = static_cast<type*>(        \
      stylekit::cuda::emulator::shared(&name##_key, sizeof(type) * (count)))
#define STYLEKIT_DYNAMIC_SHARED(name) \
  unsigned char* const name = static_cast<unsigned char*>(stylekit::cuda::emulator::dynamic_shared())

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};

namespace stylekit::cuda::emulator {

// Small, so that small tensors already reach the kernels for planes that do not fit.
inline constexpr std::int64_t SHARED_LIMIT = 8192;

constexpr std::size_t STACK = 64 * 1024, PAGE = 4096, EXCHANGE_BYTES = 32;

enum class State { ready, at_barrier, at_shuffle, exited };

// Where a fiber, or the scheduler, resumes: a buffer for __builtin_setjmp.
struct JumpBuffer {
  void* words[5];
};

struct Fiber {
  ucontext_t start;
  bool started = false;
  JumpBuffer resume_point;
  unsigned char* stack = nullptr;
  void* fake_stack = nullptr;  // of AddressSanitizer
  dim3 thread_index;
  unsigned index = 0;
  State state = State::ready;
  std::source_location where;
  unsigned shuffles = 0;
  // What a lane passes to its warp. There are two slots, because the next value may be written while other lanes still
  // read the last one.
  alignas(16) unsigned char exchanged[2][EXCHANGE_BYTES];
  struct Copy {
    void* to;
    const void* from;
    bool valid;
    std::size_t group;
  };
  std::vector<Copy> copies;  // not yet waited for
  std::size_t group = 0;     // not yet committed
};

// The running launch: there is only one at a time.
struct Launch {
  dim3 grid, block, block_index;
  std::size_t dynamic_bytes = 0;
  std::function<void()> kernel;
  std::vector<Fiber> fibers;
  Fiber* running = nullptr;
  JumpBuffer scheduler;
  const void* scheduler_stack = nullptr;
  std::size_t scheduler_stack_bytes = 0;
  std::map<const void*, std::pair<std::unique_ptr<unsigned char[]>, std::size_t>> shared;
  std::string error;
  std::string order;
  std::mt19937 random{1};
};

inline Launch* current = nullptr;

// ---- Switching ----

inline void switch_from(void** fake_stack, const void* stack, std::size_t bytes) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(fake_stack, stack, bytes);
#else
  static_cast<void>(fake_stack), static_cast<void>(stack), static_cast<void>(bytes);
#endif
}

inline void switched_to(void* fake_stack, const void** stack, std::size_t* bytes) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(fake_stack, stack, bytes);
#else
  static_cast<void>(fake_stack), static_cast<void>(stack), static_cast<void>(bytes);
#endif
}

#define STYLEKIT_UNSANITIZED __attribute__((noipa, no_sanitize("address", "undefined"))) inline

STYLEKIT_UNSANITIZED void jump_to(JumpBuffer& to) { __builtin_longjmp(to.words, 1); }

// Resumes at `to`, and returns when something resumes at `from`. Not swapcontext, which makes a system call for the
// signal mask each time.
STYLEKIT_UNSANITIZED void jump(JumpBuffer& from, JumpBuffer& to) {
  if (!__builtin_setjmp(from.words)) jump_to(to);
}

// The same, for a fiber that has not started.
STYLEKIT_UNSANITIZED void start(JumpBuffer& from, const ucontext_t& to) {
  if (!__builtin_setjmp(from.words)) setcontext(&to);
}

// Prepares a context for start().
STYLEKIT_UNSANITIZED void prepare(ucontext_t& context, void* stack) {
  getcontext(&context);
  context.uc_stack.ss_sp = stack;
  context.uc_stack.ss_size = STACK;
  context.uc_link = nullptr;
}

// Returns to the scheduler, until it resumes this fiber.
inline void yield(State state, const std::source_location& where) {
  Fiber& fiber = *current->running;
  fiber.state = state;
  fiber.where = where;
  switch_from(state == State::exited ? nullptr : &fiber.fake_stack, current->scheduler_stack,
              current->scheduler_stack_bytes);
  jump(fiber.resume_point, current->scheduler);
  switched_to(fiber.fake_stack, nullptr, nullptr);
}

// Ends the launch with this message.
inline void fail(const std::string& message) {
  current->error = message;
  yield(State::exited, {});
}

inline void enter() {
  switched_to(nullptr, &current->scheduler_stack, &current->scheduler_stack_bytes);
  current->kernel();
  yield(State::exited, {});
}

inline void resume(Fiber& fiber) {
  current->running = &fiber;
  void* fake_stack = nullptr;
  switch_from(&fake_stack, fiber.stack, STACK);
  if (fiber.started)
    jump(current->scheduler, fiber.resume_point);
  else
    fiber.started = true, start(current->scheduler, fiber.start);
  switched_to(fake_stack, nullptr, nullptr);
  if (!current->error.empty()) throw std::runtime_error(current->error);
}

// ---- Scheduling ----

// 0 ... count - 1 in the launch's order.
inline std::vector<unsigned> execution_order(unsigned count) {
  std::vector<unsigned> order(count);
  std::iota(order.begin(), order.end(), 0u);
  if (current->order == "reverse") std::reverse(order.begin(), order.end());
  if (current->order == "shuffled") std::shuffle(order.begin(), order.end(), current->random);
  return order;
}

// Whether all these threads wait in this state at the same location.
inline bool all_waiting(State state, const Fiber* begin, const Fiber* end) {
  return std::all_of(begin, end, [&](const Fiber& f) {
    return f.state == state && f.where.line() == begin->where.line() && f.where.column() == begin->where.column() &&
           !std::strcmp(f.where.file_name(), begin->where.file_name());
  });
}

// Runs a warp until each lane has exited or waits at a barrier. Returns whether any of them ran.
inline bool advance(unsigned warp) {
  Fiber *begin = &current->fibers[warp * 32], *end = begin + 32;
  for (bool progressed = false;; progressed = true) {
    bool ran = false;
    for (const unsigned lane : execution_order(32))
      if (begin[lane].state == State::ready) resume(begin[lane]), ran = true;
    if (all_waiting(State::at_shuffle, begin, end))
      for (Fiber* f = begin; f < end; ++f) f->state = State::ready;
    else if (!ran)
      return progressed;
  }
}

[[noreturn]] inline void report_deadlock() {
  std::string message = "deadlock: the threads of a block wait at different points:";
  for (const Fiber& f : current->fibers) {
    if (f.index && f.state == (&f)[-1].state && f.where.line() == (&f)[-1].where.line()) continue;
    message += "\n  from thread " + std::to_string(f.index) + " on: ";
    if (f.state == State::exited) message += "exited";
    else message += (f.state == State::at_barrier ? "at the barrier in line " : "at the shuffle in line ") +
                    std::to_string(f.where.line()) + " of " + f.where.file_name();
  }
  throw std::runtime_error(message);
}

inline void run_block() {
  current->shared.clear();
  for (Fiber& f : current->fibers) {
    f.state = State::ready;
    f.shuffles = 0;
    f.copies.clear();
    f.group = 0;
    f.started = false;
#ifdef __SANITIZE_ADDRESS__
    __asan_unpoison_memory_region(f.stack, STACK);
#endif
    makecontext(&f.start, enter, 0);
  }
  Fiber *begin = current->fibers.data(), *end = begin + current->fibers.size();
  for (;;) {
    bool progressed = false;
    for (const unsigned warp : execution_order(static_cast<unsigned>(current->fibers.size() / 32)))
      progressed |= advance(warp);
    if (progressed) continue;
    if (all_waiting(State::at_barrier, begin, end))
      for (Fiber* f = begin; f < end; ++f) f->state = State::ready;
    else if (std::all_of(begin, end, [](const Fiber& f) { return f.state == State::exited; }))
      return;
    else
      report_deadlock();
  }
}

inline void launch(dim3 grid, dim3 block, std::size_t dynamic_bytes, std::function<void()> kernel) {
  const unsigned threads = block.x * block.y * block.z;
  if (threads == 0 || threads % 32 || threads > 1024 || grid.x == 0)
    throw std::runtime_error("the emulator runs whole warps only, 1 to 32 per block");
  // Stacks are reused by later launches. The lowest page of each is a guard page.
  static std::vector<unsigned char*> stacks;
  while (stacks.size() < threads) {
    constexpr int FLAGS = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void* memory = mmap(nullptr, PAGE + STACK, PROT_READ | PROT_WRITE, FLAGS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, PAGE, PROT_NONE))
      throw std::runtime_error("out of memory for a fiber's stack");
    stacks.push_back(static_cast<unsigned char*>(memory) + PAGE);
  }
  Launch launch;
  const char* order = std::getenv("STYLEKIT_EMULATOR_ORDER");
  launch.order = order ? order : "forward";
  if (launch.order != "forward" && launch.order != "reverse" && launch.order != "shuffled")
    throw std::runtime_error("STYLEKIT_EMULATOR_ORDER must be forward, reverse or shuffled");
  launch.grid = grid, launch.block = block, launch.dynamic_bytes = dynamic_bytes, launch.kernel = std::move(kernel);
  launch.fibers = std::vector<Fiber>(threads);
  for (unsigned t = 0; t < threads; ++t) {
    Fiber& f = launch.fibers[t];
    f.stack = stacks[t];
    f.index = t;
    f.thread_index = dim3(t % block.x, t / block.x % block.y, t / block.x / block.y);
    prepare(f.start, f.stack);
  }
  struct Scope {
    explicit Scope(Launch* to) { current = to; }
    ~Scope() { current = nullptr; }
  } scope(&launch);
  for (const unsigned b : execution_order(grid.x)) {
    launch.block_index = dim3(b, 0, 0);
    run_block();
  }
}

// ---- Device functions ----

inline void* shared(const void* key, std::size_t bytes) {
  auto& [memory, size] = current->shared[key];
  if (!memory) {
    memory.reset(new unsigned char[bytes]);
    size = bytes;
    std::memset(memory.get(), 0xff, bytes);  // NaN in every floating type
  }
  if (size != bytes) fail("a shared array changed its size");
  return memory.get();
}

inline void* dynamic_shared() { return shared(&current->dynamic_bytes, current->dynamic_bytes); }

// Passes `value` to the warp, and returns a function that returns the value of a lane.
template <class T>
auto exchange(const T& value, const std::source_location& where) {
  static_assert(sizeof(T) <= EXCHANGE_BYTES);
  Fiber& fiber = *current->running;
  const unsigned slot = fiber.shuffles++ % 2;
  std::memcpy(fiber.exchanged[slot], &value, sizeof(T));
  const Fiber* warp = &fiber - fiber.index % 32;
  yield(State::at_shuffle, where);
  return [warp, slot](unsigned lane) {
    T received;
    std::memcpy(&received, warp[lane].exchanged[slot], sizeof(T));
    return received;
  };
}

inline void copy_async(void* to, const void* from, bool valid) {
  if (reinterpret_cast<std::uintptr_t>(to) % 16 || (valid && reinterpret_cast<std::uintptr_t>(from) % 16))
    fail("an asynchronous copy is not aligned");
  current->running->copies.push_back({to, from, valid, current->running->group});
}

inline void copy_commit() { ++current->running->group; }

inline void copy_wait(std::size_t pending) {
  auto& copies = current->running->copies;
  const auto end = std::find_if(copies.begin(), copies.end(), [&](const Fiber::Copy& copy) {
    return copy.group + pending >= current->running->group;
  });
  for (auto copy = copies.begin(); copy != end; ++copy)
    copy->valid ? std::memcpy(copy->to, copy->from, 16) : std::memset(copy->to, 0, 16);
  copies.erase(copies.begin(), end);
}

inline void load_matrices(std::uint32_t (&to)[4], const void* row, bool transposed,
                          std::source_location where = std::source_location::current()) {
  if (reinterpret_cast<std::uintptr_t>(row) % 16) fail("a row for a tensor core is not aligned");
  const auto rows = exchange(static_cast<const std::uint16_t*>(row), where);
  const unsigned lane = current->running->index % 32, major = lane / 4, minor = lane % 4 * 2;
  for (unsigned m = 0; m < 4; ++m) {
    const std::uint32_t low = transposed ? rows(m * 8 + minor)[major] : rows(m * 8 + major)[minor];
    const std::uint32_t high = transposed ? rows(m * 8 + minor + 1)[major] : rows(m * 8 + major)[minor + 1];
    to[m] = low | high << 16;
  }
}

template <class Widen>
void multiply_add(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1, const Widen& widen,
                  std::source_location where = std::source_location::current()) {
  struct Fragments {
    std::uint32_t a[4], b[2];
  };
  const auto received = exchange(Fragments{{a[0], a[1], a[2], a[3]}, {b0, b1}}, where);
  const unsigned lane = current->running->index % 32;
  const auto half = [&](std::uint32_t word, unsigned k) {
    return widen(static_cast<std::uint16_t>(word >> k % 2 * 16));
  };
  float left[2][16], right[2][16];  // this lane's two rows of a, and two columns of b
  for (unsigned t = 0; t < 4; ++t) {
    const Fragments rows = received(lane / 4 * 4 + t);
    for (unsigned i = 0; i < 2; ++i) {
      const Fragments column = received((lane % 4 * 2 + i) * 4 + t);
      for (unsigned k = 0; k < 4; ++k) {
        left[i][k / 2 * 8 + t * 2 + k % 2] = half(rows.a[i + k / 2 * 2], k);
        right[i][k / 2 * 8 + t * 2 + k % 2] = half(column.b[k / 2], k);
      }
    }
  }
  for (unsigned i = 0; i < 4; ++i) {
    float sum = 0.0f;
    for (unsigned k = 0; k < 16; ++k) sum += left[i / 2][k] * right[i % 2][k];
    d[i] += sum;
  }
}

// ---- Element types ----

inline float from_bits(std::uint32_t bits) {
  float v;
  std::memcpy(&v, &bits, 4);
  return v;
}

inline std::uint32_t to_bits(float v) {
  std::uint32_t bits;
  std::memcpy(&bits, &v, 4);
  return bits;
}

inline std::uint16_t narrow_bfloat16(float v) {
  const std::uint32_t bits = to_bits(v);
  if (v != v) return 0x7fff;
  return static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);  // to nearest, ties to even
}

inline float widen_half(std::uint16_t half) {
  const std::uint32_t magnitude = static_cast<std::uint32_t>(half & 0x7fff) << 13;
  // With its bits in a float's fields, the value is too small by a factor of 2^112.
  const float v = (half & 0x7c00) == 0x7c00 ? from_bits(magnitude | 0x7f800000u) : from_bits(magnitude) * 0x1p112f;
  return half & 0x8000 ? -v : v;
}

inline std::uint16_t narrow_half(float v) {
  const std::uint16_t sign = static_cast<std::uint16_t>(to_bits(v) >> 16 & 0x8000u);
  const float magnitude = std::fabs(v);
  if (v != v) return 0x7fff;
  if (magnitude >= 65520.0f) return sign | 0x7c00;
  const int exponent = std::max(magnitude == 0.0f ? -14 : std::ilogb(magnitude), -14);
  // 1024 to 2048, or less if subnormal.
  const auto units = static_cast<int>(std::nearbyint(std::ldexp(magnitude, 10 - exponent)));
  return static_cast<std::uint16_t>(sign | ((exponent + 14) * 1024 + units));
}

}  // namespace stylekit::cuda::emulator

// ---- CUDA's names ----

#define threadIdx (stylekit::cuda::emulator::current->running->thread_index)
#define blockIdx (stylekit::cuda::emulator::current->block_index)
#define blockDim (stylekit::cuda::emulator::current->block)
#define gridDim (stylekit::cuda::emulator::current->grid)

inline void __syncthreads(std::source_location where = std::source_location::current()) {
  stylekit::cuda::emulator::yield(stylekit::cuda::emulator::State::at_barrier, where);
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int offset, std::source_location where = std::source_location::current()) {
  if (mask != 0xffffffffu) stylekit::cuda::emulator::fail("the emulator supports only shuffles of whole warps");
  const auto received = stylekit::cuda::emulator::exchange(value, where);
  return received(stylekit::cuda::emulator::current->running->index % 32 ^ static_cast<unsigned>(offset));
}
