// Elementwise expressions of common training programs, compiled: generated/maps.inl, made by scripts/generate_maps.py.
//
//   map_DIGEST_f32, _f64    results as its comment in maps.inl says
//             buffers   outputs, then inputs, in the order of the comment
//             integers  rank (of the outer axes, <= 8), inner, extent[rank], then for each operand its strides in bytes:
//                       [rank] along the outer axes, and one from element to element of a row
//             reals     the constants
//             unit      a row of `inner` elements; rank 0: one element
//
// An output may lie exactly on an input. All elements are computed as parts of whole vectors, so results do not depend on
// where a range is cut. Rows of less than a few vectors are better left to the tape, which packs them.
#include <cstring>

#include "registry.h"
#include "vector_math.h"

namespace cortex::CORTEX_ISA {
namespace {

#define CORTEX_MEMBER inline __attribute__((always_inline))
#define CORTEX_LAMBDA __attribute__((always_inline))

constexpr int MAX_RANK = 8, MAX_OPERANDS = 16;

struct Row {
  char* operand[MAX_OPERANDS];  // where the row starts in each
  const double* real;
};

template <class T> CORTEX_INLINE Vec<T> constant(const Row& row, int k) { return broadcast(T(row.real[k])); }
template <class T, class From> CORTEX_INLINE Vec<T> scalar(const Row& row, int k) {
  return broadcast(T(*reinterpret_cast<const From*>(row.operand[k])));
}

// Bytes to numbers.
template <class T> CORTEX_INLINE Vec<T> load_bytes(const uint8_t* p) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) return _mm512_maskz_cvtepi32_ps(0xFFFF, _mm512_maskz_cvtepu8_epi32(0xFFFF, _mm_loadu_si128((const __m128i*)p)));
  else return _mm512_maskz_cvtepi32_pd(0xFF, _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)p)));
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)p)));
  else return _mm256_cvtepi32_pd(_mm_cvtepu8_epi32(_mm_loadu_si32(p)));
#else
  Vec<T> v;
  for (int i = 0; i < LANES<T>; i++) v[i] = T(p[i]);
  return v;
#endif
}

// A vector at element `at` of a row.
template <class T> struct Place {
  const Row& row;
  int64_t at;
  CORTEX_MEMBER Vec<T> vector(int k, T) const { return load(reinterpret_cast<const T*>(row.operand[k]) + at); }
  CORTEX_MEMBER Vec<T> vector(int k, uint8_t) const {
    return load_bytes<T>(reinterpret_cast<const uint8_t*>(row.operand[k]) + at);
  }
  CORTEX_MEMBER void result(int k, Vec<T> v) const { store(reinterpret_cast<T*>(row.operand[k]) + at, v); }
};

template <class T, class Body> CORTEX_INLINE void each(const Row& row, int64_t n, Body body) {
  for (int64_t i = 0; i < n; i += LANES<T>) body(Place<T>{row, i});
}

typedef void Compute(Row row, int64_t n);  // n: whole vectors

// One row. What does not fill a vector is copied to one that it fills, and the results back.
void run_row(const Row& row, int64_t n, int outputs, int operands, int lanes, const int64_t* step, Compute* compute) {
  const int64_t rest = n % lanes, whole = n - rest;
  if (whole) compute(row, whole);
  if (!rest) return;
  alignas(VECTOR_BYTES) char last[MAX_OPERANDS][VECTOR_BYTES] = {};
  Row part = row;
  for (int k = 0; k < operands; k++) {
    if (k >= outputs && step[k]) memcpy(last[k], row.operand[k] + whole * step[k], size_t(rest * step[k]));
    if (k < outputs || step[k]) part.operand[k] = last[k];
  }
  compute(part, lanes);
  for (int k = 0; k < outputs; k++) memcpy(row.operand[k] + whole * step[k], last[k], size_t(rest * step[k]));
}

void run_rows(const Call& call, int64_t start, int64_t stop, int outputs, int operands, int lanes, Compute* compute) {
  const int rank = int(call.integer[0]);
  const int64_t inner = call.integer[1], *extent = call.integer + 2, *strides = extent + rank;
  Row row;
  row.real = call.real;
  int64_t index[MAX_RANK], step[MAX_OPERANDS], rest = start;
  for (int axis = rank - 1; axis >= 0; axis--) {
    index[axis] = rest % extent[axis];
    rest /= extent[axis];
  }
  for (int k = 0; k < operands; k++) {
    const int64_t* stride = strides + k * (rank + 1);
    step[k] = stride[rank];
    row.operand[k] = static_cast<char*>(call.buffer[k]) + (rank ? 0 : start * step[k]);
    for (int axis = 0; axis < rank; axis++) row.operand[k] += index[axis] * stride[axis];
  }
  if (rank == 0) return run_row(row, stop - start, outputs, operands, lanes, step, compute);
  for (int64_t unit = start; unit < stop; unit++) {
    run_row(row, inner, outputs, operands, lanes, step, compute);
    for (int axis = rank - 1; axis >= 0; axis--) {  // the next row
      const bool carry = ++index[axis] == extent[axis];
      for (int k = 0; k < operands; k++)
        row.operand[k] += strides[k * (rank + 1) + axis] * (carry ? 1 - extent[axis] : 1);
      if (!carry) break;
      index[axis] = 0;
    }
  }
}

template <class T, int OUTPUTS, int OPERANDS, Compute* COMPUTE>
void map(const Call& call, int64_t start, int64_t stop) {
  static_assert(OPERANDS <= MAX_OPERANDS, "a map with more operands than MAX_OPERANDS");
  run_rows(call, start, stop, OUTPUTS, OPERANDS, LANES<T>, COMPUTE);
}

// What the generated file is made of.
#define MAP(digest) template <class T> void compute_##digest(Row row, int64_t n)
#define SCALAR(name, k, From) const Vec<T> name = scalar<T, From>(row, k);
#define CONSTANT(name, k) const Vec<T> name = constant<T>(row, k);
#define EACH each<T>(row, n, [&](auto at) CORTEX_LAMBDA {
#define END });
#define VECTOR(name, k, From) const Vec<T> name = at.vector(k, From());
#define RESULT(k, value) at.result(k, value);

#include "../generated/maps.inl"

}  // namespace
}  // namespace cortex::CORTEX_ISA

#define BOTH(digest, outputs, operands)                                                      \
  {"map_" #digest "_f32", map<float, outputs, operands, compute_##digest<float>>},           \
      {"map_" #digest "_f64", map<double, outputs, operands, compute_##digest<double>>},
CORTEX_KERNELS(map, MAPS(BOTH))
