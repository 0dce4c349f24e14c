// Elementary functions of Vec<float> and Vec<double>, with the meaning that NumPy gives them.
//
// Largest error in units of the last place, over a million random arguments of every size and those near the zeros of
// the function, the worst of the three instruction sets:
//
//             exp  expm1   log  log1p  tanh  logistic   erf   sin   cos   pow
//   float     1.0    1.7   0.8    1.5   2.5       2.4   2.6   0.5   0.5   0.5
//   double    1.0    2.2   0.9    1.5   2.6       2.2   3.0   2.1   1.9   0.6
//
// Infinities, zeros with their sign, NaN and subnormal numbers give what C's functions give; a subnormal result may be
// off by one unit more. Polynomials are minimax fits (Remez) of the quantity that their name says, made with 50 digits;
// the reductions are those of every book: Muller, Elementary functions, chapters 9 to 11. A lane's result depends on
// this lane alone, so results do not depend on where a range is cut.
//
// sin, cos and pow of float are computed in double. sin and cos of |x| > SIN_LIMIT, pow of double, and pow of float
// where a is not positive and finite ask the C library, lane by lane.
#pragma once
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "simd.h"

namespace cortex::CORTEX_ISA {

template <class T> struct Real;

template <> struct Real<float> {
  typedef uint32_t Bits;
  static constexpr int MANTISSA = 23, BIAS = 127;
  static constexpr uint32_t ONE = 0x3F800000, ROOT_HALF = 0x3F3504F3, SIGN = 0x80000000;
  static constexpr float LARGEST = 3.40282347e38f, SMALLEST = 1.17549435e-38f;  // normal
  static constexpr float EXP_LOW = -104, EXP_HIGH = 89, EXPM1_LOW = -18;
  static constexpr float LN2_HIGH = 0.693359375f, LN2_LOW = -2.12194440e-4f;  // n * LN2_HIGH is exact
  // (e^r - 1 - r) / r^2, |r| <= ln(2) / 2
  static constexpr float EXP[] = {0.500000006220845917f, 0.166665426734594876f, 0.0416662808032908717f,
                                  0.00836663169733125463f, 0.00139465445694454965f};
  // (2 artanh(s) / s - 2) / s^2 in s^2, |s| <= (sqrt 2 - 1) / (sqrt 2 + 1)
  static constexpr float LOG[] = {0.66666776695480186f, 0.399774976378498341f, 0.298730272264587266f};
  // erf(x) / x in x^2, |x| <= 1; e^(x^2) erfc(x) in x - 2, 1 <= x <= ERF_ONE, where erf rounds to 1
  static constexpr float ERF[] = {1.12837916572682327f,   -0.376126258249200309f, 0.112835851549768072f,
                                  -0.026853812190997363f, 0.00518832818641886202f, -0.000801019826243654793f,
                                  0.0000785387753161913239f};
  static constexpr float ERF_ONE = 4;
  static constexpr float ERFCX[] = {0.255396121296175295f,  -0.106799949536126201f,    0.0417702490757312485f,
                                    -0.0154894378168753035f, 0.00558007849131226032f,  -0.00160115156754395262f,
                                    0.000552794406074292812f, -0.000393762144971518055f};
};

template <> struct Real<double> {
  typedef uint64_t Bits;
  static constexpr int MANTISSA = 52, BIAS = 1023;
  static constexpr uint64_t ONE = 0x3FF0000000000000, ROOT_HALF = 0x3FE6A09E667F3BCD, SIGN = 0x8000000000000000;
  static constexpr double LARGEST = 1.7976931348623157e308, SMALLEST = 2.2250738585072014e-308;
  static constexpr double EXP_LOW = -746, EXP_HIGH = 710, EXPM1_LOW = -40;
  static constexpr double LN2_HIGH = 0x1.62e42fefp-1, LN2_LOW = 0x1.473de6af278edp-34;
  static constexpr double EXP[] = {0.500000000000000554,   0.166666666666666861,   0.0416666666665734422,
                                   0.00833333333331450351, 0.00138888889324882152, 0.000198412699032895542,
                                   0.0000248015042738570812, 2.75572276745594876e-6, 2.76264072013575591e-7,
                                   2.51145743739598696e-8};
  static constexpr double LOG[] = {0.666666666666673481, 0.399999999994115309, 0.285714287431792481,
                                   0.222221984835744667, 0.181835693823864332, 0.153139116602495672,
                                   0.147974294102618786};
  static constexpr double ERF[] = {1.12837916709551257,      -0.376126389031837476,  0.112837916709548575,
                                   -0.0268661706450729052,   0.00522397762478096489, -0.000854832697874770197,
                                   0.000120553310370939645,  -0.0000149255935114018662, 1.64609728868298446e-6,
                                   -1.63500259362099248e-7,  1.46578844726372417e-8, -1.13656832484569526e-9,
                                   5.9452900310372855e-11};
  static constexpr double ERF_ONE = 6;
  static constexpr double ERFCX[] = {
      0.255395676310505253,      -0.106796461853495994,    0.0418027526035734075,     -0.0154606377638839179,
      0.00544073853704318504,    -0.00183166428149015343,  0.000592469994422267491,   -0.000184778335222409042,
      0.0000557283313418881727,  -0.0000162938093805742083, 4.62812576969696392e-6,   -1.27937195644105998e-6,
      3.44919444383459917e-7,    -9.08974136880112906e-8,  2.33077118593354974e-8,    -5.77135281463345053e-9,
      1.44154125382900898e-9,    -3.87085512430614546e-10, 9.6041165417555497e-11,    -1.5944214610016204e-11,
      1.18690133016349171e-12};
};

// Adding and subtracting it rounds to the nearest integer, which meanwhile stands in the low bits.
template <class T> constexpr T ROUNDER = T(3) * T(int64_t(1) << (Real<T>::MANTISSA - 1));
constexpr double SIN_LIMIT = 1 << 20;

// (sin(r) / r - 1) / r^2 and (cos(r) - 1 + r^2 / 2) / r^4 in r^2, |r| <= pi / 4
constexpr double SIN[] = {-0.166666666666666319,   0.00833333333332238373, -0.000198412698297801461,
                          2.75573136813250021e-6, -2.50507563275329761e-8, 1.58966855583787557e-10};
constexpr double COS[] = {0.0416666666666665992,   -0.00138888888888740768, 0.0000248015872894498999,
                          -2.75573143423059282e-7, 2.08757218261111513e-9,  -1.13595689373189219e-11};

template <class T> struct BitTypes {
  typedef typename Real<T>::Bits vector __attribute__((vector_size(VECTOR_BYTES)));
};
template <class T> using BitVec = typename BitTypes<T>::vector;
template <class T> CORTEX_INLINE BitVec<T> bits(Vec<T> x) { return (BitVec<T>)x; }

template <class T, int N> CORTEX_INLINE Vec<T> polynomial(Vec<T> x, const T (&c)[N]) {
  Vec<T> sum = broadcast(c[N - 1]);
#pragma GCC unroll 32
  for (int i = N - 2; i >= 0; i--) sum = sum * x + c[i];
  return sum;
}

template <class T> CORTEX_INLINE bool any(IntVec<T> mask) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask);
  else return _mm512_test_epi64_mask((__m512i)mask, (__m512i)mask);
#elif defined(__AVX2__)
  return !_mm256_testz_si256((__m256i)mask, (__m256i)mask);
#else
  Int<T> found = 0;
  for (int i = 0; i < LANES<T>; i++) found |= mask[i];
  return found;
#endif
}

template <class T> CORTEX_INLINE Vec<T> magnitude(Vec<T> x) { return (Vec<T>)(bits<T>(x) & ~Real<T>::SIGN); }
template <class T> CORTEX_INLINE Vec<T> with_sign(Vec<T> size, Vec<T> sign) {
  return (Vec<T>)(bits<T>(size) | (bits<T>(sign) & Real<T>::SIGN));
}

// Intrinsics below have a mask of ones, because GCC 12 warns about the plain ones. Comparisons keep a NaN in x.
template <class T> CORTEX_INLINE Vec<T> at_least(Vec<T> x, T low) { return x < low ? broadcast(low) : x; }
template <class T> CORTEX_INLINE Vec<T> at_most(Vec<T> x, T high) { return x > high ? broadcast(high) : x; }

// 2^n for a whole number n in the range of normal exponents.
template <class T> CORTEX_INLINE Vec<T> power_of_two(Vec<T> n) {
  return (Vec<T>)(bits<T>(n + (ROUNDER<T> + Real<T>::BIAS)) << Real<T>::MANTISSA);
}

// x 2^n; in two steps, because 2^n alone may leave the range where the product does not.
template <class T> CORTEX_INLINE Vec<T> scale_by_power(Vec<T> x, Vec<T> n) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) return _mm512_maskz_scalef_ps(0xFFFF, x, n);
  else return _mm512_maskz_scalef_pd(0xFF, x, n);
#else
  const Vec<T> half = (n * T(0.5) + ROUNDER<T>) - ROUNDER<T>;
  return x * power_of_two<T>(half) * power_of_two<T>(n - half);
#endif
}

// x = n ln 2 + r; returns e^r - 1.
template <class T> CORTEX_INLINE Vec<T> reduced_expm1(Vec<T> x, Vec<T>& n) {
  n = (x * T(1.44269504088896340736) + ROUNDER<T>) - ROUNDER<T>;
  const Vec<T> r = (x - n * Real<T>::LN2_HIGH) - n * Real<T>::LN2_LOW;
  return r + r * r * polynomial<T>(r, Real<T>::EXP);
}

template <class T> CORTEX_INLINE Vec<T> exp_of(Vec<T> x) {
  Vec<T> n;
  const Vec<T> y = reduced_expm1<T>(at_most<T>(at_least<T>(x, Real<T>::EXP_LOW), Real<T>::EXP_HIGH), n);
  return scale_by_power<T>(y + T(1), n);
}

// e^x - 1 = 2^n y + 2^n - 1, in halves: 2^n may be beyond the largest number.
template <class T> CORTEX_INLINE Vec<T> expm1_of(Vec<T> x) {
  Vec<T> n;
  const Vec<T> y = reduced_expm1<T>(at_most<T>(at_least<T>(x, Real<T>::EXPM1_LOW), Real<T>::EXP_HIGH), n);
  const Vec<T> half = power_of_two<T>(n - T(1));
  const Vec<T> result = (half * y + (half - T(0.5))) * T(2);
  return magnitude<T>(x) < T(1e-20) ? x : result;
}

// x = 2^n (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)], ln(1 + f) = 2 artanh(s) with s = f / (2 + f).
template <class T> CORTEX_INLINE Vec<T> log_of(Vec<T> x) {
  typedef Real<T> R;
  constexpr T UP = T(int64_t(1) << R::MANTISSA);
  const IntVec<T> tiny = x < R::SMALLEST;
  // Adding the distance from sqrt(1/2) to 1 carries into the exponent exactly when the mantissa exceeds sqrt(2).
  const BitVec<T> shifted = bits<T>(tiny ? x * UP : x) + (R::ONE - R::ROOT_HALF);
  const BitVec<T> fraction = (shifted & ((typename R::Bits(1) << R::MANTISSA) - 1)) + R::ROOT_HALF;
  const BitVec<T> exponent = (shifted >> R::MANTISSA) | bits<T>(broadcast(UP));
  const Vec<T> n = (Vec<T>)exponent - (tiny ? broadcast(T(UP + R::BIAS + R::MANTISSA)) : broadcast(T(UP + R::BIAS)));
  const Vec<T> f = (Vec<T>)fraction - T(1), s = f / (f + T(2)), z = s * s, half = T(0.5) * f * f;
  const Vec<T> tail = s * (half + z * polynomial<T>(z, R::LOG)) + n * R::LN2_LOW;
  const Vec<T> result = n * R::LN2_HIGH - ((half - tail) - f);
  const Vec<T> outside = x == T(0) ? broadcast(T(-__builtin_inf())) : broadcast(T(__builtin_nan("")));
  return x > T(0) ? (x <= R::LARGEST ? result : x) : outside;
}

// ln u with u = 1 + x, corrected for the rounding of u: ln(u + d) is ln u + d / u.
template <class T> CORTEX_INLINE Vec<T> log1p_of(Vec<T> x) {
  const Vec<T> u = x + T(1), y = log_of<T>(u), correction = (x - (u - T(1))) / u;
  const Vec<T> result = ((u > T(0)) & (u <= Real<T>::LARGEST)) ? y + correction : y;
  return magnitude<T>(x) < T(1e-20) ? x : result;
}

template <class T> CORTEX_INLINE Vec<T> tanh_of(Vec<T> x) {
  const Vec<T> y = expm1_of<T>(magnitude<T>(x) * T(-2));
  return with_sign<T>(magnitude<T>(y / (y + T(2))), x);
}

template <class T> CORTEX_INLINE Vec<T> logistic_of(Vec<T> x) { return T(1) / (exp_of<T>(-x) + T(1)); }

template <class T> CORTEX_INLINE Vec<T> erf_of(Vec<T> x) {
  const Vec<T> size = magnitude<T>(x), limited = at_most<T>(size, Real<T>::ERF_ONE), square = limited * limited;
  const Vec<T> inner = size * polynomial<T>(square, Real<T>::ERF);
  const Vec<T> outer = T(1) - exp_of<T>(-square) * polynomial<T>(limited - T(2), Real<T>::ERFCX);
  return with_sign<T>(size < T(1) ? inner : outer, x);
}

template <class T> CORTEX_INLINE Vec<T> sqrt_of(Vec<T> x) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) return _mm512_maskz_sqrt_ps(0xFFFF, x);
  else return _mm512_maskz_sqrt_pd(0xFF, x);
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) return _mm256_sqrt_ps(x);
  else return _mm256_sqrt_pd(x);
#elif defined(__SSE2__)
  if constexpr (sizeof(T) == 4) return _mm_sqrt_ps(x);
  else return _mm_sqrt_pd(x);
#else
  Vec<T> y;
  for (int i = 0; i < LANES<T>; i++) y[i] = sizeof(T) == 4 ? __builtin_sqrtf(float(x[i])) : __builtin_sqrt(x[i]);
  return y;
#endif
}

template <class T> CORTEX_INLINE Vec<T> floor_of(Vec<T> x) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) return _mm512_maskz_roundscale_ps(0xFFFF, x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  else return _mm512_maskz_roundscale_pd(0xFF, x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) return _mm256_floor_ps(x);
  else return _mm256_floor_pd(x);
#else
  constexpr T WHOLE = T(int64_t(1) << Real<T>::MANTISSA);  // from here on all numbers are whole
  const Vec<T> size = magnitude<T>(x), nearest = with_sign<T>((size + WHOLE) - WHOLE, x);
  const Vec<T> below = nearest > x ? nearest - T(1) : nearest;
  return size < WHOLE ? below : x;
#endif
}

template <class T> CORTEX_INLINE Vec<T> sign_of(Vec<T> x) {
  return x > T(0) ? broadcast(T(1)) : (x < T(0) ? broadcast(T(-1)) : x - x);
}
// b where it is greater (smaller), else a, also where there is a NaN: one instruction of x86, of which GCC is not aware.
#if defined(__AVX512F__)
#define CORTEX_MM(name, type, x, y) _mm512_maskz_##name##_##type(sizeof(T) == 4 ? 0xFFFF : 0xFF, x, y)
#elif defined(__AVX2__)
#define CORTEX_MM(name, type, x, y) _mm256_##name##_##type(x, y)
#elif defined(__SSE2__)
#define CORTEX_MM(name, type, x, y) _mm_##name##_##type(x, y)
#endif
template <class T> CORTEX_INLINE Vec<T> greater_or(Vec<T> b, Vec<T> a) {
#ifdef CORTEX_MM
  if constexpr (sizeof(T) == 4) return CORTEX_MM(max, ps, b, a);
  else return CORTEX_MM(max, pd, b, a);
#else
  return b > a ? b : a;
#endif
}
template <class T> CORTEX_INLINE Vec<T> smaller_or(Vec<T> b, Vec<T> a) {
#ifdef CORTEX_MM
  if constexpr (sizeof(T) == 4) return CORTEX_MM(min, ps, b, a);
  else return CORTEX_MM(min, pd, b, a);
#else
  return b < a ? b : a;
#endif
}
#undef CORTEX_MM
template <class T> CORTEX_INLINE Vec<T> maximum_of(Vec<T> a, Vec<T> b) { return b != b ? b : greater_or<T>(b, a); }
template <class T> CORTEX_INLINE Vec<T> minimum_of(Vec<T> a, Vec<T> b) { return b != b ? b : smaller_or<T>(b, a); }

// Half HALF (0 or 1) of the lanes of floats as doubles, and two halves back.
typedef float HalfFloats __attribute__((vector_size(VECTOR_BYTES / 2)));
template <int HALF, int... I> CORTEX_INLINE Vec<double> widen_lanes(Vec<float> x, Lanes<I...>) {
  return __builtin_convertvector(__builtin_shufflevector(x, x, (HALF * LANES<double> + I)...), Vec<double>);
}
template <int HALF> CORTEX_INLINE Vec<double> widen(Vec<float> x) { return widen_lanes<HALF>(x, AllLanes<double>()); }
template <int... I> CORTEX_INLINE Vec<float> narrow_lanes(Vec<double> a, Vec<double> b, Lanes<I...>) {
  return __builtin_shufflevector(__builtin_convertvector(a, HalfFloats), __builtin_convertvector(b, HalfFloats), I...);
}
CORTEX_INLINE Vec<float> narrow(Vec<double> a, Vec<double> b) { return narrow_lanes(a, b, AllLanes<float>()); }

// The sine of x + quarters * pi / 2: x less the nearest quarter turn, then one of two polynomials. pi / 2 is cut into
// parts of 33, 33 and 53 bits, so that up to 2^20 quarters of it are exact.
CORTEX_INLINE Vec<double> sine(Vec<double> x, int quarters) {
  const Vec<double> turned = x * 0.63661977236758134308 + ROUNDER<double>, n = turned - ROUNDER<double>;
  const Vec<double> r = ((x - n * 0x1.921fb544p+0) - n * 0x1.0b4611a6p-34) - n * 0x1.3198a2e037073p-69, z = r * r;
  const Vec<double> near_zero = magnitude<double>(r) < 1e-10 ? r : r + r * (z * polynomial<double>(z, SIN));
  const Vec<double> near_one = 1.0 - (0.5 * z - z * z * polynomial<double>(z, COS));
  const BitVec<double> quadrant = bits<double>(turned) + uint64_t(quarters);
  const Vec<double> size = (quadrant & 1) != 0 ? near_one : near_zero;
  Vec<double> y = (Vec<double>)(bits<double>(size) ^ ((quadrant & 2) << 62));
  const IntVec<double> far = magnitude<double>(x) > SIN_LIMIT;
  if (__builtin_expect(any<double>(far), 0))
    for (int i = 0; i < LANES<double>; i++)
      if (far[i]) y[i] = quarters ? __builtin_cos(x[i]) : __builtin_sin(x[i]);
  return y;
}

// Floats in double, where b ln a has bits to spare.
CORTEX_INLINE Vec<double> widened_power(Vec<double> a, Vec<double> b) {
  Vec<double> y = exp_of<double>(b * log_of<double>(a));
  const IntVec<double> easy = (a > 0.0) & (a <= Real<double>::LARGEST) & (magnitude<double>(b) <= Real<double>::LARGEST);
  if (__builtin_expect(any<double>(~easy), 0))
    for (int i = 0; i < LANES<double>; i++)
      if (!easy[i]) y[i] = __builtin_pow(a[i], b[i]);
  return y;
}

#define CORTEX_UNARY(name)                                              \
  CORTEX_INLINE Vec<float> name(Vec<float> x) { return name##_of<float>(x); } \
  CORTEX_INLINE Vec<double> name(Vec<double> x) { return name##_of<double>(x); }
#define CORTEX_BINARY(name)                                                                     \
  CORTEX_INLINE Vec<float> name(Vec<float> a, Vec<float> b) { return name##_of<float>(a, b); } \
  CORTEX_INLINE Vec<double> name(Vec<double> a, Vec<double> b) { return name##_of<double>(a, b); }
CORTEX_UNARY(exp)
CORTEX_UNARY(expm1)
CORTEX_UNARY(log)
CORTEX_UNARY(log1p)
CORTEX_UNARY(tanh)
CORTEX_UNARY(logistic)
CORTEX_UNARY(erf)
CORTEX_UNARY(sqrt)
CORTEX_UNARY(floor)
CORTEX_UNARY(sign)
CORTEX_BINARY(maximum)
CORTEX_BINARY(minimum)
#undef CORTEX_UNARY
#undef CORTEX_BINARY
CORTEX_INLINE Vec<float> abs(Vec<float> x) { return magnitude<float>(x); }
CORTEX_INLINE Vec<double> abs(Vec<double> x) { return magnitude<double>(x); }
CORTEX_INLINE Vec<float> select(IntVec<float> mask, Vec<float> yes, Vec<float> no) { return mask ? yes : no; }
CORTEX_INLINE Vec<double> select(IntVec<double> mask, Vec<double> yes, Vec<double> no) { return mask ? yes : no; }
CORTEX_INLINE Vec<double> sin(Vec<double> x) { return sine(x, 0); }
CORTEX_INLINE Vec<double> cos(Vec<double> x) { return sine(x, 1); }
CORTEX_INLINE Vec<float> sin(Vec<float> x) {
  return narrow(sine(widen<0>(x), 0), sine(widen<1>(x), 0));
}
CORTEX_INLINE Vec<float> cos(Vec<float> x) {
  return narrow(sine(widen<0>(x), 1), sine(widen<1>(x), 1));
}
CORTEX_INLINE Vec<float> power(Vec<float> a, Vec<float> b) {
  return narrow(widened_power(widen<0>(a), widen<0>(b)), widened_power(widen<1>(a), widen<1>(b)));
}
CORTEX_INLINE Vec<double> power(Vec<double> a, Vec<double> b) {
  Vec<double> y;
  for (int i = 0; i < LANES<double>; i++) y[i] = __builtin_pow(a[i], b[i]);
  return y;
}

}  // namespace cortex::CORTEX_ISA
