// Convolution and its two gradients as products of matrices whose elements are looked up in the planes: any stride,
// padding, dilation, groups and layout (strides); one spatial axis is a plane of height 1. Kernels w are
// [O, C / groups, h, w].
#include "product.h"
CX_DTYPES(float32, float64, float16, bfloat16)

namespace cx {

struct Convolving {
  I batch, channels, kernels, groups, height, width, out_height, out_width;
  int kernel_h, kernel_w, stride_h, stride_w, low_h, low_w, dilation_h, dilation_w;
  I xn, xc, xh, xw, yn, yc, yh, yw, wo, wc, wh, ww;
};

struct Three { I a, b, c; };
CX_FN Three split(I i, I extent_b, I extent_c) {
  const I rest = i / extent_c, a = rest / extent_b;
  return Three{a, rest - a * extent_b, i - rest * extent_c};
}

// Offset of the cell of x that position (r, s) of the window at (h, w) sees, or -1 for padding.
CX_FN I seen(const Convolving& g, I n, I c, I h, I w, I r, I s) {
  const int y = (int)h * g.stride_h - g.low_h + (int)r * g.dilation_h;
  const int x = (int)w * g.stride_w - g.low_w + (int)s * g.dilation_w;
  if (y < 0 || y >= (int)g.height || x < 0 || x >= (int)g.width) return -1;
  return n * g.xn + c * g.xc + (I)y * g.xh + (I)x * g.xw;
}

// The place of a tile: (group, part), and the first row and column of its results.
struct Place { I group, row, column; };
CX_FN Place place(I tile, I rows, I columns) {
  const I across = part_size<I>(columns, TILE), down = part_size<I>(rows, TILE), rest = tile / across;
  const I group = rest / down;
  return Place{group, (rest - group * down) * TILE, (tile - rest * across) * TILE};
}

// y[n, o, h, w] = activation(sum over c, r, s of w[o, c, r, s] x[n, c, ..] + bias[o]); rows o, columns (n, h, w)
CX_TILES(convolution, (T* y, const T* x, const T* w, const T* bias, Convolving g),
         g.groups * tiles(g.kernels / g.groups, g.batch * g.out_height * g.out_width)) {
  const I rows = g.kernels / g.groups, columns = g.batch * g.out_height * g.out_width, depth = g.channels / g.groups;
  const Place at = place(tile, rows, columns);
  const I o0 = at.group * rows, c0 = at.group * depth;
  product(
      team, at.row, at.column, rows, columns, (I)0, depth * g.kernel_h * g.kernel_w, true, false,
      [&](I r, I k) {
        const Three q = split(k, g.kernel_h, g.kernel_w);
        return cast<A>(w[(o0 + r) * g.wo + q.a * g.wc + q.b * g.wh + q.c * g.ww]);
      },
      [&](I k, I c) {
        const Three q = split(k, g.kernel_h, g.kernel_w), p = split(c, g.out_height, g.out_width);
        const I from = seen(g, p.a, c0 + q.a, p.b, p.c, q.b, q.c);
        return from < 0 ? A(0) : cast<A>(x[from]);
      },
      [&](I r, I c, A total) {
        const Three p = split(c, g.out_height, g.out_width);
        const A biased = bias ? total + cast<A>(bias[o0 + r]) : total;
        y[p.a * g.yn + (o0 + r) * g.yc + p.b * g.yh + p.c * g.yw] = cast<T>(CX_ACTIVATION(biased));
      });
} CX_END

// dx[n, c, y, x] = the sum over o, r, s of w[o, c, r, s] dy[n, o, h, w] where the window at (h, w) sees (y, x) at
// (r, s); rows c, columns (n, y, x)
CX_TILES(convolution_input_gradient, (T* dx, const T* dy, const T* w, Convolving g),
         g.groups * tiles(g.channels / g.groups, g.batch * g.height * g.width)) {
  const I rows = g.channels / g.groups, columns = g.batch * g.height * g.width, depth = g.kernels / g.groups;
  const Place at = place(tile, rows, columns);
  const I o0 = at.group * depth, c0 = at.group * rows;
  product(
      team, at.row, at.column, rows, columns, (I)0, depth * g.kernel_h * g.kernel_w, true, false,
      [&](I r, I k) {
        const Three q = split(k, g.kernel_h, g.kernel_w);
        return cast<A>(w[(o0 + q.a) * g.wo + r * g.wc + q.b * g.wh + q.c * g.ww]);
      },
      [&](I k, I c) {
        const Three q = split(k, g.kernel_h, g.kernel_w), p = split(c, g.height, g.width);
        const int y = (int)p.b + g.low_h - (int)q.b * g.dilation_h, x = (int)p.c + g.low_w - (int)q.c * g.dilation_w;
        if (y < 0 || x < 0) return A(0);
        const int h = y / g.stride_h, v = x / g.stride_w;
        if (h * g.stride_h != y || v * g.stride_w != x || h >= (int)g.out_height || v >= (int)g.out_width) return A(0);
        return cast<A>(dy[p.a * g.yn + (o0 + q.a) * g.yc + (I)h * g.yh + (I)v * g.yw]);
      },
      [&](I r, I c, A total) {
        const Three p = split(c, g.height, g.width);
        dx[p.a * g.xn + (c0 + r) * g.xc + p.b * g.xh + p.c * g.xw] = cast<T>(total);
      });
} CX_END

// dw[o, c, r, s] = the sum over n, h, w of dy[n, o, h, w] x[n, c, ..]; rows o, columns (c, r, s). The sum is cut into
// parts; dw is [parts, kernels, C / groups, h, w], dense, to be added up by sum_columns.
CX_TILES(convolution_kernel_gradient, (R* dw, const T* x, const T* dy, Convolving g, I parts),
         parts * g.groups * tiles(g.kernels / g.groups, g.channels / g.groups * g.kernel_h * g.kernel_w)) {
  const I rows = g.kernels / g.groups, depth = g.channels / g.groups, columns = depth * g.kernel_h * g.kernel_w;
  const Place at = place(tile, rows, columns);
  const I part = at.group / g.groups, group = at.group - part * g.groups, o0 = group * rows, c0 = group * depth;
  const I count = g.batch * g.out_height * g.out_width, size = part_size<I>(count, parts);
  product(
      team, at.row, at.column, rows, columns, least<I>(part * size, count), least<I>(part * size + size, count), true,
      true,
      [&](I r, I k) {
        const Three p = split(k, g.out_height, g.out_width);
        return cast<A>(dy[p.a * g.yn + (o0 + r) * g.yc + p.b * g.yh + p.c * g.yw]);
      },
      [&](I k, I c) {
        const Three p = split(k, g.out_height, g.out_width), q = split(c, g.kernel_h, g.kernel_w);
        const I from = seen(g, p.a, c0 + q.a, p.b, p.c, q.b, q.c);
        return from < 0 ? A(0) : cast<A>(x[from]);
      },
      [&](I r, I c, A total) { dw[(part * g.kernels + o0 + r) * columns + c] = total; });
} CX_END

}  // namespace cx
