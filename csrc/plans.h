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
  int64_t parts;    // partial results in the output; 1: the output is the result
};

static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
static constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
static constexpr int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }
// `total` in equal pieces of at most `most`: 50 in pieces of 14 is 13, 13, 13, 11 and not 14, 14, 14, 8.
static inline int64_t even_piece(int64_t total, int64_t most) {
  return total <= most ? total : divide_up(total, divide_up(total, most));
}

enum Activation : int64_t { ACTIVATION_NONE, ACTIVATION_RELU, ACTIVATION_LEAKY_RELU };
enum Bias : int64_t { BIAS_NONE, BIAS_COLUMNS, BIAS_ROWS };

constexpr int64_t SLACK = 64;        // elements that a vector store or load may touch beyond a packed block
constexpr int64_t PANEL = 128;       // the widest panel of packed columns, in elements
constexpr int64_t ENOUGH_UNITS = 16; // keeps 2 to 16 threads busy
constexpr int64_t UNIT_WORK = 1 << 18; // multiply-adds worth a unit of its own: about 5 us

// ---------------------------------------------------------------- matrix product

struct MatmulShape {
  int64_t batch, rows, columns, depth;           // of C and of the sum
  bool transposed_a, transposed_b;               // A is [depth][rows], B is [columns][depth] in memory
  int64_t row_a, row_b, row_c;                   // elements from one row in memory to the next
  int64_t matrix_a, matrix_b, matrix_c;          // elements from one matrix to the next; 0: the same for all
  int64_t bias, activation;
  bool accumulate, swapped;
};

// A product with one column is its transpose, with one row: B is then the matrix and can be read along its rows.
static inline MatmulShape matmul_shape(const int64_t* i) {
  MatmulShape s = {i[0], i[1], i[2], i[3], i[4] != 0, i[5] != 0, i[6], i[7], i[8], i[9], i[10], i[11],
                   i[12], i[13], i[14] != 0, false};
  if (s.columns == 1 && s.rows > 1 && s.row_c == 1)
    s = {s.batch, 1, s.rows, s.depth, !s.transposed_b, !s.transposed_a, s.row_b, s.row_a, s.rows,
         s.matrix_b, s.matrix_a, s.matrix_c, s.bias == BIAS_NONE ? BIAS_NONE : BIAS_COLUMNS + BIAS_ROWS - s.bias,
         s.activation, s.accumulate, true};
  return s;
}

struct MatmulBlocks {
  int64_t rows, columns, depth;         // of one block; a unit is rows x columns of C
  int64_t row_blocks, column_blocks;
};

static inline MatmulBlocks matmul_blocks(const MatmulShape& s) {
  int64_t rows = even_piece(s.rows, 256), columns = smaller(round_up(s.columns, 32), 512);
  const int64_t work = s.batch * s.rows * s.columns * larger(s.depth, 1);
  const int64_t wanted = smaller(ENOUGH_UNITS, work / UNIT_WORK);
  while (s.batch * divide_up(s.rows, rows) * divide_up(s.columns, columns) < wanted)
    if (columns > 128) columns = round_up(columns / 2, 32);
    else if (rows > 64) rows = divide_up(rows, 2);
    else if (columns > 32) columns = round_up(columns / 2, 32);
    else if (rows > 28) rows = divide_up(rows, 2);
    else break;
  return {rows, columns, even_piece(larger(s.depth, 1), 320), divide_up(s.rows, rows), divide_up(s.columns, columns)};
}

static inline Plan matmul_plan(const int64_t* integer, int64_t element) {
  const MatmulShape s = matmul_shape(integer);
  const MatmulBlocks b = matmul_blocks(s);
  return {s.batch * b.row_blocks * b.column_blocks,
          ((b.rows + 16 + PANEL) * b.depth + 2 * SLACK) * element, 1};
}

}  // namespace cortex
