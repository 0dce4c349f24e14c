#include "pool.h"

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "float_flags.h"
#ifdef __linux__
#include <sched.h>
#endif
#ifdef __SSE__
#include <xmmintrin.h>
#endif

namespace cortex {
namespace {

constexpr int64_t SPIN_MICROSECONDS = 30;

inline void relax() {
#ifdef __SSE__
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

// Tries `done` for the given time; false when the time is over.
template <typename Done>
bool spin(int64_t microseconds, Done done) {
  typedef std::chrono::steady_clock Clock;
  if (done()) return true;
  if (microseconds == 0) return false;
  const Clock::time_point end = Clock::now() + std::chrono::microseconds(microseconds);
  do {
    for (int i = 0; i < 16; i++) {
      if (done()) return true;
      relax();
    }
    std::this_thread::yield();
  } while (Clock::now() < end);
  return done();
}

// The core that this thread runs on, -1 where the system does not tell.
inline int this_core() {
#ifdef __linux__
  return sched_getcpu();
#else
  return -1;
#endif
}

// Moves this thread to another core than those taken, if it may use one; then it is as free as before.
template <typename Taken>
void leave_core(Taken taken) {
#ifdef __linux__
  cpu_set_t allowed, others;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  CPU_ZERO(&others);
  for (int core = 0; core < CPU_SETSIZE; core++)
    if (CPU_ISSET(core, &allowed) && !taken(core)) CPU_SET(core, &others);
  if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof others, &others) != 0) return;
  sched_setaffinity(0, sizeof allowed, &allowed);
#else
  (void)taken;
#endif
}

struct Job {
  Body* body;
  const void* context;
  int64_t units, grain;
  int threads;
  FloatFlags flags;  // of the calling thread, so that every thread of a job computes alike
};

// The chunks that one thread begins with.
struct alignas(64) Range {
  std::atomic<int64_t> next{0};
  int64_t stop = 0;
};

class Pool {
 public:
  bool acquire() { return !busy_.exchange(true, std::memory_order_acquire); }
  void release() { busy_.store(false, std::memory_order_release); }
  void resize(int threads);     // only while acquired
  void run(const Job& job);     // only while acquired

 private:
  // The word that opens and closes a job: its number in the upper half, then flags, then how many workers are inside.
  // Workers enter by compare-and-swap while it is open, so the job's fields are only read between open and last exit.
  static constexpr uint64_t NUMBER = uint64_t(1) << 32, OPEN = uint64_t(1) << 31, STOP = uint64_t(1) << 30,
                            INSIDE = 0xffff;

  void work(int thread, uint64_t number);
  bool wait_for_job(int thread, uint64_t& number);
  void spread_out(int thread);
  void share_out(const Job& job);
  void take_chunks(int thread);
  void wake(int64_t wanted);

  alignas(64) std::atomic<uint64_t> state_{0};
  Job job_{};  // on the cache line of the word that announces it
  Range ranges_[MAX_THREADS];
  alignas(64) std::atomic<bool> busy_{false};
  std::atomic<int> sleeping_{0};
  std::atomic<int> core_[MAX_THREADS] = {};  // where each thread was last
  int64_t spin_ = 0;
  int size_ = 1;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> workers_;
};

void Pool::share_out(const Job& job) {
  const int64_t chunks = (job.units - 1) / job.grain + 1;
  for (int64_t i = 0; i < job.threads; i++) {
    ranges_[i].next.store(chunks * i / job.threads, std::memory_order_relaxed);
    ranges_[i].stop = chunks * (i + 1) / job.threads;
  }
}

// A thread's own chunks, then what is left of those of the others.
void Pool::take_chunks(int thread) {
  for (int i = 0; i < job_.threads; i++) {
    Range& range = ranges_[(thread + i) % job_.threads];
    int64_t chunk = range.next.load(std::memory_order_relaxed);
    while (chunk < range.stop) {
      const int64_t end = chunk + (range.stop - chunk + 1) / 2;
      if (!range.next.compare_exchange_weak(chunk, end, std::memory_order_relaxed)) continue;
      const int64_t stop = end * job_.grain;
      job_.body(job_.context, thread, chunk * job_.grain, stop < job_.units ? stop : job_.units);
      chunk = range.next.load(std::memory_order_relaxed);
    }
  }
}

// A worker on the core of a thread with a lower number goes to one where none is.
void Pool::spread_out(int thread) {
  const int core = this_core();
  const auto taken = [&](int other, int threads) {
    for (int i = 0; i < threads; i++)
      if (i != thread && core_[i].load(std::memory_order_relaxed) == other) return true;
    return false;
  };
  if (core >= 0 && spin_ > 0 && taken(core, thread)) leave_core([&](int other) { return taken(other, size_); });
  core_[thread].store(this_core(), std::memory_order_relaxed);
}

// Enters the next job that is open, and is not `number`, the last one this thread was in. False: the pool stops.
bool Pool::wait_for_job(int thread, uint64_t& number) {
  const auto ready = [&] {
    uint64_t state = state_.load(std::memory_order_seq_cst);
    return (state & STOP) || ((state & OPEN) && state / NUMBER != number);
  };
  for (;;) {
    spread_out(thread);
    if (!spin(spin_, ready)) {
      std::unique_lock<std::mutex> lock(mutex_);
      sleeping_.fetch_add(1, std::memory_order_seq_cst);  // before looking again: wake() looks in the other order
      wake_.wait(lock, ready);
      sleeping_.fetch_sub(1, std::memory_order_relaxed);
      lock.unlock();
      spread_out(thread);
    }
    uint64_t state = state_.load(std::memory_order_relaxed);
    while ((state & OPEN) && state / NUMBER != number)
      if (state_.compare_exchange_weak(state, state + 1, std::memory_order_acquire, std::memory_order_relaxed)) {
        number = state / NUMBER;
        return true;
      }
    if (state & STOP) return false;
  }
}

void Pool::work(int thread, uint64_t number) {
  while (wait_for_job(thread, number)) {
    if (thread < job_.threads) {
      set_float_flags(job_.flags);
      take_chunks(thread);
    }
    state_.fetch_sub(1, std::memory_order_release);
  }
}

void Pool::wake(int64_t wanted) {
  const int sleeping = sleeping_.load(std::memory_order_seq_cst);
  if (sleeping == 0) return;
  { std::lock_guard<std::mutex> lock(mutex_); }  // a thread between its last look and its sleep gets there first
  if (wanted >= sleeping) return wake_.notify_all();
  for (int64_t i = 0; i < wanted; i++) wake_.notify_one();
}

void Pool::run(const Job& job) {
  job_ = job;
  core_[0].store(this_core(), std::memory_order_relaxed);
  share_out(job);
  const uint64_t number = state_.load(std::memory_order_relaxed) / NUMBER + 1;
  state_.store(number * NUMBER | OPEN, std::memory_order_seq_cst);
  wake((job.units - 1) / job.grain);
  take_chunks(0);
  state_.fetch_and(~OPEN, std::memory_order_relaxed);
  const auto done = [&] { return (state_.load(std::memory_order_acquire) & INSIDE) == 0; };
  while (!spin(spin_, done)) std::this_thread::yield();
}

void Pool::resize(int threads) {
  if (threads == size_) return;
  const uint64_t number = state_.load(std::memory_order_relaxed) / NUMBER;
  state_.store(number * NUMBER | STOP, std::memory_order_seq_cst);
  wake(MAX_THREADS);
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
  state_.store(number * NUMBER, std::memory_order_seq_cst);
  size_ = threads;
  spin_ = threads <= available_cores() ? SPIN_MICROSECONDS : 0;
  sigset_t all, before;  // signals are for the threads of the program
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    for (int i = 1; i < threads; i++) workers_.emplace_back(&Pool::work, this, i, number);
  } catch (const std::system_error&) {
  }  // the system gives no more threads: those there are do the work
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

std::atomic<Pool*> the_pool{nullptr};

// The pool is never destroyed: its threads may outlive main, and after a fork they do not exist in the child.
Pool& pool() {
  Pool* existing = the_pool.load(std::memory_order_acquire);
  if (existing) return *existing;
  static const int registered = pthread_atfork(nullptr, nullptr, [] { the_pool.store(nullptr); });
  (void)registered;
  Pool* made = new Pool;
  if (the_pool.compare_exchange_strong(existing, made)) return *made;
  delete made;
  return *existing;
}

int count_from(const char* variable, bool strict) {
  const char* text = std::getenv(variable);
  if (!text || !*text) return 0;
  char* end;
  const long count = std::strtol(text, &end, 10);
  const bool good = end != text && (*end == 0 || (!strict && *end == ',')) && count >= 1 && count <= MAX_THREADS;
  if (!good && strict)
    throw std::invalid_argument(std::string(variable) + " must be a number of threads from 1 to " +
                                std::to_string(MAX_THREADS) + ", not \"" + text + "\"; correct or unset it");
  return good ? int(count) : 0;
}

std::atomic<int> wanted_threads{0};

}  // namespace

int available_cores() {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  const int cores = int(std::thread::hardware_concurrency());
  return cores > 0 ? cores : 1;
}

int num_threads() {
  int threads = wanted_threads.load(std::memory_order_relaxed);
  if (threads) return threads;
  threads = count_from("CORTEX_NUM_THREADS", true);
  if (!threads) threads = count_from("OMP_NUM_THREADS", false);
  if (!threads) threads = available_cores() < MAX_THREADS ? available_cores() : MAX_THREADS;
  wanted_threads.store(threads, std::memory_order_relaxed);
  return threads;
}

void set_num_threads(int threads) { wanted_threads.store(threads, std::memory_order_relaxed); }

void parallel(Body* body, const void* context, int64_t units, int64_t grain, int threads) {
  if (units <= 0) return;
  if (units <= grain || threads <= 1) return body(context, 0, 0, units);
  Pool& shared = pool();
  if (!shared.acquire()) return body(context, 0, 0, units);
  shared.resize(num_threads());
  shared.run({body, context, units, grain, threads, float_flags()});
  shared.release();
}

}  // namespace cortex
