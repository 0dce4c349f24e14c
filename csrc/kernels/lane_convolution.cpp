// lane_convolution_f32/f64:                y = activation(w * x + bias), images in batch lanes
// lane_convolution_input_gradient_f32/f64: dx = the transposed convolution of dy
//
//   layout    x [blocks][channels][height][width][16], w [filters][channels / groups][kernel_h][kernel_w],
//             y [blocks][filters][out_height][out_width][16]; lanes beyond the last example hold anything
//   buffers, integers, reals as in convolution.cpp; the input gradient has no bias and no activation
//   unit      some output channels of a strip of rows of a block (lanes_plans.h)
//
// The trick: a pixel is a vector, so nothing is shuffled, borders need no zeros and a stride is a distance. A table of
// steps tells the register tile (lane_tile.h) where each (channel, row tap, column tap) lies in the weights and in the
// source; the grid is cut into rectangles of pixels that see the same taps, each with its own table.
//
// Measured as in convolution.cpp (peak 117), float32, batch 64, GFLOP/s counting products with padding, AVX-512,
// forward / input gradient (dense layout): 1 -> 20 5x5 28x28 88 (66) / 47 (52); 3 -> 64 3x3 same 32x32 81 (44) / 54
// (40); 3x3 stride 2: 64 -> 128 32x32 98 (89) / 90 (79), 128 -> 256 16x16 99 (78) / 95 (86), 256 -> 512 8x8 118 (65) /
// 105 (66); 1x1 64 -> 256 32x32 88 (69) / 76 (71); depthwise 3x3 32x32 26 (14) / 24 (14). AVX2, forward: 87, 80, 86 at
// the first three.
#include "correlation.h"
#include "lane_tile.h"
#include "registry.h"

namespace cortex::CORTEX_ISA {
namespace {

// The correlation of a unit; distances in elements.
template <class T> struct Correlation {
  const ConvolutionShape& s;
  const LaneBlocks& b;
  bool gradient;
  const T* source;                       // of the unit's block and group
  int64_t source_plane;
  const T* weights;                      // of the unit's first output channel
  int64_t weight_row, weight_channel;
  int64_t outs, channels;
  T* out;                                // of the unit's first output channel
  const T* bias;
  int64_t activation;
  T slope;
  Step* steps;
  T *packed, *packed_weights;
};

template <class T> void pack_source(const Correlation<T>& c, LaneRows rows, int64_t width, int64_t channel,
                                    int64_t channels) {
  const int64_t line = width * EXAMPLES;
  for (int64_t i = 0; i < channels; i++)
    for (int64_t r = 0; r < rows.count; r++) {
      const T* const from = c.source + (channel + i) * c.source_plane + (rows.first + r) * line;
      T* const to = c.packed + (i * c.b.channel_pitch + r * c.b.row_pitch) * EXAMPLES;
      for (int64_t k = 0; k < line; k += LANES<T>) store(to + k, load(from + k));
    }
}

// Where the steps of a rectangle lie, channel by channel; the weights in memory, or packed [k][tile_rows].
template <class T> int64_t make_steps(const Correlation<T>& c, const Axis& h, const Axis& w, const Rectangle& r,
                                      int64_t channels) {
  Step* out = c.steps;
  for (int64_t i = 0; i < channels; i++)
    for (int64_t y = r.row_taps.start; y < r.row_taps.stop; y++)
      for (int64_t x = r.column_taps.start; x < r.column_taps.stop; x++, out++) {
        const int64_t tap = (h.weight_first + y * h.weight_delta) * c.s.kernel_w + w.weight_first + x * w.weight_delta;
        out->a = int32_t(i * c.weight_channel + tap);
        out->b = int32_t((i * c.b.channel_pitch + y * h.delta * c.b.row_pitch + x * w.delta) * EXAMPLES);
      }
  return out - c.steps;
}

// Rows of weights a multiple of half a page apart would share few sets of the L1 cache: pack those, [k][tile_rows].
template <class T> void pack_weights(const Correlation<T>& c, const T* weights, int64_t depth, int64_t tile_rows) {
  for (int64_t i = 0; i < c.outs; i++)
    for (int64_t k = 0; k < depth; k++)
      c.packed_weights[i / tile_rows * tile_rows * depth + k * tile_rows + i % tile_rows] =
          weights[i * c.weight_row + c.steps[k].a];
  for (int64_t k = 0; k < depth; k++) c.steps[k].a = int32_t(k * tile_rows);
}

// Source channels channel .. channel + channels - 1, added to one rectangle; `rows`: where the source begins.
template <class T> void correlate_rectangle(const Correlation<T>& c, const Axis& h, const Axis& w,
                                            const Rectangle& r, int64_t source_row, int64_t channel,
                                            int64_t channels) {
  const int64_t depth = make_steps(c, h, w, r, channels), tile_rows = even_piece(c.outs, depth < 128 ? 6 : TILE_ROWS);
  const T* const weights = c.weights + channel * c.weight_channel;
  const bool pack = c.weight_row * int64_t(sizeof(T)) % 2048 == 0 && c.outs > 2 && r.rows * r.columns >= 16;
  if (pack) pack_weights(c, weights, depth, tile_rows);
  const int64_t row_pitch = c.b.row_pitch * EXAMPLES, out_width = w.out * EXAMPLES;
  const bool upright = r.columns == 1;  // an edge: its pixels lie below each other
  LaneTile<T> tile = {};
  tile.a_row = pack ? 1 : c.weight_row;
  tile.b_pixel = upright ? h.step * row_pitch : w.step * EXAMPLES;
  tile.steps = c.steps;
  tile.depth = depth;
  tile.c_row = h.out * out_width;
  tile.c_pixel = upright ? h.out_step * out_width : w.out_step * EXAMPLES;
  tile.accumulate = channel > 0;
  tile.activation = channel + channels == c.channels ? c.activation : int64_t(ACTIVATION_NONE);
  tile.slope = c.slope;
  const T* const source = c.b.packed ? c.packed : c.source + channel * c.source_plane;
  for (int64_t i = 0; i < c.outs; i += tile_rows) {
    tile.a = pack ? c.packed_weights + i * depth : weights + i * c.weight_row;
    tile.bias = channel == 0 && c.bias ? c.bias + i : nullptr;
    for (int64_t row = r.row; row < r.row + (upright ? 1 : r.rows); row++) {
      tile.b = source + (h.first + row * h.step - source_row) * row_pitch + (w.first + r.column * w.step) * EXAMPLES;
      tile.c = c.out + i * tile.c_row + (h.out_first + row * h.out_step) * out_width +
               (w.out_first + r.column * w.out_step) * EXAMPLES;
      lane_pixels<T>(int(smaller(tile_rows, c.outs - i)), upright ? r.rows : r.columns, tile);
    }
  }
}

template <class T> void correlate(const Correlation<T>& c, int64_t strip) {
  const LaneRows source = source_rows(c.s, c.gradient, strip, c.b.strips);
  const int64_t residues = c.gradient ? c.s.stride_h * c.s.stride_w : 1;
  for (int64_t channel = 0; channel < c.channels; channel += c.b.channels) {
    const int64_t channels = smaller(c.b.channels, c.channels - channel);
    if (c.b.packed) pack_source(c, source, lane_columns(c.s, c.gradient, 0).source, channel, channels);
    for (int64_t residue = 0; residue < residues; residue++) {
      const Axis h = lane_rows(c.s, c.gradient, residue / c.s.stride_w);
      const Axis w = lane_columns(c.s, c.gradient, residue % c.s.stride_w);
      const LaneRows grid = grid_rows(h, strip, c.b.strips);
      Rectangle r = {};
      for (r.row = grid.first; r.row < grid.first + grid.count; r.row += r.rows) {
        r.row_taps = taps_at(h, r.row);
        r.rows = alike(h, r.row_taps, r.row, grid.first + grid.count);
        for (r.column = 0; r.column < w.grid; r.column += r.columns) {
          r.column_taps = taps_at(w, r.column);
          r.columns = alike(w, r.column_taps, r.column, w.grid);
          correlate_rectangle(c, h, w, r, c.b.packed ? source.first : 0, channel, channels);
        }
      }
    }
  }
}

template <class T, bool GRADIENT> void correlations(const Call& call, int64_t start, int64_t stop) {
  const ConvolutionShape s = convolution_shape(call.integer);
  const LaneBlocks b = lane_blocks(s, GRADIENT, sizeof(T));
  const int64_t taps = s.kernel_h * s.kernel_w, in = s.height * s.width * EXAMPLES;
  const int64_t out = s.out_height * s.out_width * EXAMPLES, weight_row = s.group_channels * taps;
  const int64_t outs = GRADIENT ? s.group_channels : s.group_filters;
  const int64_t channels = GRADIENT ? s.group_filters : s.group_channels;
  const int64_t source_plane = GRADIENT ? out : in, out_plane = GRADIENT ? in : out;
  T* const packed = (T*)((char*)call.scratch + round_up(b.depth * 16, 64));
  T* const packed_weights = packed + round_up(b.packed ? b.channels * b.channel_pitch * EXAMPLES : 0, 16);
  for (int64_t unit = start; unit < stop; unit++) {
    const int64_t strip = unit % b.strips, part = unit / b.strips % b.out_blocks * b.outs;
    const int64_t group = unit / (b.strips * b.out_blocks) % s.groups;
    const int64_t block = unit / (b.strips * b.out_blocks * s.groups), first = group * outs + part;
    const T* const weights = (const T*)call.buffer[2];
    const Correlation<T> c = {
        s, b, GRADIENT,
        (const T*)call.buffer[1] + (block * s.groups + group) * channels * source_plane, source_plane,
        GRADIENT ? weights + group * s.group_filters * weight_row + part * taps : weights + first * weight_row,
        GRADIENT ? taps : weight_row, GRADIENT ? weight_row : taps, smaller(b.outs, outs - part), channels,
        (T*)call.buffer[0] + (block * s.groups * outs + first) * out_plane,
        s.bias ? (const T*)call.buffer[3] + first : nullptr, s.activation,
        s.activation == ACTIVATION_LEAKY_RELU ? T(call.real[0]) : T(0), (Step*)call.scratch, packed, packed_weights};
    correlate(c, strip);
  }
}

}  // namespace
}  // namespace cortex::CORTEX_ISA

CORTEX_KERNELS(lane_convolution, {"lane_convolution_f32", correlations<float, false>},
               {"lane_convolution_f64", correlations<double, false>},
               {"lane_convolution_input_gradient_f32", correlations<float, true>},
               {"lane_convolution_input_gradient_f64", correlations<double, true>})
