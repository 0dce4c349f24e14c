// lane_max_pool_f32/f64, lane_max_pool_gradient, lane_average_pool, lane_average_pool_gradient: pools of values in lanes.
//
//   buffers   lane_max_pool              y, index (absent without), x
//             lane_max_pool_gradient     dx, dy, index
//             lane_average_pool          y, x;   lane_average_pool_gradient   dx, dy
//   layout    x, dx [planes][height][width][depth]; y, dy, index [planes][out_height][out_width][depth]
//   integers  0 to 13 as in pool.cpp, 14 depth: 16 examples (planes are blocks x channels) or channels (planes are
//             examples)
//   unit      one row of what is written, of one plane; no scratch
//
// Values, indices, NaN and divisors as in pool.cpp. The gradient gathers: an element of dx sums what the windows over it
// send, in their order, and is written once; where windows lie side by side there is one.
//
// The trick: all elements of a pixel share their window, so a cell is one load, and the compiler unrolls 2 x 2 and 3 x 3.
#include "lanes.h"
#include "pool_halves.h"
#include "registry.h"

namespace cortex::CORTEX_ISA {
namespace {

template <class T> struct Best {
  Vec<T> value;
  IntVec<T> place;
};

// Over the cells rows x columns of a window of `width` columns whose first cell is at x; pitches in elements. SIDE > 0:
// all of a window of SIDE x SIDE.
template <class T, int SIDE> CORTEX_INLINE Best<T> best_of(const T* x, int64_t row_pitch, int64_t pixel, Range rows,
                                                           Range columns, int64_t width, int64_t count) {
  Best<T> best = {broadcast(T(-__builtin_inf())), ~IntVec<T>{}};
  if constexpr (SIDE > 0) {
    best = {load_lanes(x, count), IntVec<T>{}};
#pragma GCC unroll 9
    for (int k = 1; k < SIDE * SIDE; k++)
      keep_greater<T>(best.value, best.place, load_lanes(x + k / SIDE * row_pitch + k % SIDE * pixel, count), k);
    return best;
  }
  bool first = true;
  for (int64_t i = rows.start; i < rows.stop; i++)
    for (int64_t j = columns.start; j < columns.stop; j++) {
      const Vec<T> value = load_lanes(x + i * row_pitch + j * pixel, count);
      const int place = int(i * width + j);
      if (first) best = {value, IntVec<T>{} + Int<T>(place)};
      else keep_greater<T>(best.value, best.place, value, place);
      first = false;
    }
  return best;
}

template <class T> CORTEX_INLINE void store_places(void* index, int64_t bytes, int64_t at, IntVec<T> v, int64_t count) {
  if (bytes == 1 && count == LANES<T>) {
    const ByteLanes<T> narrow = __builtin_convertvector(v, ByteLanes<T>);
    __builtin_memcpy((uint8_t*)index + at, &narrow, sizeof narrow);
  } else {
    store_index<T>(index, bytes, at, v, count);
  }
}

template <class T> CORTEX_INLINE IntVec<T> load_places(const void* index, int64_t bytes, int64_t at, int64_t count) {
  if (bytes == 1 && count == LANES<T>) {
    ByteLanes<T> narrow;
    __builtin_memcpy(&narrow, (const uint8_t*)index + at, sizeof narrow);
    return __builtin_convertvector(narrow, IntVec<T>);
  }
  IntVec<T> v = {};
  for (int64_t i = 0; i < count; i++) v[i] = load_index(index, bytes, at + i);
  return v;
}

// One row of outputs; `row` counts the rows of all planes.
template <class T, int SIDE> void max_pool_row(const Call& call, const Pool& p, int64_t depth, int64_t row) {
  const Rows rows = rows_of(p, row % p.out_height);
  const T* const x = (const T*)call.buffer[p.flag ? 2 : 1] + row / p.out_height * p.height * p.width * depth;
  T* const y = (T*)call.buffer[0];
  for (int64_t c = 0; c < p.out_width; c++) {
    const int64_t column = c * p.stride_w - p.pad_left, at = (row * p.out_width + c) * depth;
    const Range columns = inside(column, p.window_w, 0, p.width);
    const bool whole = SIDE > 0 && rows.real.count() == SIDE && columns.count() == SIDE;
    const T* const from = x + (rows.first * p.width + column) * depth;
    for (int64_t e = 0; e < depth; e += LANES<T>) {
      const int64_t count = smaller(LANES<T>, depth - e);
      const Best<T> best =
          whole ? best_of<T, SIDE>(from + e, p.width * depth, depth, rows.real, columns, p.window_w, count)
                : best_of<T, 0>(from + e, p.width * depth, depth, rows.real, columns, p.window_w, count);
      store_lanes(y + at + e, best.value, count);
      if (p.flag) store_places<T>(call.buffer[1], p.flag, at + e, best.place, count);
    }
  }
}

template <class T> void lane_max_pool(const Call& call, int64_t start, int64_t stop) {
  const Pool p = pool_of(call);
  const int64_t depth = call.integer[14], side = p.window_h == p.window_w ? p.window_h : 0;
  for (int64_t row = start; row < stop; row++)
    (side == 2   ? max_pool_row<T, 2>
     : side == 3 ? max_pool_row<T, 3>
                 : max_pool_row<T, 0>)(call, p, depth, row);
}

// The windows of one dimension that cover a position.
static inline Range covering(int64_t position, int64_t window, int64_t stride, int64_t pad, int64_t count) {
  const int64_t last = position + pad, first = last - window + 1;
  return {first <= 0 ? 0 : divide_up(first, stride), smaller(count, last / stride + 1)};
}

// Windows side by side, each of `stride` columns: every dx of the row is in one of them, or in none.
template <class T> void max_gradient_side_by_side(const Call& call, const Pool& p, int64_t depth, int64_t row) {
  const int64_t y = row % p.height, r = y / p.stride_h;
  T* const dx = (T*)call.buffer[0] + row * p.width * depth;
  const int64_t outs = r < p.out_height ? p.out_width : 0;
  const int64_t at = (row / p.height * p.out_height + r) * p.out_width * depth, place = y % p.stride_h * p.window_w;
  for (int64_t c = 0; c < outs; c++)
    for (int64_t e = 0; e < depth; e += LANES<T>) {
      const int64_t count = smaller(LANES<T>, depth - e), from = at + c * depth + e;
      const Vec<T> dy = load_lanes((const T*)call.buffer[1] + from, count);
      const IntVec<T> places = load_places<T>(call.buffer[2], p.flag, from, count);
      const int64_t cells = smaller(p.window_w, p.width - c * p.stride_w);
      T* const to = dx + c * p.stride_w * depth + e;
      for (int64_t j = 0; j < cells; j++)
        store_lanes(to + j * depth, select<T>(places == IntVec<T>{} + Int<T>(place + j), dy, Vec<T>{}), count);
    }
  for (int64_t i = outs * p.stride_w * depth; i < p.width * depth; i++) dx[i] = 0;
}

template <class T> void max_gradient_row(const Call& call, const Pool& p, int64_t depth, int64_t row) {
  const int64_t y = row % p.height, plane = row / p.height * p.out_height;
  T* const dx = (T*)call.buffer[0] + row * p.width * depth;
  const Range rows = covering(y, p.window_h, p.stride_h, p.pad_top, p.out_height);
  for (int64_t x = 0; x < p.width; x++) {
    const Range columns = covering(x, p.window_w, p.stride_w, p.pad_left, p.out_width);
    for (int64_t e = 0; e < depth; e += LANES<T>) {
      const int64_t count = smaller(LANES<T>, depth - e);
      Vec<T> sum = {};
      for (int64_t r = rows.start; r < rows.stop; r++)
        for (int64_t c = columns.start; c < columns.stop; c++) {
          const int64_t from = ((plane + r) * p.out_width + c) * depth + e;
          const int64_t i = y + p.pad_top - r * p.stride_h, j = x + p.pad_left - c * p.stride_w;
          const IntVec<T> here = load_places<T>(call.buffer[2], p.flag, from, count) ==
                                 IntVec<T>{} + Int<T>(i * p.window_w + j);
          sum += select<T>(here, load_lanes((const T*)call.buffer[1] + from, count), Vec<T>{});
        }
      store_lanes(dx + x * depth + e, sum, count);
    }
  }
}

static inline bool side_by_side(const Pool& p) {
  return p.window_h == p.stride_h && p.window_w == p.stride_w && p.pad_top == 0 && p.pad_left == 0;
}

template <class T> void lane_max_pool_gradient(const Call& call, int64_t start, int64_t stop) {
  const Pool p = pool_of(call);
  const bool simple = side_by_side(p);
  for (int64_t row = start; row < stop; row++)
    (simple ? max_gradient_side_by_side<T> : max_gradient_row<T>)(call, p, call.integer[14], row);
}

template <class T> void lane_average_pool(const Call& call, int64_t start, int64_t stop) {
  const Pool p = pool_of(call);
  const int64_t depth = call.integer[14];
  for (int64_t row = start; row < stop; row++) {
    const Rows rows = rows_of(p, row % p.out_height);
    const T* const x = (const T*)call.buffer[1] + row / p.out_height * p.height * p.width * depth;
    T* const y = (T*)call.buffer[0] + row * p.out_width * depth;
    for (int64_t c = 0; c < p.out_width; c++) {
      const int64_t column = c * p.stride_w - p.pad_left;
      const Range columns = inside(column, p.window_w, 0, p.width);
      const Vec<T> divisor = broadcast(T(larger(1, rows.counted * counted_columns(p, c))));
      for (int64_t e = 0; e < depth; e += LANES<T>) {
        const int64_t count = smaller(LANES<T>, depth - e);
        Vec<T> sum = {};
        for (int64_t i = rows.real.start; i < rows.real.stop; i++)
          for (int64_t j = columns.start; j < columns.stop; j++)
            sum += load_lanes(x + ((rows.first + i) * p.width + column + j) * depth + e, count);
        store_lanes(y + c * depth + e, sum / divisor, count);
      }
    }
  }
}

template <class T> void lane_average_pool_gradient(const Call& call, int64_t start, int64_t stop) {
  const Pool p = pool_of(call);
  const int64_t depth = call.integer[14];
  for (int64_t row = start; row < stop; row++) {
    const int64_t y = row % p.height, plane = row / p.height * p.out_height;
    T* const dx = (T*)call.buffer[0] + row * p.width * depth;
    const Range rows = covering(y, p.window_h, p.stride_h, p.pad_top, p.out_height);
    for (int64_t x = 0; x < p.width; x++) {
      const Range columns = covering(x, p.window_w, p.stride_w, p.pad_left, p.out_width);
      for (int64_t e = 0; e < depth; e += LANES<T>) {
        const int64_t count = smaller(LANES<T>, depth - e);
        Vec<T> sum = {};
        for (int64_t r = rows.start; r < rows.stop; r++) {
          const int64_t counted = rows_of(p, r).counted;
          const T* const dy = (const T*)call.buffer[1] + (plane + r) * p.out_width * depth + e;
          for (int64_t c = columns.start; c < columns.stop; c++)
            sum += load_lanes(dy + c * depth, count) / broadcast(T(larger(1, counted * counted_columns(p, c))));
        }
        store_lanes(dx + x * depth + e, sum, count);
      }
    }
  }
}

}  // namespace
}  // namespace cortex::CORTEX_ISA

CORTEX_KERNELS(lane_pool, {"lane_max_pool_f32", lane_max_pool<float>}, {"lane_max_pool_f64", lane_max_pool<double>},
               {"lane_max_pool_gradient_f32", lane_max_pool_gradient<float>},
               {"lane_max_pool_gradient_f64", lane_max_pool_gradient<double>},
               {"lane_average_pool_f32", lane_average_pool<float>},
               {"lane_average_pool_f64", lane_average_pool<double>},
               {"lane_average_pool_gradient_f32", lane_average_pool_gradient<float>},
               {"lane_average_pool_gradient_f64", lane_average_pool_gradient<double>})
