// How the kernels on values in batch lanes cut their work (lanes.h; see plans.h for the rules).
//
// The three passes of a convolution take its integers as convolution.cpp documents them; 0 is the number of examples,
// of which blocks of 16 lie side by side.
#pragma once
#include "convolution_plans.h"

namespace cortex {

constexpr int64_t EXAMPLES = 16;  // of a block of batch lanes

static inline Plan lane_pool_plan(const int64_t* i, int64_t) { return {i[0] * i[11], 0, 1}; }
static inline Plan lane_pool_gradient_plan(const int64_t* i, int64_t) { return {i[0] * i[1], 0, 1}; }

// ---------------------------------------------------------------- forward pass and input gradient
//
// A unit computes some output channels of a strip of grid rows of one block. Where a source pixel is used often, the
// source rows of the strip are copied first, some channels at a time, so that they stay in L2 and rows and channels are
// an odd number of pixels apart: images of 32 x 32 or 16 x 16 pixels would crowd into a few sets of the caches.

struct LaneBlocks {
  int64_t blocks, strips, rows;        // blocks of examples; strips of a grid, wanted grid rows of a strip
  int64_t outs, out_blocks;            // output channels of a unit
  int64_t channels;                    // source channels at a time
  bool packed;
  int64_t source_rows;                 // packed for a strip, at most
  int64_t row_pitch, channel_pitch;    // of what the tiles read, in pixels
  int64_t depth;                       // most steps of a tile
  int64_t units(int64_t groups) const { return blocks * strips * groups * out_blocks; }
};

constexpr int64_t PACKED_BYTES = 3 << 17;  // a part of any L2

// Axes of a forward pass (one residue) or of one residue of an input gradient.
static inline Axis lane_rows(const ConvolutionShape& s, bool gradient, int64_t residue) {
  return gradient ? gradient_rows(s, residue) : forward_rows(s);
}
static inline Axis lane_columns(const ConvolutionShape& s, bool gradient, int64_t residue) {
  return gradient ? gradient_columns(s, residue) : forward_columns(s);
}

struct LaneRows {
  int64_t first, count;
};

// Strip number `strip` of a grid, and the source rows that it reads.
static inline LaneRows grid_rows(const Axis& h, int64_t strip, int64_t strips) {
  const int64_t first = h.grid * strip / strips;
  return {first, h.grid * (strip + 1) / strips - first};
}
static inline LaneRows source_rows(const ConvolutionShape& s, bool gradient, int64_t strip, int64_t strips) {
  int64_t low = INT64_MAX, high = -1, source = 0;
  for (int64_t residue = 0; residue < (gradient ? s.stride_h : 1); residue++) {
    const Axis h = lane_rows(s, gradient, residue);
    const LaneRows grid = grid_rows(h, strip, strips);
    if (!grid.count || !h.taps) continue;
    const int64_t top = h.first + grid.first * h.step, bottom = top + (grid.count - 1) * h.step;
    const int64_t way = (h.taps - 1) * h.delta;
    source = h.source;
    low = smaller(low, top + smaller(way, 0));
    high = larger(high, bottom + larger(way, 0));
  }
  low = larger(low, 0);
  return {low, larger(0, smaller(high + 1, source) - low)};
}

static inline LaneBlocks lane_blocks(const ConvolutionShape& s, bool gradient, int64_t element) {
  LaneBlocks b = {};
  Axis h = forward_rows(s), w = forward_columns(s);
  if (gradient) {  // the longest grid and the most taps of any residue
    h = longest_gradient_axis(s.height, s.kernel_h, s.stride_h, s.dilation_h);
    w = longest_gradient_axis(s.width, s.kernel_w, s.stride_w, s.dilation_w);
    h.source = s.out_height;
    w.source = s.out_width;
  }
  const int64_t outs = gradient ? s.group_channels : s.group_filters, all_taps = s.kernel_h * s.kernel_w;
  const int64_t channels = gradient ? s.group_filters : s.group_channels, taps = larger(1, h.taps * w.taps);
  const int64_t uses = outs * all_taps / (gradient ? 1 : s.stride_h * s.stride_w);  // of a source pixel
  const int64_t work = larger(1, outs * channels * all_taps * larger(1, w.grid) * EXAMPLES);  // of a grid row
  b.blocks = divide_up(s.batch, EXAMPLES);
  b.packed = channels > 2 && uses >= 64;
  b.rows = divide_up(taps > 1 ? 64 : 32, larger(1, w.grid));
  if (!b.packed) b.rows = larger(b.rows, divide_up(UNIT_WORK, work));
  b.strips = divide_up(larger(1, h.grid), b.rows);
  b.outs = outs;
  const int64_t wanted = smaller(ENOUGH_UNITS, s.groups * b.blocks * h.grid * work / UNIT_WORK);
  while (b.outs > 28 && b.blocks * b.strips * s.groups * divide_up(outs, b.outs) < wanted)
    b.outs = divide_up(b.outs, 2);
  b.out_blocks = divide_up(outs, b.outs);
  if (b.packed)
    for (int64_t i = 0; i < b.strips; i++)
      b.source_rows = larger(b.source_rows, source_rows(s, gradient, i, b.strips).count);
  b.row_pitch = b.packed ? w.source | 1 : w.source;
  b.channel_pitch = b.packed ? (b.source_rows * b.row_pitch) | 1 : h.source * w.source;
  const int64_t fit = PACKED_BYTES / larger(1, b.channel_pitch * EXAMPLES * element);
  const int64_t reached = INT32_MAX / larger(1, b.channel_pitch * EXAMPLES);  // by a step
  b.channels = larger(divide_up(128, taps), smaller(fit, divide_up(768, taps)));
  b.channels = even_piece(channels, larger(1, smaller(b.channels, reached)));
  b.depth = b.channels * taps;
  return b;
}

static inline Plan lane_correlation_plan(const LaneBlocks& b, int64_t groups, int64_t element) {
  const int64_t packed = b.packed ? b.channels * b.channel_pitch * EXAMPLES : 0;
  return {b.units(groups), round_up(b.depth * 16, 64) + (round_up(packed, 16) + (b.outs + 16) * b.depth) * element, 1};
}
static inline Plan lane_convolution_plan(const int64_t* integer, int64_t element) {
  const ConvolutionShape s = convolution_shape(integer);
  return lane_correlation_plan(lane_blocks(s, false, element), s.groups, element);
}
static inline Plan lane_input_gradient_plan(const int64_t* integer, int64_t element) {
  const ConvolutionShape s = convolution_shape(integer);
  return lane_correlation_plan(lane_blocks(s, true, element), s.groups, element);
}

// A convolution and the maxima of windows of its result: see lane_convolution_pool.cpp.
static inline Plan lane_convolution_pool_plan(const int64_t* i, int64_t) {
  const ConvolutionShape s = convolution_shape(i);
  return {divide_up(s.batch, EXAMPLES) * s.groups * i[20],
          round_up(s.group_channels * s.kernel_h * s.kernel_w * 8, 64) + i[18] * i[19] * 8, 1};
}

// ---------------------------------------------------------------- kernel gradient
//
// The sum runs over strips of grid rows of all blocks. `outer`: dy of a strip is transposed to [pixel][example]
// [filter], x packed as above, and each element of x is broadcast against vectors of filters: no horizontal sums, but
// whole vectors of filters. Otherwise inner products of dy and x where they lie, vectors of examples, one horizontal sum for
// each weight and strip: any number of filters and channels.

struct LaneGradientBlocks {
  bool outer;
  int64_t strips, all_strips;            // of an image, of all blocks
  int64_t filters, filter_blocks;        // of a unit
  int64_t channels, channel_blocks;
  int64_t source_rows, row_pitch, channel_pitch, pixels;  // of a strip, at most; pitches in pixels
  int64_t parts;
  int64_t pitch() const { return round_up(filters, 16); }  // of transposed filters, and of their sums
};

static inline LaneGradientBlocks lane_gradient_blocks(const ConvolutionShape& s, int64_t element) {
  LaneGradientBlocks b = {};
  const int64_t taps = s.kernel_h * s.kernel_w, width = larger(1, s.out_width);
  b.outer = 5 * round_up(s.group_filters, 16) <= 6 * s.group_filters && s.group_channels * taps >= 48;
  const int64_t pixels = b.outer ? 32 : 256 / element;
  b.strips = divide_up(larger(1, s.out_height), larger(1, pixels / width));
  b.all_strips = b.strips * divide_up(s.batch, EXAMPLES);
  b.filters = even_piece(s.group_filters, b.outer ? 64 : 5);
  if (b.outer) b.filters = smaller(s.group_filters, round_up(b.filters, 16));
  b.channels = even_piece(s.group_channels, b.outer ? larger(14, 576 / taps) : 64);
  b.filter_blocks = divide_up(s.group_filters, b.filters);
  b.channel_blocks = divide_up(s.group_channels, b.channels);
  b.pixels = divide_up(s.out_height, b.strips) * s.out_width;
  b.row_pitch = s.width | 1;
  if (b.outer)
    for (int64_t i = 0; i < b.strips; i++)
      b.source_rows = larger(b.source_rows, source_rows(s, false, i, b.strips).count);
  b.channel_pitch = (b.source_rows * b.row_pitch) | 1;
  const int64_t work = s.filters * s.group_channels * taps * s.batch * s.out_height * s.out_width;
  const int64_t units = s.groups * b.filter_blocks * b.channel_blocks;
  b.parts = larger(1, smaller(smaller(ENOUGH_UNITS, work / UNIT_WORK) / units, b.all_strips));
  return b;
}

static inline Plan lane_kernel_gradient_plan(const int64_t* integer, int64_t element) {
  const ConvolutionShape s = convolution_shape(integer);
  const LaneGradientBlocks b = lane_gradient_blocks(s, element);
  const int64_t taps = s.kernel_h * s.kernel_w;
  const int64_t tables = round_up(larger(b.pixels, s.out_height) * 24, 64) + round_up(b.channels * taps * 16, 64);
  const int64_t images = (b.channels * b.channel_pitch + b.pixels * b.pitch()) * EXAMPLES;
  const int64_t outer = images + b.channels * taps * b.pitch();
  return {b.parts * s.groups * b.filter_blocks * b.channel_blocks, tables + (b.outer ? outer * element : 0), b.parts};
}

// ---------------------------------------------------------------- channels last, forward pass

struct LastBlocks {
  int64_t filter_blocks, parts;  // blocks of LAST_FILTERS; parts of the rows of all images
  int64_t channels, depth;       // packed at a time
};

constexpr int64_t LAST_FILTERS = 64;

static inline LastBlocks last_blocks(const ConvolutionShape& s) {
  LastBlocks b = {};
  const int64_t taps = s.kernel_h * s.kernel_w, rows = larger(1, s.batch * s.out_height);
  b.filter_blocks = divide_up(s.group_filters, LAST_FILTERS);
  const int64_t work = s.filters * s.group_channels * taps * rows * s.out_width;
  const int64_t wanted = smaller(ENOUGH_UNITS, work / UNIT_WORK) / (s.groups * b.filter_blocks);
  b.parts = larger(1, smaller(wanted, rows));
  b.channels = even_piece(s.group_channels, larger(1, 768 / taps));
  b.depth = b.channels * taps;
  return b;
}

static inline Plan last_convolution_plan(const int64_t* integer, int64_t element) {
  const ConvolutionShape s = convolution_shape(integer);
  const LastBlocks b = last_blocks(s);
  return {s.groups * b.filter_blocks * b.parts,
          round_up(b.depth * 8, 64) + (LAST_FILTERS * b.depth + SLACK) * element, 1};
}

}  // namespace cortex
