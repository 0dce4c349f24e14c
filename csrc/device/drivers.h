// The forms of kernels (see device.h): what a body runs in on the GPU, in the emulator and on the CPU.
#pragma once

#if CX_GPU && !defined(CX_EMULATOR)
#define CX_ENTRY(NAME, PARAMETERS, THREADS) extern "C" __global__ void __launch_bounds__(THREADS) NAME PARAMETERS
#else
#include <utility>
namespace cx {
template <class... P, std::size_t... K>
void call(void (*kernel)(P...), void** arguments, std::index_sequence<K...>) {
  kernel(*static_cast<P*>(arguments[K])...);
}
template <class... P> void call(void (*kernel)(P...), void** arguments) {
  call(kernel, arguments, std::index_sequence_for<P...>());
}
}  // namespace cx
#ifdef CX_EMULATOR
#define CX_ENTRY(NAME, PARAMETERS, THREADS)                                      \
  static void NAME##_kernel PARAMETERS;                                          \
  extern "C" void NAME(const unsigned* launch, void** arguments) {               \
    emulator::run(launch, [=] { cx::call(NAME##_kernel, arguments); });          \
  }                                                                              \
  static void NAME##_kernel PARAMETERS
#else
#define CX_ENTRY(NAME, PARAMETERS, THREADS)                                                   \
  static void NAME##_kernel PARAMETERS;                                                       \
  extern "C" void NAME(void** arguments) { cx::call(NAME##_kernel, arguments); }              \
  static void NAME##_kernel PARAMETERS
#endif
#endif

#if CX_GPU
#define CX_SHARED __shared__
// What follows the count runs once per thread, before its items.
#define CX_EACH_WITH(NAME, PARAMETERS, COUNT, ...)                                             \
  CX_ENTRY(NAME, PARAMETERS, 256) {                                                            \
    __VA_ARGS__                                                                                \
    const I count_ = (COUNT), stride_ = (I)gridDim.x * (I)blockDim.x;                          \
    for (I i = (I)blockIdx.x * (I)blockDim.x + (I)threadIdx.x; i < count_; i += stride_)
#define CX_ROWS(NAME, PARAMETERS, ROWS, WIDTH)                                                 \
  CX_ENTRY(NAME, PARAMETERS, 512) {                                                            \
    CX_SHARED cx_u64 scratch_[cx::TEAM_SCRATCH];                                               \
    const cx::RowTeam team{scratch_};                                                          \
    const I count_ = (ROWS), stride_ = (I)gridDim.x * (I)blockDim.y;                           \
    for (I row = (I)blockIdx.x * (I)blockDim.y + (I)threadIdx.y; row < count_; row += stride_)
#define CX_COLUMNS(NAME, PARAMETERS, COLUMNS, COUNT, PARTS)                                    \
  CX_ENTRY(NAME, PARAMETERS, 256) {                                                            \
    CX_SHARED cx_u64 scratch_[cx::TILE_COLUMNS * cx::COLUMN_LANES * 2];                        \
    const I columns_ = (COLUMNS), parts_ = (PARTS), size_ = cx::part_size<I>((COUNT), parts_); \
    const I tiles_ = cx::part_size<I>(columns_, cx::TILE_COLUMNS);                             \
    for (I part_ = blockIdx.y; part_ < parts_; part_ += gridDim.y)                             \
      for (I tile_ = blockIdx.x; tile_ < tiles_; tile_ += gridDim.x)                           \
        if (const cx::ColumnTeam<I> team = cx::column_team<I>(                                 \
                scratch_, tile_ * cx::TILE_COLUMNS + (I)threadIdx.x, columns_, part_, size_, (COUNT)); \
            true)
#define CX_TILES(NAME, PARAMETERS, TILES)                                                      \
  CX_ENTRY(NAME, PARAMETERS, 256) {                                                            \
    const cx::TileTeam team{};                                                                 \
    const I count_ = (TILES);                                                                  \
    for (I tile = blockIdx.x; tile < count_; tile += gridDim.x)
namespace cx {
// A thread beyond the last column works on it with no rows: it must reach the barriers.
template <class Index>
CX_FN ColumnTeam<Index> column_team(cx_u64* scratch, Index column, Index columns, Index part, Index size, Index count) {
  const bool valid = column < columns;
  const Index start = least<Index>(part * size, count);
  return ColumnTeam<Index>{scratch, valid ? column : columns - 1, part, start,
                           valid ? least<Index>(start + size, count) : start, valid};
}
}  // namespace cx
#else
#define CX_SHARED
#define CX_EACH_WITH(NAME, PARAMETERS, COUNT, ...) \
  CX_ENTRY(NAME, PARAMETERS, 1) {                  \
    __VA_ARGS__                                    \
    const I count_ = (COUNT);                      \
    for (I i = 0; i < count_; ++i)
#define CX_ROWS(NAME, PARAMETERS, ROWS, WIDTH) \
  CX_ENTRY(NAME, PARAMETERS, 1) {              \
    const cx::RowTeam team;                    \
    const I count_ = (ROWS);                   \
    for (I row = 0; row < count_; ++row)
#define CX_COLUMNS(NAME, PARAMETERS, COLUMNS, COUNT, PARTS)                                              \
  CX_ENTRY(NAME, PARAMETERS, 1) {                                                                        \
    const I columns_ = (COLUMNS), parts_ = (PARTS), rows_ = (COUNT), size_ = cx::part_size<I>(rows_, parts_); \
    for (I part_ = 0; part_ < parts_; ++part_)                                                           \
      for (I column_ = 0; column_ < columns_; ++column_)                                                 \
        if (const cx::ColumnTeam<I> team(column_, part_, cx::least<I>(part_ * size_, rows_),             \
                                         cx::least<I>(part_ * size_ + size_, rows_));                    \
            true)
#define CX_TILES(NAME, PARAMETERS, TILES) \
  CX_ENTRY(NAME, PARAMETERS, 1) {         \
    const cx::TileTeam team{};            \
    const I count_ = (TILES);             \
    for (I tile = 0; tile < count_; ++tile)
#endif
#define CX_EACH(NAME, PARAMETERS, COUNT) CX_EACH_WITH(NAME, PARAMETERS, COUNT, )
#define CX_WARPS(NAME, PARAMETERS, ROWS) CX_ROWS(NAME, PARAMETERS, ROWS, 32)
#define CX_END }
// The element types for which a file makes sense; read by source.py.
#define CX_DTYPES(...)
