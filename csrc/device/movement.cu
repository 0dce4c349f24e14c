// Movement: elements are copied as raw bits, so these are made per item size (raw8 .. raw128), not per dtype.
CX_DTYPES(raw8, raw16, raw32, raw64, raw128)

namespace cx {

// Element (i0 .. i7) lies at the sum of i times stride on either side; extent 1 for what is not there.
struct Strided {
  I extent[8];
  I to[8];
  I from[8];
};

CX_EACH(fill, (T* y, T value, I n), n) { y[i] = value; } CX_END

CX_EACH(copy, (T* y, const T* x, I n), n) { y[i] = x[i]; } CX_END

// Transposes, slices, pads (after a fill), pieces of a concatenation: y and x point at their first element.
CX_EACH(copy_strided, (T* y, const T* x, Strided shape, I n), n) {
  I rest = i, to = 0, from = 0;
  CX_UNROLL
  for (int d = 7; d >= 0; --d) {
    if (shape.extent[d] == 1) continue;
    const I next = rest / shape.extent[d], at = rest - next * shape.extent[d];
    to += at * shape.to[d];
    from += at * shape.from[d];
    rest = next;
  }
  y[to] = x[from];
} CX_END

constexpr int SQUARE = 32;

// y [batch, columns, rows] = x [batch, rows, columns] with the last two axes swapped, through a square of shared memory
// so that both sides are read and written along their rows. A tile is a square of 32 x 32.
CX_TILES(transpose, (T* y, const T* x, I batch, I rows, I columns),
         batch * part_size<I>(rows, SQUARE) * part_size<I>(columns, SQUARE)) {
  CX_SHARED T square[SQUARE][SQUARE + 1];
  const I across = part_size<I>(columns, SQUARE), down = part_size<I>(rows, SQUARE);
  const I place = tile / across, column = (tile - place * across) * SQUARE;
  const I b = place / down, row = (place - b * down) * SQUARE;
  team.barrier();  // reuse barrier: the last square may still be read
  for (int e = team.lane(); e < SQUARE * SQUARE; e += TILE_THREADS) {
    const int r = e / SQUARE, c = e % SQUARE;
    if (row + r < rows && column + c < columns) square[r][c] = x[(b * rows + row + r) * columns + column + c];
  }
  team.barrier();
  for (int e = team.lane(); e < SQUARE * SQUARE; e += TILE_THREADS) {
    const int c = e / SQUARE, r = e % SQUARE;
    if (row + r < rows && column + c < columns) y[(b * columns + column + c) * rows + row + r] = square[r][c];
  }
} CX_END

}  // namespace cx
