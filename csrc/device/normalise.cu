// Normalisation. Rows (layer, root mean square): x [rows, width], scale and bias [width]. Channels (batch): x [outer,
// channels, inner], which is NCHW with inner = H W and NHWC with outer = N H W, inner = 1. Moments take two passes, so
// nothing cancels; parts are merged by Chan, Golub and LeVeque 1979, equation 1.5.
CX_DTYPES(float32, float64, float16, bfloat16)

namespace cx {

struct Moments { A mean, inverse; };
template <class Team> CX_FN Moments moments(const Team& team, const T* x, I base, I width, A epsilon) {
  Sum<A> sum, squares;
  for (I c = team.lane(); c < width; c += team.size()) sum.add(cast<A>(x[base + c]));
  const A mean = team.sum(sum.total) / A(width);
  for (I c = team.lane(); c < width; c += team.size()) {
    const A d = cast<A>(x[base + c]) - mean;
    squares.add(d * d);
  }
  return Moments{mean, A(1) / sqrt(team.sum(squares.total) / A(width) + epsilon)};
}

// y = scale (x - mean) / sqrt(variance + epsilon) + bias; mean and inverse [rows] are kept where asked for.
CX_ROWS(layer_norm, (T* y, R* means, R* inverses, const T* x, const T* scale, const T* bias, A epsilon, I rows,
                     I width), rows, width) {
  const I base = row * width;
  const Moments m = moments(team, x, base, width, epsilon);
  for (I c = team.lane(); c < width; c += team.size())
    y[base + c] = cast<T>((cast<A>(x[base + c]) - m.mean) * m.inverse * cast<A>(scale[c]) + cast<A>(bias[c]));
  if (team.leads() && means) means[row] = m.mean;
  if (team.leads() && inverses) inverses[row] = m.inverse;
} CX_END

// With z the normalised x and e = dy scale: dx = (e - mean e - z mean(e z)) / sigma.
CX_ROWS(layer_norm_gradient, (T* dx, const T* x, const T* scale, const T* dy, A epsilon, I rows, I width), rows,
        width) {
  const I base = row * width;
  const Moments m = moments(team, x, base, width, epsilon);
  Sum<A> sum_e, sum_ez;
  for (I c = team.lane(); c < width; c += team.size()) {
    const A e = cast<A>(dy[base + c]) * cast<A>(scale[c]);
    sum_e.add(e);
    sum_ez.add(e * ((cast<A>(x[base + c]) - m.mean) * m.inverse));
  }
  const A mean_e = team.sum(sum_e.total) / A(width), mean_ez = team.sum(sum_ez.total) / A(width);
  for (I c = team.lane(); c < width; c += team.size()) {
    const A e = cast<A>(dy[base + c]) * cast<A>(scale[c]), z = (cast<A>(x[base + c]) - m.mean) * m.inverse;
    dx[base + c] = cast<T>(m.inverse * (e - mean_e - z * mean_ez));
  }
} CX_END

// dscale = the sum over rows of dy z, dbias that of dy, as partial sums [parts, width]; without `means` they are 0, and
// without `dbias` it is not wanted, as for the root mean square.
CX_COLUMNS(norm_parameter_gradient, (R* dscale, R* dbias, const T* x, const T* dy, const R* means, const R* inverses,
                                     I rows, I width, I parts), width, rows, parts) {
  Sum<A> scales, biases;
  for (I r = team.first(); r < team.last(); r += team.step()) {
    const A c = cast<A>(dy[r * width + team.column]), mean = means ? A(means[r]) : A(0);
    scales.add(c * ((cast<A>(x[r * width + team.column]) - mean) * A(inverses[r])));
    biases.add(c);
  }
  const A scale = team.sum(scales.total), bias = team.sum(biases.total);
  if (team.leads()) dscale[team.part * width + team.column] = scale;
  if (team.leads() && dbias) dbias[team.part * width + team.column] = bias;
} CX_END

template <class Team> CX_FN A inverse_rms(const Team& team, const T* x, I base, I width, A epsilon) {
  Sum<A> squares;
  for (I c = team.lane(); c < width; c += team.size()) {
    const A v = cast<A>(x[base + c]);
    squares.add(v * v);
  }
  return A(1) / sqrt(team.sum(squares.total) / A(width) + epsilon);
}

// y = scale x / sqrt(mean of x^2 + epsilon)
CX_ROWS(rms_norm, (T* y, R* inverses, const T* x, const T* scale, A epsilon, I rows, I width), rows, width) {
  const I base = row * width;
  const A inverse = inverse_rms(team, x, base, width, epsilon);
  for (I c = team.lane(); c < width; c += team.size())
    y[base + c] = cast<T>(cast<A>(x[base + c]) * inverse * cast<A>(scale[c]));
  if (team.leads() && inverses) inverses[row] = inverse;
} CX_END

// dx = (e - z mean(e z)) / r with e = dy scale, z = x / r
CX_ROWS(rms_norm_gradient, (T* dx, const T* x, const T* scale, const T* dy, A epsilon, I rows, I width), rows, width) {
  const I base = row * width;
  const A inverse = inverse_rms(team, x, base, width, epsilon);
  Sum<A> sum_ez;
  for (I c = team.lane(); c < width; c += team.size())
    sum_ez.add(cast<A>(dy[base + c]) * cast<A>(scale[c]) * (cast<A>(x[base + c]) * inverse));
  const A mean_ez = team.sum(sum_ez.total) / A(width);
  for (I c = team.lane(); c < width; c += team.size()) {
    const A e = cast<A>(dy[base + c]) * cast<A>(scale[c]), z = cast<A>(x[base + c]) * inverse;
    dx[base + c] = cast<T>(inverse * (e - z * mean_ez));
  }
} CX_END

// ------------------------------------------------------------------------------------------------ channels

// Mean and sum of squared differences of each row [rows, width]: the parts of a channel of NCHW.
CX_ROWS(moments_rows, (R* means, R* squares, const T* x, I rows, I width), rows, width) {
  const I base = row * width;
  Sum<A> sum, square;
  for (I c = team.lane(); c < width; c += team.size()) sum.add(cast<A>(x[base + c]));
  const A mean = team.sum(sum.total) / A(width);
  for (I c = team.lane(); c < width; c += team.size()) {
    const A d = cast<A>(x[base + c]) - mean;
    square.add(d * d);
  }
  const A total = team.sum(square.total);
  if (team.leads()) means[row] = mean;
  if (team.leads()) squares[row] = total;
} CX_END

// The same of each part of each column of [rows, channels]: the parts of a channel of NHWC.
CX_COLUMNS(moments_columns, (R* means, R* squares, const T* x, I rows, I channels, I parts), channels, rows, parts) {
  Sum<A> sum, square;
  for (I r = team.first(); r < team.last(); r += team.step()) sum.add(cast<A>(x[r * channels + team.column]));
  const A count = A(team.stop - team.start), whole = team.sum(sum.total), mean = count > A(0) ? whole / count : A(0);
  for (I r = team.first(); r < team.last(); r += team.step()) {
    const A d = cast<A>(x[r * channels + team.column]) - mean;
    square.add(d * d);
  }
  const A total = team.sum(square.total);
  if (team.leads()) means[team.part * channels + team.column] = mean;
  if (team.leads()) squares[team.part * channels + team.column] = total;
} CX_END

// Mean and (biased) variance from parts [parts, channels] of `size` elements each, the last ones of what is left of
// `count`.
CX_COLUMNS(moments_merge, (R* mean, R* variance, const R* means, const R* squares, I channels, I parts, I size,
                           I count), channels, parts, 1) {
  Sum<A> sum, square;
  for (I p = team.first(); p < team.last(); p += team.step())
    sum.add(A(part_count(p, size, count)) * A(means[p * channels + team.column]));
  const A mu = team.sum(sum.total) / A(count);
  for (I p = team.first(); p < team.last(); p += team.step()) {
    const A d = A(means[p * channels + team.column]) - mu;
    square.add(A(squares[p * channels + team.column]) + A(part_count(p, size, count)) * d * d);
  }
  const A total = team.sum(square.total);
  if (team.leads()) mean[team.column] = mu;
  if (team.leads()) variance[team.column] = total / A(count);
} CX_END

// y = (x - mean) scale / sqrt(variance + epsilon) + bias, per channel
CX_EACH(channel_norm, (T* y, const T* x, const R* mean, const R* variance, const R* scale, const R* bias, A epsilon,
                       I channels, I inner, I n), n) {
  const I c = i / inner % channels;
  const A factor = A(scale[c]) / sqrt(A(variance[c]) + epsilon);
  y[i] = cast<T>((cast<A>(x[i]) - A(mean[c])) * factor + A(bias[c]));
} CX_END

// With z the normalised x, the sums of dy and of dy z over a row of NCHW; then over N by sum_columns.
CX_ROWS(channel_gradient_rows, (R* sums, R* sums_z, const T* x, const T* dy, const R* mean, const R* variance,
                                A epsilon, I rows, I channels, I width), rows, width) {
  const I base = row * width, c = row % channels;
  const A mu = A(mean[c]), inverse = A(1) / sqrt(A(variance[c]) + epsilon);
  Sum<A> sum, sum_z;
  for (I e = team.lane(); e < width; e += team.size()) {
    const A v = cast<A>(dy[base + e]);
    sum.add(v);
    sum_z.add(v * ((cast<A>(x[base + e]) - mu) * inverse));
  }
  const A total = team.sum(sum.total), total_z = team.sum(sum_z.total);
  if (team.leads()) sums[row] = total;
  if (team.leads()) sums_z[row] = total_z;
} CX_END

// The same over the parts of a column of NHWC.
CX_COLUMNS(channel_gradient_columns, (R* sums, R* sums_z, const T* x, const T* dy, const R* mean, const R* variance,
                                      A epsilon, I rows, I channels, I parts), channels, rows, parts) {
  const A mu = A(mean[team.column]), inverse = A(1) / sqrt(A(variance[team.column]) + epsilon);
  Sum<A> sum, sum_z;
  for (I r = team.first(); r < team.last(); r += team.step()) {
    const A v = cast<A>(dy[r * channels + team.column]);
    sum.add(v);
    sum_z.add(v * ((cast<A>(x[r * channels + team.column]) - mu) * inverse));
  }
  const A total = team.sum(sum.total), total_z = team.sum(sum_z.total);
  if (team.leads()) sums[team.part * channels + team.column] = total;
  if (team.leads()) sums_z[team.part * channels + team.column] = total_z;
} CX_END

// dx = scale / sigma (dy - mean dy - z mean(dy z)); sums [channels] are those of the whole channel of `count` elements
CX_EACH(channel_norm_gradient, (T* dx, const T* x, const T* dy, const R* mean, const R* variance, const R* scale,
                                const R* sums, const R* sums_z, A epsilon, A count, I channels, I inner, I n), n) {
  const I c = i / inner % channels;
  const A inverse = A(1) / sqrt(A(variance[c]) + epsilon), z = (cast<A>(x[i]) - A(mean[c])) * inverse;
  dx[i] = cast<T>(A(scale[c]) * inverse * (cast<A>(dy[i]) - A(sums[c]) / count - z * (A(sums_z[c]) / count)));
} CX_END

}  // namespace cx
