// Debug checks and small things: one-hot rows, counters.
#include "indices.h"
CX_DTYPES(float32, float64, float16, bfloat16)

namespace cx {

// The lowest position of a NaN (or, where asked for, an infinity) goes to the error cell.
CX_EACH(check_numbers, (const T* x, cx_i64* error, int infinities, I n), n) {
  const A v = cast<A>(x[i]);
  if (v != v || (infinities && v - v != v - v)) report(error, i);
} CX_END

// y [rows, width]: 1 at the label of each row, else 0; a label that is no class gives zeros.
CX_EACH(one_hot, (T* y, const void* labels, int label_bytes, I rows, I width), rows * width) {
  const I row = i / width;
  y[i] = cast<T>(index_at(labels, label_bytes, row) == (cx_i64)(i - row * width) ? 1.0f : 0.0f);
} CX_END

// Advances counters inside a captured step.
CX_EACH(tick, (cx_i64* counter, cx_i64 by, I n), n) { counter[i] += by; } CX_END

}  // namespace cx
