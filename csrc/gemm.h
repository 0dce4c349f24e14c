// The two register-tile kernels under matrix products and convolutions.
//
// outer_product: C[rows][columns] = sum over k of A[rows][k] B[k][columns]. Columns are the vector dimension; an
//   element of A is broadcast against 1 to 8 vectors of B. 14 x 2 accumulators of 32 registers (AVX-512, NEON), 6 x 2
//   of 16 (AVX2, SSE2); tiles of few rows take more vectors, so that enough sums are under way to hide the latency.
// inner_product: C[rows][columns] = sum over k of A[rows][k] B[columns][k], both read along k. The vector dimension is
//   the sum itself: nothing is packed or transposed, at the price of one horizontal sum per element of C.
#pragma once
#include "plans.h"
#include "simd.h"

namespace cortex::CORTEX_ISA {

constexpr bool WIDE = REGISTERS == 32;
constexpr int TILE_ROWS = WIDE ? 14 : 6;
constexpr int TILE_ELEMENTS = (WIDE ? 28 : 12) * VECTOR_BYTES / 4;  // most elements of a tile, float
constexpr int DOT_ROWS = WIDE ? 5 : 3, DOT_COLUMNS = WIDE ? 5 : 4;
constexpr int DOT_RESULTS = 32;  // room for a tile of inner products, to the end of the last vector

// Vectors in a tile of so many rows: accumulators + vectors of B + one broadcast must fit the registers.
constexpr int tile_vectors(int rows) { return rows <= (WIDE ? 2 : 1) ? 8 : rows <= (WIDE ? 6 : 2) ? 4 : 2; }

template <class T> CORTEX_INLINE Vec<T> activate(Vec<T> x, int64_t kind, T slope) {
  if (kind == ACTIVATION_NONE) return x;
  const Vec<T> negative = kind == ACTIVATION_RELU ? Vec<T>{} : x * broadcast(slope);
  return select<T>(x < Vec<T>{}, negative, x);  // a NaN stays
}

// Where element k of the sum lies in A and in B, relative to the tile's base addresses.
struct Step {
  int32_t a, b;
};

// The cache lines under `rows` rows of so many elements, `row` elements apart, that begin as the first does.
template <class T> struct Lines {
  const T* first = nullptr;
  int64_t row, rows, lines;
  Lines() = default;
  Lines(const T* first, int64_t row, int64_t rows, int64_t columns)
      : first(first), row(row), rows(rows),
        lines(divide_up(int64_t(uintptr_t(first) % 64) + columns * int64_t(sizeof(T)), 64)) {}
};

template <class T> struct Tile {
  const T* a;
  int64_t a_row, a_k;  // A[i][k] = a[i * a_row + k * a_k], one of them 1 (TileKind), or a[i * a_row + steps[k].a]
  const T* b;
  int64_t b_k;         // vector v of B[k] lies at b[k * b_k + v * LANES], or b[steps[k].b + v * LANES]
  const Step* steps;
  int64_t depth;
  T* c;
  int64_t c_row;
  bool accumulate;
  const T *row_bias, *column_bias;  // or nullptr
  int64_t activation;
  T slope;
  T* b_copy = nullptr;              // what was read of B is also put here, [depth][vectors], for the tiles that follow
  Lines<T> result = {};             // where the sums go in the end; nothing: c
  const T* ahead = nullptr;         // ahead[k * ahead_k] is brought into L2 for a tile to come
  int64_t ahead_k = 0;
};

// How the elements of the sum are found: A along its rows (a_k = 1), A along its columns (a_row = 1), by steps.
enum TileKind { BY_ROWS, BY_COLUMNS, BY_STEPS };
constexpr int AHEAD = 16; // rows of B that a tile which copies them fetches before their turn

// Brings lines into L1 for writing, one a call: the first of all rows, the second of all, to the last, then that again.
template <class T> struct Fetch {
  static constexpr int64_t LINE = 64 / sizeof(T);
  const T *at, *column;
  int64_t step, left, rows, lines;
  CORTEX_INLINE_MEMBER explicit Fetch(const Lines<T>& l)
      : at(l.first), column(l.first), step(l.row), left(l.rows), rows(l.rows), lines(l.lines) {}
  CORTEX_INLINE_MEMBER void next() {
    __builtin_prefetch(at, 1);
    at += step;
    if (--left) return;
    left = rows;
    at = column += LINE;
    if (--lines == 0) step = 0, left = -1;
  }
};

// All of them at once, for writing or for reading.
template <bool WRITE, class T> CORTEX_INLINE void fetch_all(const Lines<T>& l) {
  for (int64_t j = 0; j < l.lines; j++)
    for (int64_t i = 0; i < l.rows; i++) __builtin_prefetch(l.first + i * l.row + j * Fetch<T>::LINE, WRITE);
}

// What is needed at the end or later is fetched meanwhile. A wide tile asks for a line or two with every element of the
// sum: asked for at once, before the sum, they keep the first of B waiting, 3 to 6 % of a product of 1000 to 2000 a side.
// A narrow tile has no time for that (6 cycles an element; in the loop it cost 2 to 6 %) and has fewer lines.
// Nothing touches the sums before the loop: bias added there went through the stack, 220 cycles a tile.
template <class T, int ROWS, int VECTORS, TileKind KIND, bool COPIES> static void outer_product(const Tile<T>& tile) {
  constexpr bool STEPS = KIND == BY_STEPS;
  const Tile<T> p = tile;  // a local copy: the stores to c cannot alias it
  constexpr int L = LANES<T>;
  Vec<T> sum[ROWS][VECTORS] = {};
  const Lines<T> lines = p.result.first ? p.result : Lines<T>(p.c, p.c_row, ROWS, VECTORS * L);
  Fetch<T> result(lines);
  const T *a = p.a, *b = p.b, *ahead = p.ahead ? p.ahead : p.a;
  if constexpr (!WIDE) {
    if (p.depth >= 64) fetch_all<true>(lines);
    if (p.ahead)
      for (int64_t k = 0; k < p.depth; k += Fetch<T>::LINE) __builtin_prefetch(p.ahead + k, 0, 2);
  }
  for (int64_t k = 0; k < p.depth; k++) {
    const T* ak = STEPS ? p.a + p.steps[k].a : a;
    const T* bk = STEPS ? p.b + p.steps[k].b : b;
    Vec<T> bv[VECTORS];
    if constexpr (WIDE) {
      result.next();
      __builtin_prefetch(ahead, 0, 2);
      ahead += p.ahead_k;
    }
#pragma GCC unroll 8
    for (int v = 0; v < VECTORS; v++) bv[v] = load(bk + v * L);
    if constexpr (COPIES)
#pragma GCC unroll 8
      for (int v = 0; v < VECTORS; v++) {
        store(p.b_copy + (k * VECTORS + v) * L, bv[v]);
        __builtin_prefetch(bk + AHEAD * p.b_k + v * L);
      }
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++) {
      const Vec<T> x = broadcast(ak[KIND == BY_COLUMNS ? i : i * p.a_row]);
#pragma GCC unroll 8
      for (int v = 0; v < VECTORS; v++) sum[i][v] += x * bv[v];
    }
    a += KIND == BY_COLUMNS ? p.a_k : 1;
    b += p.b_k;
  }
  if (p.row_bias)
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 8
      for (int v = 0; v < VECTORS; v++) sum[i][v] += broadcast(p.row_bias[i]);
  if (p.column_bias)
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 8
      for (int v = 0; v < VECTORS; v++) sum[i][v] += load(p.column_bias + v * L);
  if (p.accumulate)
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 8
      for (int v = 0; v < VECTORS; v++) sum[i][v] += load(p.c + i * p.c_row + v * L);
  if (p.activation != ACTIVATION_NONE)
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 8
      for (int v = 0; v < VECTORS; v++) sum[i][v] = activate<T>(sum[i][v], p.activation, p.slope);
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 8
    for (int v = 0; v < VECTORS; v++) store(p.c + i * p.c_row + v * L, sum[i][v]);
}

template <class T, TileKind KIND, bool COPIES = false, int ROWS = TILE_ROWS> CORTEX_INLINE
void outer_product(int rows, int vectors, const Tile<T>& tile) {
  if constexpr (ROWS > 1)
    if (rows < ROWS) return outer_product<T, KIND, COPIES, ROWS - 1>(rows, vectors, tile);
  if constexpr (tile_vectors(ROWS) >= 8)
    if (vectors == 8) return outer_product<T, ROWS, 8, KIND, COPIES>(tile);
  if constexpr (tile_vectors(ROWS) >= 4)
    if (vectors == 4) return outer_product<T, ROWS, 4, KIND, COPIES>(tile);
  if (vectors == 2) return outer_product<T, ROWS, 2, KIND, COPIES>(tile);
  outer_product<T, ROWS, 1, KIND, COPIES>(tile);
}

// One tile of any number of columns up to the full width. B must be readable to the end of the last vector; C is not:
// a tile that ends inside a vector goes through a buffer of its own.
template <class T, TileKind KIND> static void run_tile(int rows, int64_t columns, const Tile<T>& tile) {
  constexpr int L = LANES<T>;
  int vectors = 1;
  while (vectors * L < columns) vectors *= 2;
  if (vectors * L == columns) return outer_product<T, KIND>(rows, vectors, tile);
  alignas(64) T edge[TILE_ELEMENTS], bias[8 * L];
  const int64_t pitch = vectors * L;
  Tile<T> inner = tile;
  inner.c = edge;
  inner.c_row = pitch;
  if (tile.accumulate)
    for (int i = 0; i < rows; i++)
      for (int64_t j = 0; j < pitch; j += L)
        store(edge + i * pitch + j, load_part(tile.c + i * tile.c_row + j, larger(0, smaller(L, columns - j))));
  if (tile.column_bias) {
    for (int64_t j = 0; j < pitch; j += L)
      store(bias + j, load_part(tile.column_bias + j, larger(0, smaller(L, columns - j))));
    inner.column_bias = bias;
  }
  outer_product<T, KIND>(rows, vectors, inner);
  for (int i = 0; i < rows; i++)
    for (int64_t j = 0; j < columns; j += L)
      store_part(tile.c + i * tile.c_row + j, load(edge + i * pitch + j), smaller(L, columns - j));
}

// From [depth][count] in memory to [depth][pitch]; the last vector of a row may spill into the next, written later, or
// beyond the end (SLACK).
template <class T> static void pack_straight(const T* data, int64_t row, int64_t count, int64_t depth, T* out,
                                      int64_t pitch) {
  constexpr int L = LANES<T>;
  const int64_t whole = count / L * L;
  for (int64_t k = 0; k < depth; k++) {
    for (int64_t i = 0; i < whole; i += L) store(out + k * pitch + i, load(data + k * row + i));
    if (whole < count) store(out + k * pitch + whole, load_part(data + k * row + whole, count - whole));
  }
}

// ---------------------------------------------------------------- inner products

struct Segment {
  int64_t a, b, length;  // a stretch of the sum: where it starts in the rows of A and of B
};

template <class T> struct Dot {
  const T* a;
  int64_t a_row;
  const T* b;
  const int64_t* b_row;  // offset of each row of B
  const Segment* segments;
  int64_t count;
};

// To out[ROWS][COLUMNS], which has room for DOT_RESULTS.
template <class T, int ROWS, int COLUMNS> static void inner_product(const Dot<T>& dot, T* out) {
  const Dot<T> p = dot;
  constexpr int L = LANES<T>;
  Vec<T> sum[ROWS][COLUMNS] = {};
  for (int64_t s = 0; s < p.count; s++) {
    const T *a[ROWS], *b[COLUMNS];
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; i++) a[i] = p.a + i * p.a_row + p.segments[s].a;
#pragma GCC unroll 8
    for (int j = 0; j < COLUMNS; j++) b[j] = p.b + p.b_row[j] + p.segments[s].b;
    const int64_t length = p.segments[s].length, whole = length / L * L;
    for (int64_t k = 0; k < whole; k += L) {
      Vec<T> x[ROWS];
#pragma GCC unroll 8
      for (int i = 0; i < ROWS; i++) x[i] = load(a[i] + k);
#pragma GCC unroll 8
      for (int j = 0; j < COLUMNS; j++) {
        const Vec<T> y = load(b[j] + k);
#pragma GCC unroll 8
        for (int i = 0; i < ROWS; i++) sum[i][j] += x[i] * y;
      }
    }
    if (whole < length) {
      Vec<T> x[ROWS];
#pragma GCC unroll 8
      for (int i = 0; i < ROWS; i++) x[i] = load_part(a[i] + whole, length - whole);
#pragma GCC unroll 8
      for (int j = 0; j < COLUMNS; j++) {
        const Vec<T> y = load_part(b[j] + whole, length - whole);
#pragma GCC unroll 8
        for (int i = 0; i < ROWS; i++) sum[i][j] += x[i] * y;
      }
    }
  }
#pragma GCC unroll 16
  for (int first = 0; first < ROWS * COLUMNS; first += L) {
    Vec<T> group[L];
#pragma GCC unroll 16
    for (int i = 0; i < L; i++)
      group[i] = first + i < ROWS * COLUMNS ? sum[(first + i) / COLUMNS][(first + i) % COLUMNS] : Vec<T>{};
    store(out + first, horizontal_sums<T>(group));
  }
}

template <class T, int ROWS = DOT_ROWS, int COLUMNS = DOT_COLUMNS> CORTEX_INLINE
void inner_product(int rows, int columns, const Dot<T>& dot, T* out) {
  if constexpr (ROWS > 1)
    if (rows < ROWS) return inner_product<T, ROWS - 1, COLUMNS>(rows, columns, dot, out);
  if constexpr (COLUMNS > 1)
    if (columns < COLUMNS) return inner_product<T, ROWS, COLUMNS - 1>(rows, columns, dot, out);
  inner_product<T, ROWS, COLUMNS>(dot, out);
}

}  // namespace cortex::CORTEX_ISA
