// y [batch, m, n] = activation(a [.., m, k] b [.., k, n] + bias [n]): either operand in any orientation by strides, the
// batch of up to four axes broadcast by strides of 0; the bias may be missing.
#include "product.h"
CX_DTYPES(float32, float64, float16, bfloat16)

namespace cx {

struct Matrices {
  I batch, m, n, k;
  I a_row, a_depth, b_depth, b_column;
  I extent[4], a_batch[4], b_batch[4];
};

template <class Y>
CX_FN void matrix_tile(const TileTeam& team, I tile, Y* y, const T* a, const T* b, const T* bias, const Matrices& s) {
  const I across = part_size<I>(s.n, TILE), down = part_size<I>(s.m, TILE);
  const I place = tile / across, column = (tile - place * across) * TILE;
  const I number = place / down, row = (place - number * down) * TILE;
  I rest = number, a0 = 0, b0 = 0;
  CX_UNROLL
  for (int d = 3; d >= 0; --d) {
    if (s.extent[d] == 1) continue;
    const I next = rest / s.extent[d], at = rest - next * s.extent[d];
    a0 += at * s.a_batch[d];
    b0 += at * s.b_batch[d];
    rest = next;
  }
  product(
      team, row, column, s.m, s.n, (I)0, s.k, s.a_depth == 1, s.b_depth == 1,
      [&](I r, I k) { return cast<A>(a[a0 + r * s.a_row + k * s.a_depth]); },
      [&](I k, I c) { return cast<A>(b[b0 + k * s.b_depth + c * s.b_column]); },
      [&](I r, I c, A total) {
        const A biased = bias ? total + cast<A>(bias[c]) : total;
        y[(number * s.m + r) * s.n + c] = cast<Y>(CX_ACTIVATION(biased));
      });
}

CX_TILES(matmul, (T* y, const T* a, const T* b, const T* bias, Matrices s), s.batch * tiles(s.m, s.n)) {
  matrix_tile(team, tile, y, a, b, bias, s);
} CX_END

// The same with the sums of 16-bit operands kept whole.
CX_TILES(matmul_whole, (R* y, const T* a, const T* b, const T* bias, Matrices s), s.batch * tiles(s.m, s.n)) {
  matrix_tile(team, tile, y, a, b, bias, s);
} CX_END

}  // namespace cx
