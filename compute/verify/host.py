"""Writing and reading: what is accepted, what is refused, and how the refusal is worded."""

from __future__ import annotations

import numpy as np

from ..backend import Backend, Executable
from ..errors import BackendError, ShapeError
from ..ops import Gather
from ..program import Program
from .check import Check, Mismatch, checking
from .compare import equal, execute, raises

CHECKS: list[Check] = []


def _echo(backend: Backend) -> Executable:
    """Return an executable that gives back what it is given, in several dtypes."""
    p = Program()
    for name, dtype in (("x", "float32"), ("i", "int32"), ("u", "uint8"), ("t", "bool")):
        p.output(f"{name}_out", p.input(name, (2, 3), dtype))
    p.persistent("weights", (6,))
    p.view("first", "weights", 0, (3,))
    return backend.compile(p)


@checking(CHECKS, "host/unknown names")
def unknown_names(backend: Backend) -> None:
    """The message repeats the name and suggests the nearest."""
    executable = _echo(backend)
    for function in (executable.read, lambda n: executable.write(n, np.zeros(6))):
        raises(
            "unknown name", ShapeError, lambda f=function: f("weihgts"), "'weihgts'", "'weights'"
        )
    raises(
        "writing an output",
        ShapeError,
        lambda: executable.write("x_out", np.zeros((2, 3))),
        "'x_out'",
    )


@checking(CHECKS, "host/wrong shapes")
def wrong_shapes(backend: Backend) -> None:
    """The message holds both shapes; nothing broadcasts, nothing is reshaped in silence."""
    executable = _echo(backend)
    for shape in ((3, 2), (6,), (1, 3), (), (2, 3, 1)):
        raises(
            "wrong shape", ShapeError,
            lambda s=shape: executable.write("x", np.zeros(s)), "'x'", "(2, 3)", str(shape),
        )  # fmt: skip
    raises("a view", ShapeError, lambda: executable.write("first", np.zeros(6)), "(3,)", "(6,)")


@checking(CHECKS, "host/wrong dtypes")
def wrong_dtypes(backend: Backend) -> None:
    """What would lose more than precision is refused, and the old content stays."""
    executable = _echo(backend)
    executable.write("i", np.full((2, 3), 5))
    half = np.full((2, 3), 0.5)
    raises(
        "floats as integers", ShapeError, lambda: executable.write("i", half), "int32", "float64"
    )
    raises("floats as truths", ShapeError, lambda: executable.write("t", half), "bool", "float64")
    for array, low, high in (([[0, 1, 256]] * 2, "0", "256"), ([[-1, 0, 0]] * 2, "-1", "0")):
        raises(
            "integers that do not fit", ShapeError,
            lambda a=array: executable.write("u", np.array(a)), low, high, "uint8",
        )  # fmt: skip
    executable.run()
    equal("content after refusals", executable.read("i_out"), np.full((2, 3), 5))


@checking(CHECKS, "host/accepted arrays")
def accepted(backend: Backend) -> None:
    """Lists, scalars, other precisions, strided, transposed and read-only arrays are all copied right."""
    executable = _echo(backend)
    wanted = np.arange(6.0).reshape(2, 3)
    wide = np.zeros((4, 6))
    wide[::2, ::2] = wanted
    frozen = wanted.copy()
    frozen.setflags(write=False)
    for what, array in (
        ("a list", wanted.tolist()),
        ("float64", wanted),
        ("integers", wanted.astype(np.int64)),
        ("Fortran order", np.asfortranarray(wanted)),
        ("a transposed array", np.ascontiguousarray(wanted.T).T),
        ("a strided array", wide[::2, ::2]),
        ("a reversed array", wanted[::-1, ::-1][::-1, ::-1]),
        ("a read-only array", frozen),
    ):
        executable.write("x", np.zeros((2, 3)))
        executable.write("x", array)
        executable.run()
        equal(what, executable.read("x_out"), wanted)
    executable.write("u", np.array([[0, 1, 255]] * 2, np.int64))
    executable.write("t", [[True, False, True]] * 2)
    executable.run()
    equal("bytes", executable.read("u_out"), [[0, 1, 255]] * 2)
    equal("truth values", executable.read("t_out"), [[True, False, True]] * 2)


@checking(CHECKS, "host/copies")
def copies(backend: Backend) -> None:
    """What is read belongs to the reader, what is written is copied at once."""
    executable = _echo(backend)
    mine = np.ones((2, 3), np.float32)
    executable.write("x", mine)
    mine[:] = 7
    executable.run()
    first = executable.read("x_out")
    equal("written before the array changed", first, np.ones((2, 3)))
    first[:] = 9
    executable.write("weights", np.arange(6))
    state = executable.read("weights")
    state[:] = 9
    equal("output after the copy changed", executable.read("x_out"), np.ones((2, 3)))
    equal("state after the copy changed", executable.read("weights"), np.arange(6))
    executable.write("x", np.zeros((2, 3)))
    executable.run()
    equal("a copy after the next run", first, np.full((2, 3), 9))


@checking(CHECKS, "host/scalars")
def scalars(backend: Backend) -> None:
    """0-d inputs, states and outputs of every dtype."""
    numbers = {
        "float32": 2.5,
        "int32": -7,
        "int64": 2**40,
        "uint8": 200,
        "bool": True,
        "uint64": 2**63,
    }
    if "float64" in backend.capabilities.dtypes:
        numbers["float64"] = 0.1
    p = Program()
    for dtype in numbers:
        p.output(f"{dtype} out", p.input(dtype, (), dtype))
        p.persistent(f"{dtype} state", (), dtype)
        p.update(f"{dtype} state", p.inputs[dtype])
    executable = execute(backend, p, {n: np.array(v, n) for n, v in numbers.items()})
    for dtype, number in numbers.items():
        for name in (f"{dtype} out", f"{dtype} state"):
            got = executable.read(name)
            if got.shape != () or got.dtype.name != dtype:
                raise Mismatch(f"{name}: expected {dtype}[], got {got.dtype}{got.shape}")
            equal(name, got, np.array(number, dtype))


@checking(CHECKS, "host/an index without a row")
def index_without_row(backend: Backend) -> None:
    """`Gather` beyond the rows is an error that names position and rows, never a read past the end."""
    p = Program()
    p.output("y", p.apply(Gather(), p.input("x", (4, 2)), p.input("i", (3,), "int32")))
    executable = backend.compile(p)
    executable.write("x", np.arange(8).reshape(4, 2))
    for wrong in (4, -1):
        executable.write("i", [0, wrong, 2])

        def go() -> None:
            executable.run()
            executable.read("y")

        raises(f"index {wrong} of 4 rows", BackendError, go, "Gather", "position 1", "0..3")
    executable.write("i", [0, 3, 2])
    executable.run()
    equal("after the error", executable.read("y"), [[0, 1], [6, 7], [4, 5]])


@checking(CHECKS, "host/capabilities")
def capabilities(backend: Backend) -> None:
    """A name, at least float32, at least one thread; state without an update survives a run."""
    c = backend.capabilities
    if not backend.name or "float32" not in c.dtypes or c.threads < 1:
        raise Mismatch(f"capabilities: expected a name, float32 and threads >= 1, got {c}")
