// convolution_f32/f64:                y = activation(w * x + bias)
// convolution_input_gradient_f32/f64: dx = the transposed convolution of dy (+ bias, activation: as a forward pass)
//
//   layout    x [batch][channels][height][width], w [filters][channels / groups][kernel_h][kernel_w],
//             y [batch][filters][out_height][out_width]; one dimension is height = kernel_h = 1
//   buffers   y, x, w, bias [filters] (absent without);   dx, dy, w, bias [channels] (absent without)
//   integers  0 batch, 1 channels, 2 height, 3 width, 4 filters, 5 kernel_h, 6 kernel_w, 7 stride_h, 8 stride_w,
//             9 pad_top, 10 pad_bottom, 11 pad_left, 12 pad_right, 13 dilation_h, 14 dilation_w, 15 groups,
//             16 bias (0, 1), 17 activation (0 none, 1 relu, 2 leaky relu); always of the forward convolution
//   reals     0 slope of the leaky relu
//   unit      a block of output channels of some strips of the images (convolution_plans.h)
//
// The trick: pixels are the vector dimension, so 1 or 20 channels cost nothing; weights are broadcast in the order they
// lie in memory. A strip of the source is packed once per column tap (not per tap: convolution_plans.h), and a table of
// steps tells the register tile where each (channel, row tap, column tap) lies in the weights and in the planes.
// Small unpadded images take another way to the input gradient: column_gradient.h.
//
// Measured in GFLOP/s of useful operations, one core of peak 117 (see matmul.cpp), float32, forward / input gradient:
//
//                                  AVX-512            AVX2              SSE2 (peak 49)
//   1 -> 20, 5x5, 28x28, b64       75 64 % / 57 49 %  70 60 % / 52 45 %  26 53 % / 21 42 %
//   20 -> 50, 5x5, 12x12, b64     102 87 % / 73 62 %  98 83 % / 72 62 %  33 68 % / 27 55 %
//   32 -> 64, 3x3 same, 32x32     102 87 % / 97 83 %  93 79 % / 85 73 %  30 61 % / 28 58 %
//   64 -> 128, 3x3 same, 32x32    102 87 % / 96 82 %  93 80 % / 88 75 %  30 61 % / 29 59 %
#include "column_gradient.h"
#include "gemm.h"
#include "planes.h"
#include "registry.h"

namespace cortex::CORTEX_ISA {
namespace {

// The correlation of one residue (or the forward pass) for one group; pitches in elements.
template <class T> struct Correlation {
  Axis h, w;
  const T* source;
  int64_t source_image, batch;
  const T* weights;                                // of output channel 0, source channel 0
  int64_t weight_row, weight_channel, kernel_w;    // to the next output channel, source channel, kernel row
  int64_t channels;                                // of the source, in this group
  T* out;
  int64_t out_image;
  const T* bias;
  int64_t activation;
  T slope;
};

template <class T> struct Scratch {
  Step *steps, *packed_steps;
  T *planes, *packed, *stage;
};

template <class T> Scratch<T> split_scratch(void* scratch, const CorrelationBlocks& b, int64_t column_taps) {
  Step* const steps = (Step*)scratch;
  T* planes = (T*)((char*)scratch + round_up(b.steps * 16, 64));
  T* packed = planes + round_up(b.channels * larger(1, b.planes.classes * column_taps) * b.planes.size + 2 * SLACK, 16);
  return {steps, steps + b.steps, planes, packed, packed + round_up(b.packed, 16)};
}

template <class T> void make_steps(const Correlation<T>& c, const Planes& p, int64_t channels, int64_t columns,
                                   Step* out) {
  const RowTaps rows(p, c.h);
  for (int64_t ch = 0; ch < channels; ch++)
    for (int64_t i = 0; i < c.h.taps; i++)
      for (int64_t j = 0; j < c.w.taps; j++, out++) {
        const int64_t y = c.h.weight_first + i * c.h.weight_delta, x = c.w.weight_first + j * c.w.weight_delta;
        out->a = int32_t(ch * c.weight_channel + y * c.kernel_w + x);
        out->b = int32_t(((ch * rows.classes + rows.plane(i)) * c.w.taps + j) * p.size + rows.row(i) * columns);
      }
}

// Rows of weights a multiple of half a page apart would share few sets of the L1 cache: pack those, [k][tile_rows].
template <class T> void pack_weights(const T* weights, int64_t weight_row, const Step* steps, int64_t depth,
                                     int64_t rows, int64_t tile_rows, T* out, Step* out_steps) {
  for (int64_t k = 0; k < depth; k++) out_steps[k] = {int32_t(k * tile_rows), steps[k].b};
  for (int64_t i = 0; i < rows; i++)
    for (int64_t k = 0; k < depth; k++)
      out[i / tile_rows * tile_rows * depth + k * tile_rows + i % tile_rows] = weights[i * weight_row + steps[k].a];
}

// The finished strip from its stage to where the grid lies in the output.
template <class T> void scatter(const Correlation<T>& c, const Strip& strip, const T* stage, int64_t row,
                                int64_t rows) {
  const int64_t plane = c.h.out * c.w.out, pixels = strip.pixels();
  for (int64_t i = 0; i < rows; i++)
    for (int64_t n = 0; n < strip.images; n++)
      for (int64_t r = 0; r < strip.rows; r++) {
        const T* in = stage + i * pixels + (n * strip.rows + r) * strip.columns;
        T* out = c.out + (strip.image + n) * c.out_image + (row + i) * plane +
                 (c.h.out_first + (strip.row + r) * c.h.out_step) * c.w.out + c.w.out_first +
                 strip.column * c.w.out_step;
        for (int64_t s = 0; s < strip.columns; s++) out[s * c.w.out_step] = in[s];
      }
}

// One strip, output channels row .. row + rows - 1.
template <class T> void correlate_strip(const Correlation<T>& c, const CorrelationBlocks& b, const Strip& strip,
                                        int64_t row, int64_t rows, const Scratch<T>& scratch) {
  const int64_t pixels = strip.pixels(), taps = c.h.taps * c.w.taps, tile_rows = even_piece(rows, TILE_ROWS);
  const int64_t panel = tile_vectors(int(tile_rows)) * LANES<T>;
  const bool whole_rows = c.h.out_step == 1 && c.w.out_step == 1 && strip.columns == c.w.out;
  const bool direct = strip.images == 1 && (whole_rows || (strip.rows == 1 && c.w.out_step == 1));
  T* const out = direct ? c.out + strip.image * c.out_image + row * c.h.out * c.w.out +
                              (c.h.out_first + strip.row * c.h.out_step) * c.w.out + c.w.out_first + strip.column
                        : scratch.stage;
  const int64_t out_row = direct ? c.h.out * c.w.out : pixels;
  const bool pack = c.weight_row * int64_t(sizeof(T)) % 2048 == 0 && pixels >= 128 && rows > 2;
  for (int64_t c0 = 0; c0 == 0 || (c0 < c.channels && taps); c0 += b.channels) {
    const int64_t channels = smaller(b.channels, c.channels - c0), depth = channels * taps;
    const bool first = c0 == 0, last = c0 + channels >= c.channels || !taps;
    const T* weights = c.weights + row * c.weight_row + c0 * c.weight_channel;
    pack_planes<T>(c.source + strip.image * c.source_image + c0 * c.h.source * c.w.source, c.source_image,
                   taps ? channels : 0, b.planes, c.h, c.w, strip, scratch.planes);
    if (pack)
      pack_weights<T>(weights, c.weight_row, scratch.steps, depth, rows, tile_rows, scratch.packed,
                      scratch.packed_steps);
    Tile<T> tile = {};
    tile.steps = pack ? scratch.packed_steps : scratch.steps;
    tile.a_row = pack ? 1 : c.weight_row;
    tile.depth = depth;
    tile.c_row = out_row;
    tile.accumulate = !first;
    tile.activation = last ? c.activation : int64_t(ACTIVATION_NONE);
    tile.slope = c.slope;
    for (int64_t j = 0; j < pixels; j += panel)
      for (int64_t i = 0; i < rows; i += tile_rows) {
        tile.a = pack ? scratch.packed + i * depth : weights + i * c.weight_row;
        tile.b = scratch.planes + j;
        tile.c = out + i * out_row + j;
        tile.row_bias = first && c.bias ? c.bias + row + i : nullptr;
        run_tile<T, BY_STEPS>(int(smaller(tile_rows, rows - i)), smaller(panel, pixels - j), tile);
      }
  }
  if (!direct) scatter<T>(c, strip, scratch.stage, row, rows);
}

template <class T> void correlate(const Correlation<T>& c, const CorrelationBlocks& b, int64_t block,
                                  int64_t rows_total, int64_t row_block, const Scratch<T>& scratch) {
  const int64_t row = row_block * b.rows, rows = smaller(b.rows, rows_total - row);
  const int64_t end = smaller((block + 1) * b.strips, b.planes.strips);
  int64_t columns = -1;
  for (int64_t index = block * b.strips; index < end; index++) {
    const Strip strip = strip_of(b.planes, c.h, c.w, c.batch, index);
    if (strip.pixels() == 0) continue;
    if (strip.columns != columns) make_steps<T>(c, b.planes, b.channels, columns = strip.columns, scratch.steps);
    correlate_strip<T>(c, b, strip, row, rows, scratch);
  }
}

template <class T> void convolution(const Call& call, int64_t start, int64_t stop) {
  const ConvolutionShape s = convolution_shape(call.integer);
  const CorrelationBlocks b = convolution_blocks(s);
  const Scratch<T> scratch = split_scratch<T>(call.scratch, b, s.kernel_w);
  const int64_t taps = s.kernel_h * s.kernel_w, in = s.height * s.width, out = s.out_height * s.out_width;
  for (int64_t unit = start; unit < stop; unit++) {
    const int64_t group = unit / (b.row_blocks * b.strip_blocks), filter = group * s.group_filters;
    const Correlation<T> c = {forward_rows(s), forward_columns(s),
                              (const T*)call.buffer[1] + group * s.group_channels * in, s.channels * in, s.batch,
                              (const T*)call.buffer[2] + filter * s.group_channels * taps,
                              s.group_channels * taps, taps, s.kernel_w, s.group_channels,
                              (T*)call.buffer[0] + filter * out, s.filters * out,
                              s.bias ? (const T*)call.buffer[3] + filter : nullptr, s.activation,
                              slope_of<T>(call, s.activation)};
    correlate<T>(c, b, unit % b.strip_blocks, s.group_filters, unit / b.strip_blocks % b.row_blocks, scratch);
  }
}

template <class T> void convolution_input_gradient(const Call& call, int64_t start, int64_t stop) {
  const ConvolutionShape s = convolution_shape(call.integer);
  if (column_blocks(s).used) return column_gradient<T>(call, s, start, stop);
  const CorrelationBlocks b = convolution_input_gradient_blocks(s);
  const Scratch<T> scratch = split_scratch<T>(
      call.scratch, b, longest_gradient_axis(s.width, s.kernel_w, s.stride_w, s.dilation_w).taps);
  const int64_t taps = s.kernel_h * s.kernel_w, in = s.height * s.width, out = s.out_height * s.out_width;
  for (int64_t unit = start; unit < stop; unit++) {
    const int64_t group = unit / (b.row_blocks * b.strip_blocks), channel = group * s.group_channels;
    for (int64_t residue = 0; residue < s.stride_h * s.stride_w; residue++) {
      const Correlation<T> c = {gradient_rows(s, residue / s.stride_w), gradient_columns(s, residue % s.stride_w),
                                (const T*)call.buffer[1] + group * s.group_filters * out, s.filters * out, s.batch,
                                (const T*)call.buffer[2] + group * s.group_filters * s.group_channels * taps,
                                taps, s.group_channels * taps, s.kernel_w, s.group_filters,
                                (T*)call.buffer[0] + channel * in, s.channels * in,
                                s.bias ? (const T*)call.buffer[3] + channel : nullptr, s.activation,
                                slope_of<T>(call, s.activation)};
      correlate<T>(c, b, unit % b.strip_blocks, s.group_channels, unit / b.strip_blocks % b.row_blocks, scratch);
    }
  }
}

}  // namespace
}  // namespace cortex::CORTEX_ISA

CORTEX_KERNELS(convolution, {"convolution_f32", convolution<float>}, {"convolution_f64", convolution<double>},
               {"convolution_input_gradient_f32", convolution_input_gradient<float>},
               {"convolution_input_gradient_f64", convolution_input_gradient<double>})
