// Philox4x32-10, a counter-based generator: every number is a function of (seed, step, op, position) alone.
// Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (SC 2011).
//
// Key: the two halves of the seed. Counter: block (low, high), step (low 32 bits), op. Word i of a stream is word i % 4
// of block i / 4; compute/philox.py is the definition, and says which numbers the words become.
//
// A file that includes this is compiled without contraction to FMA (CMakeLists.txt), so every instruction set gives the
// same bits. Logarithm, sine and cosine are polynomials, which the compiler vectorises: to 1e-15, both types in double,
// because in float 1 - (a + 1) 2^-32 loses the small radii.
#pragma once
#include <cstring>

#include "simd.h"
#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace cortex::CORTEX_ISA {

typedef uint64_t Wide __attribute__((vector_size(VECTOR_BYTES)));  // one counter or word of a block in each lane
constexpr int WIDE = VECTOR_BYTES / 8;

// The lower halves of the lanes times a constant of 32 bits. What the upper halves hold does not matter.
CORTEX_INLINE Wide multiply(Wide x, uint32_t by) {
#if defined(__AVX512F__)
  return (Wide)_mm512_maskz_mul_epu32(0xFF, (__m512i)x, _mm512_set1_epi64(by));
#elif defined(__AVX2__)
  return (Wide)_mm256_mul_epu32((__m256i)x, _mm256_set1_epi64x(by));
#elif defined(__SSE2__)
  return (Wide)_mm_mul_epu32((__m128i)x, _mm_set1_epi64x(by));
#else
  return (x & 0xFFFFFFFF) * by;
#endif
}

constexpr int64_t PIECE = 256;  // numbers that are drawn at once, a multiple of 4 BLOCKS: they stay in the L1 cache

struct Stream {
  uint64_t seed;
  uint32_t step, op;
};

// Operands of every kernel that draws, from `at` on: seed u64 [1], step i64 [1].
CORTEX_INLINE Stream stream(void* const* at, int64_t op) {
  return {*static_cast<const uint64_t*>(at[0]), uint32_t(*static_cast<const int64_t*>(at[1])), uint32_t(op)};
}

// VECTORS times WIDE blocks from `block` on: their words in order. Several vectors at once hide the latency of the
// multiplications. Lanes carry rubbish above 32 bits until the end: a product does not see it, and a shift down drops
// what lies below.
constexpr int VECTORS = REGISTERS / 8, BLOCKS = VECTORS * WIDE;

CORTEX_INLINE void draw_blocks(const Stream& s, uint64_t block, uint32_t* words) {
  const Wide low = Wide{} + 0xFFFFFFFF;
  Wide c0[VECTORS], c1[VECTORS], c2[VECTORS], c3[VECTORS];
#pragma GCC unroll 4
  for (int v = 0; v < VECTORS; v++) {
    c0[v] = (Wide)lane_numbers<double>() + (block + uint64_t(v * WIDE));
    c1[v] = c0[v] >> 32;
    c2[v] = Wide{} + s.step;
    c3[v] = Wide{} + s.op;
  }
  uint32_t k0 = uint32_t(s.seed), k1 = uint32_t(s.seed >> 32);
#pragma GCC unroll 10
  for (int round = 0; round < 10; round++) {
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; v++) {
      const Wide p0 = multiply(c0[v], 0xD2511F53u), p1 = multiply(c2[v], 0xCD9E8D57u);
      c0[v] = (p1 >> 32) ^ c1[v] ^ k0;
      c1[v] = p1;
      c2[v] = (p0 >> 32) ^ c3[v] ^ k1;
      c3[v] = p0;
    }
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
#pragma GCC unroll 4
  for (int v = 0; v < VECTORS; v++) {
    const Vec<double> a = (Vec<double>)((c0[v] & low) | c1[v] << 32), b = (Vec<double>)((c2[v] & low) | c3[v] << 32);
    const Vec<double> first = interleave_lower<double>(a, b), second = interleave_upper<double>(a, b);
    memcpy(words + 4 * WIDE * v, &first, VECTOR_BYTES);
    memcpy(words + 4 * WIDE * v + 2 * WIDE, &second, VECTOR_BYTES);
  }
}

// `count` words from a block on, up to whole draws.
inline void draw(const Stream& s, uint64_t block, int64_t count, uint32_t* words) {
  for (int64_t at = 0; at < count; at += 4 * BLOCKS) draw_blocks(s, block + uint64_t(at / 4), words + at);
}
constexpr int64_t ROOM = PIECE + 4 * BLOCKS;  // of what is drawn for a piece that begins anywhere in a block

// ln(x 2^-32) for a whole number 1 <= x <= 2^32: x = 2^e (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)], and
// ln(1 + f) = 2 artanh(s) = 2 (s + s^3 / 3 + s^5 / 5 + ...) with s = f / (2 + f).
inline double logarithm(double x) {
  int64_t bits;
  memcpy(&bits, &x, sizeof bits);
  // Adding the distance from sqrt(1/2) to 1 carries into the exponent exactly when the mantissa exceeds sqrt(2).
  const int64_t shifted = bits + (0x3FF0000000000000 - 0x3FE6A09E667F3BCD);
  const int32_t exponent = int32_t(shifted >> 52) - 1023;
  const int64_t rest = (shifted & 0x000FFFFFFFFFFFFF) + 0x3FE6A09E667F3BCD;
  double m;
  memcpy(&m, &rest, sizeof m);
  const double f = m - 1, s = f / (2 + f), z = s * s;
  double sum = 1.0 / 19;
  sum = sum * z + 1.0 / 17;
  sum = sum * z + 1.0 / 15;
  sum = sum * z + 1.0 / 13;
  sum = sum * z + 1.0 / 11;
  sum = sum * z + 1.0 / 9;
  sum = sum * z + 1.0 / 7;
  sum = sum * z + 1.0 / 5;
  sum = sum * z + 1.0 / 3;
  return (exponent - 32) * 0.69314718055994530942 + 2 * (s + s * z * sum);
}

// Cosine and sine of 2 pi turns 2^-32: the nearest quarter turn, and Taylor series on the rest, at most pi / 4.
inline void cosine_sine(uint32_t turns, double& cosine, double& sine) {
  const uint32_t quarter = (turns + (1u << 29)) >> 30;
  const double x = int32_t(turns - (quarter << 30)) * (6.28318530717958647693 / 4294967296.0), z = x * x;
  double c = 1.0 / 20922789888000, s = -1.0 / 1307674368000;
  c = c * z - 1.0 / 87178291200;
  s = s * z + 1.0 / 6227020800;
  c = c * z + 1.0 / 479001600;
  s = s * z - 1.0 / 39916800;
  c = c * z - 1.0 / 3628800;
  s = s * z + 1.0 / 362880;
  c = c * z + 1.0 / 40320;
  s = s * z - 1.0 / 5040;
  c = c * z - 1.0 / 720;
  s = s * z + 1.0 / 120;
  c = c * z + 1.0 / 24;
  s = s * z - 1.0 / 6;
  c = c * z * z - 0.5 * z + 1;
  s = s * z * x + x;
  const double a = quarter & 1 ? s : c, b = quarter & 1 ? c : s;
  cosine = (quarter + 1) & 2 ? -a : a;
  sine = quarter & 2 ? -b : b;
}

// Words to numbers: `count` of them, an even number.
inline void uniform(const uint32_t* words, int64_t count, float* out) {
  for (int64_t i = 0; i < count; i++) out[i] = float(int32_t(words[i] >> 8)) * 0x1p-24f;
}
inline void uniform(const uint32_t* words, int64_t count, double* out) {
  for (int64_t i = 0; i < count; i++) out[i] = double(words[i]) * 0x1p-32;
}
// Box-Muller on words (0, 1) and (2, 3) of each block.
template <class T> void normal(const uint32_t* words, int64_t count, T* out) {
  for (int64_t i = 0; i < count; i += 2) {
    const double radius = __builtin_sqrt(-2 * logarithm(double(words[i]) + 1));
    double cosine, sine;
    cosine_sine(words[i + 1], cosine, sine);
    out[i] = T(radius * cosine);
    out[i + 1] = T(radius * sine);
  }
}

}  // namespace cortex::CORTEX_ISA
