// Changing the type of elements, as NumPy's astype does.
//
//   cast_A_B   out[i] = B(in[i]); A, B among bool, u8, i32, i64, f32, f64
//              buffers   out, in, contiguous, the same memory only where A and B are equally large
//              unit      one element
//
// A number is true unless it is zero. A float becomes an integer by truncation; what lies outside the integer's range
// is not specified, except that 8 bits are the lowest of 32.
#include "registry.h"

namespace cortex::CORTEX_ISA {
namespace {

enum Bool : uint8_t {};

template <class A, class B>
struct Convert {
  static B of(A x) { return B(x); }
};
template <class A>
struct Convert<A, Bool> {
  static Bool of(A x) { return Bool(x != 0); }
};
template <>
struct Convert<float, uint8_t> {
  static uint8_t of(float x) { return uint8_t(int32_t(x)); }
};
template <>
struct Convert<double, uint8_t> {
  static uint8_t of(double x) { return uint8_t(int32_t(x)); }
};

template <class A, class B>
void cast(const Call& call, int64_t start, int64_t stop) {
  B* out = static_cast<B*>(call.buffer[0]);
  const A* in = static_cast<const A*>(call.buffer[1]);
  for (int64_t i = start; i < stop; i++) out[i] = Convert<A, B>::of(in[i]);
}

}  // namespace
}  // namespace cortex::CORTEX_ISA

#define FROM(a, A)                                                                                                 \
  {"cast_" a "_bool", cast<A, Bool>}, {"cast_" a "_u8", cast<A, uint8_t>}, {"cast_" a "_i32", cast<A, int32_t>},   \
      {"cast_" a "_i64", cast<A, int64_t>}, {"cast_" a "_f32", cast<A, float>}, {"cast_" a "_f64", cast<A, double>}
CORTEX_KERNELS(cast, FROM("bool", Bool), FROM("u8", uint8_t), FROM("i32", int32_t), FROM("i64", int64_t),
               FROM("f32", float), FROM("f64", double))
