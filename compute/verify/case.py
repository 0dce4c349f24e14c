"""`Case`: one row of an op table, and the checks that follow from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..autodiff import gradients
from ..backend import Backend
from ..ops.reduce import reduce_axes
from ..passes.decompose import decompose
from ..program import Op, Program, Value
from ..registry import get_backend
from .check import Check, Mismatch
from .compare import close, execute
from .gradient import check_gradient


@dataclass(frozen=True)
class Input:
    """How one input is drawn: `draw(generator, shape)` gives numbers; dtype None is that of the run."""

    shape: tuple[int, ...]
    draw: Callable[[np.random.Generator, tuple[int, ...]], Any]
    dtype: str | None = None


def normal(*shape: int) -> Input:
    """Standard normal numbers."""
    return Input(shape, lambda g, s: g.normal(size=s))


def positive(*shape: int) -> Input:
    """Numbers in [0.5, 2]: away from zero."""
    return Input(shape, lambda g, s: g.uniform(0.5, 2, size=s))


def distinct(*shape: int) -> Input:
    """A shuffled ramp from -1 to 1: no two numbers are close, so extrema have no ties."""
    return Input(shape, lambda g, s: g.permutation(np.linspace(-1, 1, int(np.prod(s)))).reshape(s))


def integers(low: int, high: int, *shape: int, dtype: str = "int32") -> Input:
    """Integers low..high-1."""
    return Input(shape, lambda g, s: g.integers(low, high, size=s), dtype)


def bools(*shape: int) -> Input:
    """Truth values."""
    return Input(shape, lambda g, s: g.integers(0, 2, size=s) == 1, "bool")


def exactly(array: Any, dtype: str | None = None) -> Input:
    """The same numbers at every draw."""
    data = np.asarray(array)
    return Input(data.shape, lambda g, s: data, dtype)


@dataclass(frozen=True)
class Case:
    """One op on inputs of given shapes, with what it must give.

    `op` is an `Op`, or a function (program, *values) that records what is tested. `expect` takes the
    inputs as float64 arrays (integers as they are) and returns the outputs, one array or a tuple, in
    plain NumPy that shares nothing with the reference. Every output of dtype float is differentiated
    with respect to every float input, but for those in `fixed`, unless `gradient` is False.
    """

    name: str
    op: Op | Callable[..., Any]
    inputs: tuple[Input, ...]
    expect: Callable[..., Any]
    gradient: bool = True
    fixed: tuple[int, ...] = ()
    factor: float = 1.0  # on the tolerance, where an op loses digits by nature; say why beside it
    quick: bool = True

    def draw(self, generator: np.random.Generator, dtype: str) -> list[np.ndarray]:
        """Return one array for each input."""
        return [
            np.asarray(i.draw(generator, i.shape)).astype(i.dtype or dtype) for i in self.inputs
        ]

    def record(self, dtype: str) -> tuple[Program, list[Value], list[Value]]:
        """Return a program with the op applied to inputs `in0`, `in1`, ..., its inputs and results."""
        p = Program()
        ins = [p.input(f"in{k}", i.shape, i.dtype or dtype) for k, i in enumerate(self.inputs)]
        result = p.apply(self.op, *ins) if isinstance(self.op, Op) else self.op(p, *ins)
        return p, ins, list(result) if isinstance(result, tuple) else [result]

    def program(self, dtype: str) -> Program:
        """Return the program with outputs `out0`, `out1`, ..."""
        p, _, results = self.record(dtype)
        for k, r in enumerate(results):
            p.output(f"out{k}", r)
        return p

    def weighted(self, dtype: str, seed: int = 1) -> tuple[Program, list[int]]:
        """Return a program with `loss`, a randomly weighted sum of the outputs, and gradients `d<k>`."""
        p, ins, results = self.record(dtype)
        generator = np.random.default_rng(seed)
        loss = None
        for r in results:
            if r.spec.is_float:
                weight = p.constant(generator.normal(size=r.shape).astype(r.dtype))
                term = reduce_axes(p, "sum", r * weight, None)
                loss = term if loss is None else loss + term
        wrt = [k for k, v in enumerate(ins) if v.spec.is_float and k not in self.fixed]
        if loss is None or not wrt:
            raise ValueError(f"case {self.name!r}: nothing to differentiate; say gradient=False")
        p.output("loss", loss)
        for k, g in zip(wrt, gradients(p, loss, [ins[k] for k in wrt]), strict=True):
            p.output(f"d{k}", g)
        return p, wrt

    @property
    def is_composite(self) -> bool:
        """Whether the row holds an op that carries its own decomposition."""
        return isinstance(self.op, Op) and self.op.is_composite


def checks_of(cases: Sequence[Case]) -> list[Check]:
    """Return the checks of each case: values in both dtypes, gradients, and the decomposition."""
    found = []
    for c in cases:
        tags = frozenset({"quick"} if c.quick else ())
        for dtype in ("float32", "float64"):
            found.append(Check(f"op/{c.name}/{dtype}", _values(c, dtype), tags, (dtype,)))
        if c.gradient:
            found.append(Check(f"gradient/{c.name}", _differences(c), tags, ("float64",)))
            found.append(
                Check(f"gradient/{c.name}/float32", _float32(c), frozenset(), ("float32",))
            )
        if c.is_composite:
            found.append(Check(f"decomposed/{c.name}", _decomposed(c), tags, ("float32",)))
    return found


def _values(case: Case, dtype: str) -> Callable[[Backend], None]:
    def check(backend: Backend) -> None:
        arrays = case.draw(np.random.default_rng(0), dtype)
        program = case.program(dtype)
        executable = execute(backend, program, {f"in{k}": a for k, a in enumerate(arrays)})
        for k, wanted in enumerate(_expected(case, arrays)):
            got = executable.read(f"out{k}")
            spec = program.outputs[f"out{k}"].spec
            if (got.shape, got.dtype.name) != (spec.shape, spec.dtype):
                raise Mismatch(
                    f"{case.name}: output {k} is {got.dtype}{got.shape}, expected {spec}"
                )
            close(f"{case.name}, output {k}", got, wanted, factor=case.factor)

    return check


def _expected(case: Case, arrays: Sequence[np.ndarray]) -> tuple[Any, ...]:
    wide = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in arrays]
    result = case.expect(*wide)
    return result if isinstance(result, tuple) else (result,)


def _differences(case: Case) -> Callable[[Backend], None]:
    def check(backend: Backend) -> None:
        program, wrt = case.weighted("float64")
        executable = backend.compile(program)
        rest: dict[int, np.ndarray] = {}

        def draw(generator: np.random.Generator) -> list[np.ndarray]:
            arrays = case.draw(generator, "float64")
            rest.update({k: a for k, a in enumerate(arrays) if k not in wrt})
            for k, a in rest.items():
                executable.write(f"in{k}", a)
            return [arrays[k] for k in wrt]

        def evaluate(point: Sequence[np.ndarray]) -> tuple[float, list[np.ndarray]]:
            for k, a in zip(wrt, point, strict=True):
                executable.write(f"in{k}", a)
            executable.run()
            return float(executable.read("loss")), [executable.read(f"d{k}") for k in wrt]

        check_gradient(case.name, draw, evaluate)

    return check


def _float32(case: Case) -> Callable[[Backend], None]:
    """float32 gradients against the float64 reference: differences would only measure rounding."""

    def check(backend: Backend) -> None:
        program, wrt = case.weighted("float32")
        arrays = case.draw(np.random.default_rng(0), "float32")
        inputs = {f"in{k}": a for k, a in enumerate(arrays)}
        got = execute(backend, program, inputs)
        wide = {n: a.astype(np.float64) if a.dtype.kind == "f" else a for n, a in inputs.items()}
        wanted = execute(get_backend("numpy"), case.weighted("float64")[0], wide)
        for k in wrt:
            # a backward pass chains about three ops, so it is allowed three times their error
            close(
                f"{case.name}, d{k}",
                got.read(f"d{k}"),
                wanted.read(f"d{k}"),
                factor=3 * case.factor,
            )

    return check


def _decomposed(case: Case) -> Callable[[Backend], None]:
    """The composite, bound directly where the backend does so, against its own decomposition."""

    def check(backend: Backend) -> None:
        arrays = {f"in{k}": a for k, a in enumerate(case.draw(np.random.default_rng(2), "float32"))}
        direct = case.program("float32")
        left = execute(backend, direct, arrays)
        right = execute(backend, decompose(direct, lambda op: False), arrays)
        for name in direct.outputs:
            close(f"{case.name}, {name}", left.read(name), right.read(name), factor=case.factor)

    return check
