// Pools of 2 x 2 windows side by side: both rows of cells in four vectors, columns by shuffles, gradients written once.
#pragma once
#include "pool_windows.h"

namespace cortex::CORTEX_ISA {

// Windows of 2 x 2 side by side, none over an edge.
static inline bool halves(const Pool& p) {
  return p.window_h == 2 && p.window_w == 2 && p.stride_h == 2 && p.stride_w == 2 && p.pad_top == 0 &&
         p.pad_left == 0 && p.out_height * 2 <= p.height && p.out_width * 2 <= p.width;
}

// And they cover the image.
static inline bool halves_all(const Pool& p) {
  return halves(p) && p.out_height * 2 == p.height && p.out_width * 2 == p.width;
}

template <class T> CORTEX_INLINE Vec<T> load_some(const T* p, int64_t count) {
  return count >= LANES<T> ? load(p) : count > 0 ? load_part(p, count) : Vec<T>{};
}
template <class T> CORTEX_INLINE void store_some(T* p, Vec<T> v, int64_t count) {
  if (count >= LANES<T>) store(p, v);
  else if (count > 0) store_part(p, v, count);
}

template <class T> CORTEX_INLINE void keep_greater(Vec<T>& best, IntVec<T>& place, Vec<T> value, int number) {
  const IntVec<T> better = ((value <= best) == 0) & (best == best);
  best = select<T>(better, value, best);
  place = better ? (IntVec<T>{} + Int<T>(number)) : place;
}

template <class T> static void max_pool_halves(const Call& call, int64_t start, int64_t stop) {
  constexpr int L = LANES<T>;
  const Pool p = pool_of(call);
  for (int64_t row = start * p.out_height; row < stop * p.out_height; row++) {
    const T* const x = (const T*)call.buffer[p.flag ? 2 : 1] +
                       (row / p.out_height * p.height + row % p.out_height * 2) * p.width;
    for (int64_t c = 0; c < p.out_width; c += L) {
      const int64_t count = smaller(L, p.out_width - c);
      const T *upper = x + 2 * c, *lower = upper + p.width;
      const Vec<T> a = load_some(upper, 2 * count), b = load_some(upper + L, 2 * count - L);
      const Vec<T> d = load_some(lower, 2 * count), e = load_some(lower + L, 2 * count - L);
      Vec<T> best = even_lanes<T>(a, b);
      IntVec<T> place = {};
      keep_greater<T>(best, place, odd_lanes<T>(a, b), 1);
      keep_greater<T>(best, place, even_lanes<T>(d, e), 2);
      keep_greater<T>(best, place, odd_lanes<T>(d, e), 3);
      store_some((T*)call.buffer[0] + row * p.out_width + c, best, count);
      if (p.flag) store_index<T>(call.buffer[1], p.flag, row * p.out_width + c, place, count);
    }
  }
}

template <class T> static void max_pool_gradient_halves(const Call& call, int64_t start, int64_t stop) {
  constexpr int L = LANES<T>;
  const Pool p = pool_of(call);
  for (int64_t row = start * p.out_height; row < stop * p.out_height; row++) {
    T* const dx = (T*)call.buffer[0] + row * 2 * p.width;
    for (int64_t c = 0; c < p.out_width; c += L) {
      const int64_t count = smaller(L, p.out_width - c), at = row * p.out_width + c;
      const Vec<T> dy = load_some((const T*)call.buffer[1] + at, count);
      const IntVec<T> place = load_indices<T>((const uint8_t*)call.buffer[2] + at, count);
      for (int i = 0; i < 2; i++) {
        const Vec<T> even = select<T>(place == IntVec<T>{} + Int<T>(2 * i), dy, Vec<T>{});
        const Vec<T> odd = select<T>(place == IntVec<T>{} + Int<T>(2 * i + 1), dy, Vec<T>{});
        store_some(dx + i * p.width + 2 * c, interleave_lower<T>(even, odd), 2 * count);
        store_some(dx + i * p.width + 2 * c + L, interleave_upper<T>(even, odd), 2 * count - L);
      }
    }
  }
}

template <class T> static void average_pool_halves(const Call& call, int64_t start, int64_t stop) {
  constexpr int L = LANES<T>;
  const Pool p = pool_of(call);
  for (int64_t row = start * p.out_height; row < stop * p.out_height; row++) {
    const T* const x = (const T*)call.buffer[1] + (row / p.out_height * p.height + row % p.out_height * 2) * p.width;
    for (int64_t c = 0; c < p.out_width; c += L) {
      const int64_t count = smaller(L, p.out_width - c);
      const T *upper = x + 2 * c, *lower = upper + p.width;
      const Vec<T> a = load_some(upper, 2 * count) + load_some(lower, 2 * count);
      const Vec<T> b = load_some(upper + L, 2 * count - L) + load_some(lower + L, 2 * count - L);
      store_some((T*)call.buffer[0] + row * p.out_width + c,
                 (even_lanes<T>(a, b) + odd_lanes<T>(a, b)) * broadcast(T(0.25)), count);
    }
  }
}

template <class T> static void average_pool_gradient_halves(const Call& call, int64_t start, int64_t stop) {
  constexpr int L = LANES<T>;
  const Pool p = pool_of(call);
  for (int64_t row = start * p.out_height; row < stop * p.out_height; row++) {
    T* const dx = (T*)call.buffer[0] + row * 2 * p.width;
    for (int64_t c = 0; c < p.out_width; c += L) {
      const int64_t count = smaller(L, p.out_width - c);
      const Vec<T> share = load_some((const T*)call.buffer[1] + row * p.out_width + c, count) * broadcast(T(0.25));
      for (int i = 0; i < 2; i++) {
        store_some(dx + i * p.width + 2 * c, interleave_lower<T>(share, share), 2 * count);
        store_some(dx + i * p.width + 2 * c + L, interleave_upper<T>(share, share), 2 * count - L);
      }
    }
  }
}

}  // namespace cortex::CORTEX_ISA
