// Rows by index, and their sum back.
//
//   gather_I       out[j] = x[indices[j]], rows of any type; I among u8, i32, i64
//                  buffers   out [count, row], x [rows, row], indices [count], error i64 [1]
//                  integers  rows, bytes of a row
//                  unit      one row of out
//   scatter_add_T_I  out[r] += the sum of updates[j] over all j with indices[j] == r, in the order of j; T among f32,
//                  f64, i32, i64
//                  buffers   out [rows, width], updates [count, width], indices [count], error i64 [1]
//                  integers  rows, width, count
//                  unit      one row of out; a call reads all indices, so let grain = rows / (4 threads)
//
// An index outside 0 .. rows - 1 is skipped (gather: the row becomes zero), and the error operand, -1 when all is well,
// gets the lowest such position j. It keeps that until somebody writes -1 into it again.
#include <cstring>

#include "registry.h"

namespace cortex::CORTEX_ISA {
namespace {

// The lowest position wins whichever thread comes first.
void report(void* error, int64_t position) {
  int64_t* first = static_cast<int64_t*>(error);
  int64_t known = __atomic_load_n(first, __ATOMIC_RELAXED);
  while ((known < 0 || position < known) &&
         !__atomic_compare_exchange_n(first, &known, position, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
}

template <class I>
void gather(const Call& call, int64_t start, int64_t stop) {
  const int64_t rows = call.integer[0], bytes = call.integer[1];
  char* out = static_cast<char*>(call.buffer[0]);
  const char* x = static_cast<const char*>(call.buffer[1]);
  const I* indices = static_cast<const I*>(call.buffer[2]);
  for (int64_t j = start; j < stop; j++) {
    const int64_t row = int64_t(indices[j]);
    if (row >= 0 && row < rows) {
      memcpy(out + j * bytes, x + row * bytes, size_t(bytes));
    } else {
      memset(out + j * bytes, 0, size_t(bytes));
      report(call.buffer[3], j);
    }
  }
}

template <class T, class I>
void scatter_add(const Call& call, int64_t start, int64_t stop) {
  const int64_t rows = call.integer[0], width = call.integer[1], count = call.integer[2];
  T* out = static_cast<T*>(call.buffer[0]);
  const T* updates = static_cast<const T*>(call.buffer[1]);
  const I* indices = static_cast<const I*>(call.buffer[2]);
  for (int64_t j = 0; j < count; j++) {
    const int64_t row = int64_t(indices[j]);
    if (row >= start && row < stop) {
      T* __restrict to = out + row * width;
      const T* __restrict from = updates + j * width;
      for (int64_t i = 0; i < width; i++) to[i] += from[i];
    } else if (start == 0 && (row < 0 || row >= rows)) {
      report(call.buffer[3], j);
    }
  }
}

}  // namespace
}  // namespace cortex::CORTEX_ISA

#define SCATTER(t, T)                                                                             \
  {"scatter_add_" t "_u8", scatter_add<T, uint8_t>}, {"scatter_add_" t "_i32", scatter_add<T, int32_t>}, \
      {"scatter_add_" t "_i64", scatter_add<T, int64_t>}
CORTEX_KERNELS(gather, {"gather_u8", gather<uint8_t>}, {"gather_i32", gather<int32_t>},
               {"gather_i64", gather<int64_t>}, SCATTER("f32", float), SCATTER("f64", double),
               SCATTER("i32", int32_t), SCATTER("i64", int64_t))
