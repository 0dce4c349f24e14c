// The register tile of convolutions in batch lanes: C[rows][pixels] = sum over k of A[rows][k] B[k][pixels], a pixel
// being 16 examples side by side, and pixels any distance apart.
//
// As outer_product of gemm.h, weights are broadcast against vectors; here a vector is one pixel, or a part of it, so
// strides of the window and gaps of the output cost nothing.
#pragma once
#include "gemm.h"
#include "lanes.h"

namespace cortex::CORTEX_ISA {

template <class T> struct LaneTile {
  const T* a;
  int64_t a_row;       // A[i][k] = a[i * a_row + steps[k].a]
  const T* b;
  int64_t b_pixel;     // pixel q of B[k] lies at b + steps[k].b + q * b_pixel
  const Step* steps;
  int64_t depth;
  T* c;
  int64_t c_row, c_pixel;
  bool accumulate;
  const T* bias;       // of the rows, or nullptr
  int64_t activation;
  T slope;
};

// Vectors of a pixel that a tile of so many rows takes at once, and its pixels.
template <class T> constexpr int tile_parts(int rows) {
  return tile_vectors(rows) < PIXEL_VECTORS<T> ? tile_vectors(rows) : PIXEL_VECTORS<T>;
}
template <class T> constexpr int tile_pixels(int rows) { return tile_vectors(rows) / tile_parts<T>(rows); }

template <class T, int ROWS, int PIXELS> static void lane_tile(const LaneTile<T>& tile) {
  const LaneTile<T> p = tile;
  constexpr int L = LANES<T>, PARTS = tile_parts<T>(ROWS), VECTORS = PIXELS * PARTS;
  for (int64_t part = 0; part < PIXEL_VECTORS<T>; part += PARTS) {
    const T* const base = p.b + part * L;
    T* const c = p.c + part * L;
    Vec<T> sum[ROWS][VECTORS] = {};
    if (p.depth >= 16)
      for (int i = 0; i < ROWS; i++)
        for (int q = 0; q < PIXELS; q++) __builtin_prefetch(c + i * p.c_row + q * p.c_pixel, 1);
    if (p.bias)
      for (int i = 0; i < ROWS; i++)
        for (int v = 0; v < VECTORS; v++) sum[i][v] = broadcast(p.bias[i]);
    for (int64_t k = 0; k < p.depth; k++) {
      const T* const ak = p.a + p.steps[k].a;
      const T* const bk = base + p.steps[k].b;
      Vec<T> bv[VECTORS];
#pragma GCC unroll 8
      for (int v = 0; v < VECTORS; v++) bv[v] = load(bk + v / PARTS * p.b_pixel + v % PARTS * L);
#pragma GCC unroll 16
      for (int i = 0; i < ROWS; i++) {
        const Vec<T> x = broadcast(ak[i * p.a_row]);
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; v++) sum[i][v] += x * bv[v];
      }
    }
    if (p.accumulate)
      for (int i = 0; i < ROWS; i++)
        for (int v = 0; v < VECTORS; v++) sum[i][v] += load(c + i * p.c_row + v / PARTS * p.c_pixel + v % PARTS * L);
    for (int i = 0; i < ROWS; i++)
      for (int v = 0; v < VECTORS; v++)
        store(c + i * p.c_row + v / PARTS * p.c_pixel + v % PARTS * L,
              activate<T>(sum[i][v], p.activation, p.slope));
  }
}

// `pixels` pixels of `rows` rows, in as few tiles as there are.
template <class T, int ROWS> static void lane_pixels(int64_t pixels, LaneTile<T> tile) {
  constexpr int MOST = tile_pixels<T>(ROWS);
  for (int64_t count; pixels; pixels -= count, tile.b += count * tile.b_pixel, tile.c += count * tile.c_pixel)
    if (MOST >= 8 && pixels >= 8) lane_tile<T, ROWS, (MOST >= 8 ? 8 : 1)>(tile), count = 8;
    else if (MOST >= 4 && pixels >= 4) lane_tile<T, ROWS, (MOST >= 4 ? 4 : 1)>(tile), count = 4;
    else if (MOST >= 2 && pixels >= 2) lane_tile<T, ROWS, (MOST >= 2 ? 2 : 1)>(tile), count = 2;
    else lane_tile<T, ROWS, 1>(tile), count = 1;
}

template <class T, int ROWS = TILE_ROWS> CORTEX_INLINE
void lane_pixels(int rows, int64_t pixels, const LaneTile<T>& tile) {
  if constexpr (ROWS > 1)
    if (rows < ROWS) return lane_pixels<T, ROWS - 1>(rows, pixels, tile);
  lane_pixels<T, ROWS>(pixels, tile);
}

}  // namespace cortex::CORTEX_ISA
