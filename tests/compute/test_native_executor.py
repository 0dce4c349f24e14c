"""The executor and its pool of threads: every unit once, in order, after any error."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import pytest

native = pytest.importorskip(
    "cortex.compute._native",
    reason="the compiled engine is not built: sh scripts/build_native.sh",
    exc_type=ImportError,
)
FUNCTION = ctypes.CFUNCTYPE(
    None,
    ctypes.POINTER(ctypes.c_void_p),
    ctypes.POINTER(ctypes.c_int64),
    ctypes.POINTER(ctypes.c_double),
    ctypes.c_int64,
    ctypes.c_int64,
)


@pytest.fixture(autouse=True)
def restore_threads():
    threads = native.get_num_threads()
    yield
    native.set_num_threads(threads)


def address(function) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value


def sum_rows(executor, out: np.ndarray, x: np.ndarray, grain: int = 1) -> None:
    rows, length = x.shape
    executor.add(
        "sum_f64", [out.ctypes.data, x.ctypes.data], [length, 1, length, 1], [], rows, grain
    )


def chain(executor, x: np.ndarray, length: int) -> np.ndarray:
    """Add tiny instructions, each a reversed copy of what the one before gave."""
    here = x
    keep = [x]
    size = x.size
    for _ in range(length):
        out = np.empty_like(x)
        executor.add(
            "copy_b8",
            [out.ctypes.data, here.ctypes.data + 8 * (size - 1)],
            [1, size, 1, -1],
            [],
            size,
            3,
        )
        keep.append(out)
        here = out
    executor.add_python(keep.clear)  # keeps the arrays alive up to the last instruction
    return here


@pytest.mark.parametrize("threads", range(1, 9))
def test_every_unit_is_worked_on_exactly_once(threads):
    native.set_num_threads(threads)
    for units, grain in [(0, 1), (1, 1), (7, 1), (64, 5), (5, 64), (1000, 100)]:
        ranges = []
        function = FUNCTION(lambda b, i, r, start, stop, seen=ranges: seen.append((start, stop)))
        executor = native.Executor()
        executor.add_function(address(function), [], [], [], units, grain)
        for _ in range(3):
            ranges.clear()
            executor.run()
            covered = [u for start, stop in ranges for u in range(start, stop)]
            assert sorted(covered) == list(range(units))
        if units <= grain and units:
            assert ranges == [(0, units)]


def test_many_threads_take_part():
    native.set_num_threads(4)
    seen = set()

    def work(*_):
        seen.add(threading.get_ident())
        time.sleep(0.005)

    function = FUNCTION(work)
    executor = native.Executor()
    executor.add_function(address(function), [], [], [], 32)
    executor.run()
    assert 2 <= len(seen) <= 4
    native.set_num_threads(1)
    seen.clear()
    executor.run()
    assert seen == {threading.get_ident()}


@pytest.mark.parametrize("denormals", [True, False])
@pytest.mark.parametrize("threads", [1, 3])
def test_denormal_numbers_are_zero_unless_they_are_kept(threads, denormals):
    native.set_num_threads(threads)
    rows, tiny = 64, 1e-40
    x, out, seen = np.full((rows, 33), tiny, np.float32), np.full(rows, np.nan, np.float32), []
    executor = native.Executor(denormals)
    executor.add("sum_f32", [out.ctypes.data, x.ctypes.data], [33, 1, 33, 1], [], rows)
    executor.add_python(lambda: seen.append(np.float32(tiny) * np.float32(0.5)))
    executor.run()
    expected = 33 * float(np.float32(tiny)) if denormals else 0
    np.testing.assert_allclose(out, expected, rtol=1e-5)
    assert seen[0] > 0  # neither Python functions in the run
    assert np.float32(tiny) * np.float32(0.5) > 0  # nor what comes after it are touched


@pytest.mark.parametrize("threads", [1, 2, 3, 5, 8])
def test_many_tiny_instructions_keep_their_order(threads):
    native.set_num_threads(threads)
    x = np.random.default_rng(0).standard_normal(23)
    executor = native.Executor()
    last = chain(executor, x, 1001)
    executor.run()
    assert np.array_equal(last, x[::-1])


def test_the_number_of_threads_may_change_between_runs():
    x = np.random.default_rng(1).standard_normal((40, 33))
    out = np.empty(40)
    executor = native.Executor()
    sum_rows(executor, out, x)
    results = []
    for threads in [1, 4, 2, 8, 1, 3]:
        native.set_num_threads(threads)
        assert native.get_num_threads() == threads
        executor.run()
        results.append(out.copy())
    assert np.allclose(results[0], x.sum(1))
    assert all(np.array_equal(r, results[0]) for r in results)


def test_two_python_threads_run_executors_at_once():
    native.set_num_threads(3)
    rng = np.random.default_rng(2)
    failures = []

    def work(x):
        out = np.empty(len(x))
        executor = native.Executor()
        for _ in range(20):
            sum_rows(executor, out, x)
        expected = None
        for _ in range(100):
            out[:] = 0
            executor.run()
            expected = out.copy() if expected is None else expected
            if not np.allclose(out, x.sum(1)) or not np.array_equal(out, expected):
                failures.append(out.copy())

    workers = [
        threading.Thread(target=work, args=(rng.standard_normal((17 + i, 50)),)) for i in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures


def test_run_releases_the_interpreter_lock():
    out = np.empty(8_000_000)
    seed, step = np.array([1], np.uint64), np.array([0])
    executor = native.Executor()
    buffers = [a.ctypes.data for a in (out, seed, step)]
    executor.add("random_normal_f64", buffers, [0, out.size, 0], [], out.size // 256, 1 << 20)
    runner = threading.Thread(target=executor.run)
    runner.start()
    turns = 0
    while runner.is_alive():
        time.sleep(0.0005)
        turns += 1
    assert turns > 3


def test_an_exception_in_a_callback_ends_the_run_and_leaves_the_executor_usable():
    native.set_num_threads(2)
    calls = []

    def fail_once():
        calls.append("first")
        if len(calls) == 1:
            raise ZeroDivisionError("from the callback")

    executor = native.Executor()
    executor.add_python(fail_once)
    executor.add_python(lambda: calls.append("second"))
    with pytest.raises(ZeroDivisionError, match="from the callback"):
        executor.run()
    assert calls == ["first"]
    executor.run()
    assert calls == ["first", "first", "second"]


def test_a_callback_may_run_another_executor_but_not_its_own():
    native.set_num_threads(2)
    x = np.arange(12.0).reshape(4, 3)
    out = np.empty(4)
    inner, outer = native.Executor(), native.Executor()
    sum_rows(inner, out, x)
    outer.add_python(inner.run)
    outer.run()
    assert np.array_equal(out, x.sum(1))
    outer.add_python(outer.run)
    message = "this executor is running.*build a second executor"
    with pytest.raises(RuntimeError, match=message):
        outer.run()
    changing = native.Executor()
    changing.add_python(lambda: changing.add("nothing", [], [], [], 1))
    with pytest.raises(RuntimeError, match=message):
        changing.run()
    assert len(changing) == 1


def test_a_function_on_the_pool_may_run_another_executor():
    native.set_num_threads(2)
    x = np.arange(12.0).reshape(4, 3)
    outs = [np.empty(4) for _ in range(6)]
    inner = [native.Executor() for _ in outs]
    for executor, out in zip(inner, outs, strict=True):
        sum_rows(executor, out, x)

    def work(b, i, r, start, stop):
        for unit in range(start, stop):
            inner[unit].run()

    function = FUNCTION(work)
    outer = native.Executor()
    outer.add_function(address(function), [], [], [], len(outs))
    outer.run()
    assert all(np.array_equal(out, x.sum(1)) for out in outs)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_starts_a_pool_of_its_own():
    native.set_num_threads(3)
    x = np.random.default_rng(3).standard_normal((50, 20))
    out = np.empty(50)
    executor = native.Executor()
    sum_rows(executor, out, x)
    executor.run()
    expected = out.copy()
    out[:] = 0
    child = os.fork()
    if child == 0:
        status = 1
        try:
            executor.run()
            status = 0 if np.array_equal(out, expected) else 2
        finally:
            os._exit(status)
    for _ in range(1000):  # ten seconds; a child that hangs is a failure, not a hanging test
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.01)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        pytest.fail("the child hangs")
    assert os.waitstatus_to_exitcode(status) == 0
    executor.run()
    assert np.array_equal(out, expected)


def test_numba_functions_are_instructions():
    numba = pytest.importorskip("numba")
    types = numba.types
    signature = types.void(
        types.CPointer(types.voidptr),
        types.CPointer(types.int64),
        types.CPointer(types.float64),
        types.int64,
        types.int64,
    )

    @numba.cfunc(signature)
    def scaled(buffers, integers, reals, start, stop):
        out = numba.carray(buffers[0], (integers[0],), numba.float64)
        x = numba.carray(buffers[1], (integers[0],), numba.float64)
        for i in range(start, stop):
            out[i] = reals[0] * x[i]

    native.set_num_threads(3)
    x = np.arange(1001.0)
    out = np.empty_like(x)
    executor = native.Executor()
    buffers = [out.ctypes.data, x.ctypes.data]
    executor.add_function(scaled.address, buffers, [x.size], [2.5], x.size, 10, name="scaled")
    executor.run()
    assert np.array_equal(out, 2.5 * x)
    assert executor.kernel_names() == ["scaled"]


def test_a_buffer_can_be_replaced():
    first, second = np.ones((3, 4)), np.full((3, 4), 2.0)
    out, other = np.zeros(3), np.zeros(3)
    executor = native.Executor()
    sum_rows(executor, out, first)
    executor.run()
    executor.set_buffer(0, 1, second.ctypes.data)
    executor.set_buffer(0, 0, other.ctypes.data)
    executor.run()
    assert np.array_equal(out, [4, 4, 4]) and np.array_equal(other, [8, 8, 8])
    with pytest.raises(IndexError, match="no instruction 1, there are 1"):
        executor.set_buffer(1, 0, 0)
    with pytest.raises(IndexError, match=r"instruction 0 \(sum_f64\) has no operand 2, it has 2"):
        executor.set_buffer(0, 2, 0)


def test_profile_runs_once_and_times_each_instruction():
    executor = native.Executor()
    calls = []
    executor.add_python(lambda: calls.append(time.sleep(0.02)), name="sleep")
    executor.add("nothing", [], [], [], 1)
    seconds = executor.profile()
    assert len(calls) == 1 and len(seconds) == len(executor) == 2
    assert seconds[0] >= 0.02 > seconds[1] >= 0
    assert executor.kernel_names() == ["sleep", "nothing"]


def test_scratch_is_counted_per_thread_and_rounded_to_cache_lines():
    native.set_num_threads(2)
    executor = native.Executor()
    assert executor.scratch_bytes == 0
    executor.add("nothing", [], [], [], 4, 1, 100)
    executor.add("nothing", [], [], [], 4, 1, 10)
    assert executor.scratch_bytes == 2 * 128
    native.set_num_threads(3)
    executor.run()
    assert executor.scratch_bytes == 3 * 128


def test_wrong_arguments_are_named():
    executor = native.Executor()
    with pytest.raises(ValueError, match='no kernel is called "sum_f23": did you mean .*sum_f32'):
        executor.add("sum_f23", [], [], [], 1)
    with pytest.raises(ValueError, match=r"kernels\(\) lists all names"):
        native.run_kernel("?", [], [], [], 1)
    with pytest.raises(ValueError, match="nothing: expected units >= 0.*given units=-1"):
        executor.add("nothing", [], [], [], -1)
    with pytest.raises(ValueError, match="grain=0"):
        executor.add("nothing", [], [], [], 1, 0)
    with pytest.raises(ValueError, match="scratch=-8"):
        executor.add("nothing", [], [], [], 1, 1, -8)
    with pytest.raises(ValueError, match="the address of the function is 0"):
        executor.add_function(0, [], [], [], 1)
    with pytest.raises(ValueError, match="set_num_threads: expected 1 to 1024, given 0"):
        native.set_num_threads(0)
    with pytest.raises(ValueError, match='set_isa: expected one of .*base.* given "mmx"'):
        native.set_isa("mmx")
    assert len(executor) == 0


def test_an_executor_in_a_cycle_is_collected():
    class Owner:
        def work(self):
            pass

    owner = Owner()
    owner.executor = native.Executor()
    owner.executor.add_python(owner.work)
    watch = weakref.ref(owner)
    del owner
    gc.collect()
    assert watch() is None


def in_a_new_process(code: str, **environment: str) -> str:
    clean = {k: v for k, v in os.environ.items() if k not in ("CORTEX_ISA", "OMP_NUM_THREADS")}
    run = subprocess.run(
        [sys.executable, "-P", "-c", code], env=clean | environment, capture_output=True, text=True
    )
    return run.stdout.strip() if run.returncode == 0 else run.stderr.strip().splitlines()[-1]


def test_environment_variables():
    threads = "from cortex.compute import _native as n; print(n.get_num_threads())"
    isa = "from cortex.compute import _native as n; print(n.isa())"
    assert in_a_new_process(threads, CORTEX_NUM_THREADS="3", OMP_NUM_THREADS="2") == "3"
    assert in_a_new_process(threads, CORTEX_NUM_THREADS="", OMP_NUM_THREADS="2,1") == "2"
    assert 'CORTEX_NUM_THREADS must be a number of threads from 1 to 1024, not "many"' in (
        in_a_new_process(threads, CORTEX_NUM_THREADS="many")
    )
    assert in_a_new_process(isa, CORTEX_ISA="base") == "base"
    assert in_a_new_process(isa) == native.available_isas()[-1]
    assert 'CORTEX_ISA must be base, avx2 or avx512, not "sse"' in (
        in_a_new_process(isa, CORTEX_ISA="sse")
    )


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads in /proc")
def test_importing_starts_no_thread():
    code = (
        "import os; before = len(os.listdir('/proc/self/task'))\n"
        "import importlib.util, glob\n"
        f"spec = importlib.util.spec_from_file_location('_native', {native.__file__!r})\n"
        "spec.loader.exec_module(importlib.util.module_from_spec(spec))\n"
        "print(len(os.listdir('/proc/self/task')) - before)"
    )
    assert in_a_new_process(code) == "0"


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_arrays_are_copied_by_all_threads(threads):
    native.set_num_threads(threads)
    rng = np.random.default_rng(3)
    for size in (0, 1, 65536, 65537, 500_001):
        given, memory = rng.integers(0, 255, size, np.uint8), np.zeros(size + 64, np.uint8)
        assert native.copy(memory[:size], given)
        assert (memory[:size] == given).all() and not memory[size:].any()


def test_what_differs_in_shape_type_or_order_is_not_copied():
    target = np.zeros((4, 6), np.float32)
    ones = np.ones((4, 6), np.float32)
    assert native.copy(target, ones) and target.all()
    other = [
        np.zeros((6, 4), np.float32), np.zeros(24, np.float32), np.zeros((4, 6), np.int32), np.zeros((4, 6), ">f4"),
        np.zeros((6, 4), np.float32).T, np.zeros((4, 12), np.float32)[:, ::2], [[0.0] * 6] * 4, None,
    ]  # fmt: skip
    for given in other:
        assert not native.copy(target, given) and target.all()
    target.flags.writeable = False
    assert not native.copy(target, np.zeros((4, 6), np.float32)) and target.all()


def test_units_are_handed_out_by_stretches():
    """Each unit once, in the order of the stretches; every thread begins with its own part of them."""
    seen: list[tuple[int, int]] = []
    record = FUNCTION(lambda _b, _i, _r, start, stop: seen.append((start, stop)))
    for threads in (1, 2, 3):
        native.set_num_threads(threads)
        executor = native.Executor()
        executor.add_function(address(record), [], [], [], 10)
        executor.set_stretches(0, [4, 6, 0, 4, 9, 10, 6, 9])
        seen.clear()
        executor.run()
        assert sorted(seen) == [(0, 4), (4, 6), (6, 9), (9, 10)]
        if threads == 1:
            assert seen == [(4, 6), (0, 4), (9, 10), (6, 9)]


@pytest.mark.parametrize(
    "stretches", [[], [0, 10, 3], [0, 4, 5, 10], [0, 6, 5, 10], [5, 5, 0, 10], [0, 11], [0, 9]]
)
def test_stretches_cover_all_units_once(stretches):
    executor = native.Executor()
    executor.add("nothing", [], [], [], 10)
    with pytest.raises(
        ValueError, match="pairs of first and end that cover the 10 units of nothing"
    ):
        executor.set_stretches(0, stretches)
    with pytest.raises(IndexError, match="no instruction 1"):
        executor.set_stretches(1, [0, 10])
