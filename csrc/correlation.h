// The grid of a correlation in rectangles of positions that see the same taps: no border is padded with zeros.
#pragma once
#include "convolution_plans.h"

namespace cortex {

struct Taps {
  int64_t start, stop;
};

struct Rectangle {
  int64_t row, rows, column, columns;
  Taps row_taps, column_taps;
};

// The taps of a grid position that lie in the source: neighbours, as positions go one way.
static inline Taps taps_at(const Axis& a, int64_t position) {
  const int64_t first = a.first + position * a.step;
  Taps t = {0, a.taps};
  while (t.start < t.stop && (first + t.start * a.delta < 0 || first + t.start * a.delta >= a.source)) t.start++;
  while (t.stop > t.start && (first + (t.stop - 1) * a.delta < 0 || first + (t.stop - 1) * a.delta >= a.source))
    t.stop--;
  return t;
}

// Positions from `first` on, before `end`, that have the same taps as the first of them.
static inline int64_t alike(const Axis& a, Taps taps, int64_t first, int64_t end) {
  int64_t next = first + 1;
  for (; next < end; next++) {
    const Taps other = taps_at(a, next);
    if (other.start != taps.start || other.stop != taps.stop) break;
  }
  return next - first;
}

}  // namespace cortex
