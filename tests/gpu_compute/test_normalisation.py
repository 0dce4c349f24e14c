"""Batch normalisation by cuDNN: which graphs there are, what they spare, and that the numbers stay."""

from __future__ import annotations

import pytest
from gpu_programs import Normalised, agree, ran, residual
from refusing import Refusing

from cortex.compute import Program, ShapeError
from cortex.compute import math as m
from cortex.compute.ops import BatchNormalisation, BatchNormalisationGradient
from cortex.compute.passes import decompose, simplify
from cortex.gpu_compute.backend import CudaBackend
from cortex.gpu_compute.libraries import dnn
from cortex.gpu_compute.passes.gates import GATES, computes
from cortex.gpu_compute.passes.graph import DnnGraph
from cortex.gpu_compute.passes.layout import channels_last
from cortex.gpu_compute.passes.normalisation import normalise
from cortex.gpu_compute.providers.convolution import is_convolution

from .conftest import backend

NORMALISATIONS = (BatchNormalisation, BatchNormalisationGradient)
FORWARD, BACKWARD = "cuDNN BatchNormTraining", "cuDNN BatchNormBackward"


def plain(dtype: str = "float32") -> Program:
    """A normalisation with another activation behind it."""
    n = Normalised(dtype)
    return n.done(m.tanh(n.normalised("1", n.x)))


def rewritten(program: Program, accepts=lambda description: True) -> Program:
    kept = simplify(decompose(program, lambda s: isinstance(s.op, NORMALISATIONS)))
    last = channels_last(kept, lambda s: is_convolution(s.op), lambda s: False)
    return simplify(normalise(simplify(last), "float32", accepts))


def graphs(program: Program, kind: type) -> list[tuple[bool, bool]]:
    """Return (relu, residual) of the graphs of a kind."""
    found = [s.op.description for s in program.steps if isinstance(s.op, DnnGraph)]
    return [(d.relu, d.residual) for d in found if isinstance(d, kind)]


@pytest.mark.parametrize(
    ("make", "options", "count"), [(plain, (), 1), (residual, (), 3), (residual, (True,), 4)]
)
def test_cudnn_runs_each_of_them_both_ways(make, options, count: int) -> None:
    got = agree(backend(), make, *options)
    assert ran(got, FORWARD) == ran(got, BACKWARD) == count


def test_relu_and_shortcut_go_into_the_graphs() -> None:
    program = rewritten(residual())
    assert graphs(program, dnn.BatchNormTraining) == [(True, False), (True, False), (True, True)]
    # last first: the gradient of the sum is the shortcut's too
    assert graphs(program, dnn.BatchNormBackward) == [(True, True), (True, False), (True, False)]
    assert not any(computes(s, GATES) for s in program.steps)
    assert not any(isinstance(s.op, NORMALISATIONS) for s in program.steps)


def test_a_shortcut_with_a_normalisation_of_its_own_is_there_before() -> None:
    forward = graphs(rewritten(residual(projected=True)), dnn.BatchNormTraining)
    assert forward == [(True, False), (True, False), (False, False), (True, True)]


def test_what_others_read_is_written() -> None:
    n = Normalised()
    y = n.normalised("1", n.x)
    program = rewritten(n.done(m.maximum(y, 0) + y))
    assert graphs(program, dnn.BatchNormTraining) == [(False, False)]
    assert graphs(program, dnn.BatchNormBackward) == [(False, False)]


def test_a_sum_with_what_is_not_there_yet_stays_a_sum() -> None:
    n = Normalised()
    y = n.normalised("1", n.x)
    later = m.tanh(n.convolved("2", n.x))
    program = rewritten(n.done(m.maximum(y + later, 0)))
    assert graphs(program, dnn.BatchNormTraining) == [(False, False)]


@pytest.mark.parametrize("any_graph", [False, True])
def test_what_the_library_refuses_stays(any_graph: bool) -> None:
    """Without graphs that do a relu too the plain ones are taken; without any, none."""
    program = rewritten(residual(), lambda d: any_graph and not d.relu)
    kinds = [type(s.op) for s in program.steps]
    assert graphs(program, dnn.BatchNormTraining) == [(False, False)] * 3 * any_graph
    assert [kinds.count(k) for k in NORMALISATIONS] == [3 * (not any_graph)] * 2
    assert sum(computes(s, GATES) for s in program.steps) == 3


@pytest.mark.parametrize("kind", [dnn.BatchNormTraining, dnn.BatchNormBackward])
@pytest.mark.parametrize("make", [plain, residual])
def test_our_kernels_stand_in_for_what_is_refused(kind: type, make, caplog) -> None:
    backend()  # skips where there is no compiler
    device = Refusing(kind)
    got = agree(CudaBackend(device), make)
    assert not ran(got, f"cuDNN {kind.__name__}") and not caplog.records
    assert bool(ran(got, BACKWARD)) == (kind is dnn.BatchNormTraining)


def test_float64_and_one_element_per_channel_are_left_to_our_kernels() -> None:
    one = Normalised(shape=(1, 8, 1, 1))
    for program in (plain("float64"), one.done(one.normalised("1", one.x))):
        assert not any(isinstance(s.op, DnnGraph) for s in rewritten(program).steps)


def test_a_graph_of_other_operands_is_refused() -> None:
    p = Program()
    x, row = p.input("x", (3, 5, 4, 8)), p.input("row", (8,))
    with pytest.raises(
        ShapeError,
        match=r"BatchNormBackward: expected dy \(3, 5, 4, 8\), x \(3, 5, 4, 8\), scale \(8,\), .* inverse "
        r"\(8,\), mask \(60,\), given \(3, 5, 4, 8\), \(8,\)$",
    ):
        p.apply(DnnGraph(dnn.BatchNormBackward((3, 8, 5, 4), 1e-3, relu=True)), x, row)


def two_elements(dtype: str) -> Program:
    n = Normalised(dtype, (1, 8, 1, 2))
    return n.done(n.normalised("1", n.x))


def test_the_variance_is_that_of_the_batch_divided_by_its_count() -> None:
    """cuDNN hands out the unbiased one; two elements per channel tell them apart, but lose digits of gradients."""
    assert ran(agree(backend(), two_elements, factor=1000.0), FORWARD) == 1
