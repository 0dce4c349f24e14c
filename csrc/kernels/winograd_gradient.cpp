// winograd_input_gradient_f32:  dx of a convolution, all stages of a block of examples in one unit
// winograd_correlate_f32:       dU of a chunk of tiles, written or added to what is there
// winograd_kernel_f32:          dw = G^T dU G
//
//   layout    dx, dy, x in batch lanes; dU [36][filters][channels]; dw [filters][channels][r][r]
//   buffers   dx, dy, U (rows: channels);   dU, E, V (in rows, winograd_plans.h);   dw, dU
//   integers  winograd_plans.h, of the forward convolution; winograd_correlate adds where the first tile is not 0
//   unit      a block of sixteen examples;   a block of filters of one product;   eight filters
//
// The input gradient as the adjoint needs the tiles of dy: 16 for an unpadded 5x5 on 12x12, where a forward pass with
// the flipped kernel would need the 36 of dx. Where padding makes them equal the flipped forward pass is used: it needs
// no sums over overlapping tiles.
#include "registry.h"
#include "winograd.h"

namespace cortex::CORTEX_ISA {
namespace {

template <int R> void gradient_blocks(const Call& call, const WinogradShape& s, int64_t start, int64_t stop) {
  const Image dx = source_image(call.buffer[0], s), dy = result_image(call.buffer[1], s);
  const int64_t most = gradient_tiles(s), product = filter_product(s.channels, s.filters, false);
  const Matrices in = panel_matrices(s.filters, most), out = panel_matrices(s.channels, most);
  float* const e = (float*)call.scratch;
  float* const n = e + round_up(in.size() + SLACK, 16);
  for (int64_t unit = start; unit < stop; unit++) {
    float* const block = dx.data + unit * dx.block;
    for (int64_t i = 0; i < dx.block; i += WIDTH) store(block + i, Floats{});
    for (int64_t t = 0; t < s.image; t += most) {
      const int64_t first = unit * s.image + t, count = smaller(most, s.image - t);
      transform_source<Spread<POINTS + 1 - R>>(dy, s, 0, 0, first, count, 0, s.filters, in, false, e);
      for (int k = 0; k < PRODUCTS; k++)
        multiply_panels((const float*)call.buffer[2] + k * product, s.channels, s.filters, e + k * in.product, in.pair,
                        count, n + k * out.product, out.pair);
      add_gradient(n, out, dx, s, first, count);
    }
  }
}

void input_gradient(const Call& call, int64_t start, int64_t stop) {
  const WinogradShape s = winograd_shape(call.integer);
  CORTEX_BY_KERNEL(s.kernel, gradient_blocks, call, s, start, stop);
}

// ---------------------------------------------------------------- kernel gradient

// Filters [f0, f1) of one product: du[filter][channel] (+)= sum over the chunk of e[filter] v[channel].
void correlate_rows(const WinogradShape& s, const float* e, const Matrices& filters, const float* v,
                    const Matrices& channels, int64_t f0, int64_t f1, float* du) {
  const int64_t all = s.count * BLOCK_LANES, tile_f = even_piece(f1 - f0, DOT_ROWS);
  const int64_t tile_c = even_piece(s.channels, DOT_COLUMNS);
  int64_t column[DOT_COLUMNS];
  for (int64_t d = 0; d < all; d += SUM_DEPTH) {
    const Segment segment = {d, d, smaller(SUM_DEPTH, all - d)};
    const bool add = s.first + d > 0;
    for (int64_t f = f0; f < f1; f += tile_f)
      for (int64_t c = 0; c < s.channels; c += tile_c) {
        const int64_t rows = smaller(tile_f, f1 - f), columns = smaller(tile_c, s.channels - c);
        for (int64_t j = 0; j < columns; j++) column[j] = (c + j) * channels.channel;
        float sum[DOT_RESULTS];
        inner_product<float>(int(rows), int(columns),
                             {e + f * filters.channel, filters.channel, v, column, &segment, 1}, sum);
        for (int64_t i = 0; i < rows; i++)
          for (int64_t j = 0; j < columns; j++) {
            float* const to = du + (f + i) * s.channels + c + j;
            *to = add ? *to + sum[i * columns + j] : sum[i * columns + j];
          }
      }
  }
}

// The same for wide layers: V of 32 channels is transposed, [depth][channel], and multiplied by elements of E.
void correlate_panels(const WinogradShape& s, const float* e, const Matrices& filters, const float* v,
                      const Matrices& channels, int64_t f0, int64_t f1, float* du, float* panel) {
  constexpr int64_t COLUMNS = 2 * WIDTH;
  const int64_t all = s.count * BLOCK_LANES, step = row_tile(f1 - f0);
  for (int64_t c = 0; c < s.channels; c += COLUMNS)
    for (int64_t d = 0; d < all; d += SUM_DEPTH) {
      const int64_t depth = smaller(SUM_DEPTH, all - d), columns = smaller(COLUMNS, s.channels - c);
      for (int64_t i = 0; i < depth; i += WIDTH)
        for (int64_t j = 0; j < COLUMNS; j += WIDTH) {
          Floats rows[WIDTH];
          for (int64_t r = 0; r < WIDTH; r++)
            rows[r] = j + r < columns ? load(v + (c + j + r) * channels.channel + d + i) : Floats{};
          transpose<float>(rows);
          for (int64_t r = 0; r < WIDTH; r++) store(panel + (i + r) * COLUMNS + j, rows[r]);
        }
      for (int64_t f = f0; f < f1; f += step) {
        Tile<float> tile = {};
        tile.a = e + f * filters.channel + d;
        tile.a_row = filters.channel;
        tile.a_k = 1;
        tile.b = panel;
        tile.b_k = COLUMNS;
        tile.depth = depth;
        tile.c = du + f * s.channels + c;
        tile.c_row = s.channels;
        tile.accumulate = s.first + d > 0;
        run_tile<float, BY_ROWS>(int(smaller(step, f1 - f)), columns, tile);
      }
    }
}

void correlate(const Call& call, int64_t start, int64_t stop) {
  const WinogradShape s = winograd_shape(call.integer);
  const Matrices filters = row_matrices(s.filters, s.count), channels = row_matrices(s.channels, s.count);
  const int64_t step = sum_filters(s), blocks = divide_up(s.filters, step);
  for (int64_t unit = start; unit < stop; unit++) {
    const int64_t k = unit / blocks, f = unit % blocks * step;
    const float* const e = (const float*)call.buffer[1] + k * filters.product;
    const float* const v = (const float*)call.buffer[2] + k * channels.product;
    float* const du = (float*)call.buffer[0] + k * kernel_product(s);
    const int64_t end = smaller(s.filters, f + step);
    if (sums_in_panels(s)) correlate_panels(s, e, filters, v, channels, f, end, du, (float*)call.scratch);
    else correlate_rows(s, e, filters, v, channels, f, end, du);
  }
}

// Filters [f0, f1): vectors of channels are transformed, their taps then stand side by side in dw.
template <int R> void kernel_of(const Call& call, const WinogradShape& s, int64_t start, int64_t stop) {
  const int64_t f1 = smaller(s.filters, stop * KERNEL_FILTERS), product = kernel_product(s);
  for (int64_t f = start * KERNEL_FILTERS; f < f1; f++)
    for (int64_t c = 0; c < s.channels; c += WIDTH) {
      const int64_t row = f * s.channels + c, lanes = smaller(WIDTH, s.channels - c);
      const float* const du = (const float*)call.buffer[1] + row;
      Floats taps[round_up(R * R, WIDTH)] = {};
      transform<FilterAdjoint<R>>(
          [&](int i, int j) __attribute__((always_inline)) { return load_part(du + (i * POINTS + j) * product, lanes); },
          [&](int i, int j, Floats value) __attribute__((always_inline)) { taps[i * R + j] = value; });
      float* const dw = (float*)call.buffer[0] + row * R * R;
      for (int first = 0; first < R * R; first += WIDTH) {
        transpose<float>(taps + first);
        for (int i = 0; i < lanes; i++)
          store_part(dw + i * R * R + first, taps[first + i], smaller(WIDTH, R * R - first));
      }
    }
}

void kernel(const Call& call, int64_t start, int64_t stop) {
  const WinogradShape s = winograd_shape(call.integer);
  CORTEX_BY_KERNEL(s.kernel, kernel_of, call, s, start, stop);
}

}  // namespace
}  // namespace cortex::CORTEX_ISA

CORTEX_KERNELS(winograd_gradient, {"winograd_input_gradient_f32", input_gradient},
               {"winograd_correlate_f32", correlate}, {"winograd_kernel_f32", kernel})
