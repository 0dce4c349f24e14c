// The register tiles of the kernel gradient in batch lanes: sums over pixels and examples, along runs of pixels.
//
// lane_dot: C[rows][columns] = sum of dy[row] x[column], vectors of examples; a horizontal sum for each element at the
//   end. Examples that do not exist are masked in both factors: they may hold NaN.
// lane_outer: C[rows][filters] += x[row][example] dy[example][filters], dy transposed; examples that do not exist are
//   left out of the sum.
#pragma once
#include "gemm.h"
#include "lanes.h"

namespace cortex::CORTEX_ISA {

struct Run {
  int64_t x, dy, pixels;  // where a run of pixels starts, in elements
};

template <class T> struct LaneDot {
  const T* dy;
  int64_t dy_row;
  const T* x;
  const int64_t* x_column;  // offset of each column
  int64_t x_pixel;
  const Run* runs;
  int64_t count, examples;
};

template <class T, bool MASKED> CORTEX_INLINE Vec<T> load_masked(const T* p, IntVec<T> mask) {
  return MASKED ? (Vec<T>)((IntVec<T>)load(p) & mask) : load(p);
}

// To out[ROWS][COLUMNS], which has room for DOT_RESULTS. Few sums are split, to hide the latency of the FMA. MASKED for
// blocks that are not full: the mask would be one register too many of 16.
template <class T, int ROWS, int COLUMNS, bool MASKED> static void lane_dot(const LaneDot<T>& dot, T* out) {
  const LaneDot<T> p = dot;
  constexpr int L = LANES<T>, SPLIT = ROWS * COLUMNS >= 8 ? 1 : ROWS * COLUMNS >= 4 ? 2 : 4;
  Vec<T> sum[SPLIT][ROWS][COLUMNS] = {};
  for (int part = 0; part < PIXEL_VECTORS<T>; part++) {
    const IntVec<T> mask = lane_numbers<T>() < (IntVec<T>{} + Int<T>(p.examples - part * L));
    for (int64_t r = 0; r < p.count; r++) {
      const T *a[ROWS], *b[COLUMNS];
#pragma GCC unroll 8
      for (int i = 0; i < ROWS; i++) a[i] = p.dy + i * p.dy_row + p.runs[r].dy + part * L;
#pragma GCC unroll 8
      for (int j = 0; j < COLUMNS; j++) b[j] = p.x + p.x_column[j] + p.runs[r].x + part * L;
      for (int64_t q = 0; q < p.runs[r].pixels; q += SPLIT) {
#pragma GCC unroll 4
        for (int s = 0; s < SPLIT; s++) {
          if (SPLIT > 1 && q + s >= p.runs[r].pixels) break;
          Vec<T> x[ROWS];
#pragma GCC unroll 8
          for (int i = 0; i < ROWS; i++) x[i] = load_masked<T, MASKED>(a[i] + (q + s) * EXAMPLES, mask);
#pragma GCC unroll 8
          for (int j = 0; j < COLUMNS; j++) {
            const Vec<T> y = load_masked<T, MASKED>(b[j] + (q + s) * p.x_pixel, mask);
#pragma GCC unroll 8
            for (int i = 0; i < ROWS; i++) sum[s][i][j] += x[i] * y;
          }
        }
      }
    }
  }
#pragma GCC unroll 4
  for (int s = 1; s < SPLIT; s++)
    for (int i = 0; i < ROWS; i++)
      for (int j = 0; j < COLUMNS; j++) sum[0][i][j] += sum[s][i][j];
#pragma GCC unroll 16
  for (int first = 0; first < ROWS * COLUMNS; first += L) {
    Vec<T> group[L];
#pragma GCC unroll 16
    for (int i = 0; i < L; i++)
      group[i] = first + i < ROWS * COLUMNS ? sum[0][(first + i) / COLUMNS][(first + i) % COLUMNS] : Vec<T>{};
    store(out + first, horizontal_sums<T>(group));
  }
}

template <class T, int ROWS = DOT_ROWS, int COLUMNS = DOT_COLUMNS> CORTEX_INLINE
void lane_dot(int rows, int columns, const LaneDot<T>& dot, T* out) {
  if constexpr (ROWS > 1)
    if (rows < ROWS) return lane_dot<T, ROWS - 1, COLUMNS>(rows, columns, dot, out);
  if constexpr (COLUMNS > 1)
    if (columns < COLUMNS) return lane_dot<T, ROWS, COLUMNS - 1>(rows, columns, dot, out);
  (dot.examples == EXAMPLES ? lane_dot<T, ROWS, COLUMNS, false> : lane_dot<T, ROWS, COLUMNS, true>)(dot, out);
}

template <class T> struct LaneOuter {
  const T* x;
  int64_t x_row, x_pixel;
  const T* dy;
  int64_t pitch;  // of dy from example to example, and of c
  const Run* runs;
  int64_t count, examples;
  T* c;
};

template <class T, int ROWS, int VECTORS> static void lane_outer(const LaneOuter<T>& tile) {
  const LaneOuter<T> p = tile;
  constexpr int L = LANES<T>;
  Vec<T> sum[ROWS][VECTORS];
  for (int i = 0; i < ROWS; i++)
    for (int v = 0; v < VECTORS; v++) sum[i][v] = load(p.c + i * p.pitch + v * L);
  for (int64_t r = 0; r < p.count; r++) {
    const T *x = p.x + p.runs[r].x, *dy = p.dy + p.runs[r].dy;
    for (int64_t q = 0; q < p.runs[r].pixels; q++, x += p.x_pixel, dy += EXAMPLES * p.pitch) {
      const T* row = dy;
      for (int64_t k = 0; k < p.examples; k++, row += p.pitch) {
        Vec<T> g[VECTORS];
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; v++) g[v] = load(row + v * L);
#pragma GCC unroll 16
        for (int i = 0; i < ROWS; i++) {
          const Vec<T> e = broadcast(x[i * p.x_row + k]);
#pragma GCC unroll 8
          for (int v = 0; v < VECTORS; v++) sum[i][v] += e * g[v];
        }
      }
    }
  }
  for (int i = 0; i < ROWS; i++)
    for (int v = 0; v < VECTORS; v++) store(p.c + i * p.pitch + v * L, sum[i][v]);
}

template <class T, int ROWS = TILE_ROWS> CORTEX_INLINE
void lane_outer(int rows, int vectors, const LaneOuter<T>& tile) {
  if constexpr (ROWS > 1)
    if (rows < ROWS) return lane_outer<T, ROWS - 1>(rows, vectors, tile);
  if constexpr (tile_vectors(ROWS) >= 4)
    if (vectors == 4) return lane_outer<T, ROWS, 4>(tile);
  if (vectors == 2) return lane_outer<T, ROWS, 2>(tile);
  lane_outer<T, ROWS, 1>(tile);
}

}  // namespace cortex::CORTEX_ISA
