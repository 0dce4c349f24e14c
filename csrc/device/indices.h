// Indices and labels of any integer dtype, told by the bytes of one: 1 (uint8), 4 (int32) or 8 (int64).
#pragma once

namespace cx {

CX_FN cx_i64 index_at(const void* index, int bytes, I i) {
  if (bytes == 4) return static_cast<const int*>(index)[i];
  if (bytes == 8) return static_cast<const cx_i64*>(index)[i];
  return static_cast<const cx_u8*>(index)[i];
}

}  // namespace cx
