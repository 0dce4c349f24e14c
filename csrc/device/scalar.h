// Scalar functions under the names that compute/scalars.py writes, for float, double and integers alike; and sums.
#pragma once

#ifndef INFINITY  // NVRTC has no <math.h>
#define INFINITY (cx_number(0x7f800000u))
#endif
#ifndef NAN
#define NAN (cx_number(0x7fc00000u))
#endif

namespace cx {

template <class D, class S> CX_FN D cast(S v) { return cx_to<D>::from(v); }

#define CX_UNARY(NAME)                                     \
  CX_FN float NAME(float x) { return ::NAME##f(x); }       \
  CX_FN double NAME(double x) { return ::NAME(x); }        \
  CX_FN cx_i64 NAME(cx_i64 x) { return (cx_i64)::NAME((double)x); }
CX_UNARY(exp)
CX_UNARY(expm1)
CX_UNARY(log)
CX_UNARY(log1p)
CX_UNARY(sqrt)
CX_UNARY(tanh)
CX_UNARY(sin)
CX_UNARY(cos)
CX_UNARY(erf)
#undef CX_UNARY
CX_FN float floor(float x) { return ::floorf(x); }
CX_FN double floor(double x) { return ::floor(x); }
CX_FN cx_i64 floor(cx_i64 x) { return x; }
CX_FN float power(float x, float y) { return ::powf(x, y); }
CX_FN double power(double x, double y) { return ::pow(x, y); }
CX_FN cx_i64 power(cx_i64 x, cx_i64 y) { return (cx_i64)::pow((double)x, (double)y); }
template <class V> CX_FN V abs(V x) { return x < V(0) ? -x : x == V(0) ? V(0) : x; }
template <class V> CX_FN V sign(V x) { return x > V(0) ? V(1) : x < V(0) ? V(-1) : x - x; }
template <class V> CX_FN V logistic(V x) { return V(1) / (V(1) + exp(-x)); }
// A NaN wins, as in NumPy.
template <class V> CX_FN V maximum(V x, V y) { return x > y || x != x ? x : y; }
template <class V> CX_FN V minimum(V x, V y) { return x < y || x != x ? x : y; }
template <class V> CX_FN V select(bool condition, V x, V y) { return condition ? x : y; }

// -infinity, or the least integer: where a search for a maximum starts.
CX_FN float lowest(float) { return -INFINITY; }
CX_FN double lowest(double) { return -(double)INFINITY; }
CX_FN cx_i64 lowest(cx_i64) { return -0x7fffffffffffffffll - 1; }
CX_FN float highest(float) { return INFINITY; }
CX_FN double highest(double) { return (double)INFINITY; }
CX_FN cx_i64 highest(cx_i64) { return 0x7fffffffffffffffll; }

// A sum with its rounding error carried along (Kahan 1965), so that a team of one and a team of 1024 agree to a unit in
// the last place whatever the length. Where the sum overflows nothing is carried: infinity stays infinity.
template <class V> struct Sum {
  V total = V(0), error = V(0);
  CX_FN void add(V v) {
    const V next = v - error, sum = total + next;
    error = sum - sum == V(0) ? (sum - total) - next : V(0);
    total = sum;
  }
};
template <> struct Sum<cx_i64> {
  cx_i64 total = 0;
  CX_FN void add(cx_i64 v) { total += v; }
};

// The position of a maximum: a NaN is above all, the first of equals wins.
template <class V> struct Best {
  V value;
  cx_i64 at;  // below 0: none yet
};
template <class V> CX_FN Best<V> better(Best<V> x, Best<V> y) {
  if (y.at < 0) return x;
  if (x.at < 0) return y;
  const bool x_nan = x.value != x.value, y_nan = y.value != y.value;
  const bool tie = (x_nan && y_nan) || x.value == y.value;
  const bool first = tie ? x.at < y.at : x_nan || (!y_nan && x.value > y.value);
  return first ? x : y;
}

}  // namespace cx
