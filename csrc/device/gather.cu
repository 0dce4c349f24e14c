// Rows by index. An index outside 0 .. rows - 1 gives a row of zeros, and the error cell, -1 when all is well, gets the
// lowest such position.
#include "indices.h"
CX_DTYPES(raw8, raw16, raw32, raw64, raw128)

namespace cx {

// y [count, width] = x [rows, width] at index [count].
CX_EACH(gather, (T* y, const T* x, const void* index, int index_bytes, cx_i64* error, I rows, I width, I count),
        count * width) {
  const I position = i / width;
  const cx_i64 row = index_at(index, index_bytes, position);
  const bool inside = row >= 0 && row < (cx_i64)rows;
  if (inside) y[i] = x[(I)row * width + (i - position * width)];
  else y[i] = T{};
  if (!inside && i == position * width) report(error, position);
} CX_END

// Debug: the lowest position of an index outside low .. rows - 1 goes to the error cell.
CX_EACH(check_indices, (const void* index, int index_bytes, cx_i64* error, cx_i64 low, cx_i64 rows, I count), count) {
  const cx_i64 row = index_at(index, index_bytes, i);
  if (row < low || row >= rows) report(error, i);
} CX_END

}  // namespace cx
