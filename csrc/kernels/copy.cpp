// Moving elements: Slice, Transpose, the inside of Pad, the pieces of Concatenate, broadcasting.
//
//   copy_bN   out[i * out_strides] = in[i * in_strides] for all indices i of shape; N bytes an element (1, 2, 4, 8)
//             buffers   out, in: the addresses of element (0, ..., 0)
//             integers  rank (<= 8), shape[rank], out_strides[rank], in_strides[rank], in elements; an in_stride may be
//                       0 (broadcast) or negative
//             unit      one index of axis 0 (rank 0: one unit); a grain of 16 or more keeps transposes fast
//   fill_bN   out[i * out_strides] = value
//             buffers   out
//             integers  bits of the value, rank, shape[rank], out_strides[rank]
//             unit      as for copy
//   nothing   measures what an instruction costs
//
// Out and in must not overlap. Axes are reordered by the output's stride and merged where both sides allow, so runs are
// as long as they can be: a memcpy, a fill or, where the input is contiguous along another axis, a transpose of
// register tiles.
#include <cstring>

#include "registry.h"
#include "simd.h"

namespace cortex::CORTEX_ISA {
namespace {

constexpr int MAX_RANK = 8;
constexpr int64_t SHORT_RUN = 32;  // bytes; below, a loop beats the call of memcpy

int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

struct Axis {
  int64_t extent, out, in;
};

struct Region {
  int rank = 0;
  Axis axes[MAX_RANK];

  // From the outermost axis in; keeps the order of output strides, drops extents of 1.
  void insert(Axis axis) {
    if (axis.extent == 1) return;
    int at = rank++;
    for (; at > 0 && axes[at - 1].out < axis.out; at--) axes[at] = axes[at - 1];
    axes[at] = axis;
  }
  void merge() {
    int kept = 0;
    for (int i = 1; i < rank; i++) {
      Axis& outer = axes[kept];
      const Axis& inner = axes[i];
      if (outer.out == inner.out * inner.extent && outer.in == inner.in * inner.extent)
        outer = {outer.extent * inner.extent, inner.out, inner.in};
      else
        axes[++kept] = inner;
    }
    if (rank) rank = kept + 1;
  }
  void remove(int axis) {
    for (rank--; axis < rank; axis++) axes[axis] = axes[axis + 1];
  }
};

// Calls body(out, in) at every index of the region.
template <class T, class Body>
void each(const Region& region, T* out, const T* in, Body body) {
  int64_t index[MAX_RANK] = {};
  for (;;) {
    body(out, in);
    int axis = region.rank - 1;
    for (; axis >= 0; axis--) {
      const Axis& along = region.axes[axis];
      out += along.out;
      in += along.in;
      if (++index[axis] < along.extent) break;
      out -= along.out * along.extent;
      in -= along.in * along.extent;
      index[axis] = 0;
    }
    if (axis < 0) return;
  }
}

template <class T>
void copy_line(T* __restrict out, const T* __restrict in, Axis line) {
  if (line.in == 0) {
    const T value = *in;
    for (int64_t i = 0; i < line.extent; i++) out[i * line.out] = value;
  } else if (line.out == 1) {
    for (int64_t i = 0; i < line.extent; i++) out[i] = in[i * line.in];
  } else {
    for (int64_t i = 0; i < line.extent; i++) out[i * line.out] = in[i * line.in];
  }
}

// A tile of SIDE x SIDE elements in registers: rows from memory `step` apart, transposed, to memory `step` apart.
template <class T> struct Bits;
template <> struct Bits<uint32_t> { typedef float Type; };  // float and double stand for the bits
template <> struct Bits<uint64_t> { typedef double Type; };

template <class T>
struct Tile {
  typedef typename Bits<T>::Type F;
  static constexpr int SIDE = LANES<F>;
  static void transpose_full(T* out, int64_t out_step, const T* in, int64_t in_step) {
    Vec<F> rows[SIDE];
#pragma GCC unroll 16
    for (int i = 0; i < SIDE; i++) rows[i] = load(reinterpret_cast<const F*>(in) + i * in_step);
    transpose<F>(rows);
#pragma GCC unroll 16
    for (int i = 0; i < SIDE; i++) store(reinterpret_cast<F*>(out) + i * out_step, rows[i]);
  }
  static void transpose_part(T* out, int64_t out_step, const T* in, int64_t in_step, int64_t height, int64_t width) {
    Vec<F> rows[SIDE];
#pragma GCC unroll 16
    for (int i = 0; i < SIDE; i++)
      rows[i] = i < width ? load_part(reinterpret_cast<const F*>(in) + i * in_step, height) : Vec<F>{};
    transpose<F>(rows);
#pragma GCC unroll 16
    for (int i = 0; i < SIDE; i++)
      if (i < height) store_part<F>(reinterpret_cast<F*>(out) + i * out_step, rows[i], width);
  }
};

// Bytes and pairs of bytes: log2(SIDE) rounds that interleave row i with row i + SIDE / 2, one punpck instruction each.
template <class T>
struct NarrowTile {
  static constexpr int SIDE = 16 / sizeof(T);
  typedef T Row __attribute__((vector_size(16)));
  typedef T UnalignedRow __attribute__((vector_size(16), aligned(1), may_alias));

  template <int... I> static Row low(Row a, Row b, Lanes<I...>) {
    return __builtin_shufflevector(a, b, (I / 2 + I % 2 * SIDE)...);
  }
  template <int... I> static Row high(Row a, Row b, Lanes<I...>) {
    return __builtin_shufflevector(a, b, (SIDE / 2 + I / 2 + I % 2 * SIDE)...);
  }
  static void transpose_full(T* out, int64_t out_step, const T* in, int64_t in_step) {
    typedef typename CountLanes<SIDE>::type All;
    Row rows[SIDE], next[SIDE];
#pragma GCC unroll 16
    for (int i = 0; i < SIDE; i++) rows[i] = *reinterpret_cast<const UnalignedRow*>(in + i * in_step);
#pragma GCC unroll 4
    for (int round = 1; round < SIDE; round *= 2) {
#pragma GCC unroll 8
      for (int i = 0; i < SIDE / 2; i++) {
        next[2 * i] = low(rows[i], rows[i + SIDE / 2], All());
        next[2 * i + 1] = high(rows[i], rows[i + SIDE / 2], All());
      }
#pragma GCC unroll 16
      for (int i = 0; i < SIDE; i++) rows[i] = next[i];
    }
#pragma GCC unroll 16
    for (int i = 0; i < SIDE; i++) *reinterpret_cast<UnalignedRow*>(out + i * out_step) = rows[i];
  }
  static void transpose_part(T* out, int64_t out_step, const T* in, int64_t in_step, int64_t height, int64_t width) {
    for (int64_t r = 0; r < height; r++)
      for (int64_t c = 0; c < width; c++) out[r * out_step + c] = in[r + c * in_step];
  }
};
template <> struct Tile<uint8_t> : NarrowTile<uint8_t> {};
template <> struct Tile<uint16_t> : NarrowTile<uint16_t> {};

// out[r * down.out + c] = in[r + c * along.in]: the rows r (axis `down`) are contiguous in the input, the columns c
// (axis `along`) in the output. Blocks of BLOCK x BLOCK keep the pages they touch in the TLB.
template <class T>
void transpose_plane(T* out, const T* in, Axis down, Axis along) {
  constexpr int64_t SIDE = Tile<T>::SIDE, BLOCK = 256;
  for (int64_t r0 = 0; r0 < down.extent; r0 += BLOCK)
    for (int64_t c0 = 0; c0 < along.extent; c0 += BLOCK)
      for (int64_t r = r0; r < least(r0 + BLOCK, down.extent); r += SIDE)
        for (int64_t c = c0; c < least(c0 + BLOCK, along.extent); c += SIDE) {
          const int64_t height = least(SIDE, down.extent - r), width = least(SIDE, along.extent - c);
          T* to = out + r * down.out + c;
          const T* from = in + r + c * along.in;
          if (height == SIDE && width == SIDE) Tile<T>::transpose_full(to, down.out, from, along.in);
          else Tile<T>::transpose_part(to, down.out, from, along.in, height, width);
        }
}

template <class T>
void copy_region(Region& region, T* out, const T* in) {
  for (int i = 0; i < region.rank; i++)
    if (region.axes[i].extent == 0) return;
  region.merge();
  if (region.rank == 0) {
    *out = *in;
    return;
  }
  const Axis line = region.axes[region.rank - 1];
  region.rank--;
  if (line.out == 1 && line.in == 1) {
    const int64_t bytes = line.extent * int64_t(sizeof(T));
    if (bytes >= SHORT_RUN)
      return each(region, out, in, [=](T* to, const T* from) { memcpy(to, from, size_t(bytes)); });
  }
  int down = region.rank - 1;
  while (down >= 0 && region.axes[down].in != 1) down--;
  if (down >= 0 && line.out == 1 && line.in != 0 && line.in != 1) {
    const Axis rows = region.axes[down];
    region.remove(down);
    return each(region, out, in, [=](T* to, const T* from) { transpose_plane(to, from, rows, line); });
  }
  each(region, out, in, [=](T* to, const T* from) { copy_line(to, from, line); });
}

template <class T>
void copy(const Call& call, int64_t start, int64_t stop) {
  const int rank = int(call.integer[0]);
  const int64_t *shape = call.integer + 1, *out_strides = shape + rank, *in_strides = out_strides + rank;
  T* out = static_cast<T*>(call.buffer[0]);
  const T* in = static_cast<const T*>(call.buffer[1]);
  Region region;
  for (int i = 0; i < rank; i++) region.insert({i ? shape[i] : stop - start, out_strides[i], in_strides[i]});
  if (rank) out += start * out_strides[0], in += start * in_strides[0];
  copy_region(region, out, in);
}

template <class T>
void fill(const Call& call, int64_t start, int64_t stop) {
  const T value = T(call.integer[0]);
  const int rank = int(call.integer[1]);
  const int64_t *shape = call.integer + 2, *strides = shape + rank;
  T* out = static_cast<T*>(call.buffer[0]);
  Region region;
  for (int i = 0; i < rank; i++) region.insert({i ? shape[i] : stop - start, strides[i], 0});
  if (rank) out += start * strides[0];
  copy_region(region, out, &value);
}

void nothing(const Call&, int64_t, int64_t) {}

}  // namespace
}  // namespace cortex::CORTEX_ISA

CORTEX_KERNELS(copy, {"copy_b1", copy<uint8_t>}, {"copy_b2", copy<uint16_t>}, {"copy_b4", copy<uint32_t>},
               {"copy_b8", copy<uint64_t>}, {"fill_b1", fill<uint8_t>}, {"fill_b2", fill<uint16_t>},
               {"fill_b4", fill<uint32_t>}, {"fill_b8", fill<uint64_t>}, {"nothing", nothing})
