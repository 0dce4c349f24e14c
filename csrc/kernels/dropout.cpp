// Dropout: x times noise of mean 1 that is drawn where it is needed (csrc/philox.h) and stored nowhere.
//
//   dropout_bernoulli_f32, _f64        y = 0 where u < p, else x * scale; u uniform
//   dropout_gaussian_f32, _f64         y = x * (1 + deviation * n); n normal
//             buffers      y, x, seed u64 [1], step i64 [1]
//             integers     op, count of elements, number of the first
//             reals        p and scale; deviation
//             unit         PIECE elements
//   dropout_bernoulli_lanes_f32, ..    the same where x lies in batch lanes, [blocks, elements, 16]
//             integers     op, elements of an example, number of the first, examples
//             unit         PIECE elements of the 16 examples of a block
//
// An example has numbers of its own, side by side; in lanes those of 16 examples are drawn and transposed in registers.
// With AVX-512 on one core of an AMD EPYC (Zen 4) 0.46 ns an element, 0.64 in lanes; scaling an array takes 0.1 in the
// L2 cache and 0.34 beyond the caches.
#include "philox.h"
#include "registry.h"

namespace cortex::CORTEX_ISA {
namespace {

constexpr int EXAMPLES = 16;  // LANES of compute/layouts.py

template <class T> struct Bernoulli {
  Vec<T> p, scale;
  explicit Bernoulli(const Call& call) : p(broadcast(T(call.real[0]))), scale(broadcast(T(call.real[1]))) {}
  static void numbers(const uint32_t* words, int64_t count, T* out) { uniform(words, count, out); }
  Vec<T> operator()(Vec<T> x, Vec<T> u) const { return select<T>(u < p, Vec<T>{}, x * scale); }
};

template <class T> struct Gaussian {
  Vec<T> deviation;
  explicit Gaussian(const Call& call) : deviation(broadcast(T(call.real[0]))) {}
  static void numbers(const uint32_t* words, int64_t count, T* out) { normal(words, count, out); }
  Vec<T> operator()(Vec<T> x, Vec<T> n) const { return x * (1 + deviation * n); }
};

// `count` numbers from `from` on as `Noise` has them, at most PIECE; returns where the first lies in `out`.
template <class T, class Noise> const T* draw_numbers(const Stream& s, uint64_t from, int64_t count, T* out) {
  uint32_t words[ROOM];
  const int64_t before = int64_t(from % 4);
  draw(s, from / 4, before + count, words);
  Noise::numbers(words, (before + count + 1) / 2 * 2, out);
  return out + before;
}

template <class T, class Noise> void dropout(const Call& call, int64_t start, int64_t stop) {
  const int64_t count = call.integer[1];
  const Stream s = stream(call.buffer + 2, call.integer[0]);
  const Noise noise(call);
  for (int64_t unit = start; unit < stop; unit++) {
    const int64_t at = unit * PIECE, n = count - at < PIECE ? count - at : PIECE;
    T buffer[ROOM];
    const T* number = draw_numbers<T, Noise>(s, uint64_t(call.integer[2] + at), n, buffer);
    T* y = static_cast<T*>(call.buffer[0]) + at;
    const T* x = static_cast<const T*>(call.buffer[1]) + at;
    int64_t i = 0;
    for (; i + LANES<T> <= n; i += LANES<T>) store(y + i, noise(load(x + i), load(number + i)));
    if (i < n) store_part(y + i, noise(load_part(x + i, n - i), load_part(number + i, n - i)), n - i);
  }
}

template <class T, class Noise> void dropout_lanes(const Call& call, int64_t start, int64_t stop) {
  const int64_t elements = call.integer[1], pieces = (elements + PIECE - 1) / PIECE;
  const Stream s = stream(call.buffer + 2, call.integer[0]);
  const Noise noise(call);
  T buffer[EXAMPLES][ROOM] = {};  // also of lanes without example
  for (int64_t unit = start; unit < stop; unit++) {
    const int64_t at = unit % pieces * PIECE, n = elements - at < PIECE ? elements - at : PIECE;
    const int64_t example = unit / pieces * EXAMPLES;
    const T* number[EXAMPLES];
    for (int64_t k = 0; k < EXAMPLES; k++) {
      const uint64_t from = uint64_t(call.integer[2] + (example + k) * elements + at);
      number[k] = example + k < call.integer[3] ? draw_numbers<T, Noise>(s, from, n, buffer[k]) : buffer[k];
    }
    const int64_t first = (unit / pieces * elements + at) * EXAMPLES;
    T* y = static_cast<T*>(call.buffer[0]) + first;
    const T* x = static_cast<const T*>(call.buffer[1]) + first;
    for (int64_t i = 0; i < n; i += LANES<T>) {
      const int64_t whole = n - i < LANES<T> ? n - i : LANES<T>;
      for (int64_t k = 0; k < EXAMPLES; k += LANES<T>) {
        Vec<T> tile[LANES<T>];
        for (int64_t l = 0; l < LANES<T>; l++) tile[l] = load(number[k + l] + i);
        transpose<T>(tile);
        for (int64_t l = 0; l < whole; l++) {
          const int64_t place = (i + l) * EXAMPLES + k;
          store(y + place, noise(load(x + place), tile[l]));
        }
      }
    }
  }
}

}  // namespace
}  // namespace cortex::CORTEX_ISA

#define BOTH(distribution, Noise)                                                  \
  {"dropout_" #distribution "_f32", dropout<float, Noise<float>>},                 \
      {"dropout_" #distribution "_f64", dropout<double, Noise<double>>},           \
      {"dropout_" #distribution "_lanes_f32", dropout_lanes<float, Noise<float>>}, \
      {"dropout_" #distribution "_lanes_f64", dropout_lanes<double, Noise<double>>}
CORTEX_KERNELS(dropout, BOTH(bernoulli, Bernoulli), BOTH(gaussian, Gaussian))
