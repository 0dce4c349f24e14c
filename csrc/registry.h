// Which kernels exist, and which copy of them this processor runs.
//
// A family is one file csrc/kernels/NAME.cpp. CMake compiles it once per instruction set with CORTEX_ISA set to
// isa_base, isa_avx2 or isa_avx512; everything in it lives in namespace cortex::CORTEX_ISA, uses no STL and has no
// static initialiser that runs code (the linker keeps ONE copy of a shared inline function: it might be the AVX-512
// one). The file ends with its table:
//
//   CORTEX_KERNELS(copy, {"copy_b1", copy<uint8_t>}, {"copy_b4", copy<uint32_t>})
#pragma once
#include "kernel.h"

// Each kernel's header comment gives its operands (outputs first, then inputs), its integers and its unit.
#define CORTEX_KERNELS(family, ...)                                              \
  namespace cortex {                                                             \
  namespace CORTEX_ISA {                                                         \
  extern const Registered family##_kernels[];                                    \
  extern const int family##_count;                                               \
  const Registered family##_kernels[] = {__VA_ARGS__};                           \
  const int family##_count = int(sizeof(family##_kernels) / sizeof(Registered)); \
  }                                                                              \
  }

namespace cortex {

enum Isa : int { ISA_BASE, ISA_AVX2, ISA_AVX512, ISA_COUNT };

const char* isa_name(Isa isa);     // "base", "avx2", "avx512"
bool isa_available(Isa isa);       // compiled in, and this processor can run it
Isa current_isa();                 // the best one; the variable CORTEX_ISA and set_isa lower it; std::invalid_argument
bool set_isa(Isa isa);             // for instructions added from now on; false: not available

Kernel* find_kernel(const char* name, Isa isa);  // nullptr: no such kernel
int kernel_count();
const char* kernel_name(int index);  // names are the same for every instruction set

}  // namespace cortex
