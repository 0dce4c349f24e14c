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
// Windows of 2 x 2 side by side have their own path, whose gradient writes every element once: 1,280 planes of 24 x 24
// in float32 take 116 us with an index (AVX-512; 33 GB/s read and written), the gradient 83 us (48 GB/s).
#include "pool_halves.h"
#include "registry.h"

namespace cortex::CORTEX_ISA {
namespace {

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
