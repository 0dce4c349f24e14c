"""Batch normalisation by cuDNN: which graphs there are, what they spare, and that the numbers stay."""

from __future__ import annotations

import numpy as np
import pytest

from cortex.compute import Program, get_backend
from cortex.compute import math as m
from cortex.compute.autodiff import gradients
from cortex.compute.ops import (
    BatchNormalisation,
    BatchNormalisationGradient,
    Convolution,
    Window,
)
from cortex.compute.ops.reduce import reduce_axes
from cortex.compute.passes import decompose, simplify
from cortex.compute.verify import close, execute
from cortex.gpu_compute.backend import CudaBackend
from cortex.gpu_compute.device import Libraries
from cortex.gpu_compute.emulated import EmulatedDevice
from cortex.gpu_compute.libraries import dnn
from cortex.gpu_compute.libraries.emulated import EmulatedDnn, EmulatedProducts
from cortex.gpu_compute.libraries.errors import Unsupported
from cortex.gpu_compute.passes.gates import GATES, computes
from cortex.gpu_compute.passes.graph import DnnGraph
from cortex.gpu_compute.passes.layout import channels_last
from cortex.gpu_compute.passes.normalisation import normalise
from cortex.gpu_compute.providers.convolution import is_convolution

from .conftest import backend

NORMALISATIONS = (BatchNormalisation, BatchNormalisationGradient)
EPSILON = 1e-3


class Network:
    """A program under construction: convolutions and normalisations by name."""

    def __init__(self, dtype: str = "float32", shape: tuple[int, ...] = (3, 8, 5, 4)) -> None:
        self.program, self.dtype = Program(), dtype
        self.x = self.program.input("x", shape, dtype)
        self.trained = [self.x]

    def given(self, name: str, *shape: int):
        value = self.program.input(name, shape, self.dtype)
        self.trained.append(value)
        return value

    def convolved(self, name: str, x, channels: int = 8):
        w = self.given(f"w{name}", channels, x.shape[1], 3, 3)
        return self.program.apply(Convolution(Window.of(3, 1, 1)), x, w)

    def normalised(self, name: str, x):
        scale, bias = self.given(f"s{name}", x.shape[1]), self.given(f"b{name}", x.shape[1])
        op = BatchNormalisation((0, 2, 3), EPSILON)
        y, mean, variance = self.program.apply(op, self.convolved(name, x), scale, bias)
        self.program.output(f"mean{name}", mean)
        self.program.output(f"variance{name}", variance)
        return y

    def done(self, y) -> Program:
        self.program.output("y", y)
        loss = reduce_axes(self.program, "sum", y * y * y, None)
        for value, g in zip(self.trained, gradients(self.program, loss, self.trained), strict=True):
            self.program.output(f"d{value.name}", g)
        return self.program


def residual(dtype: str = "float32", projected: bool = False) -> Program:
    """A block of two normalisations whose result is added to the one before, or to that of a third."""
    n = Network(dtype)
    start = m.maximum(n.normalised("1", n.x), 0)
    inner = m.maximum(n.normalised("2", start), 0)
    past = n.normalised("4", start) if projected else start
    return n.done(m.maximum(past + n.normalised("3", inner), 0))


def plain(dtype: str = "float32") -> Program:
    """A normalisation with another activation behind it."""
    n = Network(dtype)
    return n.done(m.tanh(n.normalised("1", n.x)))


def rewritten(program: Program, accepts=lambda description: True) -> Program:
    kept = simplify(decompose(program, lambda s: isinstance(s.op, NORMALISATIONS)))
    last = channels_last(kept, lambda s: is_convolution(s.op), lambda s: False)
    return simplify(normalise(simplify(last), accepts))


def graphs(program: Program, kind: type) -> list[tuple[bool, bool]]:
    """Return (relu, residual) of the graphs of a kind."""
    found = [s.op.description for s in program.steps if isinstance(s.op, DnnGraph)]
    return [(d.relu, d.residual) for d in found if isinstance(d, kind)]


def drawn(program: Program) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(3)
    return {n: generator.normal(size=v.shape) for n, v in program.inputs.items()}


def agree(one: CudaBackend, make, factor: float = 20.0):
    """Compare every value and gradient of a float32 program with NumPy in float64; return the report."""
    program = make("float32")
    given = drawn(program)
    wanted = execute(get_backend("numpy"), make("float64"), given)
    got = execute(one, program, given)
    for name in program.outputs:
        close(name, got.read(name), wanted.read(name), factor=factor)
    return got.report


def projected(dtype: str) -> Program:
    return residual(dtype, projected=True)


@pytest.mark.parametrize(("make", "count"), [(plain, 1), (residual, 3), (projected, 4)])
def test_cudnn_runs_each_of_them_both_ways(make, count: int) -> None:
    providers = agree(backend(), make).providers()
    assert providers["cuDNN BatchNormTraining"] == providers["cuDNN BatchNormBackward"] == count


def test_relu_and_shortcut_go_into_the_graphs() -> None:
    program = rewritten(residual())
    assert graphs(program, dnn.BatchNormTraining) == [(True, False), (True, False), (True, True)]
    # last first: the gradient of the sum is the shortcut's too; the first relu has one reader behind it, a sum
    assert graphs(program, dnn.BatchNormBackward) == [(True, True), (True, False), (True, False)]
    assert not any(computes(s, GATES) for s in program.steps)
    assert not any(isinstance(s.op, NORMALISATIONS) for s in program.steps)


def test_a_shortcut_with_a_normalisation_of_its_own_is_written_by_that() -> None:
    forward = graphs(rewritten(residual(projected=True)), dnn.BatchNormTraining)
    assert forward == [(True, False), (True, False), (False, False), (True, True)]


def test_what_others_read_is_written() -> None:
    n = Network()
    y = n.normalised("1", n.x)
    program = rewritten(n.done(m.maximum(y, 0) + y))
    assert graphs(program, dnn.BatchNormTraining) == [(False, False)]
    assert graphs(program, dnn.BatchNormBackward) == [(False, False)]


def test_a_sum_with_what_is_not_there_yet_stays_a_sum() -> None:
    n = Network()
    y = n.normalised("1", n.x)
    later = m.tanh(n.convolved("2", n.x))
    program = rewritten(n.done(m.maximum(y + later, 0)))
    assert graphs(program, dnn.BatchNormTraining) == [(False, False)]


@pytest.mark.parametrize("relu", [False, True])
def test_what_the_library_refuses_stays(relu: bool) -> None:
    """Without graphs that do a relu too the plain ones are taken; without any, none."""
    program = rewritten(residual(), lambda d: relu and not d.relu)
    kinds = [type(s.op) for s in program.steps]
    assert graphs(program, dnn.BatchNormTraining) == [(False, False)] * 3 * relu
    assert (
        kinds.count(BatchNormalisation) == kinds.count(BatchNormalisationGradient) == 3 * (not relu)
    )
    assert sum(computes(s, GATES) for s in program.steps) == 3


class Refusing(EmulatedDevice):
    """A cuDNN without batch normalisation one way, as for channels that are no multiple of 8."""

    kind: type = dnn.BatchNormTraining

    def libraries(self, options) -> Libraries:
        kind = self.kind

        class Dnn(EmulatedDnn):
            def plan(self, description, choice=0):
                if isinstance(description, kind):
                    raise Unsupported("no engine")
                return super().plan(description, choice)

        return Libraries(EmulatedProducts(), Dnn())


@pytest.mark.parametrize("kind", [dnn.BatchNormTraining, dnn.BatchNormBackward])
@pytest.mark.parametrize("make", [plain, residual])
def test_our_kernels_stand_in_for_what_is_refused(kind, make, caplog) -> None:
    backend()  # skips where there is no compiler
    device = Refusing()
    device.kind = kind
    providers = agree(CudaBackend(device), make).providers()
    assert f"cuDNN {kind.__name__}" not in providers and not caplog.records
    assert ("cuDNN BatchNormBackward" in providers) == (kind is dnn.BatchNormTraining)


def test_float64_and_one_element_per_channel_are_left_to_our_kernels() -> None:
    assert not any(isinstance(s.op, DnnGraph) for s in rewritten(plain("float64")).steps)
    n = Network(shape=(1, 8, 1, 1))
    assert not any(
        isinstance(s.op, DnnGraph) for s in rewritten(n.done(n.normalised("1", n.x))).steps
    )


def test_the_variance_is_that_of_the_batch_divided_by_its_count() -> None:
    """cuDNN hands out the unbiased one; two elements per channel tell them apart."""

    def make(dtype: str) -> Program:
        n = Network(dtype, (1, 8, 1, 2))
        return n.done(n.normalised("1", n.x))

    report = agree(backend(), make, factor=1000.0)  # ill-conditioned: two numbers normalised
    assert "cuDNN BatchNormTraining" in report.providers()
