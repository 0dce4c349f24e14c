// Vectors of float or double, one length per instruction set.
//
// The same source is compiled once per instruction set (CORTEX_ISA names the namespace of the copy). The length of a
// vector follows from what the compiler was told it may use: 64 bytes for AVX-512, 32 for AVX2, 16 for SSE2 and NEON.
// Longer vectors than the registers are not an option: they spill, and a convolution ran 11 times slower.
// Arithmetic and comparison are the operators of the GCC/Clang vector types; a * b + c contracts to one FMA.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#ifndef CORTEX_ISA
#error "define CORTEX_ISA, the namespace of this instruction set: isa_base, isa_avx2 or isa_avx512"
#endif

#define CORTEX_INLINE_MEMBER inline __attribute__((always_inline))
#define CORTEX_INLINE static CORTEX_INLINE_MEMBER

namespace cortex::CORTEX_ISA {

#if defined(__AVX512F__)
constexpr int VECTOR_BYTES = 64, REGISTERS = 32;
#elif defined(__AVX2__)
constexpr int VECTOR_BYTES = 32, REGISTERS = 16;
#elif defined(__aarch64__)
constexpr int VECTOR_BYTES = 16, REGISTERS = 32;
#else
constexpr int VECTOR_BYTES = 16, REGISTERS = 16;
#endif

// aligned: in registers; unaligned: the same bits at any address of an element; Integer: what a comparison yields.
template <class T> struct VectorTypes;
template <> struct VectorTypes<float> {
  typedef float aligned __attribute__((vector_size(VECTOR_BYTES)));
  typedef float unaligned __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));
  typedef int32_t integers __attribute__((vector_size(VECTOR_BYTES)));
  typedef int32_t Integer;
};
template <> struct VectorTypes<double> {
  typedef double aligned __attribute__((vector_size(VECTOR_BYTES)));
  typedef double unaligned __attribute__((vector_size(VECTOR_BYTES), aligned(8), may_alias));
  typedef int64_t integers __attribute__((vector_size(VECTOR_BYTES)));
  typedef int64_t Integer;
};
template <class T> using Vec = typename VectorTypes<T>::aligned;
template <class T> using IntVec = typename VectorTypes<T>::integers;  // as many lanes, as wide, as Vec<T>
template <class T> using Int = typename VectorTypes<T>::Integer;
template <class T> constexpr int LANES = VECTOR_BYTES / int(sizeof(T));

// 0, 1, .. N-1 as a template argument list.
template <int... I> struct Lanes {};
template <int N, int... I> struct CountLanes : CountLanes<N - 1, N - 1, I...> {};
template <int... I> struct CountLanes<0, I...> { typedef Lanes<I...> type; };
template <class T> using AllLanes = typename CountLanes<LANES<T>>::type;

// A list of equal elements, not `Vec{} + x`: without fast-math that is a real addition (-0.0 + 0.0).
template <class T, int... I> CORTEX_INLINE Vec<T> broadcast_lanes(T x, Lanes<I...>) { return Vec<T>{((void)I, x)...}; }
template <class T> CORTEX_INLINE Vec<T> broadcast(T x) { return broadcast_lanes<T>(x, AllLanes<T>()); }
template <class T, int... I> CORTEX_INLINE IntVec<T> lane_numbers(Lanes<I...>) { return IntVec<T>{I...}; }
template <class T> CORTEX_INLINE IntVec<T> lane_numbers() { return lane_numbers<T>(AllLanes<T>()); }

template <class T> CORTEX_INLINE Vec<T> load(const T* p) { return *(const typename VectorTypes<T>::unaligned*)p; }
template <class T> CORTEX_INLINE void store(T* p, Vec<T> v) { *(typename VectorTypes<T>::unaligned*)p = v; }

// The first `count` lanes (0 .. LANES), the others zero; memory beyond them is not touched.
template <class T> CORTEX_INLINE Vec<T> load_part(const T* p, int64_t count) {
#if defined(__AVX512F__)
  const uint32_t mask = (1u << count) - 1;
  if constexpr (sizeof(T) == 4) return _mm512_maskz_loadu_ps((__mmask16)mask, p);
  else return _mm512_maskz_loadu_pd((__mmask8)mask, p);
#elif defined(__AVX2__)
  const __m256i mask = (__m256i)(lane_numbers<T>() < (IntVec<T>{} + (Int<T>)count));
  if constexpr (sizeof(T) == 4) return _mm256_maskload_ps(p, mask);
  else return _mm256_maskload_pd(p, mask);
#else
  Vec<T> v = {};
  for (int i = 0; i < count; i++) v[i] = p[i];
  return v;
#endif
}

template <class T> CORTEX_INLINE Vec<T> select(IntVec<T> mask, Vec<T> yes, Vec<T> no) { return mask ? yes : no; }
// b unless a > b: a NaN in b stays, one in a is lost. minimum alike.
template <class T> CORTEX_INLINE Vec<T> maximum(Vec<T> a, Vec<T> b) { return a > b ? a : b; }
template <class T> CORTEX_INLINE Vec<T> minimum(Vec<T> a, Vec<T> b) { return a < b ? a : b; }

template <class T, int D, int... I> CORTEX_INLINE Vec<T> rotate_lanes(Vec<T> v, Lanes<I...>) {
  return __builtin_shufflevector(v, v, ((I + D) % LANES<T>)...);
}
template <class T, int N = LANES<T> / 2> CORTEX_INLINE void store_pieces(T* p, Vec<T> v, int64_t count) {
  if constexpr (N > 0) {
    const bool stored = count & N;
    if (stored) std::memcpy(p, &v, N * sizeof(T));
    store_pieces<T, N / 2>(p + (stored ? N : 0), stored ? rotate_lanes<T, N>(v, AllLanes<T>()) : v, count);
  }
}

// The first `count` lanes (0 .. LANES). AVX2 has a masked store too, but it is microcoded on AMD: pieces of 4, 2 and 1
// are faster there.
template <class T> CORTEX_INLINE void store_part(T* p, Vec<T> v, int64_t count) {
#if defined(__AVX512F__)
  const uint32_t mask = (1u << count) - 1;
  if constexpr (sizeof(T) == 4) _mm512_mask_storeu_ps(p, (__mmask16)mask, v);
  else _mm512_mask_storeu_pd(p, (__mmask8)mask, v);
#else
  count == LANES<T> ? store(p, v) : store_pieces(p, v, count);
#endif
}

// Pairwise, in an order that depends on the vector length only.
template <class T, int D = LANES<T> / 2> CORTEX_INLINE T horizontal_sum(Vec<T> v) {
  if constexpr (D == 0) return v[0];
  else return horizontal_sum<T, D / 2>(v + rotate_lanes<T, D>(v, AllLanes<T>()));
}
template <class T, int D = LANES<T> / 2> CORTEX_INLINE T horizontal_maximum(Vec<T> v) {
  if constexpr (D == 0) return v[0];
  else return horizontal_maximum<T, D / 2>(maximum<T>(v, rotate_lanes<T, D>(v, AllLanes<T>())));
}

// The even and the odd elements of two vectors laid end to end.
template <class T, int... I> CORTEX_INLINE Vec<T> even_lanes(Vec<T> a, Vec<T> b, Lanes<I...>) {
  return __builtin_shufflevector(a, b, (2 * I)...);
}
template <class T, int... I> CORTEX_INLINE Vec<T> odd_lanes(Vec<T> a, Vec<T> b, Lanes<I...>) {
  return __builtin_shufflevector(a, b, (2 * I + 1)...);
}
template <class T> CORTEX_INLINE Vec<T> even_lanes(Vec<T> a, Vec<T> b) { return even_lanes<T>(a, b, AllLanes<T>()); }
template <class T> CORTEX_INLINE Vec<T> odd_lanes(Vec<T> a, Vec<T> b) { return odd_lanes<T>(a, b, AllLanes<T>()); }

// a0 b0 a1 b1 .. from the lower halves of two vectors, and from the upper halves.
template <class T, int FROM, int... I> CORTEX_INLINE Vec<T> interleave(Vec<T> a, Vec<T> b, Lanes<I...>) {
  return __builtin_shufflevector(a, b, (FROM + I / 2 + I % 2 * LANES<T>)...);
}
template <class T> CORTEX_INLINE Vec<T> interleave_lower(Vec<T> a, Vec<T> b) {
  return interleave<T, 0>(a, b, AllLanes<T>());
}
template <class T> CORTEX_INLINE Vec<T> interleave_upper(Vec<T> a, Vec<T> b) {
  return interleave<T, LANES<T> / 2>(a, b, AllLanes<T>());
}

// Transpose of LANES x LANES elements in registers: log2(LANES) rounds that swap off-diagonal blocks of D x D.
template <class T, int D, int... I> CORTEX_INLINE void swap_blocks(Vec<T>& a, Vec<T>& b, Lanes<I...>) {
  const Vec<T> upper = __builtin_shufflevector(a, b, ((I & D) ? LANES<T> + I - D : I)...);
  b = __builtin_shufflevector(a, b, ((I & D) ? LANES<T> + I : I + D)...);
  a = upper;
}
template <class T, int D = LANES<T> / 2> CORTEX_INLINE void transpose(Vec<T>* rows) {
  if constexpr (D > 0) {
#pragma GCC unroll 16
    for (int i = 0; i < LANES<T>; i++)
      if (!(i & D)) swap_blocks<T, D>(rows[i], rows[i | D], AllLanes<T>());
    transpose<T, D / 2>(rows);
  }
}

// Lane i of the result: the sum of the lanes of v[i], LANES vectors, added as horizontal_sum adds. v is overwritten.
template <class T, int D = LANES<T> / 2> CORTEX_INLINE Vec<T> horizontal_sums(Vec<T>* v) {
  if constexpr (D == 0) return v[0];
  else {
#pragma GCC unroll 16
    for (int i = 0; i < D; i++) {
      swap_blocks<T, D>(v[i], v[i + D], AllLanes<T>());
      v[i] += v[i + D];
    }
    return horizontal_sums<T, D / 2>(v);
  }
}

}  // namespace cortex::CORTEX_ISA
