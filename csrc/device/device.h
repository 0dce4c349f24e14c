// One kernel source, three builds: CUDA (NVRTC at run time, nvcc in tests), the CPU (g++), and the block emulator
// (g++ compiles the CUDA branch, tests). A unit is one element type: before this file come
//
//   CX_STORAGE, CX_ARITHMETIC, CX_RESULT, CX_INDEX   the types T (in memory), A (computed), R (of sums) and I (indices)
//
// and after it the kernels, each in one of these forms (launch.py has the geometry of each):
//
//   CX_EACH(name, (parameters), count) { body uses i } CX_END              one item per i, grid-stride
//   CX_ROWS(name, (parameters), rows, width) { row, team } CX_END          a team walks a row of `width` elements
//   CX_WARPS(name, (parameters), rows) { row, team } CX_END                the same, the team is always one warp
//   CX_COLUMNS(name, (parameters), columns, count, parts) { team } CX_END  tiles of 32 columns x parts of the rows
//   CX_TILES(name, (parameters), tiles) { tile, team } CX_END              a block of fixed size with shared memory
//
// On the CPU a team has one member and a kernel is called with `void** arguments`, as cuLaunchKernel is.
#pragma once

#if defined(__CUDACC__) || defined(__CUDACC_RTC__) || defined(CX_EMULATOR)
#define CX_GPU 1
#else
#define CX_GPU 0
#endif

#if defined(__CUDACC_RTC__)  // NVRTC has no standard headers
typedef unsigned char cx_u8;
typedef unsigned short cx_u16;
typedef unsigned int cx_u32;
#else
#include <cmath>
#include <cstdint>
#include <cstring>
typedef uint8_t cx_u8;
typedef uint16_t cx_u16;
typedef uint32_t cx_u32;
#endif
typedef unsigned long long cx_u64;
typedef long long cx_i64;
struct alignas(16) cx_u128 { cx_u64 low, high; };

#if CX_GPU && !defined(CX_EMULATOR)
#define CX_FN __device__ __forceinline__
#else
#define CX_FN inline __attribute__((always_inline))
#endif
#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
#define CX_UNROLL _Pragma("unroll")
#else
#define CX_UNROLL
#endif

#include "half.h"
#include "scalar.h"

typedef CX_STORAGE T;
typedef CX_ARITHMETIC A;
typedef CX_RESULT R;
typedef CX_INDEX I;

// `W` neighbours that are read or written at once: 16 bytes where they are that many and aligned.
template <class V, int W> struct alignas(sizeof(V) * W < 16 ? sizeof(V) * W : 16) cx_pack { V at[W]; };

#ifdef CX_EMULATOR
#include "emulator.h"
#endif
#include "teams.h"
#include "drivers.h"
