// lane_convolution_pool_f32/f64: maxima of y = activation(w * x + bias) over windows side by side; y is never written
//
//   layout    x, w, bias as in lane_convolution.cpp, without padding; pooled, index [blocks][filters][pooled_height]
//             [pooled_width][16]
//   buffers   pooled, index (absent without), x, w, bias (absent without)
//   integers  0 to 17 as in convolution.cpp, 18 window_h, 19 window_w, 20 pooled_height, 21 pooled_width, 22 bytes of
//             an index: 0 (none), 1 or 4; windows lie inside y
//   reals     0 slope of the leaky relu
//   unit      one row of pooled pixels of a block and group, all filters
//
// The trick: the cells of a window are the pixels of the register tile, four at a time, so their maximum is taken in
// registers; the index is the one that lane_max_pool would write. 1 -> 20 5x5 on 28x28, batch 64, AVX-512: 0.43 ms, in
// two instructions 0.55; 20 -> 50 5x5 on 12x12: 1.85 ms, in two 1.95.
#include "lane_tile.h"
#include "pool_halves.h"
#include "registry.h"

namespace cortex::CORTEX_ISA {
namespace {

constexpr int POOL_ROWS = WIDE ? 6 : 2, CELLS = 4;  // accumulators: 24 of 32 registers, 8 of 16

template <class T> struct PoolTile {
  LaneTile<T> tile;       // a, a_row, steps, depth, bias, activation, slope, c (pooled), c_row
  const T* b;             // the first cell
  const int64_t* cells;   // offset of each cell
  int64_t count;          // of cells
  void* index;
  int64_t at, bytes;      // of the first pooled pixel in the index
};

template <class T, int ROWS> static void pool_tile(const PoolTile<T>& given) {
  const PoolTile<T> g = given;
  const LaneTile<T>& p = g.tile;
  constexpr int L = LANES<T>;
  for (int64_t part = 0; part < EXAMPLES; part += L) {
    Vec<T> best[ROWS] = {};
    IntVec<T> place[ROWS] = {};
    for (int64_t first = 0; first < g.count; first += CELLS) {
      const T* from[CELLS];
      for (int j = 0; j < CELLS; j++) from[j] = g.b + g.cells[smaller(first + j, g.count - 1)] + part;
      Vec<T> sum[ROWS][CELLS] = {};
      if (p.bias)
        for (int i = 0; i < ROWS; i++)
          for (int j = 0; j < CELLS; j++) sum[i][j] = broadcast(p.bias[i]);
      for (int64_t k = 0; k < p.depth; k++) {
        const T* const ak = p.a + p.steps[k].a;
        const int64_t at = p.steps[k].b;
        Vec<T> x[CELLS];
#pragma GCC unroll 4
        for (int j = 0; j < CELLS; j++) x[j] = load(from[j] + at);
#pragma GCC unroll 8
        for (int i = 0; i < ROWS; i++) {
          const Vec<T> weight = broadcast(ak[i * p.a_row]);
#pragma GCC unroll 4
          for (int j = 0; j < CELLS; j++) sum[i][j] += weight * x[j];
        }
      }
#pragma GCC unroll 8
      for (int i = 0; i < ROWS; i++) {
#pragma GCC unroll 4
        for (int j = 0; j < CELLS; j++) {
          const Vec<T> value = activate<T>(sum[i][j], p.activation, p.slope);
          if (first + j == 0) best[i] = value;
          else if (first + j < g.count) keep_greater<T>(best[i], place[i], value, int(first + j));
        }
      }
    }
    for (int i = 0; i < ROWS; i++) {
      const int64_t at = i * p.c_row + part;
      store(p.c + at, best[i]);
      if (g.bytes == 1) store_bytes<T>((uint8_t*)g.index + g.at + at, place[i]);
      else if (g.bytes) store_index<T>(g.index, g.bytes, g.at + at, place[i], L);
    }
  }
}

template <class T, int ROWS = POOL_ROWS> CORTEX_INLINE void pool_tile(int rows, const PoolTile<T>& tile) {
  if constexpr (ROWS > 1)
    if (rows < ROWS) return pool_tile<T, ROWS - 1>(rows, tile);
  pool_tile<T, ROWS>(tile);
}

template <class T> void lane_convolution_pool(const Call& call, int64_t start, int64_t stop) {
  const ConvolutionShape s = convolution_shape(call.integer);
  const int64_t window_h = call.integer[18], window_w = call.integer[19], height = call.integer[20];
  const int64_t width = call.integer[21], bytes = call.integer[22], depth = s.group_channels * s.kernel_h * s.kernel_w;
  const int64_t in = s.height * s.width * EXAMPLES, pooled = height * width * EXAMPLES;
  void* const* const inputs = call.buffer + (bytes ? 2 : 1);
  Step* const steps = (Step*)call.scratch;
  int64_t* const cells = (int64_t*)((char*)call.scratch + round_up(depth * 8, 64));
  for (int64_t k = 0; k < depth; k++) {
    const int64_t j = k % s.kernel_w, i = k / s.kernel_w % s.kernel_h, c = k / (s.kernel_w * s.kernel_h);
    steps[k] = {int32_t(k), int32_t(c * in + (i * s.dilation_h * s.width + j * s.dilation_w) * EXAMPLES)};
  }
  for (int64_t q = 0; q < window_h * window_w; q++)
    cells[q] = (q / window_w * s.stride_h * s.width + q % window_w * s.stride_w) * EXAMPLES;
  PoolTile<T> g = {};
  g.cells = cells;
  g.count = window_h * window_w;
  g.bytes = bytes;
  g.index = bytes ? call.buffer[1] : nullptr;
  g.tile.a_row = g.tile.depth = depth;
  g.tile.steps = steps;
  g.tile.c_row = pooled;
  g.tile.activation = s.activation;
  g.tile.slope = s.activation == ACTIVATION_LEAKY_RELU ? T(call.real[0]) : T(0);
  const int64_t rows = even_piece(s.group_filters, POOL_ROWS);
  for (int64_t unit = start; unit < stop; unit++) {
    const int64_t row = unit % height, group = unit / height % s.groups, block = unit / (height * s.groups);
    const T* const x = (const T*)inputs[0] + (block * s.groups + group) * s.group_channels * in;
    for (int64_t f = 0; f < s.group_filters; f += rows)
      for (int64_t column = 0; column < width; column++) {
        const int64_t filter = group * s.group_filters + f;
        g.tile.a = (const T*)inputs[1] + filter * depth;
        g.tile.bias = s.bias ? (const T*)inputs[2] + filter : nullptr;
        g.b = x + (row * window_h * s.stride_h * s.width + column * window_w * s.stride_w) * EXAMPLES;
        g.at = (block * s.filters + filter) * pooled + (row * width + column) * EXAMPLES;
        g.tile.c = (T*)call.buffer[0] + g.at;
        pool_tile<T>(int(smaller(rows, s.group_filters - f)), g);
      }
  }
}

}  // namespace
}  // namespace cortex::CORTEX_ISA

CORTEX_KERNELS(lane_convolution_pool, {"lane_convolution_pool_f32", lane_convolution_pool<float>},
               {"lane_convolution_pool_f64", lane_convolution_pool<double>})
