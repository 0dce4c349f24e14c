"""A traced optimiser computes what the eager one does, to the last digits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from cortex.compute.errors import DescriptionError
from cortex.compute.expression import evaluate
from cortex.compute.ops import Map
from cortex.compute.program import Program
from cortex.compute.registry import get_backend
from cortex.optimise import optimisers as o
from cortex.optimise import schedules as s
from cortex.optimise.trace import Trace, record, trace, with_step_factor

STEPS = 50
ALL = [
    *(o.from_data(name) for name in o.OPTIMISERS.types),
    o.Sgd(0.05, momentum=0.9),
    o.Sgd(s.WarmUp(s.Cosine(0.1, 40), 7), momentum=0.9, nesterov=True),
    o.RmsProp(0.01, momentum=0.5, centred=True),
    o.AdamW(s.WarmRestarts(0.01, 5, growth=2), weight_decay=s.Polynomial(0.1, 30)),
    o.Lion(s.Piecewise((1e-3, 1e-4), (20,)), weight_decay=0.1),
    o.Adadelta(s.ExponentialDecay(0.95, 0.99), step_size=s.Cyclic(0.5, 1.0, 6, cycle_rate=0.5)),
]
IDS = [repr(a)[:60] for a in ALL]


def gradient(x: np.ndarray) -> np.ndarray:
    return 3 * np.cos(3 * x) + 2 * x


def start() -> np.ndarray:
    return np.random.default_rng(0).standard_normal(9)


def eager(optimiser: Any) -> tuple[np.ndarray, Mapping[str, Any]]:
    x = start()
    state = optimiser.initialise(x.size)
    for _ in range(STEPS):
        x, state = optimiser.update(state, x, gradient(x))
    return x, state


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-15, atol=0)


@pytest.mark.parametrize("optimiser", ALL, ids=IDS)
def test_expressions_equal_eager(optimiser: Any) -> None:
    t: Trace = trace(optimiser)
    x = start()
    state = dict(optimiser.initialise(x.size))
    for _ in range(STEPS):
        scalars = [state[n] for n in t.scalars]
        coefficients = evaluate(t.coefficients, scalars, "float64")
        operands = [x, gradient(x), *(state[n] for n in t.vectors), *coefficients]
        x, *vectors = evaluate(t.vector_updates, operands, "float64")
        updated = evaluate(t.scalar_updates, scalars, "float64")
        state = dict(zip((*t.scalars, *t.vectors), (*updated, *vectors), strict=True))
    expected, last = eager(optimiser)
    close(x, expected)
    for name in last:
        close(state[name], last[name])


def program_of(optimiser: Any, count: int, dtype: str) -> Program:
    program = Program()
    x = program.persistent("x", (count,), dtype)
    g = program.input("g", (count,), dtype)
    kinds = {n: dtype if e.ndim else "float64" for n, e in optimiser.initialise(count).items()}
    state = {
        n: program.persistent(n, e.shape, kinds[n]) for n, e in optimiser.initialise(count).items()
    }
    moved, new = record(program, optimiser, x, g, state)
    program.update("x", moved)
    for name, value in new.items():
        program.update(name, value)
    return program


def run(optimiser: Any, dtype: str) -> tuple[Program, Any]:
    x = start()
    program = program_of(optimiser, x.size, dtype)
    executable = get_backend("numpy").compile(program)
    executable.write("x", x.astype(dtype))
    for name, entry in optimiser.initialise(x.size).items():
        executable.write(name, entry.astype(dtype) if entry.ndim else entry)
    for _ in range(STEPS):
        executable.write("g", gradient(executable.read("x")).astype(dtype))
        executable.run()
    return program, executable


@pytest.mark.parametrize("optimiser", ALL, ids=IDS)
def test_a_program_equals_eager(optimiser: Any) -> None:
    program, executable = run(optimiser, "float64")
    expected, last = eager(optimiser)
    close(executable.read("x"), expected)
    for name in last:
        close(executable.read(name), last[name])
    assert [type(step.op) for step in program.steps] == [Map, Map]  # one over scalars, one fused


@pytest.mark.parametrize("optimiser", ALL, ids=IDS)
def test_float32_vectors_with_float64_scalars(optimiser: Any) -> None:
    program, executable = run(optimiser, "float32")
    expected, _ = eager(optimiser)
    vectors = program.steps[-1]
    assert {v.dtype for v in (*vectors.inputs, *vectors.outputs)} == {"float32"}
    # Lion steps by a sign, which rounding can turn: by twice the step size. RMSProp's v - m^2 cancels.
    bar = 5e-3 if isinstance(optimiser, (o.Lion, o.RmsProp)) else 2e-4
    np.testing.assert_allclose(executable.read("x"), expected, atol=bar)


def test_what_depends_on_scalars_alone_leaves_the_vector_pass() -> None:
    t = trace(o.Adam(s.Cosine(0.1, 40)))
    assert (t.scalars, t.vectors) == (("num_steps",), ("first_moment", "second_moment"))
    assert t.inputs[:4] == ("parameters", "gradient", "first_moment", "second_moment")
    assert t.inputs[4:] == ("coefficient0", "coefficient1", "coefficient2")
    assert t.outputs == ("parameters", "first_moment", "second_moment")
    text = repr(t.vector_updates)
    assert "pow" not in text and "cos" not in text
    assert trace(o.Sgd()).coefficients == ()


@dataclass(frozen=True)
class Switching:
    """Uses a truth value of a scalar inside the vector pass."""

    def initialise(self, count: int) -> dict[str, Any]:
        return {"num_steps": np.zeros(())}

    def update(self, state: Any, parameters: Any, gradient: Any) -> Any:
        from cortex.compute import math as m

        t = state["num_steps"]
        moved = m.where(t > 3, parameters - 0.1 * gradient, parameters + 0.1 * gradient)
        return moved, {"num_steps": t + 1}


def test_a_truth_value_of_a_scalar_becomes_a_coefficient() -> None:
    assert len(trace(Switching()).coefficients) == 1
    _, executable = run(Switching(), "float64")
    close(executable.read("x"), eager(Switching())[0])


@dataclass(frozen=True)
class Wrong:
    """An optimiser with every fault that tracing can find."""

    def initialise(self, count: int) -> dict[str, Any]:
        return {"speed": np.zeros(()), "moment": np.zeros(count)}

    def update(self, state: Any, parameters: Any, gradient: Any) -> Any:
        return parameters, {"speed": gradient, "momentum": gradient}


def test_all_faults_of_an_optimiser_are_reported_at_once() -> None:
    with pytest.raises(DescriptionError) as error:
        trace(Wrong())
    assert len(error.value.problems) == 3
    text = str(error.value)
    assert "'moment' of initialise is missing; did you mean 'momentum'?" in text
    assert "'momentum' is not in what initialise returns; did you mean 'moment'?" in text
    assert "the scalar 'speed' must depend on scalars alone" in text


def test_a_missing_state_entry_is_named() -> None:
    program = Program()
    x, g = program.input("x", (3,)), program.input("g", (3,))
    with pytest.raises(DescriptionError, match="no state entry 'first_moment' is given"):
        record(program, o.Adam(), x, g, {"num_steps": program.persistent("t", (), "float64")})


def test_a_step_factor_scales_the_step() -> None:
    x, g = np.array([1.0, 2.0]), np.array([3.0, -4.0])
    for optimiser in (o.Adam(), o.Sgd(s.StepDecay(0.1, 0.5, 1)), o.Adadelta()):
        half = with_step_factor(optimiser, 0.5)
        whole_step = optimiser.update(optimiser.initialise(2), x, g)[0] - x
        half_step = half.update(half.initialise(2), x, g)[0] - x
        np.testing.assert_allclose(half_step, 0.5 * whole_step, rtol=1e-10)
        assert with_step_factor(optimiser, 1) is optimiser
        frozen = with_step_factor(optimiser, 0)
        np.testing.assert_array_equal(frozen.update(frozen.initialise(2), x, g)[0], x)


def test_a_step_factor_needs_a_step_size() -> None:
    with pytest.raises(DescriptionError, match="Switching: .*needs a field 'step_size'"):
        with_step_factor(Switching(), 0.5)
