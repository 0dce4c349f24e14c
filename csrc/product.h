// One block of a matrix product on one thread: C = finish(op(A) op(B) (+ C)), packed and blocked for the caches.
//
// A panel of columns of B, one register tile wide and up to 512 deep, is contiguous after packing; panels stream from L2
// through L1, while a tile of A (14 rows: 28 KB) stays there until it has met all of them. Straight rows of B are packed
// by the first tile that reads them; what is transposed, and rows of A that would crowd into few sets of the cache, are
// packed before.
#pragma once
#include "gemm.h"

namespace cortex::CORTEX_ISA {

// Rows of the next strip of tiles: as many as a tile has, but no strip of 1 to 3 where two can share: these reach 50 to 80 %
// of the peak, 13 rows 96, all others 99 and more.
static inline int64_t strip_rows(int64_t rest) {
  constexpr int FEWEST = 4;
  return rest <= TILE_ROWS || rest >= TILE_ROWS + FEWEST ? smaller(rest, TILE_ROWS) : divide_up(rest, 2);
}

// Element (i, j) at data[i * row + j], transposed at data[j * row + i].
template <class T> struct Matrix {
  const T* data;
  int64_t row;
  bool transposed;
  const T* at(int64_t i, int64_t j) const { return transposed ? data + j * row + i : data + i * row + j; }
};

// multiply(Product<T>, scratch): up to PRODUCT_COLUMNS columns; scratch is product_scratch(columns, depth, sizeof(T))
// elements (plans.h), 64-byte aligned; nothing of A, B or C is touched beyond their rows.
//
// What becomes of a sum before it is stored: bias is added, then the dense operand d (DENSE_ADD), then comes the
// activation, then the gradient of one: times 1 where d > 0 and `factor` elsewhere (DENSE_GATE; as in arithmetic, a
// product that is infinite times zero is no number), or zero unless d > 0 (DENSE_MASK).
template <class T> struct Finish {
  const T *row_bias = nullptr, *column_bias = nullptr;  // [rows], [columns]
  const T* dense = nullptr;                             // element (i, j) lies as that of C does, with its own row
  int64_t dense_row = 0, dense_use = DENSE_NONE;
  int64_t activation = ACTIVATION_NONE;
  T slope = 0, factor = 0;
};

template <class T> struct Product {
  int64_t rows, columns, depth;
  Matrix<T> a, b;  // A [rows][depth], B [depth][columns]
  T* c;
  int64_t c_row;
  bool c_transposed = false;  // element (i, j) at c[j * c_row + i]
  bool accumulate = false;
  Finish<T> finish = {};
  const T* packed_b = nullptr;  // or B in panels [columns / panel][depth][panel], made by pack_panels
  int64_t panel = 0;
  const T* next_b = nullptr;  // B of the product after this one, with the same rows in memory
};

// From `count` rows in memory to [depth][pitch]: element (i, k) to out[k * pitch + i], rows beyond count zero up to a
// whole vector, which may spill over into the next k or beyond the end (SLACK). Groups go downwards: what the last one
// spills is written after it.
template <class T> static void pack_transposed(const T* data, int64_t row, int64_t count, int64_t depth, T* out,
                                               int64_t pitch) {
  constexpr int L = LANES<T>;
  constexpr int64_t AHEAD_BYTES = 256;
  for (int64_t k = 0; k < depth; k += L)
    for (int64_t g = (count - 1) / L * L; g >= 0; g -= L) {
      Vec<T> block[L];
      const int64_t length = smaller(L, depth - k);
#pragma GCC unroll 16
      for (int i = 0; i < L; i++) {
        const T* from = data + (g + i) * row + k;
        __builtin_prefetch((const char*)from + AHEAD_BYTES);
        block[i] = g + i >= count ? Vec<T>{} : length == L ? load(from) : load_part(from, length);
      }
      transpose<T>(block);
#pragma GCC unroll 16
      for (int i = 0; i < L; i++)
        if (i < length) store(out + (k + i) * pitch + g, block[i]);
    }
}

template <class T> CORTEX_INLINE Vec<T> finished(const Finish<T>& f, Vec<T> x, Vec<T> dense, bool last) {
  if (!last) return x;
  if (f.dense_use == DENSE_ADD) x += dense;
  x = activate<T>(x, f.activation, f.slope);
  if (f.dense_use == DENSE_GATE) return x * select<T>(dense > Vec<T>{}, broadcast(T(1)), broadcast(f.factor));
  return f.dense_use == DENSE_MASK ? select<T>(dense > Vec<T>{}, x, Vec<T>{}) : x;
}

struct Place {
  int64_t row, rows, column, columns;
  bool first, last;  // piece of the sum
};

// Sums [rows][pitch] to C, through everything that a product may end with.
template <class T> static void finish_rows(const Product<T>& p, const Place& at, const T* sums, int64_t pitch) {
  constexpr int L = LANES<T>;
  const Finish<T>& f = p.finish;
  for (int64_t i = 0; i < at.rows; i++)
    for (int64_t j = 0; j < at.columns; j += L) {
      const int64_t row = at.row + i, column = at.column + j, count = smaller(L, at.columns - j);
      T* c = p.c + row * p.c_row + column;
      Vec<T> x = load(sums + i * pitch + j);
      if (at.first && f.row_bias) x += broadcast(f.row_bias[row]);
      if (at.first && f.column_bias) x += load_part(f.column_bias + column, count);
      if (!at.first || p.accumulate) x += load_part(c, count);
      const Vec<T> dense = f.dense_use ? load_part(f.dense + row * f.dense_row + column, count) : Vec<T>{};
      store_part(c, finished(f, x, dense, at.last), count);
    }
}

template <class T> static void finish_columns(const Product<T>& p, const Place& at, const T* sums, int64_t pitch) {
  constexpr int L = LANES<T>;
  const Finish<T>& f = p.finish;
  for (int64_t j = 0; j < at.columns; j += L)
    for (int64_t i = 0; i < at.rows; i += L) {
      const int64_t row = at.row + i, count = smaller(L, at.rows - i);
      Vec<T> block[L];
#pragma GCC unroll 16
      for (int q = 0; q < L; q++) block[q] = q < count ? load(sums + (i + q) * pitch + j) : Vec<T>{};
      transpose<T>(block);
      const Vec<T> row_bias = at.first && f.row_bias ? load_part(f.row_bias + row, count) : Vec<T>{};
#pragma GCC unroll 16
      for (int q = 0; q < L; q++) {
        if (j + q >= at.columns) break;
        const int64_t column = at.column + j + q;
        T* c = p.c + column * p.c_row + row;
        Vec<T> x = block[q] + row_bias;
        if (at.first && f.column_bias) x += broadcast(f.column_bias[column]);
        if (!at.first || p.accumulate) x += load_part(c, count);
        const Vec<T> dense = f.dense_use ? load_part(f.dense + column * f.dense_row + row, count) : Vec<T>{};
        store_part(c, finished(f, x, dense, at.last), count);
      }
    }
}

// The part of a tile in a matrix that lies as C does.
template <class T> static Lines<T> lines_of(const Place& at, const T* data, int64_t row, bool transposed) {
  if (transposed) return {data + at.column * row + at.row, row, at.columns, at.rows};
  return {data + at.row * row + at.column, row, at.rows, at.columns};
}

template <class T> static void run_full_tile(int rows, int vectors, const Tile<T>& tile) {
  if (tile.a_row == 1)
    return tile.b_copy ? outer_product<T, BY_COLUMNS, true>(rows, vectors, tile)
                       : outer_product<T, BY_COLUMNS>(rows, vectors, tile);
  return tile.b_copy ? outer_product<T, BY_ROWS, true>(rows, vectors, tile)
                     : outer_product<T, BY_ROWS>(rows, vectors, tile);
}

template <class T> static void product_tile(const Product<T>& p, const Place& at, Tile<T>& tile) {
  constexpr int L = LANES<T>;
  const Finish<T>& f = p.finish;
  int vectors = 1;
  while (vectors * L < at.columns) vectors *= 2;
  if (vectors * L != at.columns || p.c_transposed || f.dense_use) {
    alignas(64) T sums[TILE_ELEMENTS];
    // The dense operand while the sums are made gained .4 % where there is one and cost .5 to 1 % elsewhere.
    if (f.dense_use) fetch_all<false>(lines_of(at, f.dense, f.dense_row, p.c_transposed));
    tile.result = lines_of<T>(at, p.c, p.c_row, p.c_transposed);
    tile.c = sums;
    tile.c_row = vectors * L;
    tile.accumulate = false;
    tile.row_bias = tile.column_bias = nullptr;
    tile.activation = ACTIVATION_NONE;
    run_full_tile(int(at.rows), vectors, tile);
    return (p.c_transposed ? finish_columns<T> : finish_rows<T>)(p, at, sums, vectors * L);
  }
  tile.result = {};
  tile.c = p.c + at.row * p.c_row + at.column;
  tile.c_row = p.c_row;
  tile.accumulate = !at.first || p.accumulate;
  tile.row_bias = at.first && f.row_bias ? f.row_bias + at.row : nullptr;
  tile.column_bias = at.first && f.column_bias ? f.column_bias + at.column : nullptr;
  tile.activation = at.last ? f.activation : int64_t(ACTIVATION_NONE);
  tile.slope = f.slope;
  run_full_tile(int(at.rows), vectors, tile);
}

// A block of B to panels [depth][panel] that begin `stride` rows of a panel apart. Straight rows go in groups, along which
// the processor sees a few streams: panel after panel cost 2.5 cycles an element from L3, the latency of each line.
template <class T> static void pack_panels(const T* data, int64_t row, bool transposed, int64_t columns, int64_t depth,
                                           T* out, int64_t panel, int64_t stride) {
  constexpr int64_t GROUP = 8;
  const int64_t group = transposed ? depth : GROUP;
  for (int64_t k = 0; k < depth; k += group)
    for (int64_t j = 0; j < columns; j += panel) {
      const T* from = transposed ? data + j * row + k : data + k * row + j;
      (transposed ? pack_transposed<T> : pack_straight<T>)(from, row, smaller(panel, columns - j),
                                                           smaller(group, depth - k), out + j * stride + k * panel, panel);
    }
}

// The width of the panels of B for a product of so many rows.
template <class T> static int64_t product_panel(int64_t rows) {
  return tile_vectors(int(strip_rows(rows))) * LANES<T>;
}

// What a strip of tiles reads of A, and where it is put side by side first, if it has to be.
template <class T> struct Rows {
  const T* data;
  int64_t row;  // to the next line in memory: the next row, or the next of the sum where A is transposed
  bool transposed;
  int64_t rows, depth;
  T* copy;      // [depth][rows]; nullptr: read where they lie
};

template <class T> static void copy(const Rows<T>& a) {
  if (!a.copy) return;
  (a.transposed ? pack_straight<T> : pack_transposed<T>)(a.data, a.row, a.rows, a.depth, a.copy, a.rows);
}

// A piece of the sum in B: where it lies, and its panels, `stride` rows of a panel long.
template <class T> struct Panels {
  const T* data;
  int64_t row;
  T* packed;
  int64_t panel, stride;
};

// One row of tiles over a piece of the sum. The first `direct` columns of B are read where they lie, and packed for the
// strips that follow when there are any.
template <class T> struct Strip {
  Place at;
  Rows<T> a, next;
  int64_t direct;
  const T* next_b;  // the first row of B in the next piece of the sum, to be fetched, or nullptr
};

// What the tile of column j fetches for later while it sums: one row of the next strip of A each, or the first tile all of
// that strip where it is columns; in the last strips of a piece of the sum, B of the next one. From 2000 x 2000 it gains 3
// to 5 %. A narrow tile fetches it before its sums, which pays for rows that are copied alone.
template <class T> static void look_ahead(const Strip<T>& s, const Panels<T>& b, int64_t j, Tile<T>& tile) {
  const Rows<T>& next = s.next;
  const int64_t index = j / b.panel;
  tile.ahead = nullptr;
  tile.ahead_k = 0;
  if (s.next_b) {
    tile.ahead = s.next_b + j;
    tile.ahead_k = b.row;
  } else if (next.transposed) {
    if (!WIDE || !next.copy || index > 0) return;
    tile.ahead = next.data;
    tile.ahead_k = next.row;
  } else if (index < next.rows && (WIDE || next.copy)) {
    tile.ahead = next.data + index * next.row;
    tile.ahead_k = 1;
  }
}

template <class T> static void run_strip(const Product<T>& p, const Strip<T>& s, const Panels<T>& b) {
  const Rows<T>& a = s.a;
  Place at = s.at;
  Tile<T> tile = {};
  copy(a);
  tile.depth = a.depth;
  tile.a = a.copy ? a.copy : a.data;
  tile.a_row = a.transposed || a.copy ? 1 : a.row;
  tile.a_k = a.copy ? a.rows : a.transposed ? a.row : 1;
  for (int64_t j = 0; j < p.columns; j += b.panel) {
    at.column = j;
    at.columns = smaller(b.panel, p.columns - j);
    const bool direct = j < s.direct;
    tile.b = direct ? b.data + j : b.packed + j * b.stride;
    tile.b_k = direct ? b.row : b.panel;
    tile.b_copy = direct && s.next.rows ? b.packed + j * b.stride : nullptr;
    look_ahead(s, b, j, tile);
    product_tile(p, at, tile);
  }
}

// Adds the piece [k, k + depth) of the sum.
template <class T> static void multiply_piece(const Product<T>& p, int64_t k, int64_t depth, T* packed_a, T* packed_b) {
  const bool straight_b = !p.packed_b && !p.b.transposed, last = k + depth >= p.depth;
  const bool copies = copies_rows(p.a.transposed, p.a.row, sizeof(T)) && p.columns >= 64;
  const int64_t panel = p.packed_b ? p.panel : product_panel<T>(p.rows), direct = straight_b ? p.columns / panel * panel : 0;
  Panels<T> b = {p.b.at(k, 0), p.b.row, packed_b, panel, depth};
  if (p.packed_b) b.packed = (T*)p.packed_b + k * panel, b.stride = p.depth;
  else
    pack_panels(p.b.at(k, direct), p.b.row, p.b.transposed, p.columns - direct, depth, packed_b + direct * depth, panel,
                depth);
  const auto rows_at = [&](int64_t i) {
    return Rows<T>{p.a.at(i, k), p.a.row, p.a.transposed, strip_rows(p.rows - i), depth, copies ? packed_a : nullptr};
  };
  Rows<T> a = rows_at(0);
  for (int64_t i = 0; i < p.rows;) {
    const Rows<T> next = rows_at(i + a.rows);
    // As many strips before the end as a panel has lines across, each of which fetches one of them for all the sum.
    const int64_t line = divide_up(p.rows - i - a.rows, TILE_ROWS) * Fetch<T>::LINE;
    const T* next_b = last ? p.next_b : p.b.at(k + depth, 0);
    next_b = WIDE && straight_b && next_b && line < panel ? next_b + line : nullptr;
    run_strip(p, {{i, a.rows, 0, 0, k == 0, last}, a, next, i == 0 ? direct : 0, next_b}, b);
    i += a.rows;
    a = next;
  }
}

template <class T> static void multiply(const Product<T>& p, T* scratch) {
  const int64_t most = product_depth(p.depth, sizeof(T));
  for (int64_t k = 0; k == 0 || k < p.depth; k += most)
    multiply_piece(p, k, smaller(most, p.depth - k), scratch, scratch + 16 * most + SLACK);
}

// Inner products, for few rows of A (not transposed) and a transposed B: nothing is packed.
template <class T> static void multiply_inner(const Product<T>& p) {
  constexpr int64_t STRIP = 8 * DOT_COLUMNS, PITCH = round_up(STRIP + DOT_RESULTS, 16);
  const int64_t tile_rows = even_piece(p.rows, DOT_ROWS);
  const Segment whole = {0, 0, p.depth};
  int64_t b_row[DOT_COLUMNS];
  for (int j = 0; j < DOT_COLUMNS; j++) b_row[j] = j * p.b.row;
  for (int64_t i = 0; i < p.rows; i += tile_rows)
    for (int64_t j = 0; j < p.columns; j += STRIP) {
      const Place at = {i, smaller(tile_rows, p.rows - i), j, smaller(STRIP, p.columns - j), true, true};
      alignas(64) T sums[DOT_ROWS * PITCH], tile[DOT_RESULTS];
      for (int64_t q = 0; q < at.columns; q += DOT_COLUMNS) {
        const int columns = int(smaller(DOT_COLUMNS, at.columns - q));
        inner_product<T>(int(at.rows), columns, {p.a.at(i, 0), p.a.row, p.b.at(0, j + q), b_row, &whole, 1}, tile);
        for (int64_t r = 0; r < at.rows; r++)
          for (int c = 0; c < columns; c++) sums[r * PITCH + q + c] = tile[r * columns + c];
      }
      finish_rows(p, at, sums, PITCH);
    }
}

}  // namespace cortex::CORTEX_ISA
