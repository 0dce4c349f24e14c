// How this thread rounds, and what becomes of denormal numbers: the control register of the floating-point unit.
#pragma once
#ifdef __SSE__
#include <xmmintrin.h>
#endif
#include <cstdint>

namespace cortex {

typedef uint64_t FloatFlags;

#if defined(__SSE__)
constexpr FloatFlags FLUSH = 0x8040;  // results below the smallest normal number are zero, and so are such operands
inline FloatFlags float_flags() { return _mm_getcsr() & ~unsigned(_MM_EXCEPT_MASK); }
inline void set_float_flags(FloatFlags flags) { _mm_setcsr(unsigned(flags)); }
#elif defined(__aarch64__)
constexpr FloatFlags FLUSH = 1 << 24;
inline FloatFlags float_flags() {
  FloatFlags flags;
  __asm__ __volatile__("mrs %0, fpcr" : "=r"(flags));
  return flags;
}
inline void set_float_flags(FloatFlags flags) { __asm__ __volatile__("msr fpcr, %0" : : "r"(flags)); }
#else
constexpr FloatFlags FLUSH = 0;
inline FloatFlags float_flags() { return 0; }
inline void set_float_flags(FloatFlags) {}
#endif

// Sets the flags of this thread while it lives.
class FlagsWhile {
 public:
  explicit FlagsWhile(FloatFlags flags) : before_(float_flags()) { set_float_flags(flags); }
  ~FlagsWhile() { set_float_flags(before_); }
  FlagsWhile(const FlagsWhile&) = delete;
  FloatFlags before() const { return before_; }

 private:
  const FloatFlags before_;
};

}  // namespace cortex
