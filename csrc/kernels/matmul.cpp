// matmul_f32, matmul_f64: C[batch] = gate(activation(op(A[batch]) op(B[batch]) + bias + dense (+ C[batch]))), row-major.
//
//   buffers   C [rows][columns], A [rows][depth] (transposed: [depth][rows]), B [depth][columns] (transposed:
//             [columns][depth]), then those that there are: bias [columns] or [rows], dense [rows][columns], packed
//   integers  0 batch, 1 rows, 2 columns, 3 depth, 4 transposed_a, 5 transposed_b, 6 row_a, 7 row_b, 8 row_c (elements
//             from one row in memory to the next), 9 matrix_a, 10 matrix_b, 11 matrix_c (to the next matrix of the
//             batch; 0: one matrix for all), 12 bias (0 none, 1 along the columns, 2 along the rows), 13 activation
//             (0 none, 1 relu, 2 leaky relu), 14 accumulate, 15 what is done with the dense operand (0 nothing, 1 added
//             before the activation, 2 the result is multiplied by 1 where it is > 0 and by a factor elsewhere, 3 the
//             result is zero unless it is > 0), 16 row_dense, 17 matrix_dense, 18 packed: B comes from matmul_pack
//   reals     0 slope of the leaky relu, 1 factor
//   unit      a block of C (plans.h); matmul_plan gives units and scratch
//
// matmul_pack_f32, matmul_pack_f64: what all blocks read, packed once. Buffers packed, A, B; the integers of the product;
// a unit is a stretch of the sum for some columns. matmul_pack_plan gives the elements of `packed`, 0 where blocks pack
// for themselves.
//
// The work is done by product.h. Which operand is broadcast and which is read by vectors is chosen so that least has to
// be transposed (matmul_shape): x w^T of a small batch transposes x and reads w where it lies.
//
// Measured in percent of the FMA peak of one core of an AMD EPYC of family 25 (117 GFLOP/s in AVX-512 and AVX2 alike,
// half of it in float64), by benchmarks/products.py:
//
//                          AVX-512 f32   AVX2 f32
//   2048 x 2048 x 2048         93           88        (float64: 92, 84)
//   64 x 512 x 784, B^T        89           85
//   256 x 512 x 784, B^T       93           87
//   64 x 512 x 256             90           75
//   512 x 784 x 64, A^T        88           82
//   512 x 784 x 256, A^T       93           77
#include "product.h"
#include "registry.h"

namespace cortex::CORTEX_ISA {
namespace {

// Rows that the whole product's panels are made for: those of a full block.
template <class T> int64_t shared_panel(const MatmulShape& s) { return product_panel<T>(matmul_blocks(s).rows); }

template <class T> void matmul(const Call& call, int64_t start, int64_t stop) {
  const MatmulShape s = matmul_shape(call.integer);
  const MatmulBlocks blocks = matmul_blocks(s);
  const T* a = (const T*)call.buffer[s.swapped ? 2 : 1];
  const T* b = (const T*)call.buffer[s.swapped ? 1 : 2];
  void* const* more = call.buffer + 3;
  const T* bias = s.bias == BIAS_NONE ? nullptr : (const T*)*more++;
  const T* dense = s.dense == DENSE_NONE ? nullptr : (const T*)*more++;
  const T* packed = s.packed ? (const T*)*more : nullptr;
  const bool inner = matmul_inner(s);
  const auto columns_of = [&](const MatmulPlace& at) {
    const Matrix<T> whole = {b + at.matrix * s.matrix_b, s.row_b, s.transposed_b};
    return Matrix<T>{whole.at(0, at.column_block * blocks.columns), s.row_b, s.transposed_b};
  };
  for (int64_t unit = start, units; unit < stop; unit += units) {
    const MatmulPlace at = matmul_place(s, blocks, sizeof(T), unit);
    units = smaller(at.left, stop - unit);
    const int64_t matrix = at.matrix, row = at.row_block * blocks.rows, column = at.column_block * blocks.columns;
    const Matrix<T> left = {a + matrix * s.matrix_a, s.row_a, s.transposed_a && !(inner && s.rows == 1)};
    const auto place = [&](int64_t pitch) { return s.transposed_c ? column * pitch + row : row * pitch + column; };
    Product<T> p = {smaller(units * blocks.rows, s.rows - row), smaller(blocks.columns, s.columns - column), s.depth,
                    {left.at(row, 0), left.row, left.transposed}, columns_of(at),
                    (T*)call.buffer[0] + matrix * s.matrix_c + place(s.row_c), s.row_c, s.transposed_c, s.accumulate};
    p.finish.row_bias = s.bias == BIAS_ROWS ? bias + row : nullptr;
    p.finish.column_bias = s.bias == BIAS_COLUMNS ? bias + column : nullptr;
    p.finish.dense = dense ? dense + matrix * s.matrix_dense + place(s.row_dense) : nullptr;
    p.finish.dense_row = s.row_dense;
    p.finish.dense_use = s.dense;
    p.finish.activation = s.activation;
    p.finish.slope = s.activation == ACTIVATION_LEAKY_RELU ? T(call.real[0]) : T(0);
    p.finish.factor = s.dense == DENSE_GATE ? T(call.real[1]) : T(0);
    p.packed_b = packed ? packed + column * s.depth : nullptr;
    p.panel = shared_panel<T>(s);
    if (unit + units < stop) p.next_b = columns_of(matmul_place(s, blocks, sizeof(T), unit + units)).data;
    inner ? multiply_inner(p) : multiply(p, (T*)call.scratch);
  }
}

template <class T> void matmul_pack(const Call& call, int64_t start, int64_t stop) {
  const MatmulShape s = matmul_shape(call.integer);
  const int64_t panel = shared_panel<T>(s), stretches = divide_up(s.depth, PACK_STRETCH);
  const Matrix<T> b = {(const T*)call.buffer[s.swapped ? 1 : 2], s.row_b, s.transposed_b};
  for (int64_t unit = start; unit < stop; unit++) {
    const int64_t column = unit / stretches * PANEL, k = unit % stretches * PACK_STRETCH;
    pack_panels(b.at(k, column), b.row, b.transposed, smaller(PANEL, s.columns - column), smaller(PACK_STRETCH, s.depth - k),
                (T*)call.buffer[0] + column * s.depth + k * panel, panel, s.depth);
  }
}

}  // namespace
}  // namespace cortex::CORTEX_ISA

CORTEX_KERNELS(matmul, {"matmul_f32", matmul<float>}, {"matmul_f64", matmul<double>},
               {"matmul_pack_f32", matmul_pack<float>}, {"matmul_pack_f64", matmul_pack<double>})
