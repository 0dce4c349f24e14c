// A program as the CPU runs it: a flat list of instructions, one call for all of them.
#pragma once
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "kernel.h"

namespace cortex {

// Exactly one of `kernel`, `function` and `callback` is set. A callback runs once, on the calling thread.
struct Instruction {
  std::string name;
  Kernel* kernel = nullptr;
  Function* function = nullptr;
  void (*callback)(void* context) = nullptr;  // may throw: the run stops there
  void* context = nullptr;
  std::vector<void*> buffers;
  std::vector<int64_t> integers;
  std::vector<double> reals;
  int64_t units = 1, grain = 1, scratch = 0;
  std::vector<int64_t> stretches;  // set_stretches
};

// Instructions run in order, each over all threads, with a barrier after it. Owns the scratch memory: one block per
// thread, as large as the neediest instruction asks; it grows in add() or, after the number of threads was raised, at
// the start of the next run. Otherwise run() allocates nothing.
//
// Denormal numbers count as zero unless `denormals`: what is never updated again keeps a first moment of 1e-44 for ever,
// and an update with a fifth of such numbers took 40 cycles a vector instead of 16 (Zen 4). Callbacks run under the flags
// of the caller.
//
// One run at a time: whatever would run or change an executor that is running throws std::runtime_error. Several
// executors may run at once from several threads.
class Executor {
 public:
  explicit Executor(bool denormals = true) : denormals_(denormals) {}
  int64_t add(Instruction instruction);                                  // its index
  void set_buffer(int64_t instruction, int64_t operand, void* address);  // std::out_of_range
  // Hands units out by stretches [first, end), that cover all units once, in their order here: what a thread begins with
  // is then what it wrote last, where that is no plain part of the whole. std::invalid_argument.
  void set_stretches(int64_t instruction, std::vector<int64_t> stretches);
  void run(double* seconds = nullptr);  // seconds: wall clock of each instruction
  const std::vector<Instruction>& instructions() const { return instructions_; }
  int64_t scratch_bytes() const { return scratch_size_ * int64_t(scratch_.size()); }

 private:
  struct Free {
    void operator()(void* block) const;
  };
  typedef std::unique_ptr<void, Free> Block;
  struct Part;
  struct Running;
  Instruction& at(const char* operation, int64_t instruction);
  static void run_part(const void* part, int thread, int64_t start, int64_t stop);
  void reserve_scratch(int threads, int64_t size);

  const bool denormals_;
  std::vector<Instruction> instructions_;
  std::vector<Block> scratch_;  // one per thread
  int64_t scratch_size_ = 0;    // bytes of each
  std::atomic<bool> running_{false};
};

}  // namespace cortex
