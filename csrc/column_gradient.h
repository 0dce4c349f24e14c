// Input gradient of a convolution through columns: for images that are small against the kernel (convolution_plans.h).
//
// For a strip of images: pack dy into panels; for a few channels at a time columns[channel, tap][pixel] = w^T dy, a
// matrix product whose result stays in L1; then every row of dx sums the rows of columns that reach it, in registers
// over the row taps, in memory over the column taps.
#pragma once
#include "convolution_plans.h"
#include "gemm.h"
#include "kernel.h"
#include "planes.h"

namespace cortex::CORTEX_ISA {

template <class T> static T slope_of(const Call& call, int64_t activation) {
  return activation == ACTIVATION_LEAKY_RELU ? T(call.real[0]) : T(0);
}

template <class T> struct Columns {
  const ConvolutionShape& s;
  const ColumnBlocks& b;
  Step* steps;
  RowSum* rows;                // of dx
  T *sums, *panels, *packed;   // columns; dy [panel][filter][lanes of a panel]; one tile of weights
  int64_t panel;
};

// Terms i of row y of dx: row taps, each one output row; `stride` is the way from one term to the next.
static inline int64_t row_sums(const ConvolutionShape& s, int64_t columns, RowSum* out) {
  int64_t stride = 0;
  for (int64_t y = 0; y < s.height; y++) {
    const Axis a = gradient_rows(s, (y + s.pad_top) % s.stride_h);
    const int64_t base = a.first + (y - a.out_first) / s.stride_h;  // output row of term 0
    int64_t i = 0;
    while (i < a.taps && base + i * a.delta >= s.out_height) i++;
    out[y].offset = (a.weight_first + i * a.weight_delta) * s.kernel_w * columns + (base + i * a.delta) * s.out_width;
    out[y].count = 0;
    while (i < a.taps && base + i * a.delta >= 0) i++, out[y].count++;
    stride = a.weight_delta * s.kernel_w * columns + a.delta * s.out_width;
  }
  return stride;
}

// dy of the strip's images, filters filter .. filter + depth - 1.
template <class T> static void pack_panels(const Columns<T>& c, const T* dy, int64_t images, int64_t depth) {
  const int64_t image_pitch = c.s.filters * c.b.pixels;
  for (int64_t k = 0; k < depth; k++) {
    T* out = c.panels + k * c.panel;
    int64_t room = c.panel;
    for (int64_t n = 0; n < images; n++) {
      const T* in = dy + n * image_pitch + k * c.b.pixels;
      for (int64_t left = c.b.pixels; left > 0;) {
        const int64_t count = smaller(left, room);
        for (int64_t i = 0; i < count; i++) out[i] = in[i];
        in += count, out += count, left -= count, room -= count;
        if (room == 0) out += (depth - 1) * c.panel, room = c.panel;
      }
    }
  }
}

// columns (+)= w^T dy for the rows (channel, tap) of a few channels; weights: of the first of them.
template <class T> static void multiply_columns(const Columns<T>& c, const T* weights, int64_t weight_filter,
                                                int64_t rows, int64_t columns, int64_t depth, bool accumulate) {
  const int64_t tile_rows = even_piece(rows, TILE_ROWS);
  for (int64_t i = 0; i < rows; i += tile_rows) {
    const int64_t count = smaller(tile_rows, rows - i);
    pack_straight<T>(weights + i, weight_filter, count, depth, c.packed, tile_rows);
    Tile<T> tile = {};
    tile.a = c.packed;
    tile.a_row = 1;
    tile.steps = c.steps;
    tile.depth = depth;
    tile.c_row = columns;
    tile.accumulate = accumulate;
    for (int64_t j = 0; j < columns; j += c.panel) {
      tile.b = c.panels + j * depth;
      tile.c = c.sums + i * columns + j;
      run_tile<T, BY_STEPS>(int(count), smaller(c.panel, columns - j), tile);
    }
  }
}

// One plane of dx from the columns of its channel and image.
template <class T> static void sum_plane(const Columns<T>& c, const T* columns, int64_t tap_pitch, int64_t term,
                                         T* dx) {
  constexpr int L = LANES<T>;
  const ConvolutionShape& s = c.s;
  for (int64_t y = 0; y < s.height; y++) {
    T* const out = dx + y * s.width;
    for (int64_t x = 0; x < s.width; x++) out[x] = 0;
    for (int64_t tap = 0; tap < s.kernel_w; tap++) {
      const int64_t first = tap * s.dilation_w - s.pad_left;
      const int64_t left = count_below(0, first, s.stride_w, s.out_width);
      const int64_t right = larger(left, count_below(s.width, first, s.stride_w, s.out_width));
      const T* const in = columns + c.rows[y].offset + tap * tap_pitch;
      for (int64_t x = left; x < right; x += L) {
        Vec<T> sum = {};
        for (int64_t i = 0; i < c.rows[y].count; i++) sum += load(in + i * term + x);
        T* const o = out + first + x * s.stride_w;
        if (s.stride_w == 1 && right - x >= L) store(o, load(o) + sum);
        else if (s.stride_w == 1) store_part(o, load_part(o, right - x) + sum, right - x);
        else
          for (int64_t i = 0; i < smaller(L, right - x); i++) o[i * s.stride_w] += sum[i];
      }
    }
  }
}

template <class T> static void finish_plane(T* dx, int64_t count, T bias, int64_t activation, T slope) {
  for (int64_t i = 0; i < count; i += LANES<T>) {
    const int64_t lanes = smaller(LANES<T>, count - i);
    store_part(dx + i, activate<T>(load_part(dx + i, lanes) + broadcast(bias), activation, slope), lanes);
  }
}

template <class T> static void column_gradient(const Call& call, const ConvolutionShape& s, int64_t start,
                                               int64_t stop) {
  const ColumnBlocks b = column_blocks(s);
  const int64_t taps = s.kernel_h * s.kernel_w, in = s.height * s.width;
  const int64_t tile_rows = even_piece(b.packed * taps, TILE_ROWS);
  T* const sums = (T*)((char*)call.scratch + column_tables(b, s));
  T* const panels = sums + column_sums(b, s);
  const Columns<T> c = {s, b, (Step*)call.scratch, (RowSum*)((char*)call.scratch + round_up(b.depth * 8, 64)), sums,
                        panels, panels + column_panels(b), tile_vectors(int(tile_rows)) * LANES<T>};
  int64_t term = 0, width = -1;
  const T* const bias = s.bias ? (const T*)call.buffer[3] : nullptr;
  for (int64_t unit = start; unit < stop; unit++) {
    const int64_t image = unit % b.strips * b.images, images = smaller(b.images, s.batch - image);
    const int64_t block = unit / b.strips % b.channel_blocks * b.channels, group = unit / b.strips / b.channel_blocks;
    const int64_t columns = images * b.pixels, end = smaller(block + b.channels, s.group_channels);
    if (columns != width) term = row_sums(s, width = columns, c.rows);
    for (int64_t channel = block; channel < end; channel += b.packed) {
      const int64_t channels = smaller(b.packed, end - channel);
      const int64_t rows = channels * taps, row = even_piece(rows, TILE_ROWS);
      for (int64_t k = 0; k < s.group_filters; k += b.depth) {
        const int64_t filter = group * s.group_filters + k, depth = smaller(b.depth, s.group_filters - k);
        if (channel == block || depth < s.group_filters)
          pack_panels<T>(c, (const T*)call.buffer[1] + (image * s.filters + filter) * b.pixels, images, depth);
        for (int64_t i = 0; i < depth; i++) c.steps[i] = {int32_t(i * row), int32_t(i * c.panel)};
        multiply_columns<T>(c, (const T*)call.buffer[2] + (filter * s.group_channels + channel) * taps,
                            s.group_channels * taps, rows, columns, depth, k > 0);
      }
      for (int64_t i = 0; i < channels; i++)
        for (int64_t n = 0; n < images; n++) {
          const int64_t at = group * s.group_channels + channel + i;
          T* const dx = (T*)call.buffer[0] + ((image + n) * s.channels + at) * in;
          sum_plane<T>(c, sums + i * taps * columns + n * b.pixels, columns, term, dx);
          if (bias || s.activation) finish_plane<T>(dx, in, bias ? bias[at] : T(0), s.activation,
                                                    slope_of<T>(call, s.activation));
        }
    }
  }
}

}  // namespace cortex::CORTEX_ISA
