// What every kernel of the CPU engine looks like, and how it is registered.
//
// A program is a list of instructions; an instruction is a kernel, its operands and a number of work units. The
// executor hands ranges of units to the threads of one pool and puts a barrier after each instruction.
//
// The rule that makes runs reproducible: what a unit writes must not depend on how the units are split. A kernel never
// reduces across units; a long reduction is two instructions (partial sums over a fixed partition, then their sum).
#pragma once
#include <cstdint>

namespace cortex {

struct Call {
  void* const* buffer;     // addresses of the operands, in the order the kernel documents
  const int64_t* integer;  // sizes, strides, flags
  const double* real;      // scalars
  void* scratch;           // this thread's own scratch, 64-byte aligned, as many bytes as the instruction asked for
};

// Works on units [start, stop).
typedef void Kernel(const Call& call, int64_t start, int64_t stop);

// A function compiled elsewhere (Numba cfunc): same meaning, flat C arguments.
typedef void Function(void* const* buffer, const int64_t* integer, const double* real, int64_t start, int64_t stop);

struct Registered {
  const char* name;  // operation_dtype, e.g. "matmul_f32"
  Kernel* kernel;
};

}  // namespace cortex
