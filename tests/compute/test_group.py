"""Shares of a batch, the op that sums over processes, and what is said where they cannot work together."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threads import in_threads

from cortex.compute import BackendError, Program, ShapeError, get_backend, gradients
from cortex.compute.group import DistributedError, check_same, in_group, share_of
from cortex.compute.mpi import fair_threads
from cortex.compute.ops import AllReduce, Random, Scan, SharedBatchNormalisation
from cortex.compute.ops.all_reduce import all_reduce, all_reduce_together
from cortex.compute.ops.random import drawn
from cortex.compute.ops.reduce import reduce_axes
from cortex.datasets.table import part_rows


class Place:
    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size


@given(st.integers(0, 1000), st.integers(1, 40))
def test_shares_part_a_batch_evenly_as_data_sets_do(total: int, size: int) -> None:
    shares = [share_of(Place(k, size), total) for k in range(size)]
    rows = [i for s in shares for i in range(total)[s.rows]]
    assert rows == list(range(total))
    counts = [s.count for s in shares]
    assert max(counts) - min(counts) <= 1 and {s.total for s in shares} == {total}
    assert [s.rows for s in shares] == [part_rows(total, (k, size)) for k in range(size)]


def summed(backend: str, group: object) -> tuple[np.ndarray, ...]:
    """y = the sum over processes of x^2 in rank + 1, of two shapes; and the gradient of w y."""
    p = Program()
    x, other, weight = p.input("x", (3,)), p.input("other", (2, 2)), p.input("weight", (3,))
    y, z = all_reduce_together(p, [x * x, other])
    p.output("y", y)
    p.output("z", z)
    (g,) = gradients(p, reduce_axes(p, "sum", y * weight, None), [x])
    p.output("g", g)
    made = in_group(get_backend(backend), group).compile(p)
    rank = getattr(group, "rank", 0)
    made.write("x", np.float32([1, 2, 3]) * (rank + 1))
    made.write("other", np.full((2, 2), rank, np.float32))
    made.write("weight", np.float32([1, 10, 100]) * (rank + 1))
    for _ in range(2):  # what is summed in place must not be summed again
        made.run()
    return made.read("y"), made.read("z"), made.read("g")


@pytest.mark.parametrize("backend", ["numpy", "cpu"])
def test_all_reduce_sums_values_and_cotangents(backend: str) -> None:
    """dL/dx = 2 x (sum of the weights of all processes): each process has a share w y of the loss."""
    for rank, (y, z, g) in enumerate(in_threads(3, lambda group: summed(backend, group))):
        np.testing.assert_array_equal(y, np.float32([1, 4, 9]) * (1 + 4 + 9))
        np.testing.assert_array_equal(z, np.full((2, 2), 0 + 1 + 2))
        x = np.float32([1, 2, 3]) * (rank + 1)
        np.testing.assert_array_equal(g, 2 * x * np.float32([1, 10, 100]) * 6)


@pytest.mark.parametrize("backend", ["numpy", "cpu"])
def test_alone_it_is_the_identity(backend: str) -> None:
    y, z, g = summed(backend, None)
    np.testing.assert_array_equal(y, np.float32([1, 4, 9]))
    np.testing.assert_array_equal(g, 2 * np.float32([1, 2, 3]) * np.float32([1, 10, 100]))


def test_the_group_runs_the_sum() -> None:
    p = Program()
    p.output("y", all_reduce(p, p.input("x", (3,))))

    def providers(group: object) -> dict[str, int]:
        return in_group(get_backend("cpu"), group).compile(p).report.providers()

    assert in_threads(2, providers) == [{"group": 1}] * 2


@pytest.mark.parametrize("backend", ["numpy", "cpu"])
def test_sums_inside_a_scan(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """c <- the sum over processes of c x, position by position, however long the scan is."""
    monkeypatch.setattr("cortex.compute.cpu.providers.UNROLLED_STEPS", 1)
    body = Program()
    c, x = body.input("c", (2,)), body.input("x", (2,))
    body.output("c1", all_reduce(body, c * x))
    p = Program()
    p.output("y", p.apply(Scan(body, 3, 1, 1), p.input("c", (2,)), p.input("x", (3, 2)))[0])

    def run(group: object) -> np.ndarray:
        made = in_group(get_backend(backend), group).compile(p)
        made.write("c", np.float32([1, 1]))
        made.write("x", np.full((3, 2), group.rank + 1, np.float32))
        made.run()
        return made.read("y")

    for y in in_threads(2, run):
        np.testing.assert_array_equal(y, [27, 27])


def test_a_backend_that_cannot_sum_says_so() -> None:
    class Other:
        name = "other"
        capabilities = replace(get_backend("numpy").capabilities, collectives=False)

    with pytest.raises(BackendError, match="'other' cannot sum over processes .* another backend"):
        in_group(Other(), Place(0, 2))  # type: ignore[arg-type]
    other = Other()
    assert in_group(other, Place(0, 1)) is other  # type: ignore[arg-type]


def test_messages() -> None:
    p = Program()
    with pytest.raises(
        ShapeError, match=r"AllReduce: expected float32, .* given bool\[3\]; convert"
    ):
        p.apply(AllReduce(), p.input("x", (3,), "bool"))
    with pytest.raises(ShapeError, match="expected a count of at least 1, given 0"):
        p.apply(
            SharedBatchNormalisation((0,), 1e-3, 0),
            *(p.input(n, s) for n, s in (("z", (0, 2)), ("scale", (2,)), ("bias", (2,)))),
        )
    seed, step = p.input("seed", (), "uint64"), p.input("step", (), "int64")
    for first in (-4, 6):
        with pytest.raises(ShapeError, match=f"a multiple of 4 from 0 on, given {first}"):
            p.apply(Random("uniform", (3,), 0, "float32", first), seed, step)


@pytest.mark.parametrize("backend", ["numpy", "cpu"])
@given(first=st.integers(0, 60), count=st.integers(0, 20))
def test_numbers_are_drawn_from_any_element_on(backend: str, first: int, count: int) -> None:
    p = Program()
    seed, step = p.input("seed", (), "uint64"), p.input("step", (), "int64")
    for name, size, start in (("part", count, first), ("whole", 80, 0)):
        p.output(name, drawn(p, Random("normal", (size,), 2), start, seed, step))
    made = get_backend(backend).compile(p)
    made.write("seed", np.uint64(9))
    made.run()
    np.testing.assert_array_equal(made.read("part"), made.read("whole")[first : first + count])


def test_what_differs_is_named_in_all() -> None:
    def compare(group: object) -> str:
        entries = {"size": 3, "names": ["a"], **({"more": 1} if group.rank == 2 else {})}
        with pytest.raises(DistributedError) as caught:
            check_same(group, "here", entries)
        check_same(group, "here", {"size": 3})
        return str(caught.value)

    message = (
        "here: all processes must do the same, but more is nothing in process 0 and 1 in process 2"
    )
    assert in_threads(3, compare) == [message] * 3


@pytest.mark.parametrize(
    ("own", "every", "threads"),
    [
        (range(8), [range(8)] * 2, 4),
        (range(8), [range(8)] * 3, 2),
        (range(2), [range(2)] * 3, 1),
        ([0, 1], [[0, 1], [2, 3]], 2),  # bound by mpiexec: nobody else may use them
        ([0, 1, 2, 3], [[0, 1, 2, 3], [2, 3]], 2),
    ],
)
def test_cores_are_shared_by_the_processes_that_may_use_them(own, every, threads) -> None:
    assert fair_threads(list(own), [set(cores) for cores in every]) == threads


FAULTS = {
    "mpi4py is not installed; install it with `pip install 'cortex[distributed]'`, which brings mpi4py and MPICH": (
        "raise ModuleNotFoundError('no', name='mpi4py')"
    ),
    "mpi4py finds no MPI library (cannot load MPI library); install it with": (
        "raise RuntimeError('cannot load MPI library')"
    ),
    "mpi4py does not work here (libmpi.so: no such file); install it with": (
        "raise ImportError('libmpi.so: no such file', name='mpi4py.MPI')"
    ),
}


@pytest.mark.parametrize("message", FAULTS)
def test_without_a_working_mpi(message: str, tmp_path: Path) -> None:
    (tmp_path / "mpi4py.py").write_text(FAULTS[message])
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from cortex.compute import mpi, group\n"
        "try: mpi.join()\nexcept group.DistributedError as error: print(error)"
    )
    found = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert found.stdout.startswith(message), found.stderr
