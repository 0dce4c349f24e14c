"""State, sharing, views and aliasing: a value never changes under the feet of those who read it."""

from __future__ import annotations

import numpy as np

from .. import math as m
from ..autodiff import gradients
from ..backend import Backend
from ..errors import BackendError
from ..ops import Concatenate, Linear, MatMul, Reduce, Reshape
from ..program import Program
from .check import Check, checking
from .compare import close, equal, execute, raises

CHECKS: list[Check] = []


@checking(CHECKS, "memory/an output shows the state before the run")
def state_as_output(backend: Backend) -> None:
    """A state value means the old content, as an output and to steps recorded after the update."""
    p = Program()
    s = p.persistent("s", (3,))
    new = s * 2
    p.update("s", new)
    p.output("old", s)
    p.output("new", new)
    p.output("both", s + new)  # recorded after the update was computed
    executable = execute(backend, p, {"s": [1, 2, 3]})
    equal("the output", executable.read("old"), [1, 2, 3])
    equal("the new value", executable.read("new"), [2, 4, 6])
    equal("their sum", executable.read("both"), [3, 6, 9])
    equal("the state", executable.read("s"), [2, 4, 6])


@checking(CHECKS, "memory/one value under several names")
def outputs_that_are_the_same(backend: Backend) -> None:
    """An output may be an input, a constant, or the same value as another output."""
    p = Program()
    x = p.input("x", (4,))
    y = x + 1
    for name, v in (("x again", x), ("y", y), ("y again", y), ("c", p.constant([1.0, 2.0]))):
        p.output(name, v)
    p.output("reshaped", p.apply(Reshape((2, 2)), x))
    p.output("y reshaped", p.apply(Reshape((2, 2)), y))
    executable = backend.compile(p)
    for shift in (0, 10):
        array = np.arange(4.0) + shift
        executable.write("x", array)
        executable.run()
        for name, wanted in (
            ("x again", array), ("y", array + 1), ("y again", array + 1), ("c", [1, 2]),
            ("reshaped", array.reshape(2, 2)), ("y reshaped", array.reshape(2, 2) + 1),
        ):  # fmt: skip
            equal(name, executable.read(name), wanted)


@checking(CHECKS, "memory/an update may be an input or a constant")
def update_from_input(backend: Backend) -> None:
    """Both copy; writing the input later does not change the state."""
    p = Program()
    x = p.input("x", (4,))
    for name, v in (("s", x), ("k", p.constant([7.0, 8.0]))):
        p.persistent(name, v.shape)
        p.update(name, v)
    executable = execute(backend, p, {"x": np.arange(4)})
    executable.write("x", np.zeros(4))
    equal("state from an input", executable.read("s"), np.arange(4))
    equal("state from a constant", executable.read("k"), [7, 8])
    executable.write("k", [0, 0])
    executable.run()
    equal("state from a constant, second run", executable.read("k"), [7, 8])


@checking(CHECKS, "memory/inputs stay as written")
def inputs_stay(backend: Backend) -> None:
    """A run does not use the memory of an input for something else."""
    p = Program()
    x = p.input("x", (300,))
    y = x
    for _ in range(6):
        y = m.tanh(y + x) * 2
    p.output("y", y)
    executable = execute(backend, p, {"x": np.linspace(-1, 1, 300)})
    first = executable.read("y")
    equal("the input", executable.read("x"), np.linspace(-1, 1, 300).astype(np.float32))
    executable.run()
    equal("the second run", executable.read("y"), first)


@checking(CHECKS, "memory/long lives")
def long_lives(backend: Backend) -> None:
    """Values read late are not overwritten by the many that come and go in between."""
    p = Program()
    x, w = p.input("x", (7, 13)), p.input("w", (13, 13))
    kept, y = [], x
    for k in range(12):
        y = m.tanh(p.apply(MatMul(), y, w))
        if k % 3 == 0:
            kept.append(y)
    total = x
    for v in kept:
        total = total * 0.5 + v
    p.output("total", total)
    p.output("y", y)
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=(7, 13)), generator.normal(size=(13, 13)) / 4
    executable = execute(backend, p, {"x": a, "w": b})
    z, wanted, kept_ = a, a, []
    for k in range(12):
        z = np.tanh(z @ b)
        if k % 3 == 0:
            kept_.append(z)
    for v in kept_:
        wanted = wanted * 0.5 + v
    close("the sum of kept values", executable.read("total"), wanted)
    close("the last value", executable.read("y"), z)


@checking(CHECKS, "memory/shared by name")
def shared(backend: Backend) -> None:
    """Two executables compiled with one memory see the same parameters; others do not."""
    train, infer = Program(), Program()
    w = train.persistent("w", (5,))
    train.update("w", w + 1)
    infer.output("y", infer.persistent("w", (5,)) * infer.input("x", ()))
    first = execute(backend, train, {"w": np.arange(5)}, 0)
    second = backend.compile(infer, first.memory)
    other = backend.compile(infer)
    for executable in (second, other):
        executable.write("x", 10)
    first.run()
    second.run()
    other.run()
    equal("the sibling's output", second.read("y"), 10 * (np.arange(5) + 1))
    equal("a stranger's output", other.read("y"), np.zeros(5))
    second.write("w", np.ones(5))
    first.run()
    equal("written by the sibling, then trained", second.read("w"), 2 * np.ones(5))
    equal("names of the memory", sorted(first.memory.names()), ["w"])


@checking(CHECKS, "memory/sharing keeps what is there")
def sharing_keeps(backend: Backend) -> None:
    """Compiling with a memory clears nothing; new state starts at zero; other specs are refused."""
    p, q, wrong = Program(), Program(), Program()
    for program in (p, q):
        program.output("y", program.persistent("w", (3,)) + 0)
    q.output("z", q.persistent("v", (2,), "int32"))
    wrong.output("y", wrong.persistent("w", (4,)) + 0)
    first = execute(backend, p, {"w": [1, 2, 3]})
    second = backend.compile(q, first.memory)
    second.run()
    equal("state that was there", second.read("y"), [1, 2, 3])
    equal("new state", second.read("z"), [0, 0])
    raises(
        "another shape under the same name", BackendError,
        lambda: backend.compile(wrong, first.memory), "'w'", "float32[4]", "float32[3]",
    )  # fmt: skip


@checking(CHECKS, "memory/views")
def views(backend: Backend) -> None:
    """A view names a range of a flat buffer: written, read and computed with like any value."""
    p = Program()
    p.persistent("flat", (10,))
    matrix = p.view("matrix", "flat", 1, (2, 3))
    tail = p.view("tail", "flat", 7, (3,))
    everything = p.view("everything", "flat", 0, (10,))
    p.output("sum", matrix + tail)
    p.output("whole", everything * 1)
    p.update("flat", p.state["flat"] * 2)
    executable = execute(backend, p, {"flat": np.arange(10), "tail": [70, 80, 90]}, 0)
    executable.write("matrix", [[1, 2, 3], [4, 5, 6.5]])
    equal("a view before the run", executable.read("tail"), [70, 80, 90])
    flat = np.array([0, 1, 2, 3, 4, 5, 6.5, 70, 80, 90])
    equal("the buffer before the run", executable.read("flat"), flat)
    executable.run()
    equal("computed with views", executable.read("sum"), flat[1:7].reshape(2, 3) + flat[7:])
    equal("computed with all of it", executable.read("whole"), flat)
    equal("a view after the run", executable.read("matrix"), 2 * flat[1:7].reshape(2, 3))


@checking(CHECKS, "memory/gradients into a flat buffer")
def flat_gradients(backend: Backend) -> None:
    """The usual training step: views of parameters, gradients joined, one update over the buffer."""
    shapes = ((7, 5), (7,), (3, 7), (3,))
    sizes = [int(np.prod(s)) for s in shapes]
    p = Program()
    whole = p.persistent("w", (sum(sizes),))
    starts = np.cumsum([0, *sizes[:-1]])
    w1, b1, w2, b2 = (
        p.view(f"p{i}", "w", int(a), s) for i, (a, s) in enumerate(zip(starts, shapes, strict=True))
    )
    x = p.input("x", (4, 5))
    y = p.apply(Linear(), m.tanh(p.apply(Linear(), x, w1, b1)), w2, b2)
    loss = p.apply(Reduce("sum", (0, 1)), y * y)
    pieces = [p.apply(Reshape((g.spec.size,)), g) for g in gradients(p, loss, [w1, b1, w2, b2])]
    gradient = p.apply(Concatenate(0), *pieces)
    p.update("w", whole - 0.01 * gradient)
    p.output("loss", loss)
    p.output("gradient", gradient)
    generator = np.random.default_rng(0)
    w, a = generator.normal(size=sum(sizes)), generator.normal(size=(4, 5))
    executable = execute(backend, p, {"w": w, "x": a}, 0)
    for _ in range(3):
        W1, B1, W2, B2 = (
            w[s : s + n].reshape(shape) for s, n, shape in zip(starts, sizes, shapes, strict=True)
        )
        h = np.tanh(a @ W1.T + B1)
        out = h @ W2.T + B2
        dh = 2 * out @ W2 * (1 - h * h)
        parts = (dh.T @ a, dh.sum(0), 2 * out.T @ h, 2 * out.sum(0))
        g = np.concatenate([q.reshape(-1) for q in parts])
        executable.run()
        close("loss", executable.read("loss"), (out * out).sum())
        close("gradient", executable.read("gradient"), g)
        w = w - 0.01 * g
        close("parameters", executable.read("w"), w)


@checking(CHECKS, "memory/empty and unused")
def empty_and_unused(backend: Backend) -> None:
    """Zero elements, inputs nobody reads, state nobody updates, a program that computes nothing."""
    p = Program()
    x = p.input("x", (0, 3))
    p.input("unused", (2,))
    p.persistent("kept", (2,))
    p.output("y", x * 2)
    p.output("sum", p.apply(Reduce("sum", (0,)), x))
    executable = execute(backend, p, {"x": np.zeros((0, 3)), "kept": [3, 4], "unused": [1, 2]})
    equal("an empty result", executable.read("y"), np.zeros((0, 3)))
    equal("the sum of nothing", executable.read("sum"), np.zeros(3))
    equal("untouched state", executable.read("kept"), [3, 4])
    nothing = Program()
    nothing.persistent("s", (2,))
    execute(backend, nothing, {"s": [1, 2]}).run()


@checking(CHECKS, "memory/methods keep their executable alive")
def methods_keep_alive(backend: Backend) -> None:
    """`backend.compile(p).read` and `.run` may outlive every other reference to the executable."""
    p = Program()
    p.output("y", m.tanh(p.input("x", (5000,))) * 2)
    executable = execute(backend, p, {"x": np.ones(5000)})
    read, run = executable.read, executable.run
    del executable
    # what a freed arena would be reused for
    others = [execute(backend, p, {"x": np.full(5000, k)}) for k in range(3)]
    close("read after the executable is gone", read("y"), np.full(5000, 2 * np.tanh(1)))
    run()
    close("run after the executable is gone", read("y"), np.full(5000, 2 * np.tanh(1)))
    close("another one", others[2].read("y"), np.full(5000, 2 * np.tanh(2)))
