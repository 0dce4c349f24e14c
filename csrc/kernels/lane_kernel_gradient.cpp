// lane_convolution_kernel_gradient_f32/f64: dw of a convolution whose x and dy lie in batch lanes
//
//   layout    x [blocks][channels][height][width][16], dy [blocks][filters][out_height][out_width][16]; what the lanes
//             beyond the last example hold is left out
//   buffers   dw [parts][filters][channels / groups][kernel_h][kernel_w], x, dy; parts and sum_partials as in
//             kernel_gradient.cpp
//   integers  as in convolution.cpp
//   unit      one part of a block of filters x channels (lanes_plans.h)
//
// A tap sees a rectangle of the grid, so its sum is over runs of pixels inside rows, without zeros for the borders.
//
// Measured as in lane_convolution.cpp, AVX-512 / AVX2 (dense layout, AVX-512): 1 -> 20 5x5 28x28 96 / 80 GFLOP/s (81);
// 20 -> 50 5x5 12x12 100 / 83 (92); 3x3 stride 2: 64 -> 128 93 / 83 (57), 128 -> 256 93 (54), 256 -> 512 105 / 95 (40).
#include "lane_gradient_tile.h"
#include "planes.h"
#include "registry.h"

namespace cortex::CORTEX_ISA {
namespace {

template <class T> struct Gradient {
  const ConvolutionShape& s;
  const LaneGradientBlocks& b;
  Axis h, w;
  int64_t filters, channels;   // of the unit
  const T *x, *dy;             // of its first channel and filter, block 0
  T* dw;
  Run* runs;
  int64_t *column, *weight;    // of a column of inner products: its offset in x, its place in dw
  T *packed, *turned, *sums;   // x of a strip, dy of a strip, [tap][channel][filter]
  int64_t in() const { return s.height * s.width * EXAMPLES; }
  int64_t out() const { return s.out_height * s.out_width * EXAMPLES; }
};

struct Strip {
  int64_t block, examples, row, rows;
};

static inline Strip strip_at(const ConvolutionShape& s, const LaneGradientBlocks& b, int64_t index) {
  const int64_t block = index / b.strips, strip = index % b.strips, row = s.out_height * strip / b.strips;
  return {block, smaller(EXAMPLES, s.batch - block * EXAMPLES), row,
          s.out_height * (strip + 1) / b.strips - row};
}

// Grid positions at which a tap lies in the source.
static inline LaneRows seen(const Axis& a, int64_t tap) {
  const int64_t first = a.first + tap * a.delta, start = count_below(0, first, a.step, a.grid);
  return {start, larger(0, count_below(a.source, first, a.step, a.grid) - start)};
}

// Runs of a tap (or of taps that see the same) in a strip, relative to x at source row `source_row` and dy at grid row
// `grid_row`.
template <class T> int64_t make_runs(const Gradient<T>& g, const Strip& strip, int64_t i, int64_t j,
                                     int64_t x_pitch, int64_t source_row, int64_t grid_row, int64_t dy_pixel) {
  const LaneRows rows = seen(g.h, i), columns = seen(g.w, j);
  const int64_t end = smaller(strip.row + strip.rows, rows.first + rows.count);
  int64_t count = 0;
  if (columns.count)
    for (int64_t r = larger(strip.row, rows.first); r < end; r++)
      g.runs[count++] = {((g.h.first + r * g.h.step - source_row) * x_pitch + g.w.first + columns.first * g.w.step) *
                             EXAMPLES,
                         ((r - grid_row) * g.s.out_width + columns.first) * dy_pixel, columns.count};
  return count;
}

// ---------------------------------------------------------------- inner products

// Taps from `tap` on that see the same positions.
static inline int64_t alike(const Axis& a, int64_t tap) {
  const LaneRows one = seen(a, tap);
  int64_t next = tap + 1;
  for (; next < a.taps; next++) {
    const LaneRows other = seen(a, next);
    if (other.first != one.first || other.count != one.count) break;
  }
  return next - tap;
}

template <class T> void add_products(const Gradient<T>& g, const Strip& strip, int64_t columns, int64_t runs) {
  const int64_t filter_pitch = g.s.group_channels * g.s.kernel_h * g.s.kernel_w;
  const int64_t tile_rows = even_piece(g.filters, DOT_ROWS), tile_columns = even_piece(columns, DOT_COLUMNS);
  const T* const x = g.x + strip.block * g.s.channels * g.in();
  const T* const dy = g.dy + strip.block * g.s.filters * g.out();
  for (int64_t f = 0; f < g.filters; f += tile_rows)
    for (int64_t c = 0; c < columns; c += tile_columns) {
      const int64_t tile_f = smaller(tile_rows, g.filters - f), tile_c = smaller(tile_columns, columns - c);
      T sum[DOT_RESULTS];
      lane_dot<T>(int(tile_f), int(tile_c), {dy + f * g.out(), g.out(), x, g.column + c, g.s.stride_w * EXAMPLES,
                                             g.runs, runs, strip.examples}, sum);
      for (int64_t i = 0; i < tile_f; i++)
        for (int64_t j = 0; j < tile_c; j++) g.dw[(f + i) * filter_pitch + g.weight[c + j]] += sum[i * tile_c + j];
    }
}

template <class T> void inner_strip(const Gradient<T>& g, const Strip& strip) {
  const int64_t taps = g.s.kernel_h * g.s.kernel_w;
  for (int64_t i = 0, rows; i < g.s.kernel_h; i += rows) {
    rows = alike(g.h, i);
    for (int64_t j = 0, count; j < g.s.kernel_w; j += count) {
      count = alike(g.w, j);
      int64_t columns = 0;
      for (int64_t c = 0; c < g.channels; c++)
        for (int64_t y = i; y < i + rows; y++)
          for (int64_t x = j; x < j + count; x++, columns++) {
            g.column[columns] = c * g.in() + (y * g.h.delta * g.s.width + x * g.w.delta) * EXAMPLES;
            g.weight[columns] = c * taps + y * g.s.kernel_w + x;
          }
      const int64_t runs = make_runs(g, strip, i, j, g.s.width, 0, 0, EXAMPLES);
      if (runs) add_products(g, strip, columns, runs);
    }
  }
}

// ---------------------------------------------------------------- outer products

template <class T> void pack_x(const Gradient<T>& g, const Strip& strip, LaneRows rows) {
  const int64_t line = g.s.width * EXAMPLES;
  for (int64_t c = 0; c < g.channels; c++)
    for (int64_t r = 0; r < rows.count; r++) {
      const T* const from = g.x + (strip.block * g.s.channels + c) * g.in() + (rows.first + r) * line;
      T* const to = g.packed + (c * g.b.channel_pitch + r * g.b.row_pitch) * EXAMPLES;
      for (int64_t k = 0; k < line; k += LANES<T>) store(to + k, load(from + k));
    }
}

// [filter][pixel][example] to [pixel][example][filter], filters that do not exist zero.
template <class T> void turn_dy(const Gradient<T>& g, const Strip& strip) {
  constexpr int L = LANES<T>;
  const int64_t pixels = strip.rows * g.s.out_width, pitch = g.b.pitch();
  const T* const dy = g.dy + strip.block * g.s.filters * g.out() + strip.row * g.s.out_width * EXAMPLES;
  for (int64_t f = 0; f < pitch; f += L)
    for (int64_t q = 0; q < pixels; q++)
      for (int64_t e = 0; e < strip.examples; e += L) {
        Vec<T> block[L];
#pragma GCC unroll 16
        for (int i = 0; i < L; i++)
          block[i] = f + i < g.filters ? load(dy + (f + i) * g.out() + q * EXAMPLES + e) : Vec<T>{};
        transpose<T>(block);
#pragma GCC unroll 16
        for (int i = 0; i < L; i++) store(g.turned + (q * EXAMPLES + e + i) * pitch + f, block[i]);
      }
}

template <class T> void outer_strip(const Gradient<T>& g, const Strip& strip, int64_t index) {
  constexpr int L = LANES<T>;
  const LaneRows rows = source_rows(g.s, false, index % g.b.strips, g.b.strips);
  const int64_t tile_rows = even_piece(g.channels, TILE_ROWS), pitch = g.b.pitch();
  const int64_t vectors = tile_vectors(int(tile_rows)) >= 4 ? 4 : 2;
  pack_x(g, strip, rows);
  turn_dy(g, strip);
  for (int64_t i = 0; i < g.s.kernel_h; i++)
    for (int64_t j = 0; j < g.s.kernel_w; j++) {
      const int64_t runs = make_runs(g, strip, i, j, g.b.row_pitch, rows.first, strip.row, EXAMPLES * pitch);
      if (!runs) continue;
      const T* const x = g.packed + (i * g.h.delta * g.b.row_pitch + j * g.w.delta) * EXAMPLES;
      T* const sums = g.sums + (i * g.s.kernel_w + j) * g.channels * pitch;
      for (int64_t c = 0; c < g.channels; c += tile_rows)
        for (int64_t f = 0, count; f < pitch; f += count * L) {
          count = smaller(vectors, (pitch - f) / L);
          if (count == 3) count = 2;
          lane_outer<T>(int(smaller(tile_rows, g.channels - c)), int(count),
                        {x + c * g.b.channel_pitch * EXAMPLES, g.b.channel_pitch * EXAMPLES, g.s.stride_w * EXAMPLES,
                         g.turned + f, pitch, g.runs, runs, strip.examples, sums + c * pitch + f});
        }
    }
}

template <class T> void write_sums(const Gradient<T>& g) {
  const int64_t taps = g.s.kernel_h * g.s.kernel_w, filter_pitch = g.s.group_channels * taps;
  for (int64_t f = 0; f < g.filters; f++)
    for (int64_t c = 0; c < g.channels; c++)
      for (int64_t t = 0; t < taps; t++)
        g.dw[f * filter_pitch + c * taps + t] = g.sums[(t * g.channels + c) * g.b.pitch() + f];
}

// ---------------------------------------------------------------- units

template <class T> void gradient_unit(const Gradient<T>& g, int64_t first, int64_t end) {
  const int64_t taps = g.s.kernel_h * g.s.kernel_w, weights = g.channels * taps;
  if (g.b.outer) {
    for (int64_t i = 0; i < weights * g.b.pitch(); i++) g.sums[i] = 0;
    for (int64_t i = first; i < end; i++) outer_strip(g, strip_at(g.s, g.b, i), i);
    return write_sums(g);
  }
  for (int64_t f = 0; f < g.filters; f++)
    for (int64_t i = 0; i < weights; i++) g.dw[f * g.s.group_channels * taps + i] = 0;
  for (int64_t i = first; i < end; i++) inner_strip(g, strip_at(g.s, g.b, i));
}

template <class T> void lane_kernel_gradient(const Call& call, int64_t start, int64_t stop) {
  const ConvolutionShape s = convolution_shape(call.integer);
  const LaneGradientBlocks b = lane_gradient_blocks(s, sizeof(T));
  const int64_t taps = s.kernel_h * s.kernel_w;
  Run* const runs = (Run*)call.scratch;
  int64_t* const column = (int64_t*)((char*)call.scratch + round_up(larger(b.pixels, s.out_height) * 24, 64));
  T* const packed = (T*)((char*)column + round_up(b.channels * taps * 16, 64));
  T* const turned = packed + b.channels * b.channel_pitch * EXAMPLES;
  for (int64_t unit = start; unit < stop; unit++) {
    const int64_t channel = unit % b.channel_blocks * b.channels;
    const int64_t filter = unit / b.channel_blocks % b.filter_blocks * b.filters;
    const int64_t group = unit / (b.channel_blocks * b.filter_blocks) % s.groups;
    const int64_t part = unit / (b.channel_blocks * b.filter_blocks * s.groups);
    const int64_t in = s.height * s.width * EXAMPLES, out = s.out_height * s.out_width * EXAMPLES;
    const int64_t first_filter = group * s.group_filters + filter;
    const Gradient<T> g = {
        s, b, forward_rows(s), forward_columns(s), smaller(b.filters, s.group_filters - filter),
        smaller(b.channels, s.group_channels - channel),
        (const T*)call.buffer[1] + (group * s.group_channels + channel) * in,
        (const T*)call.buffer[2] + first_filter * out,
        (T*)call.buffer[0] + ((part * s.filters + first_filter) * s.group_channels + channel) * taps, runs, column,
        column + b.channels * taps, packed, turned, turned + b.pixels * b.pitch() * EXAMPLES};
    gradient_unit(g, b.all_strips * part / b.parts, b.all_strips * (part + 1) / b.parts);
  }
}

}  // namespace
}  // namespace cortex::CORTEX_ISA

CORTEX_KERNELS(lane_kernel_gradient, {"lane_convolution_kernel_gradient_f32", lane_kernel_gradient<float>},
               {"lane_convolution_kernel_gradient_f64", lane_kernel_gradient<double>})
