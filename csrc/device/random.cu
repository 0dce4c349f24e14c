// Philox4x32-10 as in compute/philox.py: key = seed, counter = (block low, block high, step, number of the op); item i
// draws the four words of block first + i. Seed and step lie in device memory, so that a replayed graph draws anew.
CX_DTYPES(float32, float64, float16, bfloat16)

namespace cx {

struct Block { cx_u32 word[4]; };

CX_FN Block philox(cx_u64 block, cx_u32 step, cx_u32 number, cx_u64 seed) {
  cx_u32 c0 = (cx_u32)block, c1 = (cx_u32)(block >> 32), c2 = step, c3 = number;
  cx_u32 k0 = (cx_u32)seed, k1 = (cx_u32)(seed >> 32);
  CX_UNROLL
  for (int round = 0; round < 10; ++round) {
    const cx_u64 p0 = (cx_u64)0xD2511F53u * c0, p1 = (cx_u64)0xCD9E8D57u * c2;
    c0 = (cx_u32)(p1 >> 32) ^ c1 ^ k0;
    c1 = (cx_u32)p1;
    c2 = (cx_u32)(p0 >> 32) ^ c3 ^ k1;
    c3 = (cx_u32)p0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return Block{{c0, c1, c2, c3}};
}

CX_FN float unit(cx_u32 word, float) { return (float)(word >> 8) * 5.9604644775390625e-8f; }  // 24 bits times 2^-24
CX_FN double unit(cx_u32 word, double) { return (double)word * 2.3283064365386963e-10; }      // 32 bits times 2^-32

// The four elements of item i, or those below n, as one store where they are aligned.
CX_FN bool is_whole(const T* x, I i, I n) {
  return 4 * i + 4 <= n && reinterpret_cast<cx_u64>(x) % alignof(cx_pack<T, 4>) == 0;
}
CX_FN void store(T* y, I i, I n, const cx_pack<T, 4>& v) {
  if (is_whole(y, i, n)) {
    *reinterpret_cast<cx_pack<T, 4>*>(y + 4 * i) = v;
    return;
  }
  CX_UNROLL
  for (int j = 0; j < 4; ++j)
    if (4 * i + j < n) y[4 * i + j] = v.at[j];
}

CX_EACH(random_uniform, (T* y, const cx_u64* seed, const cx_i64* step, cx_u32 number, cx_u64 first, I n),
        (n + 3) / 4) {
  const Block b = philox(first + (cx_u64)i, (cx_u32)*step, number, *seed);
  cx_pack<T, 4> v;
  CX_UNROLL
  for (int j = 0; j < 4; ++j) v.at[j] = cast<T>(unit(b.word[j], A()));
  store(y, i, n, v);
} CX_END

// Box-Muller on the word pairs (0, 1) and (2, 3), in double whatever the type.
CX_EACH(random_normal, (T* y, const cx_u64* seed, const cx_i64* step, cx_u32 number, cx_u64 first, I n),
        (n + 3) / 4) {
  const Block b = philox(first + (cx_u64)i, (cx_u32)*step, number, *seed);
  CX_UNROLL
  for (int j = 0; j < 4; j += 2) {
    const double radius = sqrt(-2.0 * log(((double)b.word[j] + 1.0) * 2.3283064365386963e-10));
    const double angle = 6.283185307179586 * (double)b.word[j + 1] * 2.3283064365386963e-10;
    if (4 * i + j < n) y[4 * i + j] = cast<T>(radius * cos(angle));
    if (4 * i + j + 1 < n) y[4 * i + j + 1] = cast<T>(radius * sin(angle));
  }
} CX_END

// y = 0 where a uniform number is below the probability of dropping, else x times `scale`: one pass over memory, and
// the same mask as Random and a map give. y may be x.
CX_EACH(dropout, (T* y, const T* x, const cx_u64* seed, const cx_i64* step, cx_u32 number, cx_u64 first, A probability,
                  A scale, I n), (n + 3) / 4) {
  const Block b = philox(first + (cx_u64)i, (cx_u32)*step, number, *seed);
  cx_pack<T, 4> v;
  if (is_whole(x, i, n)) v = *reinterpret_cast<const cx_pack<T, 4>*>(x + 4 * i);
  else
    for (int j = 0; j < 4; ++j) v.at[j] = 4 * i + j < n ? x[4 * i + j] : cast<T>(A(0));
  CX_UNROLL
  for (int j = 0; j < 4; ++j) v.at[j] = cast<T>(unit(b.word[j], A()) < probability ? A(0) : cast<A>(v.at[j]) * scale);
  store(y, i, n, v);
} CX_END

}  // namespace cx
