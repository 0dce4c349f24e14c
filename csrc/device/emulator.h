// Runs the CUDA branch on the CPU: one std::thread per CUDA thread, one block at a time, barriers for __syncthreads, an
// exchange buffer for shuffles. Under -fsanitize=thread a missing barrier is reported as a data race.
#pragma once
#include <algorithm>
#include <barrier>
#include <memory>
#include <thread>
#include <vector>

struct cx_dim3 { unsigned x, y, z; };
inline thread_local cx_dim3 threadIdx{0, 0, 0}, blockIdx{0, 0, 0};
inline cx_dim3 blockDim{1, 1, 1}, gridDim{1, 1, 1};
#define __shared__ static  // one block runs at a time, so a static variable is its shared memory

namespace emulator {

inline std::unique_ptr<std::barrier<>> block;
inline std::vector<std::unique_ptr<std::barrier<>>> warps;
inline cx_u64 shuffled[1024];

inline unsigned thread() { return threadIdx.y * blockDim.x + threadIdx.x; }

// launch = grid x, y, block x, y
template <class Kernel> void run(const unsigned* launch, Kernel kernel) {
  gridDim = {launch[0], launch[1], 1};
  blockDim = {launch[2], launch[3], 1};
  const unsigned threads = launch[2] * launch[3];
  block = std::make_unique<std::barrier<>>(threads);
  warps.clear();
  for (unsigned first = 0; first < threads; first += 32)
    warps.push_back(std::make_unique<std::barrier<>>(std::min(32u, threads - first)));
  for (unsigned b = 0; b < launch[0] * launch[1]; ++b) {
    std::vector<std::thread> running;
    for (unsigned t = 0; t < threads; ++t)
      running.emplace_back([=] {
        threadIdx = {t % launch[2], t / launch[2], 0};
        blockIdx = {b % launch[0], b / launch[0], 0};
        kernel();
      });
    for (std::thread& t : running) t.join();
  }
}

}  // namespace emulator

inline void __syncthreads() { emulator::block->arrive_and_wait(); }

template <class V> V __shfl_xor_sync(unsigned, V v, int mask) {
  const unsigned me = emulator::thread();
  std::barrier<>& warp = *emulator::warps[me >> 5];
  std::memcpy(&emulator::shuffled[me], &v, sizeof v);
  warp.arrive_and_wait();
  V other;
  std::memcpy(&other, &emulator::shuffled[me ^ (unsigned)mask], sizeof v);
  warp.arrive_and_wait();
  return other;
}

inline unsigned __ballot_sync(unsigned, bool vote) {
  const unsigned me = emulator::thread(), first = me & ~31u;
  std::barrier<>& warp = *emulator::warps[me >> 5];
  emulator::shuffled[me] = vote;
  warp.arrive_and_wait();
  unsigned bits = 0;
  for (unsigned lane = 0; lane < 32; ++lane) bits |= (unsigned)emulator::shuffled[first + lane] << lane;
  warp.arrive_and_wait();
  return bits;
}

inline void atomicMin(cx_u64* p, cx_u64 v) {
  cx_u64 known = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (v < known && !__atomic_compare_exchange_n(p, &known, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
}
