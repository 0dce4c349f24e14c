// Local response normalisation across the channels of x [outer, channels, inner] (NCHW: inner = H W; NHWC: inner = 1):
// y = x / s^beta, s = k + alpha / size times the sum of x^2 over `size` channels from floor((size - 1) / 2) before.
CX_DTYPES(float32, float64, float16, bfloat16)

namespace cx {

// Channels low .. high, each at start + channel * inner.
struct Neighbours { I start, low, high; };
CX_FN Neighbours neighbours(I i, I channels, I inner, I before, I after) {
  const I o = i / (channels * inner), c = i / inner - o * channels;
  return Neighbours{i - c * inner, c > before ? c - before : 0, least<I>(c + after, channels - 1)};
}

CX_FN A lrn_base(const T* x, Neighbours w, I inner, I size, A k, A alpha) {
  A squares = A(0);
  for (I c = w.low; c <= w.high; ++c) {
    const A v = cast<A>(x[w.start + c * inner]);
    squares += v * v;
  }
  return squares / A(size) * alpha + k;
}

// The base s is kept for the gradient where asked for.
CX_EACH(lrn, (T* y, R* base, const T* x, A k, A alpha, A beta, I size, I channels, I inner, I n), n) {
  const I before = (size - 1) / 2;
  const A s = lrn_base(x, neighbours(i, channels, inner, before, size - 1 - before), inner, size, k, alpha);
  y[i] = cast<T>(cast<A>(x[i]) * power(s, -beta));
  if (base) base[i] = s;
} CX_END

// dx = dy s^-beta - 2 alpha beta / size x times the sum of dy y / s over the windows that see x
CX_EACH(lrn_gradient, (T* dx, const T* x, const T* y, const T* dy, const R* base, A alpha, A beta, I size, I channels,
                       I inner, I n), n) {
  const I before = (size - 1) / 2;
  const Neighbours w = neighbours(i, channels, inner, size - 1 - before, before);
  A seen = A(0);
  for (I c = w.low; c <= w.high; ++c) {
    const I at = w.start + c * inner;
    seen += cast<A>(dy[at]) * cast<A>(y[at]) / A(base[at]);
  }
  const A own = cast<A>(dy[i]) * power(A(base[i]), -beta);
  dx[i] = cast<T>(own - A(2) * alpha * beta * cast<A>(x[i]) * (seen / A(size)));
} CX_END

}  // namespace cx
