// Random numbers from counters; csrc/philox.h.
//
//   random_bits_u32        out[i] = word i % 4 of block first + i / 4
//   random_uniform_f32     (word >> 8) * 2^-24
//   random_uniform_f64     word * 2^-32: the same words, so a mask by a threshold is the same in both types
//   random_normal_f32, _f64   Box-Muller on words (0, 1) and (2, 3): radius sqrt(-2 ln((a + 1) 2^-32)) at the angle
//                          2 pi b 2^-32; element 0 is the cosine, 1 the sine
//             buffers      out, seed u64 [1], step i64 [1]
//             integers     op, count of elements, first block
//             unit         PIECE elements; the last may be cut short
//
// 0.41 ns a uniform number on one core of an AMD EPYC (Zen 4) with AVX-512, 0.64 with AVX2; a normal one 1.9 and 3.3.
#include "philox.h"
#include "registry.h"

namespace cortex::CORTEX_ISA {
namespace {

inline void bits(const uint32_t* words, int64_t count, uint32_t* out) {
  memcpy(out, words, size_t(count) * sizeof *out);
}

template <class T, void convert(const uint32_t*, int64_t, T*)>
void random(const Call& call, int64_t start, int64_t stop) {
  const int64_t count = call.integer[1], first = call.integer[2];
  T* out = static_cast<T*>(call.buffer[0]);
  const Stream s = stream(call.buffer + 1, call.integer[0]);
  for (int64_t at = start * PIECE; at < stop * PIECE && at < count; at += PIECE) {
    const int64_t n = count - at < PIECE ? count - at : PIECE;
    uint32_t words[PIECE];
    draw(s, uint64_t(first + at / 4), n, words);
    if (n == PIECE) {
      convert(words, PIECE, out + at);
    } else {
      T last[PIECE];
      convert(words, (n + 1) / 2 * 2, last);
      memcpy(out + at, last, size_t(n) * sizeof(T));
    }
  }
}

}  // namespace
}  // namespace cortex::CORTEX_ISA

CORTEX_KERNELS(random, {"random_bits_u32", random<uint32_t, bits>},
               {"random_uniform_f32", random<float, uniform>},
               {"random_uniform_f64", random<double, uniform>},
               {"random_normal_f32", random<float, normal<float>>},
               {"random_normal_f64", random<double, normal<double>>})
