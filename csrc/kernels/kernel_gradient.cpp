// convolution_kernel_gradient_f32/f64: dw of a convolution; sum_partials_f32/f64: the second half where that is split.
//
//   layout    x, w, y and the integers as in convolution.cpp
//   buffers   dw [parts][filters][channels / groups][kernel_h][kernel_w], x, dy; parts is given by the plan: 1, or the
//             partial results of a fixed partition of the pixels, which sum_partials adds up in order
//   unit      one part of a block of filters x channels (convolution_plans.h)
//
//   sum_partials: buffers out [count], partials [parts][count]; integers 0 count, 1 parts; unit: 4096 elements
//
// The trick: the sum runs over pixels, which are contiguous in dy and in the planes of x (planes.h), so the vector
// dimension is the sum: 5 filters x 5 taps of vector sums in registers (AVX-512), no transposing, no waste for 20
// filters or 1 channel. One horizontal sum per weight and 2,048 pixels.
//
// Measured as in convolution.cpp, GFLOP/s with AVX-512 / AVX2 / SSE2: 1 -> 20 5x5 97 (83 %) / 84 / 29, 20 -> 50 5x5
// 92 (79 %) / 70 / 28, 32 -> 64 3x3 97 (83 %) / 87 / 29, 64 -> 128 3x3 93 (79 %) / 86 / 29.
#include "gemm.h"
#include "planes.h"
#include "registry.h"

namespace cortex::CORTEX_ISA {
namespace {

template <class T> struct Tables {
  int64_t* column;    // offset of each (channel, row tap, column tap) in the planes of a strip
  Segment* segments;  // the packed strips
  T *planes, *joined;
};

template <class T> struct Gradient {
  const ConvolutionShape& s;
  const KernelGradientBlocks& b;
  Axis h, w;
  Tables<T> t;
  const T *x, *dy;                  // of the unit's group and filters
  T* dw;                            // of the unit's first filter and channel
  int64_t filters;
  int64_t strip_size() const { return b.packed * b.planes.classes * s.kernel_w * b.planes.size; }
};

template <class T> void make_columns(const Gradient<T>& g, int64_t columns) {
  const RowTaps rows(g.b.planes, g.h);
  int64_t* out = g.t.column;
  for (int64_t c = 0; c < g.b.packed; c++)
    for (int64_t i = 0; i < g.s.kernel_h; i++)
      for (int64_t j = 0; j < g.s.kernel_w; j++)
        *out++ = ((c * rows.classes + rows.plane(i)) * g.s.kernel_w + j) * g.b.planes.size + rows.row(i) * columns;
}

// dy of several small images, [filter][image][pixel].
template <class T> void join(const Gradient<T>& g, const Strip& strip) {
  const int64_t plane = g.s.out_height * g.s.out_width;
  for (int64_t f = 0; f < g.filters; f++)
    for (int64_t n = 0; n < strip.images; n++)
      for (int64_t p = 0; p < plane; p++)
        g.t.joined[(f * strip.images + n) * plane + p] = g.dy[((strip.image + n) * g.s.filters + f) * plane + p];
}

// `count` strips from `first`, channels [channel, channel + channels) of the group: added to dw, or its first value.
template <class T> void add_strips(const Gradient<T>& g, int64_t first, int64_t count, int64_t channel,
                                   int64_t channels, bool set) {
  const ConvolutionShape& s = g.s;
  const Planes& p = g.b.planes;
  const int64_t plane = s.out_height * s.out_width, in = s.height * s.width, taps = s.kernel_h * s.kernel_w;
  for (int64_t i = 0; i < count; i++) {
    const Strip strip = strip_of(p, g.h, g.w, s.batch, first + i);
    pack_planes<T>(g.x + (strip.image * s.channels + channel) * in, s.channels * in, channels, p, g.h, g.w, strip,
                   g.t.planes + i * g.strip_size());
    g.t.segments[i] = {p.joined ? 0 : strip.image * s.filters * plane + strip.row * s.out_width + strip.column,
                       i * g.strip_size(), strip.pixels()};
  }
  const T* dy = p.joined ? g.t.joined : g.dy;
  const int64_t dy_row = p.joined ? g.t.segments[0].length : plane;
  const int64_t columns = channels * taps, tile_rows = even_piece(g.filters, DOT_ROWS);
  const int64_t tile_columns = even_piece(columns, DOT_COLUMNS);
  for (int64_t f = 0; f < g.filters; f += tile_rows)
    for (int64_t t = 0; t < columns; t += tile_columns) {
      const int64_t tile_f = smaller(tile_rows, g.filters - f), tile_t = smaller(tile_columns, columns - t);
      T sum[DOT_RESULTS];
      inner_product<T>(int(tile_f), int(tile_t),
                       {dy + f * dy_row, dy_row, g.t.planes, g.t.column + t, g.t.segments, count}, sum);
      for (int64_t i = 0; i < tile_f; i++)
        for (int64_t j = 0; j < tile_t; j++) {
          T* dw = g.dw + ((f + i) * s.group_channels + channel) * taps + t + j;
          *dw = set ? sum[i * tile_t + j] : *dw + sum[i * tile_t + j];
        }
    }
}

template <class T> void gradient_unit(const Gradient<T>& g, int64_t first, int64_t end, int64_t channel,
                                      int64_t channels) {
  const int64_t taps = g.s.kernel_h * g.s.kernel_w;
  int64_t width = -1;
  if (first >= end)
    for (int64_t f = 0; f < g.filters; f++)
      for (int64_t i = 0; i < channels * taps; i++) g.dw[(f * g.s.group_channels + channel) * taps + i] = 0;
  for (int64_t i = first; i < end;) {
    // Strips packed together have equal widths: the table of offsets depends on it.
    const Strip strip = strip_of(g.b.planes, g.h, g.w, g.s.batch, i);
    int64_t count = 1;
    while (count < g.b.slots && i + count < end &&
           strip_of(g.b.planes, g.h, g.w, g.s.batch, i + count).columns == strip.columns)
      count++;
    if (strip.columns != width) make_columns<T>(g, width = strip.columns);
    if (g.b.planes.joined) join<T>(g, strip);
    for (int64_t c = 0; c < channels; c += g.b.packed)
      add_strips<T>(g, i, count, channel + c, smaller(g.b.packed, channels - c), i == first);
    i += count;
  }
}

template <class T> void convolution_kernel_gradient(const Call& call, int64_t start, int64_t stop) {
  const ConvolutionShape s = convolution_shape(call.integer);
  const KernelGradientBlocks b = kernel_gradient_blocks(s);
  const int64_t taps = s.kernel_h * s.kernel_w, weights = s.filters * s.group_channels * taps;
  int64_t* const column = (int64_t*)call.scratch;
  T* const planes = (T*)((char*)call.scratch + round_up(b.packed * taps * 8 + b.slots * 24, 64));
  const Tables<T> tables = {
      column, (Segment*)(column + b.packed * taps), planes,
      planes + round_up(b.slots * b.packed * b.planes.classes * s.kernel_w * b.planes.size + 2 * SLACK, 16)};
  for (int64_t unit = start; unit < stop; unit++) {
    const int64_t channel = unit % b.channel_blocks * b.channels;
    const int64_t filter = unit / b.channel_blocks % b.filter_blocks * b.filters;
    const int64_t group = unit / (b.channel_blocks * b.filter_blocks) % s.groups;
    const int64_t part = unit / (b.channel_blocks * b.filter_blocks * s.groups);
    const int64_t first_filter = group * s.group_filters + filter;
    const Gradient<T> g = {s, b, forward_rows(s), forward_columns(s), tables,
                           (const T*)call.buffer[1] + group * s.group_channels * s.height * s.width,
                           (const T*)call.buffer[2] + first_filter * s.out_height * s.out_width,
                           (T*)call.buffer[0] + part * weights + first_filter * s.group_channels * taps,
                           smaller(b.filters, s.group_filters - filter)};
    gradient_unit<T>(g, b.planes.strips * part / b.parts, b.planes.strips * (part + 1) / b.parts, channel,
                     smaller(b.channels, s.group_channels - channel));
  }
}

template <class T> void sum_partials(const Call& call, int64_t start, int64_t stop) {
  const int64_t count = call.integer[0], parts = call.integer[1], end = smaller(count, stop * SUM_BLOCK);
  T* const out = (T*)call.buffer[0];
  const T* const in = (const T*)call.buffer[1];
  for (int64_t i = start * SUM_BLOCK; i < end; i += LANES<T>) {
    const int64_t lanes = smaller(LANES<T>, end - i);
    Vec<T> sum = {};
    for (int64_t p = 0; p < parts; p++) {
      const T* const part = in + p * count + i;
      sum += lanes == LANES<T> ? load(part) : load_part(part, lanes);
    }
    lanes == LANES<T> ? store(out + i, sum) : store_part(out + i, sum, lanes);
  }
}

}  // namespace
}  // namespace cortex::CORTEX_ISA

CORTEX_KERNELS(kernel_gradient, {"convolution_kernel_gradient_f32", convolution_kernel_gradient<float>},
               {"convolution_kernel_gradient_f64", convolution_kernel_gradient<double>},
               {"sum_partials_f32", sum_partials<float>}, {"sum_partials_f64", sum_partials<double>})
