// last_convolution_f32/f64: y = activation(w * x + bias), images channels last
//
//   layout    x [batch][height][width][channels], w [filters][channels / groups][kernel_h][kernel_w],
//             y [batch][out_height][out_width][filters]
//   buffers, integers, reals as in convolution.cpp
//   unit      up to 64 filters of some rows of all images (lanes_plans.h)
//
// The trick: filters are the vectors, packed once for all pixels of the unit, and pixels are the rows of the register
// tile, broadcast where they lie: no window is copied and no border padded. As in lane_convolution.cpp, a rectangle of
// pixels that see the same taps has its own table of steps.
//
// Measured as in convolution.cpp, batch 1 (dense layout): 7x7 stride 2 3 -> 64 224x224 102 GFLOP/s (80); 3x3 stride 2:
// 64 -> 128 56x56 101 (38), 128 -> 256 28x28 85 (38), 256 -> 512 14x14 76 (36); 3x3 512 -> 512 7x7 69 (67).
#include "correlation.h"
#include "gemm.h"
#include "lanes_plans.h"
#include "registry.h"

namespace cortex::CORTEX_ISA {
namespace {

template <class T> constexpr int64_t FILTERS = 4 * LANES<T>;  // of a packed panel

template <class T> struct Unit {
  const ConvolutionShape& s;
  const LastBlocks& b;
  Axis h, w;
  const T *x, *weights, *bias;   // of the unit's group and filters
  T* y;
  int64_t filters, activation;
  T slope;
  Step* steps;
  T* packed;                     // [panel][channel and tap][FILTERS]
};

// Weights of `depth` steps from `weights` on, one filter after the other, to [depth][FILTERS]; absent filters are zero.
template <class T> void pack_panel(const T* weights, int64_t pitch, int64_t filters, int64_t depth, T* out) {
  constexpr int L = LANES<T>;
  for (int64_t f = 0; f < FILTERS<T>; f += L) {
    int64_t k = 0;
    for (; k + L <= depth; k += L) {
      Vec<T> block[L];
#pragma GCC unroll 16
      for (int i = 0; i < L; i++) block[i] = f + i < filters ? load(weights + (f + i) * pitch + k) : Vec<T>{};
      transpose<T>(block);
#pragma GCC unroll 16
      for (int i = 0; i < L; i++) store(out + (k + i) * FILTERS<T> + f, block[i]);
    }
    for (; k < depth; k++)
      for (int i = 0; i < L; i++) out[k * FILTERS<T> + f + i] = f + i < filters ? weights[(f + i) * pitch + k] : T(0);
  }
}

template <class T> int64_t make_steps(const Unit<T>& u, const Rectangle& r, int64_t channels) {
  Step* out = u.steps;
  const int64_t taps = u.s.kernel_h * u.s.kernel_w;
  for (int64_t c = 0; c < channels; c++)
    for (int64_t i = r.row_taps.start; i < r.row_taps.stop; i++)
      for (int64_t j = r.column_taps.start; j < r.column_taps.stop; j++, out++) {
        out->a = int32_t((i * u.h.delta * u.s.width + j * u.w.delta) * u.s.channels + c);
        out->b = int32_t((c * taps + i * u.s.kernel_w + j) * FILTERS<T>);
      }
  return out - u.steps;
}

// Channels channel .. channel + channels - 1 of the group, added to a rectangle of an image.
template <class T> void correlate_rectangle(const Unit<T>& u, const Rectangle& r, int64_t image, int64_t channel,
                                            int64_t channels) {
  const ConvolutionShape& s = u.s;
  const bool upright = r.columns == 1;
  const int64_t pixels = upright ? r.rows : r.columns, tile_rows = even_piece(pixels, TILE_ROWS);
  const int64_t width = smaller(FILTERS<T>, tile_vectors(int(tile_rows)) * LANES<T>);
  Tile<T> tile = {};
  tile.steps = u.steps;
  tile.depth = make_steps(u, r, channels);
  tile.a_row = (upright ? s.stride_h * s.width : s.stride_w) * s.channels;
  tile.c_row = (upright ? s.out_width : 1) * s.filters;
  tile.accumulate = channel > 0;
  tile.activation = channel + channels == s.group_channels ? u.activation : int64_t(ACTIVATION_NONE);
  tile.slope = u.slope;
  for (int64_t f = 0; f < u.filters; f += width)
    for (int64_t row = r.row; row < r.row + (upright ? 1 : r.rows); row++)
      for (int64_t i = 0; i < pixels; i += tile_rows) {
        const int64_t line = image * s.height + u.h.first + row * s.stride_h;
        const int64_t in = line * s.width + u.w.first + r.column * s.stride_w;
        const int64_t out = (image * s.out_height + row) * s.out_width + r.column;
        tile.a = u.x + in * s.channels + channel + i * tile.a_row;
        tile.b = u.packed + f / FILTERS<T> * FILTERS<T> * u.b.depth + f % FILTERS<T>;
        tile.c = u.y + out * s.filters + f + i * tile.c_row;
        tile.column_bias = channel == 0 && u.bias ? u.bias + f : nullptr;
        run_tile<T, BY_STEPS>(int(smaller(tile_rows, pixels - i)), smaller(width, u.filters - f), tile);
      }
}

// Rows `first` .. `end` - 1 of all images.
template <class T> void correlate(const Unit<T>& u, int64_t first, int64_t end) {
  const ConvolutionShape& s = u.s;
  const int64_t taps = s.kernel_h * s.kernel_w, pitch = s.group_channels * taps;
  for (int64_t channel = 0; channel < s.group_channels; channel += u.b.channels) {
    const int64_t channels = smaller(u.b.channels, s.group_channels - channel);
    for (int64_t f = 0; f < u.filters; f += FILTERS<T>)
      pack_panel(u.weights + f * pitch + channel * taps, pitch, smaller(FILTERS<T>, u.filters - f), channels * taps,
                 u.packed + f * u.b.depth);
    for (int64_t at = first, rows; at < end; at += rows) {
      Rectangle r = {};
      r.row = at % s.out_height;
      r.row_taps = taps_at(u.h, r.row);
      rows = r.rows = alike(u.h, r.row_taps, r.row, smaller(s.out_height, r.row + end - at));
      for (r.column = 0; r.column < s.out_width; r.column += r.columns) {
        r.column_taps = taps_at(u.w, r.column);
        r.columns = alike(u.w, r.column_taps, r.column, s.out_width);
        correlate_rectangle(u, r, at / s.out_height, channel, channels);
      }
    }
  }
}

template <class T> void last_convolution(const Call& call, int64_t start, int64_t stop) {
  const ConvolutionShape s = convolution_shape(call.integer);
  const LastBlocks b = last_blocks(s);
  T* const packed = (T*)((char*)call.scratch + round_up(b.depth * 8, 64));
  const int64_t rows = s.batch * s.out_height, pitch = s.group_channels * s.kernel_h * s.kernel_w;
  for (int64_t unit = start; unit < stop; unit++) {
    const int64_t part = unit % b.parts, block = unit / b.parts % b.filter_blocks * LAST_FILTERS;
    const int64_t group = unit / (b.parts * b.filter_blocks), filter = group * s.group_filters + block;
    const Unit<T> u = {s, b, forward_rows(s), forward_columns(s),
                       (const T*)call.buffer[1] + group * s.group_channels,
                       (const T*)call.buffer[2] + filter * pitch,
                       s.bias ? (const T*)call.buffer[3] + filter : nullptr, (T*)call.buffer[0] + filter,
                       smaller(LAST_FILTERS, s.group_filters - block), s.activation,
                       s.activation == ACTIVATION_LEAKY_RELU ? T(call.real[0]) : T(0), (Step*)call.scratch, packed};
    correlate(u, rows * part / b.parts, rows * (part + 1) / b.parts);
  }
}

}  // namespace
}  // namespace cortex::CORTEX_ISA

CORTEX_KERNELS(last_convolution, {"last_convolution_f32", last_convolution<float>},
               {"last_convolution_f64", last_convolution<double>})
