// Teams: the threads that share a row or a tile; on the CPU a single one.
#pragma once

namespace cx {

constexpr int TEAM_SCRATCH = 64;  // 8-byte words: 32 warps x 16 bytes

#if CX_GPU

constexpr int TILE_COLUMNS = 32, COLUMN_LANES = 8;
constexpr int TEAM_COLUMNS = 1;  // columns of 32 that a member of a team of one warp has
#ifdef CX_EMULATOR
constexpr int TILE_SIDE = 8;  // fewer threads, the same code
#else
constexpr int TILE_SIDE = 16;
#endif

template <class V> CX_FN V exchange(V v, int mask) { return __shfl_xor_sync(0xffffffffu, v, mask); }
template <class V> CX_FN Best<V> exchange(Best<V> v, int mask) {
  return Best<V>{exchange(v.value, mask), exchange(v.at, mask)};
}

struct Add { template <class V> CX_FN V operator()(V x, V y) const { return x + y; } };
struct Multiply { template <class V> CX_FN V operator()(V x, V y) const { return x * y; } };
struct Larger { template <class V> CX_FN V operator()(V x, V y) const { return maximum(x, y); } };
struct Smaller { template <class V> CX_FN V operator()(V x, V y) const { return minimum(x, y); } };
struct Better { template <class V> CX_FN V operator()(V x, V y) const { return better(x, y); } };

// The threads of a block along x: one warp (then a block may hold several teams along y), or several warps.
struct RowTeam {
  cx_u64* scratch;  // shared, TEAM_SCRATCH words
  CX_FN int lane() const { return threadIdx.x; }
  CX_FN int size() const { return blockDim.x; }
  CX_FN bool leads() const { return threadIdx.x == 0; }
  // Every thread gets the result; the order is fixed, and as the operations commute it is the same for all.
  template <class V, class Operation> CX_FN V reduce(V v, Operation operation) const {
    CX_UNROLL
    for (int mask = 16; mask; mask >>= 1) v = operation(v, exchange(v, mask));
    const int warps = blockDim.x >> 5;
    if (warps == 1) return v;
    V* results = reinterpret_cast<V*>(scratch);
    __syncthreads();  // reuse barrier: the last reduction may still be reading
    if ((threadIdx.x & 31) == 0) results[threadIdx.x >> 5] = v;
    __syncthreads();
    v = results[0];
    for (int warp = 1; warp < warps; ++warp) v = operation(v, results[warp]);
    return v;
  }
  template <class V> CX_FN V sum(V v) const { return reduce(v, Add()); }
  template <class V> CX_FN V product(V v) const { return reduce(v, Multiply()); }
  template <class V> CX_FN V max(V v) const { return reduce(v, Larger()); }
  template <class V> CX_FN V min(V v) const { return reduce(v, Smaller()); }
  template <class V> CX_FN Best<V> best(Best<V> v) const { return reduce(v, Better()); }
  CX_FN cx_u32 ballot(bool vote) const { return __ballot_sync(0xffffffffu, vote); }  // of a team of one warp
};

// The threads of a block along y: 8 of them share a column, 32 neighbouring columns share a block.
template <class Index> struct ColumnTeam {
  cx_u64* scratch;  // shared, TILE_COLUMNS * COLUMN_LANES * 2 words
  Index column, part, start, stop;
  bool valid;
  CX_FN Index first() const { return start + (Index)threadIdx.y; }
  CX_FN Index last() const { return stop; }
  CX_FN Index step() const { return COLUMN_LANES; }
  CX_FN bool leads() const { return valid && threadIdx.y == 0; }
  template <class V, class Operation> CX_FN V reduce(V v, Operation operation) const {
    V* results = reinterpret_cast<V*>(scratch);
    __syncthreads();  // reuse barrier
    results[threadIdx.y * TILE_COLUMNS + threadIdx.x] = v;
    __syncthreads();
    v = results[threadIdx.x];
    CX_UNROLL
    for (int lane = 1; lane < COLUMN_LANES; ++lane) v = operation(v, results[lane * TILE_COLUMNS + threadIdx.x]);
    return v;
  }
  template <class V> CX_FN V sum(V v) const { return reduce(v, Add()); }
  template <class V> CX_FN V product(V v) const { return reduce(v, Multiply()); }
  template <class V> CX_FN V max(V v) const { return reduce(v, Larger()); }
  template <class V> CX_FN V min(V v) const { return reduce(v, Smaller()); }
  template <class V> CX_FN Best<V> best(Best<V> v) const { return reduce(v, Better()); }
};

struct TileTeam {
  CX_FN int lane() const { return threadIdx.x; }
  CX_FN void barrier() const { __syncthreads(); }
};

#ifdef CX_EMULATOR
CX_FN int count_leading(cx_u32 bits) { return __builtin_clz(bits); }
#else
CX_FN int count_leading(cx_u32 bits) { return __clz((int)bits); }
#endif

// The lowest position wins, whichever thread comes first; an error cell without an error holds -1.
CX_FN void report(cx_i64* error, cx_i64 position) {
  atomicMin(reinterpret_cast<cx_u64*>(error), (cx_u64)position);
}
CX_FN int lowest_bit(cx_u32 bits) { return 31 - count_leading(bits & (0u - bits)); }

#else

constexpr int TILE_SIDE = 1, TILE_COLUMNS = 1, TEAM_COLUMNS = 32;

struct RowTeam {
  CX_FN int lane() const { return 0; }
  CX_FN int size() const { return 1; }
  CX_FN bool leads() const { return true; }
  template <class V> CX_FN V sum(V v) const { return v; }
  template <class V> CX_FN V product(V v) const { return v; }
  template <class V> CX_FN V max(V v) const { return v; }
  template <class V> CX_FN V min(V v) const { return v; }
  template <class V> CX_FN Best<V> best(Best<V> v) const { return v; }
  CX_FN cx_u32 ballot(bool vote) const { return vote; }
};

template <class Index> struct ColumnTeam : RowTeam {
  Index column, part, start, stop;
  CX_FN ColumnTeam(Index column, Index part, Index start, Index stop)
      : column(column), part(part), start(start), stop(stop) {}
  CX_FN Index first() const { return start; }
  CX_FN Index last() const { return stop; }
  CX_FN Index step() const { return 1; }
};

struct TileTeam {
  CX_FN int lane() const { return 0; }
  CX_FN void barrier() const {}
};

CX_FN void report(cx_i64* error, cx_i64 position) {
  if ((cx_u64)position < (cx_u64)*error) *error = position;
}
CX_FN int lowest_bit(cx_u32) { return 0; }

#endif

constexpr int TILE_THREADS = TILE_SIDE * TILE_SIDE;

// Rows start .. stop of part `part` of `parts`.
template <class Index> CX_FN Index part_size(Index count, Index parts) { return (count + parts - 1) / parts; }
template <class Index> CX_FN Index least(Index x, Index y) { return x < y ? x : y; }
// Elements of part `part` of `count` cut into parts of `size`.
template <class Index> CX_FN Index part_count(Index part, Index size, Index count) {
  return part * size >= count ? Index(0) : least<Index>(size, count - part * size);
}

}  // namespace cx
