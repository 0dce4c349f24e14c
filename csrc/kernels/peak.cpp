// fma_f32, fma_f64: multiply-adds in registers, the peak that products are compared with (benchmarks/products.py).
//
//   buffers   out [LANES], in [2][LANES] (64 bytes each: as long as the longest vector): factor, summand
//   integers  0 rounds of a unit; a round is FMAS multiply-adds of 64 bytes each, whatever the length of a vector
//   unit      `rounds` rounds
#include "registry.h"
#include "simd.h"

namespace cortex::CORTEX_ISA {
namespace {

constexpr int FMAS = 12;  // independent sums: latency 4 x 2 a cycle, and they fit 16 registers beside two operands

template <class T> void fma(const Call& call, int64_t start, int64_t stop) {
  const T* in = (const T*)call.buffer[1];
  const Vec<T> x = load(in), y = load(in + 64 / sizeof(T));
  Vec<T> sum[FMAS];
  for (int i = 0; i < FMAS; i++) sum[i] = y + broadcast(T(i));  // all different: equal sums would be computed once
  const int64_t rounds = (stop - start) * call.integer[0] * (64 / VECTOR_BYTES);
  for (int64_t k = 0; k < rounds; k++) {
#pragma GCC unroll 16
    for (int i = 0; i < FMAS; i++) sum[i] = sum[i] * x + y;
    __asm__ __volatile__("");
  }
  for (int i = 1; i < FMAS; i++) sum[0] += sum[i];
  store((T*)call.buffer[0], sum[0]);
}

}  // namespace
}  // namespace cortex::CORTEX_ISA

CORTEX_KERNELS(peak, {"fma_f32", fma<float>}, {"fma_f64", fma<double>})
