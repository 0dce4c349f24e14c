// Geometry and blocks of Winograd convolutions, from the shape alone (see plans.h).
//
// The integers of all kernels that know the image:
//   0 batch, 1 channels, 2 height, 3 width, 4 filters, 5 kernel (r x r), 6 pad_top, 7 pad_bottom, 8 pad_left,
//   9 pad_right (a padding may be negative), 10 channels last (0: batch lanes), 11 bias (0, 1), 12 activation,
//   13 first tile, 14 tiles (of a chunk that an instruction works on), 15 rows (0: panels of two tiles, see winograd.h)
#pragma once
#include "plans.h"

namespace cortex {

constexpr int POINTS = 6, PRODUCTS = POINTS * POINTS;
constexpr int64_t BLOCK_LANES = 16;  // examples of a block in batch lanes
constexpr int64_t PAIR = 32;         // columns of a panel: two tiles of sixteen lanes, or 32 channels
constexpr int64_t WINOGRAD_INTEGERS = 16;

struct WinogradShape {
  int64_t batch, channels, height, width, filters, kernel, pad_top, pad_bottom, pad_left, pad_right, channels_last;
  int64_t bias, activation, first, count, rows;
  int64_t out_height, out_width, blocks;       // blocks: of sixteen examples; images in channels last
  int64_t step, down, across, image, tiles;    // step: outputs of a tile along a side; tiles of an image, and of all
};

static inline WinogradShape winograd_shape(const int64_t* i) {
  WinogradShape s = {i[0], i[1], i[2], i[3], i[4], i[5], i[6], i[7], i[8], i[9], i[10],
                     i[11], i[12], i[13], i[14], i[15], 0, 0, 0, 0, 0, 0, 0, 0};
  s.out_height = s.height + s.pad_top + s.pad_bottom - s.kernel + 1;
  s.out_width = s.width + s.pad_left + s.pad_right - s.kernel + 1;
  s.blocks = s.channels_last ? s.batch : divide_up(s.batch, BLOCK_LANES);
  s.step = POINTS + 1 - s.kernel;
  s.down = divide_up(s.out_height, s.step);
  s.across = divide_up(s.out_width, s.step);
  s.image = s.down * s.across;
  s.tiles = s.blocks * s.image;
  return s;
}

// Where the transform of tile t, channel c, product k lies: k * product + c * channel + t / 2 * pair + t % 2 * single.
// The distance of two products is an odd number of cache lines: 36 stores at a distance of 4 KB share one set of L1.
struct Matrices {
  int64_t product, channel, single, pair;
  int64_t size() const { return PRODUCTS * product; }
};

// Batch lanes, operand of a product: [product][tile pair][channel][32].
static inline Matrices panel_matrices(int64_t channels, int64_t tiles) {
  return {divide_up(tiles, 2) * channels * PAIR + BLOCK_LANES, PAIR, BLOCK_LANES, channels * PAIR};
}
// Batch lanes, operand of sums over tiles: [product][channel][tile][16].
static inline Matrices row_matrices(int64_t channels, int64_t tiles) {
  const int64_t row = round_up(tiles, 2) * BLOCK_LANES + BLOCK_LANES;
  return {round_up(channels * row, 32) + BLOCK_LANES, row, BLOCK_LANES, 2 * BLOCK_LANES};
}
// Channels last: [product][tile][channel].
static inline Matrices pixel_matrices(int64_t channels, int64_t tiles) {
  const int64_t row = round_up(channels, PAIR) + BLOCK_LANES;
  return {round_up(tiles * row, 32) + BLOCK_LANES, 0, row, 2 * row};
}
static inline Matrices matrices_of(const WinogradShape& s, int64_t channels, int64_t tiles) {
  return s.channels_last ? pixel_matrices(channels, tiles)
         : s.rows        ? row_matrices(channels, tiles)
                         : panel_matrices(channels, tiles);
}

// ---------------------------------------------------------------- filters

// winograd_filter: 0 rows, 1 depth, 2 kernel, 3 elements from row to row of w, 4 along the depth, 5 flipped,
// 6 panels (of 32 columns, for channels last; else tiles of rows).
constexpr int64_t FILTER_INTEGERS = 7, FILTER_DEPTH = 16;
// Elements from one product to the next.
static inline int64_t filter_product(int64_t rows, int64_t depth, bool panels) {
  return panels ? round_up(rows, PAIR) * depth : round_up(rows * depth + 16, 16);
}
static inline Plan winograd_filter_plan(const int64_t* i, int64_t) {
  return {divide_up(i[1], FILTER_DEPTH), 0, PRODUCTS * filter_product(i[0], i[1], i[6] != 0)};
}

// ---------------------------------------------------------------- all stages in one unit

struct WinogradBlocks {
  int64_t tiles, filters;  // of a unit; of a block of outputs
};

constexpr int64_t CACHED = 700 << 10;  // bytes of L2 for the transforms of a unit

static inline WinogradBlocks winograd_blocks(const WinogradShape& s) {
  const int64_t lanes = s.channels_last ? 1 : BLOCK_LANES, least = s.channels_last ? 14 : 2;
  WinogradBlocks b = {s.channels_last ? 28 : 8, s.filters};
  auto bytes = [&] { return PRODUCTS * b.tiles * lanes * 4 * (s.channels + smaller(b.filters, s.filters)); };
  while (bytes() > CACHED && b.tiles > least) b.tiles = divide_up(b.tiles, 2);
  return b;
}

static inline Plan winograd_convolution_plan(const int64_t* integer, int64_t element) {
  const WinogradShape s = winograd_shape(integer);
  const WinogradBlocks b = winograd_blocks(s);
  return {divide_up(s.tiles, b.tiles),
          (matrices_of(s, s.channels, b.tiles).size() + matrices_of(s, b.filters, b.tiles).size() + 4 * SLACK) * element,
          1};
}

// ---------------------------------------------------------------- one stage per instruction

// The transforms of `count` tiles go through memory of the plan: where U is larger than L2, it is read once for all of
// them, and a sum over tiles runs over all of them before it is written.
constexpr int64_t STAGE_CHANNELS = 64, ROW_CHANNELS = 4, STAGE_COLUMNS = 8, STAGE_PIXELS = 112;

struct Stage {
  int64_t tiles, channels;  // of a unit
  int64_t tile_blocks, channel_blocks;
};

static inline Stage winograd_stage(const WinogradShape& s, int64_t channels) {
  Stage stage = {s.rows ? s.count : 2, s.channels_last ? 1 : s.rows ? ROW_CHANNELS : STAGE_CHANNELS, 0, 0};
  stage.tile_blocks = divide_up(s.count, stage.tiles);
  stage.channel_blocks = s.channels_last ? 1 : divide_up(channels, stage.channels);
  return stage;
}

static inline Plan winograd_source_plan(const int64_t* integer, int64_t) {
  const WinogradShape s = winograd_shape(integer);
  const Stage stage = winograd_stage(s, s.channels);
  return {stage.tile_blocks * stage.channel_blocks, 0, matrices_of(s, s.channels, s.count).size()};
}
static inline Plan winograd_result_plan(const int64_t* integer, int64_t) {  // and winograd_spread
  const WinogradShape s = winograd_shape(integer);
  const Stage stage = winograd_stage(s, s.filters);
  return {stage.tile_blocks * stage.channel_blocks, 0, matrices_of(s, s.filters, s.count).size()};
}

static inline int64_t product_tiles(const WinogradShape& s) {
  return smaller(s.count, s.channels_last ? STAGE_PIXELS : STAGE_COLUMNS);
}
static inline Plan winograd_product_plan(const int64_t* integer, int64_t) {
  const WinogradShape s = winograd_shape(integer);
  return {PRODUCTS * divide_up(s.count, product_tiles(s)), 0, matrices_of(s, s.filters, s.count).size()};
}

// ---------------------------------------------------------------- gradients

// Input gradient: the blocks of a unit, which is one block of examples.
static inline int64_t gradient_tiles(const WinogradShape& s) {
  const int64_t tile = PRODUCTS * BLOCK_LANES * 4 * (s.channels + s.filters);
  return smaller(round_up(s.image, 2), larger(1, CACHED / (2 * tile)) * 2);
}
static inline Plan winograd_input_gradient_plan(const int64_t* integer, int64_t element) {
  const WinogradShape s = winograd_shape(integer);
  const int64_t tiles = gradient_tiles(s);
  return {s.blocks,
          (panel_matrices(s.channels, tiles).size() + panel_matrices(s.filters, tiles).size() + 4 * SLACK) * element, 1};
}

// Kernel gradient: dU is [product][filter][channel]; a unit sums a block of filters of one product.
constexpr int64_t SUM_FILTERS = 60, SUM_DEPTH = 512, KERNEL_FILTERS = 8;
static inline int64_t kernel_product(const WinogradShape& s) { return round_up(s.filters * s.channels, 16) + 16; }
// Wide layers transpose V into panels of channels: no horizontal sums, which cost as much as 64 products each.
static inline bool sums_in_panels(const WinogradShape& s) { return s.channels >= 32 && s.filters >= 32; }
static inline int64_t sum_filters(const WinogradShape& s) {
  return even_piece(s.filters, sums_in_panels(s) ? 256 : SUM_FILTERS);
}
static inline Plan winograd_correlate_plan(const int64_t* integer, int64_t element) {
  const WinogradShape s = winograd_shape(integer);
  return {PRODUCTS * divide_up(s.filters, sum_filters(s)), sums_in_panels(s) ? SUM_DEPTH * PAIR * element : 0,
          PRODUCTS * kernel_product(s)};
}
static inline Plan winograd_kernel_plan(const int64_t* integer, int64_t) {
  return {divide_up(winograd_shape(integer).filters, KERNEL_FILTERS), 0, 1};
}

}  // namespace cortex
