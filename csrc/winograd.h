// Winograd convolutions: the transforms, and the walk over tiles that applies them.
//
// The points 0, 1, -1, 2, -2, infinity give every m, r with m + r - 1 = 6: F(4x4, 3x3), F(2x2, 5x5), F(5x5, 2x2),
// F(3x3, 4x4), with one B. A 6x6 tile of the source yields m x m outputs by 36 instead of m m r r multiplications
// (Lavin and Gray, 2016). U = G w G^T serves all passes; the gradients are adjoints, so they are exact gradients of what
// the forward pass computes:
//   forward           V = B^T x B of each tile,  M = U V (36 matrix products),      y = A^T M A
//   input gradient    E = A dy A^T of each tile, N = U^T E,                        dx += B N B^T, tiles overlap
//   kernel gradient   dU = sum over tiles of E V^T,                                dw = G^T dU G
//
// Batch lanes and channels last differ in strides alone: a vector is sixteen examples or as many channels.
//
// Error, max |error| / max |value| on normal data against float64: see docs/performance.md; about 1e-6 to 1e-5, because
// the points reach 2^3 in A and 5 in B.
#pragma once
#include "gemm.h"
#include "winograd_plans.h"

namespace cortex::CORTEX_ISA {
namespace {

typedef Vec<float> Floats;
constexpr int WIDTH = LANES<float>;

// ---------------------------------------------------------------- one dimension

struct Source {  // B^T
  static constexpr int IN = 6, OUT = 6;
  CORTEX_INLINE void apply(const Floats* d, Floats* v) {
    const Floats a = d[4] - 4 * d[2], b = d[3] - 4 * d[1], c = d[4] - d[2], e = d[3] - d[1];
    v[0] = 4 * d[0] - 5 * d[2] + d[4];
    v[1] = a + b;
    v[2] = a - b;
    v[3] = c + 2 * e;
    v[4] = c - 2 * e;
    v[5] = 4 * d[1] - 5 * d[3] + d[5];
  }
};

struct SourceAdjoint {  // B
  static constexpr int IN = 6, OUT = 6;
  CORTEX_INLINE void apply(const Floats* n, Floats* x) {
    const Floats p = n[1] + n[2], q = n[1] - n[2], r = n[3] + n[4], t = n[3] - n[4];
    x[0] = 4 * n[0];
    x[1] = 4 * n[5] - 4 * q - 2 * t;
    x[2] = -5 * n[0] - 4 * p - r;
    x[3] = q + 2 * t - 5 * n[5];
    x[4] = n[0] + p + r;
    x[5] = n[5];
  }
};

template <int M> struct Result {  // A^T
  static constexpr int IN = 6, OUT = M;
  CORTEX_INLINE void apply(const Floats* m, Floats* y) {
    const Floats p = m[1] + m[2], q = m[1] - m[2], r = m[3] + m[4], t = m[3] - m[4];
#pragma GCC unroll 6
    for (int i = 0; i < M; i++) y[i] = (i % 2 ? q : p) + float(1 << i) * (i % 2 ? t : r);
    y[0] += m[0];
    y[M - 1] += m[5];
  }
};

// Of a polynomial with N coefficients: its even and odd parts at 1 (p, q) and at 2 (r, t).
struct Parts {
  Floats p, q, r, t;
};
template <int N> CORTEX_INLINE Parts parts_of(const Floats* d) {
  Parts s = {d[0], d[1], d[0], 2 * d[1]};
#pragma GCC unroll 6
  for (int i = 2; i < N; i++)
    if (i % 2) {
      s.q += d[i];
      s.t += float(1 << i) * d[i];
    } else {
      s.p += d[i];
      s.r += float(1 << i) * d[i];
    }
  return s;
}

template <int M> struct Spread {  // A
  static constexpr int IN = M, OUT = 6;
  CORTEX_INLINE void apply(const Floats* d, Floats* e) {
    const Parts s = parts_of<M>(d);
    e[0] = d[0];
    e[1] = s.p + s.q;
    e[2] = s.p - s.q;
    e[3] = s.r + s.t;
    e[4] = s.r - s.t;
    e[5] = d[M - 1];
  }
};

template <int R> struct Filter {  // G
  static constexpr int IN = R, OUT = 6;
  CORTEX_INLINE void apply(const Floats* w, Floats* u) {
    const Parts s = parts_of<R>(w);
    u[0] = w[0] * (1 / 4.f);
    u[1] = (s.p + s.q) * (-1 / 6.f);
    u[2] = (s.p - s.q) * (-1 / 6.f);
    u[3] = (s.r + s.t) * (1 / 24.f);
    u[4] = (s.r - s.t) * (1 / 24.f);
    u[5] = w[R - 1];
  }
};

template <int R> struct FilterAdjoint {  // G^T
  static constexpr int IN = 6, OUT = R;
  CORTEX_INLINE void apply(const Floats* u, Floats* w) {
    const Floats p = (u[1] + u[2]) * (-1 / 6.f), q = (u[1] - u[2]) * (-1 / 6.f);
    const Floats r = (u[3] + u[4]) * (1 / 24.f), t = (u[3] - u[4]) * (1 / 24.f);
#pragma GCC unroll 6
    for (int i = 0; i < R; i++) w[i] = (i % 2 ? q : p) + float(1 << i) * (i % 2 ? t : r);
    w[0] += u[0] * (1 / 4.f);
    w[R - 1] += u[5];
  }
};

// Both dimensions: `load(i, j)` yields a vector, `store(i, j, v)` takes one.
template <class Map, class Load, class Store> CORTEX_INLINE void transform(Load load, Store store) {
  constexpr int IN = Map::IN, OUT = Map::OUT;
  Floats half[OUT][IN];
#pragma GCC unroll 6
  for (int j = 0; j < IN; j++) {
    Floats in[IN], out[OUT];
#pragma GCC unroll 6
    for (int i = 0; i < IN; i++) in[i] = load(i, j);
    Map::apply(in, out);
#pragma GCC unroll 6
    for (int i = 0; i < OUT; i++) half[i][j] = out[i];
  }
#pragma GCC unroll 6
  for (int i = 0; i < OUT; i++) {
    Floats out[OUT];
    Map::apply(half[i], out);
#pragma GCC unroll 6
    for (int j = 0; j < OUT; j++) store(i, j, out[j]);
  }
}

// ---------------------------------------------------------------- images

// An image operand: channels x vectors are walked over; in channels last there is one channel of many vectors.
struct Image {
  float* data;
  int64_t height, width, pixel, row, channel, block;  // distances in elements
  int64_t channels, vectors, tail;                    // tail: lanes of the last vector
};

static Image image_of(const void* data, const WinogradShape& s, int64_t channels, int64_t height, int64_t width) {
  if (s.channels_last)
    return {(float*)data, height, width, channels, width * channels, 0, height * width * channels, 1,
            divide_up(channels, WIDTH), (channels - 1) % WIDTH + 1};
  const int64_t plane = height * width * BLOCK_LANES;
  return {(float*)data, height, width, BLOCK_LANES, width * BLOCK_LANES, plane, channels * plane, channels,
          BLOCK_LANES / WIDTH, WIDTH};
}
static Image source_image(const void* data, const WinogradShape& s) {
  return image_of(data, s, s.channels, s.height, s.width);
}
static Image result_image(const void* data, const WinogradShape& s) {
  return image_of(data, s, s.filters, s.out_height, s.out_width);
}

// A tile of SIZE x SIZE pixels in its image; what hangs over an edge is not inside.
template <int SIZE> struct Window {
  const float* block;
  int64_t first;                  // offset of its first pixel; meaningful where `whole`
  int64_t lanes;                  // examples in the block
  bool whole;
  int64_t offset[SIZE * SIZE] = {};  // of each pixel, -1 where it is outside; made only where not whole

  Window(const Image& image, const WinogradShape& s, int64_t tile, int64_t top, int64_t left) {
    const int64_t n = tile / s.image, place = tile % s.image;
    const int64_t h = place / s.across * s.step - top, w = place % s.across * s.step - left;
    block = image.data + n * image.block;
    lanes = s.channels_last ? BLOCK_LANES : smaller(BLOCK_LANES, s.batch - n * BLOCK_LANES);
    first = h * image.row + w * image.pixel;
    whole = h >= 0 && w >= 0 && h + SIZE <= image.height && w + SIZE <= image.width;
    if (!whole) clip(image, h, w);
  }

  // The offsets of a tile that is read pixel by pixel though it lies inside.
  void spell_out(const Image& image) {
    for (int i = 0; i < SIZE * SIZE; i++) offset[i] = first + i / SIZE * image.row + i % SIZE * image.pixel;
  }

 private:
  void clip(const Image& image, int64_t h, int64_t w) {
    for (int i = 0; i < SIZE; i++)
      for (int j = 0; j < SIZE; j++)
        offset[i * SIZE + j] = h + i >= 0 && h + i < image.height && w + j >= 0 && w + j < image.width
                                   ? (h + i) * image.row + (w + j) * image.pixel
                                   : -1;
  }
};

alignas(64) static const float ZEROS[16] = {};

enum Reading { WHOLE, EDGE, PART };  // PART: an edge, or not all lanes

template <class Map, Reading READING> CORTEX_INLINE
void spread_tile(const Window<Map::IN>& window, const Image& x, int64_t c, int64_t v, int64_t lanes, float* out,
                 int64_t product) {
  constexpr int SIZE = Map::IN;
  const float* const data = window.block + c * x.channel + v * WIDTH;
  const float* const first = data + window.first;
  const int64_t row = x.row, pixel = x.pixel;
  transform<Map>(
      [&](int i, int j) __attribute__((always_inline)) -> Floats {
        if constexpr (READING == WHOLE) return load(first + i * row + j * pixel);
        const int64_t offset = window.offset[i * SIZE + j];
        const float* const p = offset < 0 ? ZEROS : data + offset;
        if constexpr (READING == EDGE) return load(p);
        return load_part(p, lanes);
      },
      [&](int i, int j, Floats value) __attribute__((always_inline)) { store(out + (i * POINTS + j) * product, value); });
}

// V or E of `count` tiles from `first`, channels [c0, c1), to out. `masked`: lanes beyond the batch give zeros.
template <class Map> void transform_source(const Image& x, const WinogradShape& s, int64_t top, int64_t left,
                                           int64_t first, int64_t count, int64_t c0, int64_t c1, const Matrices& m,
                                           bool masked, float* out) {
  for (int64_t t = 0; t < count; t++) {
    Window<Map::IN> window(x, s, first + t, top, left);
    const int64_t lanes = masked ? window.lanes : BLOCK_LANES;
    if (window.whole && (lanes < BLOCK_LANES || x.tail < WIDTH)) window.spell_out(x);
    float* const at = out + t / 2 * m.pair + t % 2 * m.single;
    for (int64_t c = c0; c < c1; c++)
      for (int64_t v = 0; v < x.vectors; v++) {
        float* const to = at + c * m.channel + v * WIDTH;
        const int64_t count = s.channels_last ? (v == x.vectors - 1 ? x.tail : WIDTH)
                                              : larger(0, smaller(WIDTH, lanes - v * WIDTH));
        if (count < WIDTH) spread_tile<Map, PART>(window, x, c, v, count, to, m.product);
        else if (window.whole) spread_tile<Map, WHOLE>(window, x, c, v, count, to, m.product);
        else spread_tile<Map, EDGE>(window, x, c, v, count, to, m.product);
      }
  }
}

struct Epilogue {
  const float* bias;  // or nullptr
  int64_t activation;
  float slope;
};

// y of `count` tiles from `first`, channels [c0, c1) of those in `in`, whose first is channel 0 of y.
template <int M> void transform_result(const float* in, const Matrices& m, const Image& y, const WinogradShape& s,
                                       int64_t first, int64_t count, int64_t c0, int64_t c1, const Epilogue& end) {
  for (int64_t t = 0; t < count; t++) {
    const int64_t n = (first + t) / s.image, place = (first + t) % s.image;
    const int64_t h = place / s.across * M, w = place % s.across * M;
    const int64_t rows = smaller(M, y.height - h), columns = smaller(M, y.width - w);
    float* const out = y.data + n * y.block + h * y.row + w * y.pixel;
    const float* const at = in + t / 2 * m.pair + t % 2 * m.single;
    for (int64_t c = c0; c < c1; c++)
      for (int64_t v = 0; v < y.vectors; v++) {
        const float* const from = at + c * m.channel + v * WIDTH;
        float* const to = out + c * y.channel + v * WIDTH;
        const int64_t lanes = v == y.vectors - 1 ? y.tail : WIDTH;
        Floats bias = {};
        if (end.bias) bias = s.channels_last ? load_part(end.bias + v * WIDTH, lanes) : broadcast(end.bias[c]);
        const auto read = [&](int i, int j) __attribute__((always_inline)) {
          return load(from + (i * POINTS + j) * m.product);
        };
        if (rows == M && columns == M && lanes == WIDTH)
          transform<Result<M>>(read, [&](int i, int j, Floats value) __attribute__((always_inline)) {
            store(to + i * y.row + j * y.pixel, activate<float>(value + bias, end.activation, end.slope));
          });
        else
          transform<Result<M>>(read, [&](int i, int j, Floats value) __attribute__((always_inline)) {
            if (i < rows && j < columns)
              store_part(to + i * y.row + j * y.pixel, activate<float>(value + bias, end.activation, end.slope), lanes);
          });
      }
  }
}

// dx of `count` tiles from `first` += B N B^T; tiles overlap.
static inline void add_gradient(const float* in, const Matrices& m, const Image& dx, const WinogradShape& s,
                                int64_t first, int64_t count) {
  for (int64_t t = 0; t < count; t++) {
    const Window<POINTS> window(dx, s, first + t, s.pad_top, s.pad_left);
    const float* const at = in + t / 2 * m.pair + t % 2 * m.single;
    for (int64_t c = 0; c < dx.channels; c++)
      for (int64_t v = 0; v < dx.vectors; v++) {
        const float* const from = at + c * m.channel + v * WIDTH;
        float* const to = (float*)window.block + c * dx.channel + v * WIDTH;
        const auto read = [&](int i, int j) __attribute__((always_inline)) {
          return load(from + (i * POINTS + j) * m.product);
        };
        if (window.whole)
          transform<SourceAdjoint>(read, [&](int i, int j, Floats value) __attribute__((always_inline)) {
            float* const p = to + window.first + i * dx.row + j * dx.pixel;
            store(p, load(p) + value);
          });
        else
          transform<SourceAdjoint>(read, [&](int i, int j, Floats value) __attribute__((always_inline)) {
            const int64_t offset = window.offset[i * POINTS + j];
            if (offset >= 0) store(to + offset, load(to + offset) + value);
          });
      }
  }
}

// ---------------------------------------------------------------- products

// Rows of a register tile when `rows` of them are cut evenly; U is packed accordingly, [row tile][depth][row].
static inline int64_t row_tile(int64_t rows) { return even_piece(rows, TILE_ROWS); }

// out = U of one product times V, for `tiles` tiles of sixteen lanes.
static inline void multiply_panels(const float* u, int64_t rows, int64_t depth, const float* v, int64_t v_pair,
                                   int64_t tiles, float* out, int64_t out_pair) {
  const int64_t step = row_tile(rows);
  constexpr int64_t COLUMNS = 2 * WIDTH;  // of a register tile
  for (int64_t i = 0; i < rows; i += step)
    for (int64_t j = 0; j < tiles * BLOCK_LANES; j += COLUMNS) {
      Tile<float> tile = {};
      const int64_t count = smaller(step, rows - i);
      tile.a = u + i * depth;
      tile.a_row = 1;
      tile.a_k = count;
      tile.b = v + j / PAIR * v_pair + j % PAIR;
      tile.b_k = PAIR;
      tile.depth = depth;
      tile.c = out + j / PAIR * out_pair + i * PAIR + j % PAIR;
      tile.c_row = PAIR;
      outer_product<float, BY_COLUMNS>(int(count), int(smaller(COLUMNS, tiles * BLOCK_LANES - j) / WIDTH), tile);
    }
}

// Channels last: out[tile][row] = V[tile][depth] times U[depth][row], U in panels [row / 32][depth][32].
static inline void multiply_pixels(const float* u, int64_t rows, int64_t depth, const float* v, int64_t v_row,
                                   int64_t tiles, float* out, int64_t out_row) {
  const int64_t step = row_tile(tiles);
  constexpr int64_t COLUMNS = 2 * WIDTH;
  for (int64_t r = 0; r < rows; r += COLUMNS)
    for (int64_t t = 0; t < tiles; t += step) {
      Tile<float> tile = {};
      tile.a = v + t * v_row;
      tile.a_row = v_row;
      tile.a_k = 1;
      tile.b = u + r / PAIR * PAIR * depth + r % PAIR;
      tile.b_k = PAIR;
      tile.depth = depth;
      tile.c = out + t * out_row + r;
      tile.c_row = out_row;
      outer_product<float, BY_ROWS>(int(smaller(step, tiles - t)), int(COLUMNS / WIDTH), tile);
    }
}

// The kernels of one size of filters, chosen when a call begins.
#define CORTEX_BY_KERNEL(size, function, ...)                    \
  ((size) == 2   ? function<2>(__VA_ARGS__)                      \
   : (size) == 3 ? function<3>(__VA_ARGS__)                      \
   : (size) == 4 ? function<4>(__VA_ARGS__) : function<5>(__VA_ARGS__))

}  // namespace
}  // namespace cortex::CORTEX_ISA
