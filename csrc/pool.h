// One pool of threads for the whole process.
//
// Made at the first parallel call, never at import; a forked child starts a fresh one. The calling thread takes part.
// Each thread begins with its own stretch of the units, the same in every run, so that what it wrote last is in its
// caches, then it helps the others: on two cores the update of an MLP took .14 ms when chunks went to whoever came first,
// .08 since, and the steps of MLP and LeNet at batch 64 fell by 6 and 8 %. A thread takes half of what is left of a
// stretch at a time, in multiples of `grain` units: a kernel can share work between units that follow each other, and the
// ends are small enough to share. One that comes too late for a job is not waited for, so one that the system has put
// aside delays nothing but the chunk it holds.
//
// Idle threads spin for SPIN_MICROSECONDS, which bridges the gap between two instructions, then sleep on a condition
// variable; they do not spin at all when there are more threads than cores. Spinning without a bound costs a factor of
// 3 to 27 beside one busy neighbour (measured on OpenMP). While spinning they yield now and then: a worker that the
// system woke on the core of the caller would otherwise hold it (99th percentile of a 3 us instruction: 39 us, now 4).
//
// A worker that finds itself on the core of another thread of the pool moves to a free one that the process may use. The
// system does not: a worker put beside the caller stayed there for 2,000 jobs, each over before it ran.
//
// Measured on two cores: 5 ns for an instruction on one thread, .4 us for one on two threads that spin, 7 us for the
// caller to wake a sleeping one.
//
// The pool serves one job at a time. A caller that finds it busy (another Python thread, or a callback inside a run)
// does its job alone on its own thread: nothing waits, nothing can deadlock, and the results are the same because no
// kernel depends on how its units are split.
#pragma once
#include <cstdint>

namespace cortex {

// Works on units [start, stop) as thread number `thread` of this job, 0 <= thread < threads. Must not throw.
typedef void Body(const void* context, int thread, int64_t start, int64_t stop);

// Covers [0, units) by calls of `body` and returns when all are done.
void parallel(Body* body, const void* context, int64_t units, int64_t grain, int threads);

// CORTEX_NUM_THREADS, else OMP_NUM_THREADS, else the cores this process may use. Throws std::invalid_argument when
// CORTEX_NUM_THREADS is not a number from 1 to MAX_THREADS.
int num_threads();
void set_num_threads(int threads);  // from the next parallel call on
int available_cores();

constexpr int MAX_THREADS = 1024;

}  // namespace cortex
