// One tile of a matrix product, 64 x 64 results: the core of MatMul and of the three convolutions. Slow but right, and
// deterministic: it serves the emulated device, and float64 where no library does.
#pragma once

#ifndef CX_ACTIVATION  // emitted.py puts a user's expression here
#define CX_ACTIVATION(x) (x)
#endif

namespace cx {

constexpr int TILE = 64, DEPTH = 16, EACH_WAY = TILE / TILE_SIDE;

CX_FN I tiles(I rows, I columns) { return part_size<I>(rows, TILE) * part_size<I>(columns, TILE); }

// For row .. row + 63 and column .. column + 63: store(r, c, the sum over k = first .. last - 1 of left(r, k) times
// right(k, c)). `left_by_depth`: neighbours in memory are neighbours in k; likewise right. Thread (y, x) owns the
// results at (y + i side, x + j side), so that neighbours write neighbours. The sum runs in the order of k, on the CPU
// too.
template <class Left, class Right, class Store>
CX_FN void product(const TileTeam& team, I row, I column, I rows, I columns, I first, I last, bool left_by_depth,
                   bool right_by_depth, const Left& left, const Right& right, const Store& store) {
  CX_SHARED A lefts[DEPTH][TILE + 1];
  CX_SHARED A rights[DEPTH][TILE + 1];
  const int y = team.lane() / TILE_SIDE, x = team.lane() % TILE_SIDE;
  A total[EACH_WAY][EACH_WAY] = {};
  for (I k = first; k < last; k += DEPTH) {
    team.barrier();  // reuse barrier: the last depth may still be read
    for (int e = team.lane(); e < DEPTH * TILE; e += TILE_THREADS) {
      const int dl = left_by_depth ? e % DEPTH : e / TILE, r = left_by_depth ? e / DEPTH : e % TILE;
      const int dr = right_by_depth ? e % DEPTH : e / TILE, c = right_by_depth ? e / DEPTH : e % TILE;
      lefts[dl][r] = k + dl < last && row + r < rows ? left(row + r, k + dl) : A(0);
      rights[dr][c] = k + dr < last && column + c < columns ? right(k + dr, column + c) : A(0);
    }
    team.barrier();
    const int depth = (int)least<I>(DEPTH, last - k);
    for (int d = 0; d < depth; ++d) {
      CX_UNROLL
      for (int i = 0; i < EACH_WAY; ++i) {
        CX_UNROLL
        for (int j = 0; j < EACH_WAY; ++j)
          total[i][j] += lefts[d][y + i * TILE_SIDE] * rights[d][x + j * TILE_SIDE];
      }
    }
  }
  CX_UNROLL
  for (int i = 0; i < EACH_WAY; ++i) {
    CX_UNROLL
    for (int j = 0; j < EACH_WAY; ++j) {
      const I r = row + y + i * TILE_SIDE, c = column + x + j * TILE_SIDE;
      if (r < rows && c < columns) store(r, c, total[i][j]);
    }
  }
}

}  // namespace cx
