// How the heavy kernels cut their work: blocks, units and scratch, from the shape alone.
//
// Never from the number of threads or the instruction set: then what a unit computes, and in which order, is the same
// however the units are shared out. Kernels and the Python side (`plan`) read the same functions. Everything is static:
// these headers are compiled once per instruction set, and the linker must not mix the copies.
#pragma once
#include <cstdint>

namespace cortex {

struct Plan {
  int64_t units;
  int64_t scratch;  // bytes per thread
  int64_t parts;    // partial results in the output; 1: the output is the result (matmul_pack and the
                    // stages of Winograd's convolutions, whose outputs only other kernels read: elements of it)
};

static constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static constexpr int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
static constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
static constexpr int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }
// `total` in equal pieces of at most `most`: 50 in pieces of 14 is 13, 13, 13, 11 and not 14, 14, 14, 8.
static inline int64_t even_piece(int64_t total, int64_t most) {
  return total <= most ? total : divide_up(total, divide_up(total, most));
}

enum Activation : int64_t { ACTIVATION_NONE, ACTIVATION_RELU, ACTIVATION_LEAKY_RELU };
enum Bias : int64_t { BIAS_NONE, BIAS_COLUMNS, BIAS_ROWS };
enum Dense : int64_t { DENSE_NONE, DENSE_ADD, DENSE_GATE, DENSE_MASK };

constexpr int64_t SLACK = 64;        // elements that a vector store or load may touch beyond a packed block
constexpr int64_t PANEL = 128;       // the widest panel of packed columns, in elements
constexpr int64_t ENOUGH_UNITS = 16; // keeps 2 to 16 threads busy
constexpr int64_t UNIT_WORK = 1 << 18; // multiply-adds worth a unit of its own: about 5 us

// ---------------------------------------------------------------- matrix product

// Bytes along the sum in a tile of A (14 rows: 28 KB, L1), columns of B that are packed together (512 x 512 floats: 1 MB).
// Measured at 2048: 83 % of the peak with 1536 bytes, 86 % with 2048; 81 % with 256 columns, 85 % with 512. A sum of up to
// 800 floats stays whole: 784 in two pieces, each adding to C, cost 4 % of the first layer of an MLP.
constexpr int64_t TILE_BYTES = 2048, WHOLE_BYTES = 3200, PRODUCT_COLUMNS = 512;

static inline int64_t product_depth(int64_t depth, int64_t element) {
  return depth * element <= WHOLE_BYTES ? larger(depth, 1) : even_piece(depth, TILE_BYTES / element);
}

// Elements of scratch that multiply (product.h) takes for a block of so many columns.
static inline int64_t product_scratch(int64_t columns, int64_t depth, int64_t element) {
  return (round_up(columns, PANEL) + 16) * product_depth(depth, element) + 2 * SLACK;
}

constexpr int MATMUL_INTEGERS = 19;

struct MatmulShape {
  int64_t batch, rows, columns, depth;           // of C and of the sum
  bool transposed_a, transposed_b;               // A is [depth][rows], B is [columns][depth] in memory
  int64_t row_a, row_b, row_c;                   // elements from one row in memory to the next
  int64_t matrix_a, matrix_b, matrix_c;          // elements from one matrix to the next; 0: the same for all
  int64_t bias, activation;
  bool accumulate;
  int64_t dense, row_dense, matrix_dense;
  bool packed;                                   // B comes from matmul_pack
  bool swapped, transposed_c;                    // this is C^T = op(B)^T op(A)^T; C in memory is its transpose
};

static inline bool matmul_few_rows(const MatmulShape& s) { return s.rows <= 8; }

// Both operands contiguous along the sum, and either few rows or columns that would leave much of a vector empty: inner
// products, which pack nothing. 64 x 256 x 10 took 7.2 us by tiles of 16 columns.
static inline bool matmul_inner(const MatmulShape& s) {
  constexpr int64_t FEW_COLUMNS = 12, LONG = 64;  // below which the sums across vectors cost more than they save
  return s.transposed_b && (!s.transposed_a || (s.rows == 1 && s.row_a == 1)) && !s.transposed_c &&
         (matmul_few_rows(s) || (s.columns <= FEW_COLUMNS && s.depth >= LONG));
}

static inline MatmulShape swap_operands(MatmulShape s) {
  const int64_t bias = s.bias == BIAS_NONE ? BIAS_NONE : BIAS_COLUMNS + BIAS_ROWS - s.bias;
  return {s.batch, s.columns, s.rows, s.depth, !s.transposed_b, !s.transposed_a, s.row_b, s.row_a, s.row_c,
          s.matrix_b, s.matrix_a, s.matrix_c, bias, s.activation, s.accumulate, s.dense, s.row_dense, s.matrix_dense,
          s.packed, true, true};
}

// Which operand is broadcast (A) and which is read along its rows, by vectors (B). What lies the other way has to be
// transposed while it is packed, half a cycle an element; storing C transposed costs a fifth of one.
static inline MatmulShape matmul_shape(const int64_t* i) {
  const MatmulShape s = {i[0], i[1], i[2], i[3], i[4] != 0, i[5] != 0, i[6], i[7], i[8], i[9], i[10], i[11], i[12],
                         i[13], i[14] != 0, i[15], i[16], i[17], i[18] != 0, false, false};
  if (s.columns == 1 && s.rows > 1 && s.row_c == 1 && (s.dense == DENSE_NONE || s.row_dense == 1)) {
    MatmulShape row = swap_operands(s);  // one column is one row: its neighbours are neighbours
    row.row_c = row.row_dense = s.rows;
    row.transposed_c = false;
    return row;
  }
  if (matmul_inner(s) || !s.transposed_b) return s;
  return s.transposed_a || 2 * s.rows <= s.columns ? swap_operands(s) : s;
}

struct MatmulBlocks {
  int64_t rows, columns;  // of one block; a unit is rows x columns of C
  int64_t row_blocks, column_blocks;
};

// Low blocks as wide as may be: A is then packed once, and B for all of them (matmul_pack). Halves of halves, so that two
// threads end together: blocks of 42 rows, whole tiles, cost a step of an MLP 1.5 %.
static inline MatmulBlocks matmul_blocks(const MatmulShape& s) {
  constexpr int64_t UNITS = 12, COLUMNS = 32;
  int64_t rows = even_piece(s.rows, 512), columns = round_up(even_piece(s.columns, PRODUCT_COLUMNS), COLUMNS);
  const int64_t work = s.batch * s.rows * s.columns * larger(s.depth, 1);
  // Few rows read all of B for little work, which two cores do from twice the L2: 256 KiB a unit.
  const bool reads = matmul_inner(s) && matmul_few_rows(s);
  const int64_t wanted = smaller(UNITS, reads ? s.batch * s.columns * s.depth >> 16 : work / UNIT_WORK);
  while (s.batch * divide_up(s.rows, rows) * divide_up(s.columns, columns) < wanted)
    if (rows > 64) rows = divide_up(rows, 2);
    else if (columns > COLUMNS) columns = round_up(columns / 2, COLUMNS);
    else if (rows > 28) rows = divide_up(rows, 2);
    else break;
  return {rows, columns, divide_up(s.rows, rows), divide_up(s.columns, columns)};
}

// Rows of A that have to be copied before they are read: 4 KB apart they share one set of the L1 cache; of rows 1 and 2 KB
// apart it holds a tile, and copying them cost 3 %. Columns of A are always copied.
static inline bool copies_rows(bool transposed_a, int64_t row_a, int64_t element) {
  return transposed_a || row_a * element % 4096 == 0;
}

struct MatmulPlace {
  int64_t matrix, row_block, column_block;
  int64_t left;  // units from this one on that lie below each other
};

// Units go down the rows, then to the next columns: those that follow each other share what they read of B. A thread that
// begins with half of the units has half of the features of what a layer makes of a batch, in both directions, or half of
// the rows of a weight's gradient, made of these features: what it wrote last it mostly reads itself, and need not share.
// A step of an MLP at batch 256 took 1 % longer by bands of rows alone, 2.5 % where the cores share no cache. Rows that
// are copied go in bands, or every thread would copy all; and where columns do not split evenly, rows do.
static inline MatmulPlace matmul_place(const MatmulShape& s, const MatmulBlocks& b, int64_t element, int64_t unit) {
  constexpr int64_t BAND_ROWS = 512;
  const bool bands = s.swapped || copies_rows(s.transposed_a, s.row_a, element) || s.columns % b.columns != 0;
  const int64_t band = bands ? smaller(divide_up(b.row_blocks, 2), larger(1, BAND_ROWS / b.rows)) : b.row_blocks;
  const int64_t whole = band * b.column_blocks, of_matrix = unit % (b.row_blocks * b.column_blocks);
  const int64_t first = of_matrix / whole * band, inside = of_matrix % whole;
  const int64_t height = smaller(band, b.row_blocks - first);
  return {unit / (b.row_blocks * b.column_blocks), first + inside % height, inside / height, height - inside % height};
}

static inline Plan matmul_plan(const int64_t* integer, int64_t element) {
  const MatmulShape s = matmul_shape(integer);
  const MatmulBlocks b = matmul_blocks(s);
  const int64_t scratch = matmul_inner(s) ? 0 : product_scratch(b.columns, s.depth, element) * element;
  return {s.batch * b.row_blocks * b.column_blocks, scratch, 1};
}

// Packing B once for all rows of blocks, where it has to be transposed; straight rows every block packs for itself, while
// its first tiles read them: through memory a step at batch 256 took 1 % longer. Units go along the sum, then to the next
// columns, as in the product; `parts` is the number of elements of the packed B, 0 where every block packs for itself.
constexpr int64_t PACK_STRETCH = 128;  // of the sum, times PANEL columns: a unit

static inline Plan matmul_pack_plan(const int64_t* integer, int64_t) {
  const MatmulShape s = matmul_shape(integer);
  const MatmulBlocks b = matmul_blocks(s);
  if (s.batch > 1 || matmul_inner(s) || b.row_blocks == 1 || !s.transposed_b) return {0, 0, 0};
  return {divide_up(s.columns, PANEL) * divide_up(s.depth, PACK_STRETCH), 0, round_up(s.columns, PANEL) * s.depth + SLACK};
}

}  // namespace cortex
