// The sum of rows by index: y [rows, width], y[r] = the sum of updates[j] over all j with index[j] == r, in the order
// of j, so deterministic and without atomics: a warp owns 32 columns of a row of y and looks through the whole index,
// 32 entries at a time. rows x count comparisons; the index lies in the caches.
#include "indices.h"
CX_DTYPES(float32, float64, float16, bfloat16, int32, int64)

namespace cx {

CX_WARPS(scatter_add, (T* y, const void* index, int index_bytes, const T* updates, cx_i64* error, I rows, I width,
                       I count), rows * part_size<I>(width, 32)) {
  const I slices = part_size<I>(width, 32), target = row / slices, left = (row - target * slices) * 32;
  const I right = least<I>(left + 32, width);
  A total[TEAM_COLUMNS] = {};
  for (I start = 0; start < count; start += team.size()) {
    const I mine = start + team.lane();
    const cx_i64 wanted = mine < count ? index_at(index, index_bytes, mine) : 0;
    if (row == 0 && mine < count && (wanted < 0 || wanted >= (cx_i64)rows)) report(error, mine);
    for (cx_u32 hits = team.ballot(mine < count && wanted == (cx_i64)target); hits; hits &= hits - 1) {
      const T* update = updates + (start + lowest_bit(hits)) * width;
      int slot = 0;
      for (I c = left + team.lane(); c < right; c += team.size()) total[slot++] += cast<A>(update[c]);
    }
  }
  int slot = 0;
  for (I c = left + team.lane(); c < right; c += team.size()) y[target * width + c] = cast<T>(total[slot++]);
} CX_END

}  // namespace cx
