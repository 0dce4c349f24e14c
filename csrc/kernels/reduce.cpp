// Reducing one axis of [outer, reduce, inner], row-major. Other sets of axes take several calls.
//
//   sum_T, prod_T, max_T, min_T    out[o, p, i] = the sum (...) of in[o, p block .. (p + 1) block - 1, i]
//             T         f32, f64, i32, i64, u8 (bool is u8: max is any, min is all); the sum and product of integers
//                       are i64; NaN wins in max and min; an empty sum is 0, an empty product 1
//             buffers   out [outer, parts, inner], in [outer, reduce, inner]
//             integers  reduce, inner, block (>= 1), columns (>= 1); parts = max(1, ceil(reduce / block))
//             unit      (o, p, block of `columns` columns), in this order; outer * parts * ceil(inner / columns) of them
//   argmax_T  out[o, i] = the first r of the largest in[o, r, i], NaN being larger than any number
//             buffers   out i32 [outer, inner], in [outer, reduce, inner]; reduce >= 1
//             integers  reduce, inner
//             unit      one o
//
// block = reduce reduces at one go. A single long row is two instructions: a block that depends on the shape alone,
// then block = parts. `columns` only cuts the work: for inner > 32 results do not depend on it; smaller, leave it whole.
//
// Order and precision are the same for every instruction set: rows go through 64 accumulators, columns through one
// each; after 1024 elements of a row or 32 of a column these are added up in double precision. So the relative error of
// a float32 sum of positive numbers stays near 1e-7 at any length (1,000,000 in one float accumulator: 1e-4 and more).
#include "registry.h"

namespace cortex::CORTEX_ISA {
namespace {

constexpr int64_t ACCUMULATORS = 64, ROW_BLOCK = 1024, SHORT_ROW = 32;
constexpr int64_t COLUMN_BLOCK = 32, STRIP = 64, STRIPS = 8;

template <class T> struct Lowest;  // less than or equal to every number; Highest is its mirror image
template <> struct Lowest<float> { static constexpr float value = -__builtin_inff(), mirror = __builtin_inff(); };
template <> struct Lowest<double> { static constexpr double value = -__builtin_inf(), mirror = __builtin_inf(); };
template <> struct Lowest<int32_t> { static constexpr int32_t value = INT32_MIN, mirror = INT32_MAX; };
template <> struct Lowest<int64_t> { static constexpr int64_t value = INT64_MIN, mirror = INT64_MAX; };
template <> struct Lowest<uint8_t> { static constexpr uint8_t value = 0, mirror = UINT8_MAX; };

// What sums and products of T are made of: in a block, over the blocks, and in the end.
template <class T> struct Widths { typedef int64_t Near, Far, Out; };
template <> struct Widths<float> { typedef float Near, Out; typedef double Far; };
template <> struct Widths<double> { typedef double Near, Far, Out; };

template <class T> struct Sum : Widths<T> {
  typedef T In;
  static constexpr int identity = 0;
  template <class N> static N combine(N a, N b) { return a + b; }
};
template <class T> struct Product : Widths<T> {
  typedef T In;
  typedef typename Widths<T>::Far Near;  // 1024 factors leave the range of float too easily
  static constexpr int identity = 1;
  template <class N> static N combine(N a, N b) { return a * b; }
};
template <class T> struct Maximum {
  typedef T In, Near, Far, Out;
  static constexpr T identity = Lowest<T>::value;
  static T combine(T a, T b) { return ((b > a) | (b != b)) ? b : a; }
};
template <class T> struct Minimum {
  typedef T In, Near, Far, Out;
  static constexpr T identity = Lowest<T>::mirror;
  static T combine(T a, T b) { return ((b < a) | (b != b)) ? b : a; }
};

int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

template <class Op>
typename Op::Near reduce_block(const typename Op::In* x, int64_t count) {
  typedef typename Op::Near Near;
  Near sums[ACCUMULATORS];
  for (int64_t k = 0; k < ACCUMULATORS; k++) sums[k] = Near(Op::identity);
  int64_t i = 0;
  for (; i + ACCUMULATORS <= count; i += ACCUMULATORS)
    for (int64_t k = 0; k < ACCUMULATORS; k++) sums[k] = Op::combine(sums[k], Near(x[i + k]));
  for (int64_t k = 0; i + k < count; k++) sums[k] = Op::combine(sums[k], Near(x[i + k]));
  for (int64_t half = ACCUMULATORS / 2; half; half /= 2)
    for (int64_t k = 0; k < half; k++) sums[k] = Op::combine(sums[k], sums[k + half]);
  return sums[0];
}

template <class Op>
typename Op::Far reduce_row(const typename Op::In* x, int64_t count) {
  typedef typename Op::Far Far;
  Far total = Far(Op::identity);
  if (count <= SHORT_ROW)
    for (int64_t i = 0; i < count; i++) total = Op::combine(total, Far(x[i]));
  else
    for (int64_t i = 0; i < count; i += ROW_BLOCK)
      total = Op::combine(total, Far(reduce_block<Op>(x + i, least(ROW_BLOCK, count - i))));
  return total;
}

// One strip of at most STRIP columns, at most COLUMN_BLOCK rows, `stride` apart, onto `totals`.
template <class Op, class Width>
void reduce_strip(const typename Op::In* x, int64_t rows, int64_t stride, Width width, typename Op::Far* totals) {
  typename Op::Near sums[STRIP];
  for (int64_t c = 0; c < width; c++) sums[c] = typename Op::Near(x[c]);
  for (int64_t r = 1; r < rows; r++)
    for (int64_t c = 0; c < width; c++) sums[c] = Op::combine(sums[c], typename Op::Near(x[r * stride + c]));
  for (int64_t c = 0; c < width; c++) totals[c] = Op::combine(totals[c], typename Op::Far(sums[c]));
}

struct FullStrip {  // a width the compiler knows
  constexpr operator int64_t() const { return STRIP; }
};

// Onto totals[width], width <= STRIPS * STRIP. Blocks of rows go through all strips, so memory is read along rows.
template <class Op>
void reduce_columns(const typename Op::In* x, int64_t rows, int64_t stride, int64_t width, typename Op::Far* totals) {
  for (int64_t r = 0; r < rows; r += COLUMN_BLOCK) {
    const int64_t here = least(COLUMN_BLOCK, rows - r);
    int64_t c = 0;
    for (; c + STRIP <= width; c += STRIP)
      reduce_strip<Op>(x + r * stride + c, here, stride, FullStrip(), totals + c);
    if (c < width) reduce_strip<Op>(x + r * stride + c, here, stride, width - c, totals + c);
  }
}

// Few columns: as many rows as fill a strip count as one row, and their columns are combined in the end.
template <class Op>
void reduce_few_columns(const typename Op::In* x, int64_t rows, int64_t inner, typename Op::Out* out) {
  typedef typename Op::Far Far;
  const int64_t fold = STRIP / inner, width = fold * inner, folded = rows / fold;
  Far totals[STRIP];
  for (int64_t c = 0; c < width; c++) totals[c] = Far(Op::identity);
  reduce_columns<Op>(x, folded, width, width, totals);
  for (int64_t r = folded * fold; r < rows; r++)
    for (int64_t c = 0; c < inner; c++) totals[c] = Op::combine(totals[c], Far(x[r * inner + c]));
  for (int64_t c = inner; c < width; c++) totals[c % inner] = Op::combine(totals[c % inner], totals[c]);
  for (int64_t c = 0; c < inner; c++) out[c] = typename Op::Out(totals[c]);
}

template <class Op>
void reduce(const Call& call, int64_t start, int64_t stop) {
  typedef typename Op::Far Far;
  typedef typename Op::Out Out;
  const int64_t rows = call.integer[0], inner = call.integer[1], block = call.integer[2], columns = call.integer[3];
  const int64_t parts = rows > block ? (rows + block - 1) / block : 1;
  const int64_t cuts = (inner + columns - 1) / columns;
  Out* out = static_cast<Out*>(call.buffer[0]);
  const typename Op::In* in = static_cast<const typename Op::In*>(call.buffer[1]);
  for (int64_t unit = start; unit < stop; unit++) {
    const int64_t cut = unit % cuts, part = unit / cuts % parts, o = unit / cuts / parts;
    const int64_t first = cut * columns, last = least(inner, first + columns);
    const int64_t count = least(block, rows - part * block);
    const typename Op::In* x = in + (o * rows + part * block) * inner;
    Out* y = out + (o * parts + part) * inner;
    if (inner == 1) {
      *y = Out(reduce_row<Op>(x, count));
    } else if (cuts == 1 && inner <= STRIP / 2) {
      reduce_few_columns<Op>(x, count, inner, y);
    } else {
      for (int64_t c = first; c < last; c += STRIP * STRIPS) {
        Far totals[STRIP * STRIPS];
        const int64_t width = least(STRIP * STRIPS, last - c);
        for (int64_t k = 0; k < width; k++) totals[k] = Far(Op::identity);
        reduce_columns<Op>(x + c, count, inner, width, totals);
        for (int64_t k = 0; k < width; k++) y[c + k] = Out(totals[k]);
      }
    }
  }
}

// One row: its maximum, then the first block that has it; both loops are vectorised, one loop for both would not be.
template <class T>
int32_t argmax_row(const T* x, int64_t count) {
  const T largest = reduce_row<Maximum<T>>(x, count);
  const auto found = [=](T value) { return (value == largest) | ((value != value) & (largest != largest)); };
  int64_t i = 0;
  for (; i + ACCUMULATORS <= count; i += ACCUMULATORS) {
    int any = 0;
    for (int64_t k = 0; k < ACCUMULATORS; k++) any |= found(x[i + k]);
    if (any) break;
  }
  while (!found(x[i])) i++;
  return int32_t(i);
}

template <class T>
void argmax_columns(const T* x, int64_t rows, int64_t inner, int64_t width, int32_t* out) {
  T largest[STRIP];
  int32_t where[STRIP];
  for (int64_t c = 0; c < width; c++) largest[c] = x[c], where[c] = 0;
  for (int64_t r = 1; r < rows; r++)
    for (int64_t c = 0; c < width; c++) {
      const T value = x[r * inner + c], before = largest[c];
      const bool better = (value > before) | ((value != value) & (before == before));
      largest[c] = better ? value : before;
      where[c] = better ? int32_t(r) : where[c];
    }
  for (int64_t c = 0; c < width; c++) out[c] = where[c];
}

template <class T>
void argmax(const Call& call, int64_t start, int64_t stop) {
  const int64_t rows = call.integer[0], inner = call.integer[1];
  for (int64_t o = start; o < stop; o++) {
    int32_t* out = static_cast<int32_t*>(call.buffer[0]) + o * inner;
    const T* in = static_cast<const T*>(call.buffer[1]) + o * rows * inner;
    if (inner == 1) *out = argmax_row(in, rows);
    else
      for (int64_t c = 0; c < inner; c += STRIP) argmax_columns(in + c, rows, inner, least(STRIP, inner - c), out + c);
  }
}

}  // namespace
}  // namespace cortex::CORTEX_ISA

#define KINDS(t, T)                                                                                      \
  {"sum_" t, reduce<Sum<T>>}, {"prod_" t, reduce<Product<T>>}, {"max_" t, reduce<Maximum<T>>},           \
      {"min_" t, reduce<Minimum<T>>}, {"argmax_" t, argmax<T>}
CORTEX_KERNELS(reduce, KINDS("f32", float), KINDS("f64", double), KINDS("i32", int32_t), KINDS("i64", int64_t),
               KINDS("u8", uint8_t))
