#include "executor.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <new>
#include <stdexcept>
#include <utility>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include "float_flags.h"
#include "pool.h"

namespace cortex {
namespace {

constexpr int64_t LINE = 64;        // the scratch of two threads shares no cache line
constexpr int64_t HUGE_PAGE = 2 << 20;  // see compute/pages.py: from half of one on, scratch lies in large pages

int64_t alignment_of(int64_t size) { return size < HUGE_PAGE / 2 ? LINE : HUGE_PAGE; }

void* allocate(int64_t size) {
  void* block = std::aligned_alloc(size_t(alignment_of(size)), size_t(size));
#ifdef MADV_HUGEPAGE
  if (block && size >= HUGE_PAGE) madvise(block, size_t(size), MADV_HUGEPAGE);  // may be refused: then they are small
#endif
  return block;
}

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

struct Executor::Running {
  std::atomic<bool>& flag;
  explicit Running(std::atomic<bool>& running) : flag(running) {
    if (flag.exchange(true, std::memory_order_acquire))
      throw std::runtime_error(
          "this executor is running, in another thread or around this callback: wait for the end of that run before "
          "you run or change it, or build a second executor");
  }
  ~Running() { flag.store(false, std::memory_order_release); }
};

void Executor::Free::operator()(void* block) const { std::free(block); }

void Executor::reserve_scratch(int threads, int64_t size) {
  if (threads <= int(scratch_.size()) && size <= scratch_size_) return;
  if (size > scratch_size_) {
    scratch_.clear();
    const int64_t alignment = alignment_of(size);
    scratch_size_ = (size + alignment - 1) / alignment * alignment;
  }
  while (int(scratch_.size()) < threads) {
    void* block = scratch_size_ ? allocate(scratch_size_) : nullptr;
    if (scratch_size_ && !block) {
      scratch_.clear();
      scratch_size_ = 0;
      throw std::bad_alloc();
    }
    scratch_.emplace_back(block);
  }
}

int64_t Executor::add(Instruction instruction) {
  Running running(running_);
  reserve_scratch(num_threads(), instruction.scratch);
  instructions_.push_back(std::move(instruction));
  return int64_t(instructions_.size()) - 1;
}

Instruction& Executor::at(const char* operation, int64_t instruction) {
  const int64_t count = int64_t(instructions_.size());
  if (instruction < 0 || instruction >= count)
    throw std::out_of_range(std::string(operation) + ": no instruction " + std::to_string(instruction) + ", there are " +
                            std::to_string(count));
  return instructions_[size_t(instruction)];
}

void Executor::set_buffer(int64_t instruction, int64_t operand, void* address) {
  Running running(running_);
  Instruction& target = at("set_buffer", instruction);
  const int64_t operands = int64_t(target.buffers.size());
  if (operand < 0 || operand >= operands)
    throw std::out_of_range("set_buffer: instruction " + std::to_string(instruction) + " (" + target.name +
                            ") has no operand " + std::to_string(operand) + ", it has " + std::to_string(operands));
  target.buffers[size_t(operand)] = address;
}

void Executor::set_stretches(int64_t instruction, std::vector<int64_t> stretches) {
  Running running(running_);
  Instruction& target = at("set_stretches", instruction);
  std::vector<std::pair<int64_t, int64_t>> sorted;
  for (size_t i = 0; i + 1 < stretches.size(); i += 2) sorted.emplace_back(stretches[i], stretches[i + 1]);
  std::sort(sorted.begin(), sorted.end());
  bool good = stretches.size() % 2 == 0;
  int64_t covered = 0;
  for (const auto& [first, end] : sorted) {
    good = good && first == covered && first < end;
    covered = end;
  }
  if (!good || covered != target.units)
    throw std::invalid_argument("set_stretches: expected pairs of first and end that cover the " +
                                std::to_string(target.units) + " units of " + target.name + " once, given " +
                                std::to_string(stretches.size()) + " numbers that do not");
  target.stretches = std::move(stretches);
}

struct Executor::Part {
  const Instruction& instruction;
  const std::vector<Block>& scratch;
};

void Executor::run_part(const void* part, int thread, int64_t start, int64_t stop) {
  const Instruction& one = static_cast<const Part*>(part)->instruction;
  void* const* buffers = one.buffers.data();
  void* scratch = static_cast<const Part*>(part)->scratch[size_t(thread)].get();
  const auto call = [&](int64_t first, int64_t end) {
    if (one.function) one.function(buffers, one.integers.data(), one.reals.data(), first, end);
    else one.kernel({buffers, one.integers.data(), one.reals.data(), scratch}, first, end);
  };
  const std::vector<int64_t>& stretches = one.stretches;
  if (stretches.empty()) return call(start, stop);
  for (size_t i = size_t(2 * start); i < size_t(2 * stop); i += 2) call(stretches[i], stretches[i + 1]);
}

void Executor::run(double* seconds) {
  Running running(running_);
  const int threads = num_threads();
  reserve_scratch(threads, scratch_size_);
  const FlagsWhile flags(denormals_ ? float_flags() : float_flags() | FLUSH);
  double last = seconds ? now() : 0;
  for (const Instruction& instruction : instructions_) {
    if (instruction.callback) {
      const FlagsWhile callers(flags.before());
      instruction.callback(instruction.context);
    } else {
      const Part part{instruction, scratch_};
      const int64_t stretches = int64_t(instruction.stretches.size() / 2);
      parallel(run_part, &part, stretches ? stretches : instruction.units, stretches ? 1 : instruction.grain, threads);
    }
    if (!seconds) continue;
    const double time = now();
    *seconds++ = time - last;
    last = time;
  }
}

}  // namespace cortex
