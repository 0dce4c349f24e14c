// Pooling of planes, any layout by strides; one spatial axis is a plane of height 1. The position inside a window is
// row-major, of 1 or 4 bytes (see compute/ops/pool.py). Gradients gather: a cell adds up what the windows that saw it
// hand back, in the order of its position in them, so there are no atomics and one result.
CX_DTYPES(float32, float64, float16, bfloat16)

namespace cx {

struct Pooling {
  I channels, height, width, out_height, out_width;
  int kernel_h, kernel_w, stride_h, stride_w, low_h, low_w, high_h, high_w;
  int channels_last;  // which of two orders the items have, so that neighbours are neighbours in memory
  I xn, xc, xh, xw, yn, yc, yh, yw;
};

struct Cell { I n, c, h, w; };
CX_FN Cell cell(I i, const Pooling& p, I height, I width) {
  const I inner = p.channels_last ? p.channels : width, middle = p.channels_last ? width : height;
  const I outer = p.channels_last ? height : p.channels;
  I rest = i / inner;
  const I z = i - rest * inner, y = rest % middle;
  rest /= middle;
  const I n = rest / outer, x = rest - n * outer;
  return p.channels_last ? Cell{n, z, x, y} : Cell{n, x, y, z};
}

// Cells of a window that count: those inside the input, or inside the padded input.
CX_FN int counted(int start, int size, int low, int extent, int high, int count_padding) {
  const int first = count_padding ? -low : 0, last = count_padding ? extent + high : extent;
  const int stop = start + size;
  return (stop < last ? stop : last) - (start > first ? start : first);
}
CX_FN A divisor(const Pooling& p, int h, int w, int count_padding) {
  return A(counted(h, p.kernel_h, p.low_h, (int)p.height, p.high_h, count_padding)) *
         A(counted(w, p.kernel_w, p.low_w, (int)p.width, p.high_w, count_padding));
}

// Padding is minus infinity and may win where all is; a NaN wins; the first of equals.
CX_EACH(max_pool, (T* y, void* index, int index_bytes, const T* x, Pooling p, I n), n) {
  const Cell o = cell(i, p, p.out_height, p.out_width);
  const int h0 = (int)o.h * p.stride_h - p.low_h, w0 = (int)o.w * p.stride_w - p.low_w;
  const I from = o.n * p.xn + o.c * p.xc, to = o.n * p.yn + o.c * p.yc + o.h * p.yh + o.w * p.yw;
  A best = lowest(A());
  int winner = 0;
  for (int r = 0; r < p.kernel_h; ++r) {
    const int h = h0 + r;
    if (h < 0 || h >= (int)p.height) continue;
    for (int s = 0; s < p.kernel_w; ++s) {
      const int w = w0 + s;
      if (w < 0 || w >= (int)p.width) continue;
      const A v = cast<A>(x[from + (I)h * p.xh + (I)w * p.xw]);
      if (v > best || (v != v && best == best)) {
        best = v;
        winner = r * p.kernel_w + s;
      }
    }
  }
  y[to] = cast<T>(best);
  if (index_bytes == 1) static_cast<cx_u8*>(index)[to] = (cx_u8)winner;
  else static_cast<int*>(index)[to] = winner;
} CX_END

CX_EACH(average_pool, (T* y, const T* x, int count_padding, Pooling p, I n), n) {
  const Cell o = cell(i, p, p.out_height, p.out_width);
  const int h0 = (int)o.h * p.stride_h - p.low_h, w0 = (int)o.w * p.stride_w - p.low_w;
  const I from = o.n * p.xn + o.c * p.xc;
  A total = A(0);
  for (int r = 0; r < p.kernel_h; ++r) {
    const int h = h0 + r;
    if (h < 0 || h >= (int)p.height) continue;
    for (int s = 0; s < p.kernel_w; ++s) {
      const int w = w0 + s;
      if (w >= 0 && w < (int)p.width) total += cast<A>(x[from + (I)h * p.xh + (I)w * p.xw]);
    }
  }
  y[o.n * p.yn + o.c * p.yc + o.h * p.yh + o.w * p.yw] = cast<T>(total / divisor(p, h0, w0, count_padding));
} CX_END

// The windows that see row `at` of the padded input, from the last (where it is nearest to the window's start) back.
CX_FN int last_window(int at, int stride, int windows) {
  const int last = at / stride;
  return last < windows ? last : windows - 1;
}

CX_EACH(max_pool_gradient, (T* dx, const T* dy, const void* index, int index_bytes, Pooling p, I n), n) {
  const Cell c = cell(i, p, p.height, p.width);
  const int h = (int)c.h + p.low_h, w = (int)c.w + p.low_w;
  const int oh0 = last_window(h, p.stride_h, (int)p.out_height), ow0 = last_window(w, p.stride_w, (int)p.out_width);
  const I from = c.n * p.yn + c.c * p.yc;
  A total = A(0);
  for (int oh = oh0; oh >= 0 && h - oh * p.stride_h < p.kernel_h; --oh)
    for (int ow = ow0; ow >= 0 && w - ow * p.stride_w < p.kernel_w; --ow) {
      const I at = from + (I)oh * p.yh + (I)ow * p.yw;
      const int winner = index_bytes == 1 ? static_cast<const cx_u8*>(index)[at] : static_cast<const int*>(index)[at];
      if (winner == (h - oh * p.stride_h) * p.kernel_w + (w - ow * p.stride_w)) total += cast<A>(dy[at]);
    }
  dx[c.n * p.xn + c.c * p.xc + c.h * p.xh + c.w * p.xw] = cast<T>(total);
} CX_END

CX_EACH(average_pool_gradient, (T* dx, const T* dy, int count_padding, Pooling p, I n), n) {
  const Cell c = cell(i, p, p.height, p.width);
  const int h = (int)c.h + p.low_h, w = (int)c.w + p.low_w;
  const int oh0 = last_window(h, p.stride_h, (int)p.out_height), ow0 = last_window(w, p.stride_w, (int)p.out_width);
  const I from = c.n * p.yn + c.c * p.yc;
  A total = A(0);
  for (int oh = oh0; oh >= 0 && h - oh * p.stride_h < p.kernel_h; --oh)
    for (int ow = ow0; ow >= 0 && w - ow * p.stride_w < p.kernel_w; --ow) {
      const A count = divisor(p, oh * p.stride_h - p.low_h, ow * p.stride_w - p.low_w, count_padding);
      total += cast<A>(dy[from + (I)oh * p.yh + (I)ow * p.yw]) / count;
    }
  dx[c.n * p.xn + c.c * p.xc + c.h * p.xh + c.w * p.xw] = cast<T>(total);
} CX_END

}  // namespace cx
