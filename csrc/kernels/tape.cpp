// Any elementwise expression, interpreted: a tape of scalar operations, each a loop over a block that stays in L1.
//
//   tape_f32, tape_f64, tape_i64    the type is the one that the expressions are computed in
//             buffers   outputs, inputs
//             integers  block (elements), scalars, blocks, outputs, inputs, constants, prologue, body, packed, inner,
//                       rank, then
//                         extent[rank]                                    of the outer axes
//                         per input: dtype, slot, kind, stride[rank]      in elements, along the outer axes
//                         per output: dtype, slot, direct
//                         per operation of the prologue and of the body: code, result, a, b, c (slots)
//                         tape_i64 only: the constants
//             reals     the constants (tape_f32, tape_f64)
//             unit      a row of `inner` elements; rank 0: one element
//             scratch   16 (scalars + blocks), rounded up to 64, + 64 scalars + blocks * block elements
//
//   tape_sum_f32, tape_sum_f64      the same, but an output is the sum along each row: [rows]
//             integers  as above; rank is at least 1, packed 1, no output direct, at most 8 of them
//
// Slots 0 .. scalars - 1 hold one vector of equal numbers, the first of them the constants; the others a block each.
// The prologue has scalar results and runs where scalars change; the body runs once a block. Truth values are 1 and 0.
// A kind of input: FULL has the shape of the outputs; VECTOR moves along rows, SCALAR is one number a row; both have
// strides. `packed` rows make one block if rows are short: there a SCALAR that is not the same everywhere needs a block.
//
// No operation may write a slot of an input, and outputs are written after the body: so one may lie exactly on a FULL
// input. A `direct` output is computed where it belongs: it has the type of the computation and a slot of its own, and
// nothing reads afterwards what lies there. Whole vectors are computed, whatever the length: results do not depend on
// where a range is cut.
//
// A cheap operation takes 0.6 ns per vector of 64 bytes, which is what storing to L1 takes (AMD EPYC 9004); seven of them
// on 32,000 floats ran at 35 GB/s against 120 for a compiled loop (benchmarks/elementwise.py). With an exponential or a
// tanh in the expression the difference is small.
#include <cstring>

#include "registry.h"
#include "vector_math.h"

namespace cortex::CORTEX_ISA {

// Beside those of vector_math.h.
typedef IntVec<double> Integers;
CORTEX_INLINE Integers abs(Integers x) { return x < 0 ? -x : x; }
CORTEX_INLINE Integers sign(Integers x) { return (x < 0) - (x > 0); }  // true is -1
CORTEX_INLINE Integers maximum(Integers a, Integers b) { return a > b ? a : b; }
CORTEX_INLINE Integers minimum(Integers a, Integers b) { return a < b ? a : b; }

namespace {

enum Kind { FULL, VECTOR, SCALAR };

// Vectors of the types that a tape computes in, and their truth values.
template <class T> struct Machine {
  typedef Vec<T> V;
  typedef typename VectorTypes<T>::unaligned Unaligned;
  static constexpr int WIDTH = LANES<T>;
  static V spread(T x) { return broadcast(x); }
  CORTEX_INLINE V truth(IntVec<T> mask) { return mask ? broadcast(T(1)) : V{}; }
};
template <> struct Machine<int64_t> {
  typedef IntVec<double> V;
  typedef int64_t Unaligned __attribute__((vector_size(VECTOR_BYTES), aligned(8), may_alias));
  static constexpr int WIDTH = LANES<double>;
  static V spread(int64_t x) {
    V v;
    for (int i = 0; i < WIDTH; i++) v[i] = x;
    return v;
  }
  CORTEX_INLINE V truth(V mask) { return mask & 1; }
};

template <class T> struct Slot {
  T* at;
  int64_t step;  // in elements, from one vector to the next: 0 for a scalar
};

template <class T> using Operation = void(int64_t n, const Slot<T>& out, const Slot<T>& a, const Slot<T>& b,
                                          const Slot<T>& c);

template <class T, class F, int ARITY>
void apply(int64_t n, const Slot<T>& out, const Slot<T>& a, const Slot<T>& b, const Slot<T>& c) {
  typedef Machine<T> M;
  typedef typename M::V V;
  typedef const typename M::Unaligned* From;
  T* to = out.at;
  const T *p = a.at, *q = b.at, *r = c.at;
  for (; n > 0; n -= M::WIDTH) {
    const V x = *(From)p, y = ARITY > 1 ? V(*(From)q) : V{}, z = ARITY > 2 ? V(*(From)r) : V{};
    *(typename M::Unaligned*)to = F::template run<M>(x, y, z);
    to += M::WIDTH;
    p += a.step;
    q += b.step;
    r += c.step;
  }
}

// The position in these lists is the code of an operation: OPERATIONS in compute/cpu/tape.py has the same order.
#define ANY_TYPE(DO)                                                                                            \
  DO(copy, 1, x) DO(add, 2, x + y) DO(sub, 2, x - y) DO(mul, 2, x * y) DO(neg, 1, -x) DO(abs, 1, abs(x))        \
  DO(sign, 1, sign(x)) DO(maximum, 2, maximum(x, y)) DO(minimum, 2, minimum(x, y)) DO(where, 3, x != 0 ? y : z) \
  DO(gt, 2, M::truth(x > y)) DO(ge, 2, M::truth(x >= y)) DO(lt, 2, M::truth(x < y)) DO(le, 2, M::truth(x <= y)) \
  DO(eq, 2, M::truth(x == y)) DO(ne, 2, M::truth(x != y)) DO(and, 2, M::truth((x != 0) & (y != 0)))             \
  DO(or, 2, M::truth((x != 0) | (y != 0))) DO(not, 1, M::truth(x == 0)) DO(isnan, 1, M::truth(x != x))
#define REAL_TYPE(DO)                                                                                            \
  DO(div, 2, x / y) DO(pow, 2, power(x, y)) DO(exp, 1, exp(x)) DO(expm1, 1, expm1(x)) DO(log, 1, log(x))         \
  DO(log1p, 1, log1p(x)) DO(sqrt, 1, sqrt(x)) DO(tanh, 1, tanh(x)) DO(logistic, 1, logistic(x))                  \
  DO(sin, 1, sin(x)) DO(cos, 1, cos(x)) DO(erf, 1, erf(x)) DO(floor, 1, floor(x))                                \
  PAIRS(DO, add, x + y) PAIRS(DO, sub, x - y) PAIRS(DO, mul, x * y)
#define PAIRS(DO, name, first)                                                                   \
  DO(name##_add, 3, (first) + z) DO(name##_sub, 3, (first) - z) DO(name##_under, 3, z - (first)) \
  DO(name##_mul, 3, (first) * z) DO(name##_maximum, 3, maximum(first, z)) DO(name##_minimum, 3, minimum(first, z))

#define DEFINE(name, arity, result)                                                 \
  struct Do_##name {                                                                \
    template <class M> CORTEX_INLINE typename M::V run(typename M::V x, typename M::V y, typename M::V z) { \
      (void)y, (void)z;                                                             \
      return result;                                                                \
    }                                                                               \
  };
ANY_TYPE(DEFINE)
REAL_TYPE(DEFINE)

#define ENTRY(name, arity, result) apply<T, Do_##name, arity>,
template <class T> struct Table { static constexpr Operation<T>* of[] = {ANY_TYPE(ENTRY) REAL_TYPE(ENTRY)}; };
template <> struct Table<int64_t> {
  typedef int64_t T;
  static constexpr Operation<T>* of[] = {ANY_TYPE(ENTRY)};
};

constexpr int MOST_SUMS = 8;

int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

template <class To, class From> To convert(From x) { return To(x); }
template <> uint8_t convert(float x) { return uint8_t(int32_t(x)); }  // as for integers: modulo 256
template <> uint8_t convert(double x) { return uint8_t(int32_t(x)); }

template <class To, class From> void convert_all(To* __restrict to, const void* from, int64_t start, int64_t n) {
  const From* x = static_cast<const From*>(from) + start;
  for (int64_t i = 0; i < n; i++) to[i] = convert<To>(x[i]);
}
template <class From> void convert_truth(void* to, const From* __restrict x, int64_t start, int64_t n) {
  uint8_t* y = static_cast<uint8_t*>(to) + start;
  for (int64_t i = 0; i < n; i++) y[i] = x[i] != 0;
}

// The position is the number of a dtype: DTYPES in compute/cpu/tape.py.
enum { F32, F64, U8, BOOL, I32, I64, U64 };

template <class T> void read(T* to, int64_t dtype, const void* from, int64_t start, int64_t n) {
  switch (dtype) {
    case F32: return convert_all<T, float>(to, from, start, n);
    case F64: return convert_all<T, double>(to, from, start, n);
    case U8: case BOOL: return convert_all<T, uint8_t>(to, from, start, n);
    case I32: return convert_all<T, int32_t>(to, from, start, n);
    case I64: return convert_all<T, int64_t>(to, from, start, n);
    default: return convert_all<T, uint64_t>(to, from, start, n);
  }
}

template <class T> void write(void* to, int64_t dtype, const T* from, int64_t start, int64_t n) {
  switch (dtype) {
    case F32: return convert_all<float, T>(static_cast<float*>(to) + start, from, 0, n);
    case F64: return convert_all<double, T>(static_cast<double*>(to) + start, from, 0, n);
    case U8: return convert_all<uint8_t, T>(static_cast<uint8_t*>(to) + start, from, 0, n);
    case BOOL: return convert_truth<T>(to, from, start, n);
    case I32: return convert_all<int32_t, T>(static_cast<int32_t*>(to) + start, from, 0, n);
    case I64: return convert_all<int64_t, T>(static_cast<int64_t*>(to) + start, from, 0, n);
    default: return convert_all<uint64_t, T>(static_cast<uint64_t*>(to) + start, from, 0, n);
  }
}

template <class T> constexpr int64_t DTYPE = I64;
template <> constexpr int64_t DTYPE<float> = F32;
template <> constexpr int64_t DTYPE<double> = F64;

// One call: the integers taken apart, and the slots in scratch.
template <class T> struct Tape {
  typedef Machine<T> M;
  static constexpr int WIDTH = M::WIDTH;

  const Call& call;
  const int64_t block, scalars, blocks, outputs, inputs, constants, prologue, body, packed, inner, rank;
  const int64_t *extent, *input, *output, *operation;
  Slot<T>* slots;
  T* memory;

  explicit Tape(const Call& c)
      : call(c), block(c.integer[0]), scalars(c.integer[1]), blocks(c.integer[2]), outputs(c.integer[3]),
        inputs(c.integer[4]), constants(c.integer[5]), prologue(c.integer[6]), body(c.integer[7]),
        packed(c.integer[8]), inner(c.integer[9]), rank(c.integer[10]), extent(c.integer + 11), input(extent + rank),
        output(input + inputs * (3 + rank)), operation(output + 3 * outputs), slots(static_cast<Slot<T>*>(c.scratch)),
        memory(reinterpret_cast<T*>(static_cast<char*>(c.scratch) +
                                    ((scalars + blocks) * int64_t(sizeof(Slot<T>)) + 63) / 64 * 64)) {
    for (int64_t s = 0; s < scalars; s++) slots[s] = {memory + s * WIDTH, 0};
    T* first = memory + scalars * WIDTH;
    for (int64_t s = 0; s < blocks; s++) slots[scalars + s] = {first + s * block, WIDTH};
    const int64_t* integer = operation + 5 * (prologue + body);
    for (int64_t k = 0; k < constants; k++) set(k, DTYPE<T> == I64 ? T(integer[k]) : T(call.real[k]));
  }

  void set(int64_t slot, T x) { *reinterpret_cast<typename M::V*>(slots[slot].at) = M::spread(x); }
  T* own(int64_t slot) { return memory + scalars * WIDTH + (slot - scalars) * block; }

  void run(int64_t first, int64_t count, int64_t n) {
    for (const int64_t* o = operation + 5 * first; o < operation + 5 * (first + count); o += 5)
      Table<T>::of[o[0]](n, slots[o[1]], slots[o[2]], slots[o[3]], slots[o[4]]);
  }

  // Where a row starts in an input that does not have the full shape.
  int64_t offset(const int64_t* strides, int64_t row) const {
    int64_t at = 0;
    for (int64_t axis = rank - 1; axis >= 0; axis--) {
      if (axis == 0) return at + row * strides[0];
      at += row % extent[axis] * strides[axis];
      row /= extent[axis];
    }
    return at;
  }

  // The numbers that stay as they are along a row.
  void start_row(int64_t row) {
    for (int64_t i = 0; i < inputs; i++) {
      const int64_t* in = input + i * (3 + rank);
      if (in[1] >= scalars) continue;
      T x;
      read<T>(&x, in[0], call.buffer[outputs + i], offset(in + 3, row), 1);
      set(in[1], x);
    }
    run(0, prologue, WIDTH);
  }

  // Brings elements `at` .. `at + n` of `rows` rows from `row` on into the slots; more than one row: they are whole.
  void load_inputs(int64_t row, int64_t rows, int64_t at, int64_t n) {
    const int64_t start = row * inner + at, size = rows * n, whole = (size + WIDTH - 1) / WIDTH * WIDTH;
    for (int64_t i = 0; i < inputs; i++) {
      const int64_t *in = input + i * (3 + rank), slot = in[1];
      if (slot < scalars) continue;
      void* from = call.buffer[outputs + i];
      const bool together = in[2] == FULL || (in[2] == VECTOR && rows == 1);
      const int64_t first = in[2] == FULL ? start : together ? offset(in + 3, row) + at : 0;
      if (together && in[0] == DTYPE<T> && whole == size) {
        slots[slot].at = static_cast<T*>(from) + first;  // read where it is
        continue;
      }
      T* to = slots[slot].at = own(slot);
      if (together) {
        read<T>(to, in[0], from, first, size);
      } else {
        for (int64_t r = 0; r < rows; r++, to += n) {
          const int64_t here = offset(in + 3, row + r);
          if (in[2] == VECTOR) {
            read<T>(to, in[0], from, here, n);
          } else {
            T x;
            read<T>(&x, in[0], from, here, 1);
            for (int64_t k = 0; k < n; k++) to[k] = x;
          }
        }
      }
      for (int64_t k = size; k < whole; k++) own(slot)[k] = 1;  // harmless in every operation
    }
  }

  // Computes those elements of all outputs.
  void piece(int64_t row, int64_t rows, int64_t at, int64_t n) {
    const int64_t start = row * inner + at, size = rows * n, whole = (size + WIDTH - 1) / WIDTH * WIDTH;
    load_inputs(row, rows, at, n);
    for (int64_t k = 0; k < outputs; k++) {
      const int64_t slot = output[3 * k + 1];
      if (output[3 * k + 2]) slots[slot].at = whole == size ? static_cast<T*>(call.buffer[k]) + start : own(slot);
    }
    run(prologue, body, whole);
    for (int64_t k = 0; k < outputs; k++) {
      const int64_t dtype = output[3 * k], slot = output[3 * k + 1];
      if (output[3 * k + 2] && whole == size) continue;
      if (slots[slot].step)
        write<T>(call.buffer[k], dtype, slots[slot].at, start, size);
      else
        for (int64_t i = 0; i < size; i += WIDTH)
          write<T>(call.buffer[k], dtype, slots[slot].at, start + i, least(WIDTH, size - i));
    }
  }

  // Adds elements `at` .. `at + n` of a row, of each output, to its sum.
  void add_piece(int64_t row, int64_t at, int64_t n, typename M::V* sums) {
    load_inputs(row, 1, at, n);
    run(prologue, body, (n + WIDTH - 1) / WIDTH * WIDTH);
    for (int64_t k = 0; k < outputs; k++) {
      const Slot<T>& slot = slots[output[3 * k + 1]];
      const T* from = slot.at;
      // Of 32 vectors alone, a block of AVX-512: rounding grows with their number, not with the length of the row. Four
      // lanes that added 477 equal floats at one go were off by 1.1e-6.
      typename M::V sum = {};
      int64_t i = 0;
      while (i + WIDTH <= n) {
        typename M::V part = {};
        for (const int64_t end = least(n, i + 32 * WIDTH); i + WIDTH <= end; i += WIDTH, from += slot.step)
          part += *(const typename M::Unaligned*)from;
        sum += part;
      }
      if (i < n)
        sum += select<T>(lane_numbers<T>() < IntVec<T>{} + Int<T>(n - i), *(const typename M::Unaligned*)from, Vec<T>{});
      sums[k] += sum;
    }
  }
};

template <class T> void tape(const Call& call, int64_t start, int64_t stop) {
  Tape<T> t(call);
  if (t.rank == 0) {  // one long row, of which this is a part
    t.start_row(0);
    for (int64_t i = start; i < stop; i += t.block) t.piece(0, 1, i, least(t.block, stop - i));
  } else if (t.packed > 1) {
    t.start_row(0);
    for (int64_t row = start; row < stop; row += t.packed) t.piece(row, least(t.packed, stop - row), 0, t.inner);
  } else {
    for (int64_t row = start; row < stop; row++) {
      t.start_row(row);
      for (int64_t i = 0; i < t.inner; i += t.block) t.piece(row, 1, i, least(t.block, t.inner - i));
    }
  }
}

// One sum per row and output: output k [rows].
template <class T> void tape_sum(const Call& call, int64_t start, int64_t stop) {
  Tape<T> t(call);
  for (int64_t row = start; row < stop; row++) {
    Vec<T> sums[MOST_SUMS] = {};
    t.start_row(row);
    for (int64_t i = 0; i < t.inner; i += t.block) t.add_piece(row, i, least(t.block, t.inner - i), sums);
    for (int64_t k = 0; k < t.outputs; k++) static_cast<T*>(call.buffer[k])[row] = horizontal_sum<T>(sums[k]);
  }
}

}  // namespace
}  // namespace cortex::CORTEX_ISA

CORTEX_KERNELS(tape, {"tape_sum_f32", tape_sum<float>}, {"tape_sum_f64", tape_sum<double>}, {"tape_f32", tape<float>}, {"tape_f64", tape<double>}, {"tape_i64", tape<int64_t>})
