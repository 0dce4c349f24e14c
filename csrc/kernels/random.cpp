// Philox4x32-10, a counter-based generator: every element is a function of (seed, step, op, position) alone.
// Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (SC 2011).
//
//   random_bits_u32        out[i] = word i % 4 of block first + i / 4
//   random_uniform_f32     (word >> 8) * 2^-24
//   random_uniform_f64     word * 2^-32: the same words, so a mask by a threshold is the same in both types
//   random_normal_f32, _f64   Box-Muller on words (0, 1) and (2, 3): radius sqrt(-2 ln((a + 1) 2^-32)) at the angle
//                          2 pi b 2^-32; element 0 is the cosine, 1 the sine
//             buffers      out, seed u64 [1], step i64 [1]
//             integers     op, count of elements, first
//             unit         one block, four elements; the last may be cut short
//
// Key: the two halves of the seed. Counter: block (low, high), step (low 32 bits), op. Compiled without contraction to
// FMA (see CMakeLists.txt), so every instruction set gives the same bits. Loops run over BLOCKS independent blocks and
// are vectorised by the compiler, hence logarithm, sine and cosine as polynomials: to 1e-15, both types in double,
// because in float 1 - (a + 1) 2^-32 loses the small radii.
#include <cstring>

#include "registry.h"

namespace cortex::CORTEX_ISA {
namespace {

constexpr int BLOCKS = 64;

struct Words {
  uint32_t of[4][BLOCKS];
};

void philox(uint64_t seed, uint64_t block, uint32_t step, uint32_t op, Words& words) {
  for (int i = 0; i < BLOCKS; i++) {
    uint32_t c0 = uint32_t(block + uint64_t(i)), c1 = uint32_t((block + uint64_t(i)) >> 32), c2 = step, c3 = op;
    uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
#pragma GCC unroll 10
    for (int round = 0; round < 10; round++) {
      const uint64_t p0 = uint64_t(0xD2511F53u) * c0, p1 = uint64_t(0xCD9E8D57u) * c2;
      c0 = uint32_t(p1 >> 32) ^ c1 ^ k0;
      c1 = uint32_t(p1);
      c2 = uint32_t(p0 >> 32) ^ c3 ^ k1;
      c3 = uint32_t(p0);
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    words.of[0][i] = c0;
    words.of[1][i] = c1;
    words.of[2][i] = c2;
    words.of[3][i] = c3;
  }
}

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

inline void convert_bits(const Words& words, uint32_t* out) {
  for (int i = 0; i < BLOCKS; i++)
    for (int k = 0; k < 4; k++) out[4 * i + k] = words.of[k][i];
}

inline void convert_uniform(const Words& words, float* out) {
  for (int i = 0; i < BLOCKS; i++)
    for (int k = 0; k < 4; k++) out[4 * i + k] = float(int32_t(words.of[k][i] >> 8)) * 0x1p-24f;
}
inline void convert_uniform(const Words& words, double* out) {
  for (int i = 0; i < BLOCKS; i++)
    for (int k = 0; k < 4; k++) out[4 * i + k] = double(words.of[k][i]) * 0x1p-32;
}

template <class T>
void convert_normal(const Words& words, T* out) {
  for (int pair = 0; pair < 2; pair++) {
    for (int i = 0; i < BLOCKS; i++) {
      const double radius = __builtin_sqrt(-2 * logarithm(double(words.of[2 * pair][i]) + 1));
      double cosine, sine;
      cosine_sine(words.of[2 * pair + 1][i], cosine, sine);
      out[4 * i + 2 * pair] = T(radius * cosine);
      out[4 * i + 2 * pair + 1] = T(radius * sine);
    }
  }
}

template <class T, void convert(const Words&, T*)>
void random(const Call& call, int64_t start, int64_t stop) {
  const uint32_t op = uint32_t(call.integer[0]);
  const int64_t count = call.integer[1], first = call.integer[2];
  T* out = static_cast<T*>(call.buffer[0]);
  const uint64_t seed = *static_cast<const uint64_t*>(call.buffer[1]);
  const uint32_t step = uint32_t(*static_cast<const int64_t*>(call.buffer[2]));
  const int64_t end = 4 * stop < count ? 4 * stop : count;
  Words words;
  for (int64_t at = 4 * start; at < end; at += 4 * BLOCKS) {
    philox(seed, uint64_t(first + at / 4), step, op, words);
    if (end - at >= 4 * BLOCKS) {
      convert(words, out + at);
    } else {
      T last[4 * BLOCKS];
      convert(words, last);
      memcpy(out + at, last, size_t(end - at) * sizeof(T));
    }
  }
}

}  // namespace
}  // namespace cortex::CORTEX_ISA

CORTEX_KERNELS(random, {"random_bits_u32", random<uint32_t, convert_bits>},
               {"random_uniform_f32", random<float, convert_uniform>},
               {"random_uniform_f64", random<double, convert_uniform>},
               {"random_normal_f32", random<float, convert_normal<float>>},
               {"random_normal_f64", random<double, convert_normal<double>>})
