// Softmax and cross-entropy along an axis of `width` classes. Element c of row r lies at base + c * inner, where x is
// [outer, width, inner] and r counts the (outer, inner) pairs; inner = 1 reads along memory. Labels are of any integer
// dtype: below 0 is missing (term and gradient 0), `width` or above gives NaN.
#include "indices.h"
CX_DTYPES(float32, float64, float16, bfloat16)

namespace cx {

struct Classes {  // of one row
  I base, inner, width;
  CX_FN Classes(I row, I width, I inner)
      : base(inner == 1 ? row * width : row / inner * inner * width + row % inner), inner(inner), width(width) {}
  CX_FN I operator()(I c) const { return base + c * inner; }
};

// The maximum of a row, and the sum of exp(x - maximum).
struct Partition { A top, sum; };
template <class Team> CX_FN Partition partition(const Team& team, const T* x, const Classes& at) {
  A top = lowest(A());
  for (I c = team.lane(); c < at.width; c += team.size()) top = maximum(top, cast<A>(x[at(c)]));
  top = team.max(top);
  Sum<A> sum;
  for (I c = team.lane(); c < at.width; c += team.size()) sum.add(exp(cast<A>(x[at(c)]) - top));
  return Partition{top, team.sum(sum.total)};
}

CX_ROWS(softmax, (T* y, const T* x, I rows, I width, I inner), rows, width) {
  const Classes at(row, width, inner);
  const Partition p = partition(team, x, at);
  for (I c = team.lane(); c < width; c += team.size()) y[at(c)] = cast<T>(exp(cast<A>(x[at(c)]) - p.top) / p.sum);
} CX_END

CX_ROWS(log_softmax, (T* y, const T* x, I rows, I width, I inner), rows, width) {
  const Classes at(row, width, inner);
  const Partition p = partition(team, x, at);
  const A shift = log(p.sum);
  for (I c = team.lane(); c < width; c += team.size()) y[at(c)] = cast<T>(cast<A>(x[at(c)]) - p.top - shift);
} CX_END

// dx = y (dy - sum of dy y)
CX_ROWS(softmax_gradient, (T* dx, const T* y, const T* dy, I rows, I width, I inner), rows, width) {
  const Classes at(row, width, inner);
  Sum<A> sum;
  for (I c = team.lane(); c < width; c += team.size()) sum.add(cast<A>(dy[at(c)]) * cast<A>(y[at(c)]));
  const A total = team.sum(sum.total);
  for (I c = team.lane(); c < width; c += team.size())
    dx[at(c)] = cast<T>(cast<A>(y[at(c)]) * (cast<A>(dy[at(c)]) - total));
} CX_END

// dx = dy - exp(y) times the sum of dy
CX_ROWS(log_softmax_gradient, (T* dx, const T* y, const T* dy, I rows, I width, I inner), rows, width) {
  const Classes at(row, width, inner);
  Sum<A> sum;
  for (I c = team.lane(); c < width; c += team.size()) sum.add(cast<A>(dy[at(c)]));
  const A total = team.sum(sum.total);
  for (I c = team.lane(); c < width; c += team.size())
    dx[at(c)] = cast<T>(cast<A>(dy[at(c)]) - exp(cast<A>(y[at(c)])) * total);
} CX_END

// terms = -(1 - s) log p[label] - s / width times the sum of log p, with s = smoothing
CX_ROWS(cross_entropy, (T* terms, const T* x, const void* labels, int label_bytes, A smoothing, I rows, I width,
                        I inner), rows, width) {
  const Classes at(row, width, inner);
  const Partition p = partition(team, x, at);
  const A shift = p.top + log(p.sum);
  A spread = A(0);
  if (smoothing > A(0)) {
    Sum<A> sum;
    for (I c = team.lane(); c < width; c += team.size()) sum.add(cast<A>(x[at(c)]) - shift);
    spread = team.sum(sum.total) * (smoothing / A(width));
  }
  if (team.leads()) {
    const cx_i64 label = index_at(labels, label_bytes, row);
    A term = label < 0 ? A(0) : A(NAN);
    if (label >= 0 && label < (cx_i64)width) term = (smoothing - A(1)) * (cast<A>(x[at((I)label)]) - shift) - spread;
    terms[row] = cast<T>(term);
  }
} CX_END

// dx = dterms (p - q), q = 1 - s at the label plus s / width everywhere
CX_ROWS(cross_entropy_gradient, (T* dx, const T* x, const void* labels, int label_bytes, const T* dterms, A smoothing,
                                 I rows, I width, I inner), rows, width) {
  const Classes at(row, width, inner);
  const Partition p = partition(team, x, at);
  const cx_i64 label = index_at(labels, label_bytes, row);
  const A c0 = label < 0 ? A(0) : label < (cx_i64)width ? cast<A>(dterms[row]) : A(NAN);
  const A low = smoothing / A(width), high = A(1) - smoothing + low;
  for (I c = team.lane(); c < width; c += team.size())
    dx[at(c)] = cast<T>(c0 * (exp(cast<A>(x[at(c)]) - p.top) / p.sum - ((cx_i64)c == label ? high : low)));
} CX_END

CX_FN A smoothed(A q, A smoothing, I width) { return q * (A(1) - smoothing) + smoothing / A(width); }

// terms = -sum of q log p for a distribution q; where q is 0 nothing is added, even for an infinite logit
CX_ROWS(soft_cross_entropy, (T* terms, const T* x, const T* target, A smoothing, I rows, I width, I inner), rows,
        width) {
  const Classes at(row, width, inner);
  const Partition p = partition(team, x, at);
  const A shift = log(p.sum);
  Sum<A> sum;
  for (I c = team.lane(); c < width; c += team.size()) {
    const A q = smoothed(cast<A>(target[at(c)]), smoothing, width);
    if (q != A(0)) sum.add(-q * (cast<A>(x[at(c)]) - p.top - shift));
  }
  const A total = team.sum(sum.total);
  if (team.leads()) terms[row] = cast<T>(total);
} CX_END

// dx = dterms (p times the sum of q, minus q)
CX_ROWS(soft_cross_entropy_gradient, (T* dx, const T* x, const T* target, const T* dterms, A smoothing, I rows, I width,
                                      I inner), rows, width) {
  const Classes at(row, width, inner);
  const Partition p = partition(team, x, at);
  Sum<A> sum;
  for (I c = team.lane(); c < width; c += team.size()) sum.add(smoothed(cast<A>(target[at(c)]), smoothing, width));
  const A total = team.sum(sum.total), c0 = cast<A>(dterms[row]);
  for (I c = team.lane(); c < width; c += team.size()) {
    const A q = smoothed(cast<A>(target[at(c)]), smoothing, width);
    dx[at(c)] = cast<T>(c0 * (exp(cast<A>(x[at(c)]) - p.top) / p.sum * total - q));
  }
} CX_END

}  // namespace cx
