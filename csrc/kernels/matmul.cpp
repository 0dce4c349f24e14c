// matmul_f32, matmul_f64: C[batch] = activation(op(A[batch]) op(B[batch]) + bias (+ C[batch])), row-major.
//
//   buffers   C [rows][columns], A [rows][depth] (transposed: [depth][rows]), B [depth][columns] (transposed:
//             [columns][depth]), bias [columns] or [rows] (absent without a bias)
//   integers  0 batch, 1 rows, 2 columns, 3 depth, 4 transposed_a, 5 transposed_b, 6 row_a, 7 row_b, 8 row_c (elements
//             from one row in memory to the next), 9 matrix_a, 10 matrix_b, 11 matrix_c (to the next matrix of the
//             batch; 0: one matrix for all), 12 bias (0 none, 1 along the columns, 2 along the rows), 13 activation
//             (0 none, 1 relu, 2 leaky relu), 14 accumulate
//   reals     0 slope of the leaky relu
//   unit      a block of C (plans.h); matmul_plan gives units and scratch
//
// The trick: a panel of B (depth 320, as wide as a register tile) is packed into L1 and meets all rows of the block; A
// is packed only where that pays. Few rows and a transposed B take inner products, which pack nothing.
//
// Measured in GFLOP/s on one core of an AMD EPYC of family 25, whose FMA peak is 117 in AVX-512 and AVX2 alike (49 in
// SSE2; half of each in float64), and the fraction of that peak:
//
//                          AVX-512 f32   AVX2 f32    SSE2 f32    AVX-512 f64
//   2048 x 2048 x 2048      92  78 %      93  79 %    35  71 %    45  78 %
//   64 x 512 x 784, B^T     99  85 %     100  85 %    35  71 %    49  83 %
//   64 x 784 x 512         102  87 %     102  87 %    35  71 %    40  69 %
//   512 x 784 x 64, A^T     92  79 %      85  73 %    29  59 %    45  76 %
#include "gemm.h"
#include "registry.h"

namespace cortex::CORTEX_ISA {
namespace {

template <class T> struct Matrix {
  const T* data;
  int64_t row;
  bool transposed;
  const T* at(int64_t i, int64_t j) const { return transposed ? data + j * row + i : data + i * row + j; }
};

// From `count` rows in memory to [depth][pitch]: element (i, k) to out[k * pitch + i], rows beyond count zero up to a
// whole vector, which may spill over into the next k (written later) or beyond the end (SLACK).
template <class T> void pack_transposed(const T* data, int64_t row, int64_t count, int64_t depth, T* out,
                                        int64_t pitch) {
  constexpr int L = LANES<T>, GROUPS = 8;
  int64_t k = 0;
  for (; k + L <= depth; k += L) {
    Vec<T> block[GROUPS][L];
    const int groups = int(divide_up(count, L));
    for (int g = 0; g < groups; g++) {
#pragma GCC unroll 16
      for (int i = 0; i < L; i++) block[g][i] = g * L + i < count ? load(data + (g * L + i) * row + k) : Vec<T>{};
      transpose<T>(block[g]);
    }
    for (int i = 0; i < L; i++)
      for (int g = 0; g < groups; g++) store(out + (k + i) * pitch + g * L, block[g][i]);
  }
  for (; k < depth; k++)
    for (int64_t i = 0; i < count; i++) out[k * pitch + i] = data[i * row + k];
}

template <class T> struct Problem {
  MatmulShape shape;
  Matrix<T> a, b;
  T* c;
  const T* bias;
  T slope;
  T* scratch;
};

struct Block {
  int64_t row, rows, column, columns, depth;
};

// Few rows, both operands contiguous along the sum.
template <class T> void inner_block(const Problem<T>& p, const Block& block) {
  const MatmulShape& s = p.shape;
  const int64_t tile_rows = even_piece(block.rows, DOT_ROWS);
  const Segment whole = {0, 0, s.depth};
  int64_t b_row[DOT_COLUMNS];
  for (int j = 0; j < DOT_COLUMNS; j++) b_row[j] = j * s.row_b;
  for (int64_t j = 0; j < block.columns; j += DOT_COLUMNS)
    for (int64_t i = 0; i < block.rows; i += tile_rows) {
      const int rows = int(smaller(tile_rows, block.rows - i)), columns = int(smaller(DOT_COLUMNS, block.columns - j));
      const int64_t row = block.row + i, column = block.column + j;
      T sum[DOT_RESULTS];
      inner_product<T>(rows, columns, {p.a.at(row, 0), s.row_a, p.b.at(0, column), b_row, &whole, 1}, sum);
      for (int r = 0; r < rows; r++)
        for (int q = 0; q < columns; q++) {
          T* c = p.c + (row + r) * s.row_c + column + q;
          T x = sum[r * columns + q];
          if (s.accumulate) x += *c;
          if (s.bias != BIAS_NONE) x += p.bias[s.bias == BIAS_ROWS ? row + r : column + q];
          *c = activate<T>(broadcast(x), s.activation, p.slope)[0];
        }
    }
}

template <class T> void outer_block(const Problem<T>& p, const Block& block) {
  const MatmulShape& s = p.shape;
  const int64_t tile_rows = even_piece(block.rows, TILE_ROWS), panel = tile_vectors(int(tile_rows)) * LANES<T>;
  // Packing an element of A costs about a third of a cycle, using it columns / 32 of them. Rows a multiple of half a
  // page apart would crowd into two sets of the L1 cache.
  const bool crowded = s.transposed_a || s.row_a * int64_t(sizeof(T)) % 2048 == 0;
  const bool pack_a = block.columns >= (crowded ? 64 : 256);
  const bool pack_b = s.transposed_b || block.rows > tile_rows;
  T* const packed_a = p.scratch;
  T* const packed_b = p.scratch + round_up((block.rows + 16) * block.depth, 16);
  for (int64_t k0 = 0; k0 == 0 || k0 < s.depth; k0 += block.depth) {
    const int64_t depth = smaller(block.depth, s.depth - k0);
    const bool first = k0 == 0, last = k0 + depth >= s.depth;
    if (pack_a)
      for (int64_t i = 0; i < block.rows; i += tile_rows) {
        const int64_t rows = smaller(tile_rows, block.rows - i);
        (s.transposed_a ? pack_straight<T> : pack_transposed<T>)(p.a.at(block.row + i, k0), s.row_a, rows, depth,
                                                                 packed_a + i * depth, rows);
      }
    for (int64_t j = 0; j < block.columns; j += panel) {
      const int64_t columns = smaller(panel, block.columns - j), column = block.column + j;
      Tile<T> tile = {};
      if (pack_b || columns < panel) {
        (s.transposed_b ? pack_transposed<T> : pack_straight<T>)(p.b.at(k0, column), s.row_b, columns, depth,
                                                                 packed_b, panel);
        tile.b = packed_b;
        tile.b_k = panel;
      } else {
        tile.b = p.b.at(k0, column);
        tile.b_k = s.row_b;
      }
      tile.depth = depth;
      tile.c_row = s.row_c;
      tile.accumulate = !first || s.accumulate;
      tile.column_bias = first && s.bias == BIAS_COLUMNS ? p.bias + column : nullptr;
      tile.activation = last ? s.activation : int64_t(ACTIVATION_NONE);
      tile.slope = p.slope;
      for (int64_t i = 0; i < block.rows; i += tile_rows) {
        const int64_t rows = smaller(tile_rows, block.rows - i), row = block.row + i;
        tile.a = pack_a ? packed_a + i * depth : p.a.at(row, k0);
        tile.a_row = pack_a || s.transposed_a ? 1 : s.row_a;
        tile.a_k = pack_a ? rows : s.transposed_a ? s.row_a : 1;
        tile.c = p.c + row * s.row_c + column;
        tile.row_bias = first && s.bias == BIAS_ROWS ? p.bias + row : nullptr;
        run_tile<T, false>(int(rows), columns, tile);
      }
    }
  }
}

template <class T> void matmul(const Call& call, int64_t start, int64_t stop) {
  const MatmulShape s = matmul_shape(call.integer);
  const MatmulBlocks blocks = matmul_blocks(s);
  const T* a = (const T*)call.buffer[s.swapped ? 2 : 1];
  const T* b = (const T*)call.buffer[s.swapped ? 1 : 2];
  Problem<T> p = {s, {a, s.row_a, s.transposed_a}, {b, s.row_b, s.transposed_b}, nullptr,
                  s.bias == BIAS_NONE ? nullptr : (const T*)call.buffer[3],
                  s.activation == ACTIVATION_LEAKY_RELU ? T(call.real[0]) : T(0), (T*)call.scratch};
  // One row of A is contiguous along the sum in either form when its elements are neighbours.
  const bool contiguous = !s.transposed_a || (s.rows == 1 && s.row_a == 1);
  const bool inner = contiguous && s.transposed_b && s.rows <= 8;
  for (int64_t unit = start; unit < stop; unit++) {
    const int64_t matrix = unit / (blocks.row_blocks * blocks.column_blocks);
    const int64_t row = unit / blocks.column_blocks % blocks.row_blocks * blocks.rows;
    const int64_t column = unit % blocks.column_blocks * blocks.columns;
    p.a.data = a + matrix * s.matrix_a;
    p.b.data = b + matrix * s.matrix_b;
    p.c = (T*)call.buffer[0] + matrix * s.matrix_c;
    const Block block = {row, smaller(blocks.rows, s.rows - row), column, smaller(blocks.columns, s.columns - column),
                         blocks.depth};
    inner ? inner_block<T>(p, block) : outer_block<T>(p, block);
  }
}

}  // namespace
}  // namespace cortex::CORTEX_ISA

CORTEX_KERNELS(matmul, {"matmul_f32", matmul<float>}, {"matmul_f64", matmul<double>})
