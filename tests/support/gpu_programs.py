"""Programs that the GPU backend computes by graphs and epilogues of libraries, and their comparison with NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cortex.compute import Program, get_backend
from cortex.compute import math as m
from cortex.compute.autodiff import gradients
from cortex.compute.ops import Attention, BatchNormalisation, Convolution, Linear, Window
from cortex.compute.ops.reduce import reduce_axes
from cortex.compute.program import Value
from cortex.compute.verify import close, execute

EPSILON = 1e-3


def finish(program: Program, y: Value, trained: list[Value]) -> Program:
    """Name a result, and the gradients of the sum of its cubes."""
    program.output("y", y)
    loss = reduce_axes(program, "sum", y * y * y, None)
    for value, g in zip(trained, gradients(program, loss, trained), strict=True):
        program.output(f"d{value.name}", g)
    return program


class Normalised:
    """A program under construction: convolutions and batch normalisations by name."""

    def __init__(self, dtype: str = "float32", shape: tuple[int, ...] = (3, 8, 5, 4)) -> None:
        self.program, self.dtype = Program(), dtype
        self.x = self.program.input("x", shape, dtype)
        self.trained = [self.x]

    def _given(self, name: str, *shape: int) -> Value:
        value = self.program.input(name, shape, self.dtype)
        self.trained.append(value)
        return value

    def convolved(self, name: str, x: Value) -> Value:
        """3 x 3, to 8 channels."""
        w = self._given(f"w{name}", 8, x.shape[1], 3, 3)
        return self.program.apply(Convolution(Window.of(3, 1, 1)), x, w)

    def normalised(self, name: str, x: Value) -> Value:
        """A convolution and its normalisation, whose statistics are outputs."""
        scale, bias = self._given(f"s{name}", x.shape[1]), self._given(f"b{name}", x.shape[1])
        op = BatchNormalisation((0, 2, 3), EPSILON)
        y, mean, variance = self.program.apply(op, self.convolved(name, x), scale, bias)
        self.program.output(f"mean{name}", mean)
        self.program.output(f"variance{name}", variance)
        return y

    def done(self, y: Value) -> Program:
        """Return the program with the gradients of everything."""
        return finish(self.program, y, self.trained)


def residual(dtype: str = "float32", projected: bool = False) -> Program:
    """A block of two normalisations whose result is added to the one before, or to that of a fourth."""
    n = Normalised(dtype)
    start = m.maximum(n.normalised("1", n.x), 0)
    inner = m.maximum(n.normalised("2", start), 0)
    past = n.normalised("4", start) if projected else start
    return n.done(m.maximum(past + n.normalised("3", inner), 0))


def linear_layers(
    dtype: str = "float32", batch: int = 5, widths: tuple[int, ...] = (7, 33, 130, 3)
) -> Program:
    """Linear layers with relu between."""
    p = Program()
    y, trained = p.input("x", (batch, widths[0]), dtype), []
    for k, (i, o) in enumerate(zip(widths, widths[1:], strict=False)):
        w, b = p.input(f"w{k}", (o, i), dtype), p.input(f"b{k}", (o,), dtype)
        trained += [w, b]
        y = p.apply(Linear(), y, w, b)
        y = m.maximum(y, 0) if o != widths[-1] else y
    return finish(p, y, trained)


def attention(
    dtype: str, queries: int, keys: int, causal: bool = False, scale: float | None = None
) -> Program:
    """Three heads of width 8, two examples."""
    p = Program()
    q = p.input("q", (2, queries, 3, 8), dtype)
    k, v = (p.input(n, (2, keys, 3, 8), dtype) for n in "kv")
    y, logarithms = p.apply(Attention(causal, scale), q, k, v)
    p.output("logarithms", logarithms)
    return finish(p, y, [q, k, v])


def drawn(program: Program) -> dict[str, np.ndarray]:
    """Draw inputs, matrices so that products stay about 1."""
    generator = np.random.default_rng(2)

    def draw(shape: tuple[int, ...]) -> np.ndarray:
        return generator.normal(size=shape) / (shape[1] ** 0.5 if len(shape) == 2 else 1)

    return {n: draw(v.shape) for n, v in program.inputs.items()}


def agree(
    one: Any, make: Callable[..., Program], *options: Any, factor: float = 20.0,
    of_largest: float = 0.0,
) -> Any:  # fmt: skip
    """Compare a float32 program with NumPy in float64 and return its executable.

    Every number is `close` with a factor or, where that is not 0, within `of_largest` of the largest of its array.
    """
    program = make("float32", *options)
    given = drawn(program)
    wanted = execute(get_backend("numpy"), make("float64", *options), given)
    got = execute(one, program, given)
    for name in program.outputs:
        exact = wanted.read(name)
        if of_largest:
            limit = of_largest * np.abs(exact).max()
            np.testing.assert_allclose(got.read(name), exact, rtol=0, atol=limit, err_msg=name)
        else:
            close(name, got.read(name), exact, factor=factor)
    return got


def ran(executable: Any, name: str) -> int:
    """Return how many steps ran by a provider whose name contains `name`."""
    return sum(n for p, n in executable.report.providers().items() if name in p)
