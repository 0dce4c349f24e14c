// Values in lanes: an image whose pixels are short vectors of equals, all taken through the same window.
//
// Batch lanes, [blocks][channels][height][width][16]: sixteen examples of one channel side by side. Channels last,
// [examples][height][width][channels], is the same to a pool: planes of pixels of `depth` elements. A pixel's elements
// never meet, so every channel count and image size fills the vectors, and nothing is shuffled.
#pragma once
#include "kernel.h"
#include "lanes_plans.h"
#include "simd.h"

namespace cortex::CORTEX_ISA {

template <class T> constexpr int PIXEL_VECTORS = int(EXAMPLES) / LANES<T>;  // of a pixel in batch lanes

// All lanes: a plain load, which the compiler may fold into its use.
template <class T> CORTEX_INLINE Vec<T> load_lanes(const T* p, int64_t count) {
  return count == LANES<T> ? load(p) : load_part(p, count);
}
template <class T> CORTEX_INLINE void store_lanes(T* p, Vec<T> v, int64_t count) {
  if (count == LANES<T>) store(p, v);
  else store_part(p, v, count);
}

// A vector of small integers from as many bytes, and to them. GCC 12 takes a conversion of whole vectors apart into one
// instruction and more for each element.
template <class T> CORTEX_INLINE IntVec<T> load_bytes(const uint8_t* p) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return (IntVec<T>)_mm512_maskz_cvtepu8_epi32(0xffff, _mm_loadu_si128((const __m128i*)p));
  else return (IntVec<T>)_mm512_maskz_cvtepu8_epi64(0xff, _mm_loadl_epi64((const __m128i*)p));
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) return (IntVec<T>)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)p));
  else return (IntVec<T>)_mm256_cvtepu8_epi64(_mm_loadu_si32(p));
#else
  IntVec<T> v = {};
  for (int i = 0; i < LANES<T>; i++) v[i] = p[i];
  return v;
#endif
}
template <class T> CORTEX_INLINE void store_bytes(uint8_t* p, IntVec<T> v) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) _mm512_mask_cvtepi32_storeu_epi8(p, 0xffff, (__m512i)v);
  else _mm512_mask_cvtepi64_storeu_epi8(p, 0xff, (__m512i)v);
#elif defined(__AVX2__)
  const __m256i low = _mm256_set1_epi64x(sizeof(T) == 4 ? 0x0c080400 : 0x0800);
  const __m256i bytes = _mm256_shuffle_epi8((__m256i)v, low);
  const int a = _mm256_extract_epi32(bytes, 0), b = _mm256_extract_epi32(bytes, 4);
  if constexpr (sizeof(T) == 4) _mm_storel_epi64((__m128i*)p, _mm_set_epi32(0, 0, b, a));
  else _mm_storeu_si32(p, _mm_cvtsi32_si128((a & 0xffff) | b << 16));
#else
  for (int i = 0; i < LANES<T>; i++) p[i] = uint8_t(v[i]);
#endif
}

}  // namespace cortex::CORTEX_ISA
