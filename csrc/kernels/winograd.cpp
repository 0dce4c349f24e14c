// winograd_filter_f32:      U = G w G^T, packed for one kind of product
// winograd_convolution_f32: y = activation(w * x + bias), all stages of a few tiles in one unit
//
//   layout    x and y in batch lanes [batch / 16][channels][height][width][16] or channels last
//             [batch][height][width][channels]; w [filters][channels][r][r], always dense
//   buffers   U, w;   y, x, U, bias [filters] (absent without)
//   integers  winograd_plans.h
//   reals     0 slope of the leaky relu
//   unit      16 of the depth of U;   a chunk of tiles whose transforms stay in L2
#include "registry.h"
#include "winograd.h"

namespace cortex::CORTEX_ISA {
namespace {

// ---------------------------------------------------------------- filters

struct Filters {
  const float* w;
  int64_t rows, depth, row, along;  // distances of rows and along the depth in w
  bool flipped, panels;
  int64_t product() const { return filter_product(rows, depth, panels); }
};

// `count` rows from `row` at one place of the depth: each tap of them as a vector.
template <int R> CORTEX_INLINE void gather_taps(const Filters& f, int64_t row, int64_t count, int64_t d, Floats* taps) {
  const float* const w = f.w + row * f.row + d * f.along;
  for (int first = 0; first < R * R; first += WIDTH) {
    Floats rows[WIDTH];
    for (int i = 0; i < WIDTH; i++)
      rows[i] = i < count ? load_part(w + i * f.row + first, smaller(WIDTH, R * R - first)) : Floats{};
    transpose<float>(rows);
    for (int i = 0; i < WIDTH && first + i < R * R; i++) taps[f.flipped ? R * R - 1 - first - i : first + i] = rows[i];
  }
}

template <int R> void transform_filters(const Filters& f, int64_t d0, int64_t d1, float* u) {
  const int64_t step = f.panels ? PAIR : row_tile(f.rows), product = f.product();
  for (int64_t r = 0; r < f.rows; r += step) {
    const int64_t pitch = f.panels ? PAIR : smaller(step, f.rows - r);
    for (int64_t d = d0; d < d1; d++)
      for (int64_t i = 0; i < pitch; i += WIDTH) {
        Floats taps[R * R];
        gather_taps<R>(f, r + i, smaller(WIDTH, f.rows - r - i), d, taps);
        float* const to = u + r * f.depth + d * pitch + i;
        const int64_t lanes = smaller(WIDTH, pitch - i);
        const auto read = [&](int i, int j) __attribute__((always_inline)) { return taps[i * R + j]; };
        transform<Filter<R>>(read, [&](int i, int j, Floats value) __attribute__((always_inline)) {
          store_part(to + (i * POINTS + j) * product, value, lanes);
        });
      }
  }
}

void filter(const Call& call, int64_t start, int64_t stop) {
  const int64_t* const i = call.integer;
  const Filters f = {(const float*)call.buffer[1], i[0], i[1], i[3], i[4], i[5] != 0, i[6] != 0};
  const int64_t d0 = start * FILTER_DEPTH, d1 = smaller(f.depth, stop * FILTER_DEPTH);
  float* const u = (float*)call.buffer[0];
  CORTEX_BY_KERNEL(i[2], transform_filters, f, d0, d1, u);
}

// ---------------------------------------------------------------- forward

Epilogue epilogue_of(const Call& call, const WinogradShape& s, int bias) {
  return {s.bias ? (const float*)call.buffer[bias] : nullptr, s.activation,
          s.activation == ACTIVATION_LEAKY_RELU ? float(call.real[0]) : 0};
}

template <int R> void convolve(const Call& call, const WinogradShape& s, int64_t start, int64_t stop) {
  const WinogradBlocks b = winograd_blocks(s);
  const Image x = source_image(call.buffer[1], s), y = result_image(call.buffer[0], s);
  const float* const u = (const float*)call.buffer[2];
  const Epilogue end = epilogue_of(call, s, 3);
  const Matrices sources = matrices_of(s, s.channels, b.tiles), results = matrices_of(s, b.filters, b.tiles);
  float* const v = (float*)call.scratch;
  float* const out = v + round_up(sources.size() + SLACK, 16);
  const int64_t product = filter_product(s.filters, s.channels, s.channels_last);
  for (int64_t unit = start; unit < stop; unit++) {
    const int64_t first = unit * b.tiles, count = smaller(b.tiles, s.tiles - first);
    transform_source<Source>(x, s, s.pad_top, s.pad_left, first, count, 0, x.channels, sources, false, v);
    for (int k = 0; k < PRODUCTS; k++)
      if (s.channels_last)
        multiply_pixels(u + k * product, s.filters, s.channels, v + k * sources.product, sources.single,
                        count, out + k * results.product, results.single);
      else
        multiply_panels(u + k * product, s.filters, s.channels, v + k * sources.product, sources.pair,
                        count, out + k * results.product, results.pair);
    transform_result<POINTS + 1 - R>(out, results, y, s, first, count, 0, y.channels, end);
  }
}

void convolution(const Call& call, int64_t start, int64_t stop) {
  const WinogradShape s = winograd_shape(call.integer);
  CORTEX_BY_KERNEL(s.kernel, convolve, call, s, start, stop);
}

// ---------------------------------------------------------------- one stage per instruction

struct Range {
  int64_t first, tiles, c0, c1;
};

// Of a unit: tiles relative to the chunk, channels.
Range range_of(const Stage& stage, const WinogradShape& s, const Image& image, int64_t unit) {
  const int64_t first = unit / stage.channel_blocks * stage.tiles, c0 = unit % stage.channel_blocks * stage.channels;
  return {first, smaller(stage.tiles, s.count - first), c0, smaller(image.channels, c0 + stage.channels)};
}

template <class Map> void spread_stage(const Call& call, const WinogradShape& s, const Image& x, int64_t channels,
                                       int64_t top, int64_t left, int64_t start, int64_t stop) {
  const Stage stage = winograd_stage(s, channels);
  const Matrices m = matrices_of(s, channels, s.count);
  for (int64_t unit = start; unit < stop; unit++) {
    const Range r = range_of(stage, s, x, unit);
    transform_source<Map>(x, s, top, left, s.first + r.first, r.tiles, r.c0, r.c1, m, s.rows,
                          (float*)call.buffer[0] + r.first / 2 * m.pair);
  }
}

void source(const Call& call, int64_t start, int64_t stop) {
  const WinogradShape s = winograd_shape(call.integer);
  spread_stage<Source>(call, s, source_image(call.buffer[1], s), s.channels, s.pad_top, s.pad_left, start, stop);
}

template <int R> void spread_of(const Call& call, const WinogradShape& s, int64_t start, int64_t stop) {
  spread_stage<Spread<POINTS + 1 - R>>(call, s, result_image(call.buffer[1], s), s.filters, 0, 0, start, stop);
}

void spread(const Call& call, int64_t start, int64_t stop) {
  const WinogradShape s = winograd_shape(call.integer);
  CORTEX_BY_KERNEL(s.kernel, spread_of, call, s, start, stop);
}

void product(const Call& call, int64_t start, int64_t stop) {
  const WinogradShape s = winograd_shape(call.integer);
  const Matrices sources = matrices_of(s, s.channels, s.count), results = matrices_of(s, s.filters, s.count);
  const int64_t step = product_tiles(s), blocks = divide_up(s.count, step);
  for (int64_t unit = start; unit < stop; unit++) {
    const int64_t k = unit / blocks, t = unit % blocks * step, tiles = smaller(step, s.count - t);
    const float* const u = (const float*)call.buffer[2] + k * filter_product(s.filters, s.channels, s.channels_last);
    const float* const v = (const float*)call.buffer[1] + k * sources.product + t / 2 * sources.pair;
    float* const out = (float*)call.buffer[0] + k * results.product + t / 2 * results.pair;
    if (s.channels_last)
      multiply_pixels(u, s.filters, s.channels, v, sources.single, tiles, out, results.single);
    else
      multiply_panels(u, s.filters, s.channels, v, sources.pair, tiles, out, results.pair);
  }
}

template <int R> void result_of(const Call& call, const WinogradShape& s, int64_t start, int64_t stop) {
  const Image y = result_image(call.buffer[0], s);
  const Stage stage = winograd_stage(s, s.filters);
  const Matrices m = matrices_of(s, s.filters, s.count);
  const Epilogue end = epilogue_of(call, s, 2);
  for (int64_t unit = start; unit < stop; unit++) {
    const Range r = range_of(stage, s, y, unit);
    transform_result<POINTS + 1 - R>((const float*)call.buffer[1] + r.first / 2 * m.pair, m, y, s, s.first + r.first,
                                     r.tiles, r.c0, r.c1, end);
  }
}

void result(const Call& call, int64_t start, int64_t stop) {
  const WinogradShape s = winograd_shape(call.integer);
  CORTEX_BY_KERNEL(s.kernel, result_of, call, s, start, stop);
}

}  // namespace
}  // namespace cortex::CORTEX_ISA

CORTEX_KERNELS(winograd, {"winograd_filter_f32", filter}, {"winograd_convolution_f32", convolution},
               {"winograd_source_f32", source}, {"winograd_spread_f32", spread}, {"winograd_product_f32", product},
               {"winograd_result_f32", result})
