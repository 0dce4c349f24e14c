// Geometry and blocks of the three passes of a convolution, from the shape alone (see plans.h).
//
// Forward pass and input gradient are the same computation, a correlation: output (r, s) of a grid sums, over taps
// (i, j) and channels, a weight times source row `first + i * delta + r * step` (columns alike), zero outside the
// source. The input gradient with a stride is one such correlation, of step 1, for each residue of the position modulo
// the stride; each uses the taps that reach its positions and writes a grid with gaps. No multiplication by zero.
#pragma once
#include "plans.h"

namespace cortex {

struct ConvolutionShape {
  int64_t batch, channels, height, width, filters, kernel_h, kernel_w, stride_h, stride_w;
  int64_t pad_top, pad_bottom, pad_left, pad_right, dilation_h, dilation_w, groups, bias, activation;
  int64_t out_height, out_width, group_channels, group_filters;
};

static inline ConvolutionShape convolution_shape(const int64_t* i) {
  ConvolutionShape s = {i[0], i[1], i[2], i[3], i[4], i[5], i[6], i[7], i[8], i[9], i[10], i[11], i[12],
                        i[13], i[14], i[15], i[16], i[17], 0, 0, i[1] / i[15], i[4] / i[15]};
  s.out_height = (s.height + s.pad_top + s.pad_bottom - (s.kernel_h - 1) * s.dilation_h - 1) / s.stride_h + 1;
  s.out_width = (s.width + s.pad_left + s.pad_right - (s.kernel_w - 1) * s.dilation_w - 1) / s.stride_w + 1;
  return s;
}

static inline int64_t common_divisor(int64_t a, int64_t b) {
  while (b) {
    const int64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

// One dimension of a correlation.
struct Axis {
  int64_t grid, source;                // positions of the output grid, size of the source
  int64_t taps, first, delta, step;    // tap i at grid position r reads first + i * delta + r * step
  int64_t weight_first, weight_delta;  // index of tap i in the kernel
  int64_t out_first, out_step, out;    // where grid position r lies in the output, size of the output
};

static inline Axis forward_axis(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t pad,
                                int64_t dilation) {
  return {out, in, kernel, -pad, dilation, stride, 0, 1, 0, 1, out};
}

// Input position i = stride * q + residue - pad receives tap k from output q - (k * dilation - residue) / stride, where
// that divides.
static inline Axis gradient_axis(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t pad,
                                 int64_t dilation, int64_t residue) {
  const int64_t period = stride / common_divisor(stride, dilation), q = (pad - residue + stride - 1) / stride;
  int64_t tap = 0;
  while (tap < kernel && tap < period && tap * dilation % stride != residue) tap++;
  const bool reached = tap < kernel && tap < period;
  Axis a = {0, out, reached ? divide_up(kernel - tap, period) : 0, q - (tap * dilation - residue) / stride,
            -(period * dilation / stride), 1, tap, period, stride * q + residue - pad, stride, in};
  if (in > a.out_first) a.grid = divide_up(in - a.out_first, stride);
  return a;
}

static inline Axis forward_rows(const ConvolutionShape& s) {
  return forward_axis(s.height, s.out_height, s.kernel_h, s.stride_h, s.pad_top, s.dilation_h);
}
static inline Axis forward_columns(const ConvolutionShape& s) {
  return forward_axis(s.width, s.out_width, s.kernel_w, s.stride_w, s.pad_left, s.dilation_w);
}
static inline Axis gradient_rows(const ConvolutionShape& s, int64_t residue) {
  return gradient_axis(s.height, s.out_height, s.kernel_h, s.stride_h, s.pad_top, s.dilation_h, residue);
}
static inline Axis gradient_columns(const ConvolutionShape& s, int64_t residue) {
  return gradient_axis(s.width, s.out_width, s.kernel_w, s.stride_w, s.pad_left, s.dilation_w, residue);
}

// The longest grid and the most taps of any residue: bounds for the plan.
static inline Axis longest_gradient_axis(int64_t in, int64_t kernel, int64_t stride, int64_t dilation) {
  const int64_t period = stride / common_divisor(stride, dilation);
  return {divide_up(in, stride), 0, divide_up(kernel, period), 0, -(period * dilation / stride), 1, 0, 0, 0, 0, in};
}

// ---------------------------------------------------------------- planes
//
// A strip of the source is packed into planes, one for each channel, column tap and class of row taps. A row of a plane
// has exactly one element per grid column, so the pixels of a strip are contiguous, and a row tap is a shift by whole
// rows: one plane serves all row taps of its class (those whose distance is a multiple of the step). That is kernel_h
// times less packing than the usual matrix of windows. `joined`: every row tap is a class of its own, there is no halo,
// and the pixels of several small images follow each other.
struct Planes {
  bool joined;
  int64_t classes, members, shift;  // row taps per class (at most), rows between two of them
  int64_t images, rows, width;      // of a strip, at most: images (joined only), grid rows, grid columns
  int64_t row_bands, column_bands;  // strips of one image (1 if joined)
  int64_t strips, size;             // of all images; elements of a plane
  int64_t pixels() const { return images * rows * width; }
};

constexpr int64_t WIDEST_ROW = 1024;  // wider images are cut into column bands of a single row

static inline Planes planes_of(const Axis& h, const Axis& w, int64_t batch, int64_t most_pixels, int64_t halo_rows) {
  Planes p = {};
  const int64_t pixels = h.grid * w.grid, delta = h.delta < 0 ? -h.delta : h.delta;
  p.joined = pixels < 64 && pixels % 16 != 0 && batch > 1;
  p.row_bands = p.column_bands = p.images = 1;
  p.rows = h.grid;
  p.width = w.grid;
  if (p.joined) {
    p.classes = h.taps;
    p.images = even_piece(batch, larger(1, most_pixels / larger(pixels, 1)));
  } else {
    p.classes = smaller(h.taps, h.step / common_divisor(h.step, delta));
    if (w.grid > WIDEST_ROW) {
      p.width = even_piece(w.grid, WIDEST_ROW / 2);
      p.column_bands = divide_up(w.grid, p.width);
      p.row_bands = h.grid;
    } else if (pixels > most_pixels) {
      p.row_bands = divide_up(h.grid, larger(halo_rows, larger(1, most_pixels / w.grid)));
    }
    p.rows = divide_up(h.grid, larger(p.row_bands, 1));
  }
  p.members = p.classes ? divide_up(h.taps, p.classes) : 0;
  p.shift = p.joined ? 0 : p.classes * delta / h.step;
  p.strips = divide_up(batch, p.images) * p.row_bands * p.column_bands;
  p.size = p.images * (p.rows + (larger(p.members, 1) - 1) * p.shift) * p.width;
  return p;
}

static inline void halve_images(Planes& p, int64_t batch) {
  const int64_t all = p.images;
  p.images = divide_up(all, 2);
  p.size = p.size / all * p.images;
  p.strips = divide_up(batch, p.images);
}

// ---------------------------------------------------------------- forward pass and input gradient

struct CorrelationBlocks {
  Planes planes;
  int64_t rows, row_blocks;        // output channels of a block
  int64_t channels;                // source channels packed at a time
  int64_t strips, strip_blocks;    // strips of a unit
  int64_t steps, packed;           // elements of scratch: table of steps, packed weights
};

static inline CorrelationBlocks correlation_blocks(const Axis& h, const Axis& w, int64_t batch, int64_t groups,
                                                   int64_t rows, int64_t channels) {
  CorrelationBlocks b = {};
  const int64_t taps = larger(1, h.taps * w.taps);
  const int64_t halo = h.taps ? (h.taps - 1) * (h.delta < 0 ? -h.delta : h.delta) / h.step : 0;
  b.planes = planes_of(h, w, batch, 512, smaller(halo, 1024 / larger(1, w.grid)));
  b.rows = even_piece(rows, 140);
  const int64_t wanted = smaller(ENOUGH_UNITS, groups * rows * channels * taps * batch * h.grid * w.grid / UNIT_WORK);
  while (groups * divide_up(rows, b.rows) * b.planes.strips < wanted)
    if (b.rows > 64) b.rows = divide_up(b.rows, 2);
    else if (b.planes.joined && b.planes.images * h.grid * w.grid > 128) halve_images(b.planes, batch);
    else if (b.rows > 14) b.rows = divide_up(b.rows, 2);
    else break;
  b.row_blocks = divide_up(rows, b.rows);
  b.channels = even_piece(channels, larger(1, 320 / taps));
  const int64_t work = larger(1, b.rows * channels * taps * b.planes.pixels());
  const int64_t all = groups * b.row_blocks * b.planes.strips;
  b.strips = larger(1, smaller(smaller(divide_up(UNIT_WORK, work), all / ENOUGH_UNITS), b.planes.strips));
  b.strip_blocks = divide_up(b.planes.strips, b.strips);
  b.steps = b.channels * taps;
  b.packed = (b.rows + 16) * b.steps;
  return b;
}

static inline Plan correlation_plan(const CorrelationBlocks& b, const Axis& w, int64_t groups, int64_t element) {
  const Planes& p = b.planes;
  const int64_t planes = b.channels * larger(1, p.classes * w.taps) * p.size + 2 * SLACK;
  const int64_t stage = b.rows * p.pixels() + SLACK;
  return {groups * b.row_blocks * b.strip_blocks,
          round_up(b.steps * 16, 64) + (round_up(planes, 16) + round_up(b.packed, 16) + round_up(stage, 16)) * element,
          1};
}

static inline CorrelationBlocks convolution_blocks(const ConvolutionShape& s) {
  return correlation_blocks(forward_rows(s), forward_columns(s), s.batch, s.groups, s.group_filters,
                            s.group_channels);
}
static inline CorrelationBlocks convolution_input_gradient_blocks(const ConvolutionShape& s) {
  return correlation_blocks(longest_gradient_axis(s.height, s.kernel_h, s.stride_h, s.dilation_h),
                            longest_gradient_axis(s.width, s.kernel_w, s.stride_w, s.dilation_w), s.batch, s.groups,
                            s.group_channels, s.group_filters);
}

// The other way to the input gradient: columns = w^T dy, one row for each (channel, tap), one column for each output
// pixel, added up where the taps overlap. Exact in operations where the correlation computes a border of zeros: an
// unpadded 5x5 kernel on 12x12 has 144 grid positions for 64 output pixels.
struct ColumnBlocks {
  bool used;
  int64_t pixels, images, strips;              // of one image; images of a strip; strips
  int64_t packed, channels, channel_blocks;    // channels at a time, of a unit
  int64_t depth;                               // filters at a time
  int64_t columns() const { return pixels * images; }
};

static inline ColumnBlocks column_blocks(const ConvolutionShape& s) {
  ColumnBlocks b = {};
  const int64_t taps = s.kernel_h * s.kernel_w;
  b.pixels = s.out_height * s.out_width;
  b.used = s.group_filters >= 4 && b.pixels <= 1024 && taps > 1 &&
           5 * s.height * s.width > 6 * s.stride_h * s.stride_w * b.pixels;
  b.images = smaller(larger(1, s.batch), larger(1, 256 / larger(1, b.pixels)));
  b.strips = divide_up(s.batch, b.images);
  b.packed = smaller(s.group_channels, divide_up(28, taps));
  const int64_t pieces = divide_up(s.group_channels, b.packed), units = larger(1, s.groups * b.strips);
  b.channels = b.packed * divide_up(pieces, smaller(pieces, divide_up(ENOUGH_UNITS, units)));
  b.channel_blocks = divide_up(s.group_channels, b.channels);
  b.depth = even_piece(s.group_filters, 320);
  return b;
}

struct RowSum {
  int64_t offset, count;  // first term of a row of dx in the columns, terms
};

// Elements of its pieces of scratch.
static inline int64_t column_sums(const ColumnBlocks& b, const ConvolutionShape& s) {
  return round_up(b.packed * s.kernel_h * s.kernel_w * b.columns() + 2 * SLACK, 16);
}
static inline int64_t column_panels(const ColumnBlocks& b) {
  return round_up((b.columns() + PANEL) * b.depth + SLACK, 16);
}
static inline int64_t column_tables(const ColumnBlocks& b, const ConvolutionShape& s) {
  return round_up(b.depth * 8, 64) + round_up(s.height * 16, 64);
}

static inline Plan convolution_plan(const int64_t* integer, int64_t element) {
  const ConvolutionShape s = convolution_shape(integer);
  return correlation_plan(convolution_blocks(s), forward_columns(s), s.groups, element);
}
static inline Plan convolution_input_gradient_plan(const int64_t* integer, int64_t element) {
  const ConvolutionShape s = convolution_shape(integer);
  const ColumnBlocks b = column_blocks(s);
  if (b.used)
    return {s.groups * b.channel_blocks * b.strips,
            column_tables(b, s) + (column_sums(b, s) + column_panels(b) + 16 * b.depth + SLACK) * element, 1};
  return correlation_plan(convolution_input_gradient_blocks(s),
                          longest_gradient_axis(s.width, s.kernel_w, s.stride_w, s.dilation_w), s.groups, element);
}

// ---------------------------------------------------------------- kernel gradient

struct KernelGradientBlocks {
  Planes planes;
  int64_t filters, filter_blocks;    // filters of a unit
  int64_t packed;                    // channels packed at a time
  int64_t channels, channel_blocks;  // channels of a unit
  int64_t parts, slots;              // partial results; strips packed at a time
};

static inline KernelGradientBlocks kernel_gradient_blocks(const ConvolutionShape& s) {
  KernelGradientBlocks b = {};
  const Axis h = forward_rows(s), w = forward_columns(s);
  const int64_t taps = s.kernel_h * s.kernel_w;
  constexpr int64_t CHUNK = 2048;  // pixels: 64 products of vectors for one horizontal sum
  b.planes = planes_of(h, w, s.batch, CHUNK, 1);
  b.filters = even_piece(s.group_filters, 65);
  b.filter_blocks = divide_up(s.group_filters, b.filters);
  b.packed = smaller(s.group_channels, divide_up(25, taps));  // columns for five register tiles of five
  const int64_t pieces = divide_up(s.group_channels, b.packed), units = s.groups * b.filter_blocks;
  b.channels = b.packed * larger(1, smaller(pieces, pieces * units / ENOUGH_UNITS));
  b.channel_blocks = divide_up(s.group_channels, b.channels);
  const int64_t work = s.filters * s.group_channels * taps * s.batch * s.out_height * s.out_width;
  const int64_t wanted = smaller(ENOUGH_UNITS, work / UNIT_WORK) / (units * b.channel_blocks);
  b.parts = larger(1, smaller(wanted, b.planes.strips));
  b.slots = even_piece(larger(1, divide_up(b.planes.strips, b.parts)), larger(1, CHUNK / larger(1, b.planes.pixels())));
  if (b.planes.joined) b.slots = 1;
  return b;
}

static inline Plan convolution_kernel_gradient_plan(const int64_t* integer, int64_t element) {
  const ConvolutionShape s = convolution_shape(integer);
  const KernelGradientBlocks b = kernel_gradient_blocks(s);
  const Planes& p = b.planes;
  const int64_t planes = b.slots * b.packed * p.classes * s.kernel_w * p.size + 2 * SLACK;
  const int64_t joined = p.joined ? b.filters * p.pixels() + SLACK : 0;
  const int64_t tables = b.packed * s.kernel_h * s.kernel_w * 8 + b.slots * 24;
  return {b.parts * s.groups * b.filter_blocks * b.channel_blocks,
          round_up(tables, 64) + (round_up(planes, 16) + joined) * element, b.parts};
}

// Sum of partial results: 0 count, 1 parts.
constexpr int64_t SUM_BLOCK = 4096;
static inline Plan sum_partials_plan(const int64_t* integer, int64_t) {
  return {divide_up(integer[0], SUM_BLOCK), 0, 1};
}

}  // namespace cortex
