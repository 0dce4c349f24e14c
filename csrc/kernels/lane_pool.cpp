// lane_max_pool_f32/f64, lane_max_pool_gradient, lane_average_pool, lane_average_pool_gradient: pools in lanes.
//
//   buffers   lane_max_pool              y, index (absent without), x
//             lane_max_pool_gradient     dx, dy, index
//             lane_average_pool          y, x;   lane_average_pool_gradient   dx, dy
//   layout    x, dx [planes][height][width][depth]; y, dy, index [planes][out_height][out_width][depth]
//   integers  0 to 13 as in pool.cpp, 14 depth: 16 examples (planes are blocks x channels) or channels (planes are
//             examples)
//   unit      one row of what is written, of one plane; no scratch
//
// Values, indices, NaN and divisors as in pool.cpp. A row of dx adds what the rows of windows over it send, in their
// order; where windows lie side by side, every element is written once.
//
// The trick: all elements of a pixel share their window, so a cell is one load; 2 x 2 and 3 x 3 are unrolled. 1,280
// planes of 24 x 24 in float32 pooled 2 x 2 take 98 us with an index (38 GB/s read and written), the gradient 100.
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
  if (bytes == 1 && count == LANES<T>) store_bytes<T>((uint8_t*)index + at, v);
  else store_index<T>(index, bytes, at, v, count);
}

template <class T> CORTEX_INLINE IntVec<T> load_places(const void* index, int64_t bytes, int64_t at, int64_t count) {
  if (bytes == 1 && count == LANES<T>) return load_bytes<T>((const uint8_t*)index + at);
  IntVec<T> v = {};
  for (int64_t i = 0; i < count; i++) v[i] = load_index(index, bytes, at + i);
  return v;
}

// Row r of the outputs of a plane.
template <class T, int SIDE, bool WHOLE> void max_pool_row(const Call& call, const Pool& p, int64_t depth,
                                                           int64_t plane, int64_t r) {
  const Rows rows = rows_of(p, r);
  const T* const x = (const T*)call.buffer[p.flag ? 2 : 1] + plane * p.height * p.width * depth;
  T* const y = (T*)call.buffer[0];
  for (int64_t c = 0; c < p.out_width; c++) {
    const int64_t column = c * p.stride_w - p.pad_left, at = ((plane * p.out_height + r) * p.out_width + c) * depth;
    const Range columns = inside(column, p.window_w, 0, p.width);
    const bool whole = SIDE > 0 && rows.real.count() == SIDE && columns.count() == SIDE;
    const T* const from = x + (rows.first * p.width + column) * depth;
    for (int64_t e = 0; e < depth; e += LANES<T>) {
      const int64_t count = WHOLE ? LANES<T> : smaller(LANES<T>, depth - e);
      const Best<T> best =
          whole ? best_of<T, SIDE>(from + e, p.width * depth, depth, rows.real, columns, p.window_w, count)
                : best_of<T, 0>(from + e, p.width * depth, depth, rows.real, columns, p.window_w, count);
      store_lanes(y + at + e, best.value, count);
      if (p.flag) store_places<T>(call.buffer[1], p.flag, at + e, best.place, count);
    }
  }
}

template <class T, bool WHOLE> void average_pool_row(const Call& call, const Pool& p, int64_t depth, int64_t plane,
                                                        int64_t r) {
  const Rows rows = rows_of(p, r);
  const T* const x = (const T*)call.buffer[1] + plane * p.height * p.width * depth;
  T* const y = (T*)call.buffer[0] + (plane * p.out_height + r) * p.out_width * depth;
  for (int64_t c = 0; c < p.out_width; c++) {
    const int64_t column = c * p.stride_w - p.pad_left;
    const Range columns = inside(column, p.window_w, 0, p.width);
    const Vec<T> divisor = broadcast(T(larger(1, rows.counted * counted_columns(p, c))));
    for (int64_t e = 0; e < depth; e += LANES<T>) {
      const int64_t count = WHOLE ? LANES<T> : smaller(LANES<T>, depth - e);
      Vec<T> sum = {};
      for (int64_t i = rows.real.start; i < rows.real.stop; i++)
        for (int64_t j = columns.start; j < columns.stop; j++)
          sum += load_lanes(x + ((rows.first + i) * p.width + column + j) * depth + e, count);
      store_lanes(y + c * depth + e, sum / divisor, count);
    }
  }
}

// What the windows of output row r send to row i of their cells, added to the row of dx, or (alone: no other window
// reaches these cells) written there. The index in a maximum, nullptr in a mean. HALVES: windows of two columns, alone.
template <class T, bool HALVES, bool WHOLE> CORTEX_INLINE void send_row(const Pool& p, int64_t depth, int64_t r,
                                                                        int64_t i, const T* dy, const uint8_t* index,
                                                                        bool alone, T* dx) {
  const int64_t counted = index ? 0 : rows_of(p, r).counted, window = p.window_w, pad = p.pad_left;
  const IntVec<T> row = IntVec<T>{} + Int<T>(i * window);
  for (int64_t c = 0; c < p.out_width; c++) {
    const int64_t column = c * p.stride_w - pad;
    const bool inner = column >= 0 && column + window <= p.width;
    const Range columns = inner ? Range{0, window} : inside(column, window, 0, p.width);
    const T share = index ? T(1) : T(1) / T(larger(1, counted * (inner ? window : counted_columns(p, c))));
    for (int64_t e = 0; e < depth; e += LANES<T>) {
      const int64_t count = WHOLE ? LANES<T> : smaller(LANES<T>, depth - e), at = c * depth + e;
      Vec<T> sent = load_lanes(dy + at, count);
      IntVec<T> place = {};
      if (index) place = load_places<T>(index, p.flag, at, count) - row;
      else sent *= broadcast(share);
      T* const to = dx + column * depth + e;
      if (HALVES && inner) {
        store_lanes(to, index ? select<T>(place == 0, sent, Vec<T>{}) : sent, count);
        store_lanes(to + depth, index ? select<T>(place == 1, sent, Vec<T>{}) : sent, count);
        continue;
      }
      for (int64_t j = columns.start; j < columns.stop; j++) {
        Vec<T> v = index ? select<T>(place == IntVec<T>{} + Int<T>(j), sent, Vec<T>{}) : sent;
        if (!alone) v += load_lanes((const T*)to + j * depth, count);
        store_lanes(to + j * depth, v, count);
      }
    }
  }
}

// Row y of a plane of dx: the rows of windows over it, in order.
template <class T, bool MAXIMUM, bool WHOLE> void gradient_row(const Call& call, const Pool& p, int64_t depth,
                                                               int64_t plane, int64_t y) {
  const int64_t last = y + p.pad_top, first = last - p.window_h + 1, line = p.out_width * depth;
  const bool alone = p.window_h <= p.stride_h && p.window_w <= p.stride_w;
  T* const dx = (T*)call.buffer[0] + (plane * p.height + y) * p.width * depth;
  const int64_t end = smaller(p.out_height, last / p.stride_h + 1);
  int64_t r = first <= 0 ? 0 : divide_up(first, p.stride_h);
  const bool covered = alone && r < end && p.window_w == p.stride_w && p.pad_left == 0;
  const int64_t written = covered ? smaller(p.width, p.out_width * p.window_w) : 0;
  for (int64_t k = written * depth; k < p.width * depth; k++) dx[k] = 0;
  for (; r < end; r++) {
    const int64_t at = (plane * p.out_height + r) * line;
    (alone && p.window_w == 2 ? send_row<T, true, WHOLE> : send_row<T, false, WHOLE>)(
        p, depth, r, last - r * p.stride_h, (const T*)call.buffer[1] + at,
        MAXIMUM ? (const uint8_t*)call.buffer[2] + at * p.flag : nullptr, alone, dx);
  }
}

// ---------------------------------------------------------------- kernels

typedef void Row(const Call& call, const Pool& p, int64_t depth, int64_t plane, int64_t row);

// `rows`: of a plane of what is written.
static inline void each_row(const Call& call, const Pool& p, int64_t rows, int64_t start, int64_t stop, Row* body) {
  int64_t plane = start / rows, row = start % rows;
  for (int64_t unit = start; unit < stop; unit++) {
    body(call, p, call.integer[14], plane, row);
    if (++row == rows) plane++, row = 0;
  }
}

template <class T> bool whole(const Call& call) { return call.integer[14] % LANES<T> == 0; }

template <class T> void lane_max_pool(const Call& call, int64_t start, int64_t stop) {
  const Pool p = pool_of(call);
  const int64_t side = p.window_h == p.window_w ? p.window_h : 0;
  each_row(call, p, p.out_height, start, stop,
           !whole<T>(call) ? max_pool_row<T, 0, false>
           : side == 2     ? max_pool_row<T, 2, true>
           : side == 3     ? max_pool_row<T, 3, true>
                           : max_pool_row<T, 0, true>);
}
template <class T> void lane_average_pool(const Call& call, int64_t start, int64_t stop) {
  const Pool p = pool_of(call);
  each_row(call, p, p.out_height, start, stop, whole<T>(call) ? average_pool_row<T, true> : average_pool_row<T, false>);
}
template <class T> void lane_max_pool_gradient(const Call& call, int64_t start, int64_t stop) {
  const Pool p = pool_of(call);
  each_row(call, p, p.height, start, stop, whole<T>(call) ? gradient_row<T, true, true> : gradient_row<T, true, false>);
}
template <class T> void lane_average_pool_gradient(const Call& call, int64_t start, int64_t stop) {
  const Pool p = pool_of(call);
  each_row(call, p, p.height, start, stop,
           whole<T>(call) ? gradient_row<T, false, true> : gradient_row<T, false, false>);
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
