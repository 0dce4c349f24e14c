"""The NumPy backend: what is its own (the rest is the verification suite)."""

from __future__ import annotations

import numpy as np
import pytest

from cortex.compute import BackendError, Executable, Program
from cortex.compute.backend import PlanReport, StepReport
from cortex.compute.host import HostMemory, aligned
from cortex.compute.numpy_backend import NumpyBackend, available
from cortex.compute.ops import Softmax
from cortex.compute.spec import Spec

NUMPY = NumpyBackend()


def test_it_says_what_it_is() -> None:
    assert NUMPY.name == "numpy" and set(NUMPY.capabilities.dtypes) == {"float32", "float64"}
    assert NUMPY.capabilities.notes["numpy"] == np.__version__
    assert available()[0]


def test_an_executable_fulfils_the_protocol() -> None:
    p = Program()
    p.output("y", p.input("x", (2,)) + 1)
    assert isinstance(NUMPY.compile(p), Executable)


def test_memory_of_a_foreign_kind_is_refused() -> None:
    class Foreign:
        def names(self) -> tuple[str, ...]:
            return ()

    with pytest.raises(
        BackendError, match="numpy: expected a memory of a host backend, given Foreign"
    ):
        NUMPY.compile(Program(), Foreign())


def test_report_is_exact() -> None:
    p = Program()
    x, s = p.input("x", (3, 5)), p.persistent("s", (5,), "float64")
    with p.scope("layer"):
        y = p.apply(Softmax(), x)
    p.update("s", s * 2 + p.constant(np.ones(5)))
    p.output("y", y)
    report = NUMPY.compile(p).report
    softmax = 12 + 60 + 60 + 12 + 60  # largest, difference, exponential, sum, quotient
    assert report.bytes == {
        "inputs": 60,
        "state": 40,
        "constants": 40,
        "activations": softmax + 40 + 40,
    }
    assert report.total == 424
    assert [(s.op, s.label, s.provider) for s in report.steps][0] == ("Reduce", "layer", "numpy")
    assert report.steps[0].outputs == ("float32[3, 1]",)
    assert report.providers() == {"numpy": 7}


def test_text_of_a_report() -> None:
    steps = (StepReport("MatMul", "linear", "native avx2"), StepReport("Map", "", "numba"))
    text = str(PlanReport("cpu", {"state": 1000, "activations": 2500}, steps, unplanned_bytes=9999))
    assert text.splitlines()[0] == "cpu: 3,500 bytes"
    assert "reduced from 9,999 bytes" in text and "native avx2 MatMul  [linear]" in text
    assert str(PlanReport("cpu", {}, ())).startswith("cpu: 0 bytes")


def test_memory_is_aligned_and_zero() -> None:
    for spec in (Spec((3,)), Spec((), "int64"), Spec((5, 7), "float64")):
        array = aligned(spec)
        assert array.ctypes.data % 64 == 0 and array.shape == spec.shape and not array.any()
    memory = HostMemory()
    first = memory.require("w", Spec((2,)))
    assert memory.require("w", Spec((2,))) is first and memory.names() == ("w",)
    with pytest.raises(
        BackendError, match=r"state 'w': the program expects float32\[3\], .* holds float32\[2\]"
    ):
        memory.require("w", Spec((3,)))
