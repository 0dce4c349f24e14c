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

// As many bytes as a vector has lanes.
template <class T> struct Narrow { typedef uint8_t bytes __attribute__((vector_size(LANES<T>))); };
template <class T> using ByteLanes = typename Narrow<T>::bytes;

}  // namespace cortex::CORTEX_ISA
