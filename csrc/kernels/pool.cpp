// max_pool_f32/f64, max_pool_gradient, average_pool, average_pool_gradient over planes (batch x channels) of an image.
//
//   buffers   max_pool              y, index (absent without), x
//             max_pool_gradient     dx, dy, index
//             average_pool          y, x;   average_pool_gradient   dx, dy
//   layout    x, dx [planes][height][width]; y, dy, index [planes][out_height][out_width]
//   integers  0 planes, 1 height, 2 width, 3 window_h, 4 window_w, 5 stride_h, 6 stride_w, 7 pad_top, 8 pad_bottom,
//             9 pad_left, 10 pad_right, 11 out_height, 12 out_width (either rounding: windows may hang over the padded
//             edge), 13 max: bytes of an index, 0 (none), 1 (uint8, windows of at most 255 cells) or 4 (int32);
//             average: count_padding
//   unit      one plane; no scratch
//
// Maximum: padding is minus infinity; the first of equal cells wins; a NaN wins. The index is the cell's place in the
// window, row * window_w + column; 255 (uint8) or -1 (int32) where the window has no real cell.
// Average: the divisor is the number of window cells inside the padded image (count_padding) or inside the image; 0
// where there is none.
//
// The trick: a vector of neighbouring outputs at once; for stride 2 two loads and one shuffle give its column of cells.
// Windows of 2 x 2 side by side have their own path, whose gradient writes every element once.
#include "plans.h"
#include "registry.h"
#include "simd.h"

namespace cortex::CORTEX_ISA {
namespace {

struct Pool {
  int64_t planes, height, width, window_h, window_w, stride_h, stride_w;
  int64_t pad_top, pad_bottom, pad_left, pad_right, out_height, out_width, flag;
};

Pool pool_of(const Call& call) {
  const int64_t* i = call.integer;
  return {i[0], i[1], i[2], i[3], i[4], i[5], i[6], i[7], i[8], i[9], i[10], i[11], i[12], i[13]};
}

struct Range {
  int64_t start, stop;
  int64_t count() const { return larger(0, stop - start); }
};

// Cells of a window at `first` that lie in [low, high), counted from the window's own start.
Range inside(int64_t first, int64_t window, int64_t low, int64_t high) {
  return {larger(0, low - first), smaller(window, high - first)};
}

// What one row of outputs needs of its window: the real rows, and the number of rows an average counts.
struct Rows {
  int64_t first, counted;  // of the window in the image (may be negative)
  Range real;
};

Rows rows_of(const Pool& p, int64_t out_row) {
  const int64_t first = out_row * p.stride_h - p.pad_top;
  const Range real = inside(first, p.window_h, 0, p.height);
  return {first, p.flag ? inside(first, p.window_h, -p.pad_top, p.height + p.pad_bottom).count() : real.count(), real};
}

int64_t counted_columns(const Pool& p, int64_t out_column) {
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

template <class T> void store_index(void* index, int64_t bytes, int64_t at, IntVec<T> v, int64_t count) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    if (bytes == 1) return _mm512_mask_cvtepi32_storeu_epi8((char*)index + at, (__mmask16)((1u << count) - 1), (__m512i)v);
#endif
  if (bytes == 1)
    for (int64_t i = 0; i < count; i++) ((uint8_t*)index)[at + i] = uint8_t(v[i]);
  else if (bytes == 4)
    for (int64_t i = 0; i < count; i++) ((int32_t*)index)[at + i] = int32_t(v[i]);
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

int64_t load_index(const void* index, int64_t bytes, int64_t at) {
  return bytes == 1 ? ((const uint8_t*)index)[at] : ((const int32_t*)index)[at];
}

// Windows of 2 x 2 side by side, none over an edge.
bool halves(const Pool& p) {
  return p.window_h == 2 && p.window_w == 2 && p.stride_h == 2 && p.stride_w == 2 && p.pad_top == 0 &&
         p.pad_left == 0 && p.out_height * 2 <= p.height && p.out_width * 2 <= p.width;
}

// And they cover the image.
bool halves_all(const Pool& p) {
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

template <class T> void max_pool_halves(const Call& call, int64_t start, int64_t stop) {
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

template <class T> void max_pool_gradient_halves(const Call& call, int64_t start, int64_t stop) {
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

template <class T> void max_pool_windows(const Call& call, int64_t start, int64_t stop) {
  const Pool p = pool_of(call);
  const int64_t out_plane = p.out_height * p.out_width;
  void* const index = p.flag ? call.buffer[1] : nullptr;
  const Vec<T> lowest = broadcast(T(-__builtin_inf()));
  for (int64_t plane = start; plane < stop; plane++)
    for (int64_t r = 0; r < p.out_height; r++) {
      const T* const x = (const T*)call.buffer[p.flag ? 2 : 1] + plane * p.height * p.width;
      const Rows rows = rows_of(p, r);
      for (int64_t c = 0; c < p.out_width; c += LANES<T>) {
        const int64_t count = smaller(LANES<T>, p.out_width - c), at = plane * out_plane + r * p.out_width + c;
        Vec<T> best = lowest;
        IntVec<T> place = ~IntVec<T>{};
        for (int64_t i = rows.real.start; i < rows.real.stop; i++)
          for (int64_t j = 0; j < p.window_w; j++) {
            const Cells<T> cell = load_cells<T>(p, x + (rows.first + i) * p.width, c, count, j);
            // Greater, or not a number where none was; the first real cell always, even minus infinity.
            const IntVec<T> better = ((cell.value <= best) == 0) & (best == best);
            const IntVec<T> take = cell.real & (better | (place < 0));
            best = select<T>(take, cell.value, best);
            place = take ? (IntVec<T>{} + Int<T>(i * p.window_w + j)) : place;
          }
        store_part((T*)call.buffer[0] + at, best, count);
        if (index) store_index<T>(index, p.flag, at, place, count);
      }
    }
}

template <class T> void max_pool(const Call& call, int64_t start, int64_t stop) {
  (halves(pool_of(call)) ? max_pool_halves<T> : max_pool_windows<T>)(call, start, stop);
}

template <class T> void max_pool_gradient(const Call& call, int64_t start, int64_t stop) {
  const Pool p = pool_of(call);
  if (halves_all(p) && p.flag == 1) return max_pool_gradient_halves<T>(call, start, stop);
  const int64_t out_plane = p.out_height * p.out_width, cells = p.window_h * p.window_w;
  for (int64_t plane = start; plane < stop; plane++) {
    T* const dx = (T*)call.buffer[0] + plane * p.height * p.width;
    for (int64_t i = 0; i < p.height * p.width; i++) dx[i] = 0;
    for (int64_t r = 0; r < p.out_height; r++)
      for (int64_t c = 0; c < p.out_width; c++) {
        const int64_t at = plane * out_plane + r * p.out_width + c, place = load_index(call.buffer[2], p.flag, at);
        if (place < 0 || place >= cells) continue;
        const int64_t row = r * p.stride_h - p.pad_top + place / p.window_w;
        dx[row * p.width + c * p.stride_w - p.pad_left + place % p.window_w] += ((const T*)call.buffer[1])[at];
      }
  }
}

// All columns of the window lie in the image.
bool whole(const Pool& p, int64_t out_column) {
  const int64_t first = out_column * p.stride_w - p.pad_left;
  return first >= 0 && first + p.window_w <= p.width;
}

template <class T> void average_pool_windows(const Call& call, int64_t start, int64_t stop) {
  const Pool p = pool_of(call);
  for (int64_t plane = start; plane < stop; plane++)
    for (int64_t r = 0; r < p.out_height; r++) {
      const T* const x = (const T*)call.buffer[1] + plane * p.height * p.width;
      T* const y = (T*)call.buffer[0] + (plane * p.out_height + r) * p.out_width;
      const Rows rows = rows_of(p, r);
      for (int64_t c = 0; c < p.out_width; c += LANES<T>) {
        const int64_t count = smaller(LANES<T>, p.out_width - c);
        Vec<T> sum = {}, divisor = broadcast(T(1));
        for (int64_t i = rows.real.start; i < rows.real.stop; i++)
          for (int64_t j = 0; j < p.window_w; j++)
            sum += load_cells<T>(p, x + (rows.first + i) * p.width, c, count, j).value;
        if (whole(p, c) && whole(p, c + count - 1))
          divisor = broadcast(T(larger(1, rows.counted * p.window_w)));
        else
          for (int64_t i = 0; i < count; i++) divisor[i] = T(larger(1, rows.counted * counted_columns(p, c + i)));
        store_part(y + c, sum / divisor, count);
      }
    }
}

// The only output of a row: its window lies along the memory.
template <class T> void average_pool_single(const Call& call, int64_t start, int64_t stop) {
  const Pool p = pool_of(call);
  const Range columns = inside(-p.pad_left, p.window_w, 0, p.width);
  for (int64_t plane = start; plane < stop; plane++)
    for (int64_t r = 0; r < p.out_height; r++) {
      const Rows rows = rows_of(p, r);
      Vec<T> sum = {};
      for (int64_t i = rows.real.start; i < rows.real.stop; i++) {
        const T* const x = (const T*)call.buffer[1] + (plane * p.height + rows.first + i) * p.width - p.pad_left;
        int64_t j = columns.start;
        for (; j + LANES<T> <= columns.stop; j += LANES<T>) sum += load(x + j);
        if (j < columns.stop) sum += load_part(x + j, columns.stop - j);
      }
      ((T*)call.buffer[0])[plane * p.out_height + r] =
          horizontal_sum<T>(sum) / T(larger(1, rows.counted * counted_columns(p, 0)));
    }
}

template <class T> void average_pool_halves(const Call& call, int64_t start, int64_t stop) {
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

template <class T> void average_pool_gradient_halves(const Call& call, int64_t start, int64_t stop) {
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

template <class T> void average_pool(const Call& call, int64_t start, int64_t stop) {
  const Pool p = pool_of(call);
  (halves(p)            ? average_pool_halves<T>
   : p.out_width == 1 ? average_pool_single<T>
                      : average_pool_windows<T>)(call, start, stop);
}

template <class T> void average_pool_gradient(const Call& call, int64_t start, int64_t stop) {
  const Pool p = pool_of(call);
  if (halves_all(p)) return average_pool_gradient_halves<T>(call, start, stop);
  for (int64_t plane = start; plane < stop; plane++) {
    T* const dx = (T*)call.buffer[0] + plane * p.height * p.width;
    for (int64_t i = 0; i < p.height * p.width; i++) dx[i] = 0;
    for (int64_t r = 0; r < p.out_height; r++) {
      const Rows rows = rows_of(p, r);
      const T* const dy = (const T*)call.buffer[1] + (plane * p.out_height + r) * p.out_width;
      const T divisor = T(larger(1, rows.counted * p.window_w));
      for (int64_t c = 0; c < p.out_width; c++) {
        const int64_t first = c * p.stride_w - p.pad_left;
        const Range real = inside(first, p.window_w, 0, p.width);
        const T share = dy[c] / (whole(p, c) ? divisor : T(larger(1, rows.counted * counted_columns(p, c))));
        for (int64_t i = rows.real.start; i < rows.real.stop; i++)
          for (int64_t j = real.start; j < real.stop; j++) dx[(rows.first + i) * p.width + first + j] += share;
      }
    }
  }
}

}  // namespace
}  // namespace cortex::CORTEX_ISA

CORTEX_KERNELS(pool, {"max_pool_f32", max_pool<float>}, {"max_pool_f64", max_pool<double>},
               {"max_pool_gradient_f32", max_pool_gradient<float>},
               {"max_pool_gradient_f64", max_pool_gradient<double>}, {"average_pool_f32", average_pool<float>},
               {"average_pool_f64", average_pool<double>},
               {"average_pool_gradient_f32", average_pool_gradient<float>},
               {"average_pool_gradient_f64", average_pool_gradient<double>})
