// Where the windows of a pool lie, and a vector of neighbouring outputs' cells at a time (kernels/pool.cpp).
#pragma once
#include "kernel.h"
#include "plans.h"
#include "simd.h"

namespace cortex::CORTEX_ISA {

struct Pool {
  int64_t planes, height, width, window_h, window_w, stride_h, stride_w;
  int64_t pad_top, pad_bottom, pad_left, pad_right, out_height, out_width, flag;
};

static inline Pool pool_of(const Call& call) {
  const int64_t* i = call.integer;
  return {i[0], i[1], i[2], i[3], i[4], i[5], i[6], i[7], i[8], i[9], i[10], i[11], i[12], i[13]};
}

struct Range {
  int64_t start, stop;
  int64_t count() const { return larger(0, stop - start); }
};

// Cells of a window at `first` that lie in [low, high), counted from the window's own start.
static inline Range inside(int64_t first, int64_t window, int64_t low, int64_t high) {
  return {larger(0, low - first), smaller(window, high - first)};
}

// What one row of outputs needs of its window: the real rows, and the number of rows an average counts.
struct Rows {
  int64_t first, counted;  // of the window in the image (may be negative)
  Range real;
};

static inline Rows rows_of(const Pool& p, int64_t out_row) {
  const int64_t first = out_row * p.stride_h - p.pad_top;
  const Range real = inside(first, p.window_h, 0, p.height);
  return {first, p.flag ? inside(first, p.window_h, -p.pad_top, p.height + p.pad_bottom).count() : real.count(), real};
}

static inline int64_t counted_columns(const Pool& p, int64_t out_column) {
  const int64_t first = out_column * p.stride_w - p.pad_left;
  return p.flag ? inside(first, p.window_w, -p.pad_left, p.width + p.pad_right).count()
                : inside(first, p.window_w, 0, p.width).count();
}

// Elements 0, stride, 2 stride, .. of p into the first `count` lanes; touches nothing beyond the last of them.
template <class T> CORTEX_INLINE Vec<T> load_strided(const T* p, int64_t stride, int64_t count) {
  constexpr int L = LANES<T>;
  if (stride == 1) return count == L ? load(p) : load_part(p, count);
  if (stride == 2) {
    const int64_t n = 2 * count - 1;
    return even_lanes<T>(n >= L ? load(p) : load_part(p, n), n > L ? load_part(p + L, n - L) : Vec<T>{});
  }
  Vec<T> v = {};
  for (int64_t i = 0; i < count; i++) v[i] = p[i * stride];
  return v;
}

// A vector of outputs from out_column on, in one row of the image, at column `cell` of their windows: which lanes have
// a real cell there, and its value (0 in the others).
template <class T> struct Cells {
  IntVec<T> real;
  Vec<T> value;
};

template <class T> CORTEX_INLINE Cells<T> load_cells(const Pool& p, const T* row, int64_t out_column, int64_t count,
                                                     int64_t cell) {
  const int64_t column = out_column * p.stride_w - p.pad_left + cell;
  if (column >= 0 && column + (count - 1) * p.stride_w < p.width)
    return {~IntVec<T>{}, load_strided<T>(row + column, p.stride_w, count)};
  Cells<T> c = {};
  for (int64_t i = 0; i < count; i++) {
    const int64_t x = column + i * p.stride_w;
    if (x < 0 || x >= p.width) continue;
    c.real[i] = -1;
    c.value[i] = row[x];
  }
  return c;
}

template <class T> static void store_index(void* index, int64_t bytes, int64_t at, IntVec<T> v, int64_t count) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    if (bytes == 1) {
      _mm512_mask_cvtepi32_storeu_epi8((char*)index + at, (__mmask16)((1u << count) - 1), (__m512i)v);
      return;
    }
#endif
  if (bytes == 1)
    for (int64_t i = 0; i < count; i++) ((uint8_t*)index)[at + i] = uint8_t(v[i]);
  else if (bytes == 4)
    for (int64_t i = 0; i < count; i++) ((int32_t*)index)[at + i] = int32_t(v[i]);
}

// All columns of the window lie in the image.
static inline bool whole(const Pool& p, int64_t out_column) {
  const int64_t first = out_column * p.stride_w - p.pad_left;
  return first >= 0 && first + p.window_w <= p.width;
}

template <class T> CORTEX_INLINE IntVec<T> load_indices(const uint8_t* index, int64_t count) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return (IntVec<T>)_mm512_maskz_cvtepu8_epi32(0xffff, _mm_maskz_loadu_epi8((__mmask16)((1u << count) - 1), index));
#endif
  IntVec<T> v = {};
  for (int64_t i = 0; i < count; i++) v[i] = index[i];
  return v;
}

static inline int64_t load_index(const void* index, int64_t bytes, int64_t at) {
  return bytes == 1 ? ((const uint8_t*)index)[at] : ((const int32_t*)index)[at];
}

}  // namespace cortex::CORTEX_ISA
