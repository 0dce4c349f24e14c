// Packing a strip of images into the planes that convolution_plans.h describes.
//
// A strip is a rectangle of the output grid in one image, or (joined) the whole grids of several small images. Every
// write goes to ascending addresses within one pass over the columns, whole vectors at a time: what spills over the end
// of a row is written again by a later one, and SLACK elements behind the last plane take the last spill.
#pragma once
#include "convolution_plans.h"
#include "simd.h"

namespace cortex::CORTEX_ISA {

struct Strip {
  int64_t image, images, row, rows, column, columns;  // grid rows and columns
  int64_t pixels() const { return images * rows * columns; }
};

// Strip number `index` of a correlation over these axes. Rows or columns may be none: a short residue has less to do.
static inline Strip strip_of(const Planes& p, const Axis& h, const Axis& w, int64_t batch, int64_t index) {
  const int64_t c = index % p.column_bands, r = index / p.column_bands % p.row_bands;
  const int64_t image = index / (p.column_bands * p.row_bands) * p.images;
  const int64_t row = h.grid * r / p.row_bands, column = w.grid * c / p.column_bands;
  return {image, smaller(p.images, batch - image), row, h.grid * (r + 1) / p.row_bands - row, column,
          w.grid * (c + 1) / p.column_bands - column};
}

// The row taps of a plane: classes of these axes (no more than the plan allowed for) and where each tap finds its rows.
struct RowTaps {
  int64_t taps, classes, shift;
  bool falling;
  RowTaps(const Planes& p, const Axis& h)
      : taps(h.taps),
        classes(p.joined ? h.taps : smaller(h.taps, h.step / common_divisor(h.step, h.delta < 0 ? -h.delta : h.delta))),
        shift(p.shift), falling(h.delta < 0) {}
  int64_t members(int64_t cls) const { return (taps - cls + classes - 1) / classes; }
  int64_t plane(int64_t tap) const { return tap % classes; }
  int64_t row(int64_t tap) const {
    const int64_t member = tap / classes;
    return (falling ? members(plane(tap)) - 1 - member : member) * shift;
  }
  int64_t lowest(int64_t cls) const { return falling ? cls + (members(cls) - 1) * classes : cls; }
};

// Lanes from .. to-1 of a vector at p, zero elsewhere; p may lie outside the array, the lanes may not.
template <class T> CORTEX_INLINE Vec<T> load_between(const T* p, int64_t from, int64_t to) {
#if defined(__AVX512F__)
  const uint32_t mask = ((1u << to) - 1) & ~((1u << from) - 1);
  if constexpr (sizeof(T) == 4) return _mm512_maskz_loadu_ps((__mmask16)mask, p);
  else return _mm512_maskz_loadu_pd((__mmask8)mask, p);
#elif defined(__AVX2__)
  const IntVec<T> lane = lane_numbers<T>();
  const __m256i mask = (__m256i)((lane >= (IntVec<T>{} + (Int<T>)from)) & (lane < (IntVec<T>{} + (Int<T>)to)));
  if constexpr (sizeof(T) == 4) return _mm256_maskload_ps(p, mask);
  else return _mm256_maskload_pd(p, mask);
#else
  if (from == 0 && to == LANES<T>) return load(p);
  Vec<T> v = {};
  for (int64_t i = from; i < to; i++) v[i] = p[i];
  return v;
#endif
}

static inline int64_t clamp(int64_t x, int64_t most) { return x < 0 ? 0 : x > most ? most : x; }
// How many positions first + i * step, i = 0 .. count-1, lie below `end`.
static inline int64_t count_below(int64_t end, int64_t first, int64_t step, int64_t count) {
  return end <= first ? 0 : smaller(count, step == 1 ? end - first : divide_up(end - first, step));
}

// The part of a plane that one image fills: out[j * columns + s] = source row (first_row + j * row_step), column
// (first_column + s * column_step); rows from top to bottom - 1 and columns from left to right - 1 lie in the source.
struct Rectangle {
  int64_t first_row, row_step, rows, first_column, column_step, columns, width;
  int64_t top, bottom, left, right;
  Rectangle(const Axis& h, int64_t first_row, int64_t rows, const Axis& w, int64_t first_column, int64_t columns)
      : first_row(first_row), row_step(h.step), rows(rows), first_column(first_column), column_step(w.step),
        columns(columns), width(w.source), top(count_below(0, first_row, row_step, rows)),
        bottom(larger(top, count_below(h.source, first_row, row_step, rows))),
        left(count_below(0, first_column, column_step, columns)),
        right(larger(left, count_below(w.source, first_column, column_step, columns))) {}
};

template <class T> void pack_rectangle(const T* source, const Rectangle& r, T* out) {
  constexpr int L = LANES<T>;
  const T* const origin = source + r.first_row * r.width + r.first_column;
  const int64_t pitch = r.row_step * r.width;
  // The last vector of each row first: what it spills into the next row, an earlier vector overwrites.
  for (int64_t s = (r.columns - 1) / L * L; s >= 0; s -= L) {
    const int64_t from = clamp(r.left - s, L), to = clamp(r.right - s, L);
    T* o = out + s;
    int64_t j = 0;
    for (; j < r.top; j++, o += r.columns) store<T>(o, Vec<T>{});
    if (r.column_step == 1) {
      const T* in = origin + r.top * pitch + s;
      for (; j < r.bottom; j++, o += r.columns, in += pitch) store<T>(o, load_between(in, from, to));
    } else {
      const T* in = origin + r.top * pitch + s * r.column_step;
      for (; j < r.bottom; j++, o += r.columns, in += pitch) {
        Vec<T> v = {};
        for (int64_t i = from; i < to; i++) v[i] = in[i * r.column_step];
        store<T>(o, v);
      }
    }
    for (; j < r.rows; j++, o += r.columns) store<T>(o, Vec<T>{});
  }
}

// All planes of `channels` channels, from `source` (the first of them in image strip.image; images are `image_pitch`
// apart). Plane (channel, class, column tap) lies at ((channel * classes + class) * column taps + tap) * p.size.
template <class T> void pack_planes(const T* source, int64_t image_pitch, int64_t channels, const Planes& p,
                                    const Axis& h, const Axis& w, const Strip& strip, T* out) {
  const RowTaps rows(p, h);
  for (int64_t c = 0; c < channels; c++)
    for (int64_t cls = 0; cls < rows.classes; cls++)
      for (int64_t tap = 0; tap < w.taps; tap++, out += p.size) {
        const int64_t plane_rows = strip.rows + (rows.members(cls) - 1) * (p.joined ? 0 : rows.shift);
        const Rectangle r(h, h.first + rows.lowest(cls) * h.delta + strip.row * h.step, plane_rows, w,
                          w.first + tap * w.delta + strip.column * w.step, strip.columns);
        for (int64_t n = 0; n < strip.images; n++)
          pack_rectangle<T>(source + n * image_pitch + c * h.source * w.source, r,
                            out + n * plane_rows * strip.columns);
      }
}

}  // namespace cortex::CORTEX_ISA
