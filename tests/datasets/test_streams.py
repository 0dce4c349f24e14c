"""prefetch: order, errors, early ends, Ctrl-C."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import traceback

import numpy as np
import pytest

import cortex
from cortex.datasets import Arrays, DataError, prefetch


def until(condition, seconds=10.0):
    """Wait for a condition; a hang is a failure, not a matter of speed."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True


def running():
    return [thread for thread in threading.enumerate() if thread.name == "cortex-prefetch"]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert until(lambda: not running())


def test_same_items_in_the_same_order():
    assert list(prefetch(range(1000), depth=3)) == list(range(1000))
    assert list(prefetch([])) == []
    data = Arrays(x=np.arange(17))
    batches = [batch["x"].tolist() for batch in prefetch(data.batches(5, seed=2))]
    assert batches == [batch["x"].tolist() for batch in data.batches(5, seed=2)]


def test_it_runs_ahead_but_no_further_than_depth():
    made = []

    def source():
        for number in range(10):
            made.append(number)
            yield number

    with prefetch(source(), depth=3) as items:
        assert until(lambda: len(made) == 3)
        time.sleep(0.02)
        assert len(made) == 3
        assert next(items) == 0
        assert until(lambda: len(made) == 4)


def test_an_exception_comes_after_the_items_before_it_with_its_traceback():
    def failing_source():
        yield 1
        yield 2
        raise KeyError("lost")

    items = prefetch(failing_source(), depth=5)
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(KeyError, match="lost") as caught:
        next(items)
    assert "failing_source" in "".join(traceback.format_tb(caught.value.__traceback__))
    with pytest.raises(StopIteration):
        next(items)


@pytest.mark.parametrize("how", ["close", "with", "drop", "break"])
def test_an_early_end_ends_the_thread_and_closes_the_source(how):
    closed = threading.Event()

    def endless():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    if how == "close":
        items = prefetch(endless())
        next(items)
        items.close()
        assert not running()
        with pytest.raises(StopIteration):
            next(items)
    elif how == "with":
        with prefetch(endless()) as items:
            next(items)
    elif how == "drop":
        items = prefetch(endless())
        next(items)
        del items
        gc.collect()
    else:
        for _ in prefetch(endless()):
            break
        gc.collect()
    assert closed.wait(10)
    assert until(lambda: not running())


def test_a_source_with_a_close_of_its_own_is_closed_on_the_thread():
    class Source:
        closed_on = None

        def __iter__(self):
            return self

        def __next__(self):
            return 1

        def close(self):
            self.closed_on = threading.current_thread().name

    source = Source()
    with prefetch(source) as items:
        next(items)
    assert source.closed_on == "cortex-prefetch"


def test_the_thread_sees_the_callers_context():
    def divide():
        yield np.float64(1) / np.zeros(1)

    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        next(prefetch(divide()))


def test_depth():
    with pytest.raises(DataError, match="depth must be at least 1, got 0"):
        prefetch([1], depth=0)


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_while_waiting_ends_the_program():
    root = os.path.dirname(os.path.dirname(os.path.abspath(cortex.__file__)))
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from cortex.datasets import prefetch\n"
        "def slow():\n"
        "    print('waiting', flush=True)\n"
        "    time.sleep(600)\n"
        "    yield 1\n"
        "try:\n"
        "    next(prefetch(slow()))\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', flush=True)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, root], stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    try:
        assert child.stdout.readline() == "waiting\n"
        time.sleep(0.1)
        child.send_signal(signal.SIGINT)
        output, _ = child.communicate(timeout=20)
    finally:
        child.kill()
        child.wait()
    assert output == "interrupted\n" and child.returncode == 0
