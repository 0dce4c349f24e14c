// 16-bit floats in memory; arithmetic is in float. Own types: NVRTC has no cuda_fp16.h without a toolkit's headers.
#pragma once

struct cx_f16 { cx_u16 bits; };
struct cx_bf16 { cx_u16 bits; };

union cx_word {
  float number;
  cx_u32 bits;
};
CX_FN cx_u32 cx_bits(float x) {
  cx_word word;
  word.number = x;
  return word.bits;
}
CX_FN float cx_number(cx_u32 bits) {
  cx_word word;
  word.bits = bits;
  return word.number;
}

CX_FN float cx_widen(cx_bf16 h) { return cx_number((cx_u32)h.bits << 16); }

// To the nearest, ties to even; a NaN stays one.
CX_FN cx_bf16 cx_to_bf16(float x) {
  const cx_u32 u = cx_bits(x);
  cx_bf16 h;
  h.bits = (cx_u16)(x != x ? (u >> 16) | 0x40u : (u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  return h;
}

#if CX_GPU && !defined(CX_EMULATOR)
CX_FN float cx_widen(cx_f16 h) {
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(h.bits));
  return x;
}
CX_FN cx_f16 cx_to_f16(float x) {
  cx_f16 h;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h.bits) : "f"(x));
  return h;
}
#else
CX_FN float cx_widen(cx_f16 h) {
  const cx_u32 sign = (cx_u32)(h.bits & 0x8000u) << 16, rest = h.bits & 0x7fffu;
  if (rest < 0x400u) return cx_number(sign | cx_bits((float)rest * 5.9604644775390625e-8f));  // subnormal: times 2^-24
  const cx_u32 rebias = rest >= 0x7c00u ? 0x70000000u : 0x38000000u;
  return cx_number(sign | ((rest << 13) + rebias));
}
CX_FN cx_f16 cx_to_f16(float x) {
  const cx_u32 sign = (cx_bits(x) >> 16) & 0x8000u, u = cx_bits(x) & 0x7fffffffu;
  cx_u32 h;
  if (u >= 0x47800000u)  // 65536 and above, and NaN
    h = u > 0x7f800000u ? 0x7e00u : 0x7c00u;
  else if (u < 0x38800000u)  // the unit in the last place of 0.5 is that of a subnormal half
    h = cx_bits(cx_number(u) + 0.5f) - 0x3f000000u;
  else
    h = (u + 0xfffu + ((u >> 13) & 1u) - 0x38000000u) >> 13;
  cx_f16 result;
  result.bits = (cx_u16)(sign | h);
  return result;
}
#endif

// Conversion between any two types of the kernels: cx::cast<D>(v) is cx_to<D>::from(v).
template <class D> struct cx_to {
  template <class S> static CX_FN D from(S v) { return (D)v; }
  static CX_FN D from(cx_f16 v) { return (D)cx_widen(v); }
  static CX_FN D from(cx_bf16 v) { return (D)cx_widen(v); }
};
template <> struct cx_to<cx_f16> {
  template <class S> static CX_FN cx_f16 from(S v) { return cx_to_f16((float)v); }
  static CX_FN cx_f16 from(cx_f16 v) { return v; }
  static CX_FN cx_f16 from(cx_bf16 v) { return cx_to_f16(cx_widen(v)); }
};
template <> struct cx_to<cx_bf16> {
  template <class S> static CX_FN cx_bf16 from(S v) { return cx_to_bf16((float)v); }
  static CX_FN cx_bf16 from(cx_f16 v) { return cx_to_bf16(cx_widen(v)); }
  static CX_FN cx_bf16 from(cx_bf16 v) { return v; }
};
