"""Results held in 16 bits: which ones, how many conversions, what that saves, and how far the numbers may be off.

The unit roundoff u of a dtype is half the distance from 1 to the next number: 2^-8 (bfloat16), 2^-11 (float16).
"""

from __future__ import annotations

import numpy as np
import pytest
from gpu_steps import mlp, residual, small_lenet, smooth, state, train, training
from rounding import by_numpy, held

import cortex
from cortex.compute import Program, get_backend
from cortex.compute import math as m
from cortex.compute.errors import BackendError
from cortex.compute.expression import symbol
from cortex.compute.ops import (
    BatchNormalisation,
    Concatenate,
    Convolution,
    ConvolutionKernelGradient,
    Dropout,
    Linear,
    Map,
    MatMul,
    Pad,
    Pool,
    Reduce,
    Reshape,
    Slice,
    Softmax,
    Transpose,
    Window,
)
from cortex.compute.ops.fused import Fused
from cortex.compute.ops.random import random_state
from cortex.compute.ops.reduce import reduce_axes
from cortex.compute.plan.arena import assign
from cortex.compute.program import Op, Step, Value
from cortex.compute.spec import HALVES, Spec
from cortex.gpu_compute.backend import CudaBackend
from cortex.gpu_compute.device import Libraries
from cortex.gpu_compute.emulated import EmulatedDevice
from cortex.gpu_compute.libraries.emulated import EmulatedDnn, EmulatedProducts
from cortex.gpu_compute.libraries.errors import Unsupported
from cortex.gpu_compute.lowering import lower
from cortex.gpu_compute.passes.layout import ChannelsLast
from cortex.gpu_compute.passes.sums import ProductWithSum

from .conftest import backend

BATCH = 9  # the extent of nothing else
ROUNDOFF = {"bfloat16": 2.0**-8, "float16": 2.0**-11}
NETWORKS = {"mlp": mlp, "lenet": small_lenet, "residual": residual}
halves = pytest.mark.parametrize("half", HALVES)
networks = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)


def kind(step: Step) -> type[Op]:
    op = step.op
    while isinstance(op, (Fused, ChannelsLast)):
        op = op.op
    return type(op)


def rewritten(network: cortex.Network, half: str) -> Program:
    return backend(precision=half).rewritten(training(network, "numpy", BATCH).program)


def images(program: Program, dtype: str) -> list[Value]:
    """Activations and gradients of hidden layers: results with a batch that are neither sums nor logits."""
    made = [o for s in program.steps if not isinstance(s.op, Reduce) for o in s.outputs]
    return [
        v for v in made if v.dtype == dtype and v.shape[:1] == (BATCH,) and v.spec.size > 5 * BATCH
    ]


def readers(program: Program, value: Value) -> list[Step]:
    return [s for s in program.steps if value in s.inputs]


def is_cast(step: Step) -> bool:
    return isinstance(step.op, Map) and step.op.expressions == (symbol(0),)


# ------------------------------------------------------------------------------ which


@halves
@networks
def test_what_has_16_bits(network, half) -> None:
    """Activations and their gradients, but for what is only summed; nothing that is kept, nor a statistic."""
    program = rewritten(network(), half)
    for value in (*program.inputs.values(), *program.state.values(), *program.outputs.values()):
        assert value.dtype not in HALVES
    for step in program.steps:
        dtypes = [v.dtype for v in step.outputs if v.spec.is_float]
        read = {v.dtype for v in step.inputs if v.spec.is_float}
        name = kind(step)
        if name in (Reduce, ConvolutionKernelGradient, ProductWithSum):
            assert set(dtypes) == {"float32"}
        elif name is BatchNormalisation:
            assert dtypes == [half, "float32", "float32"] and step.inputs[1].dtype == "float32"
        elif name.__name__ in ("Convolution", "ConvolutionInputGradient", "Pool", "Dropout"):
            assert dtypes[0] == half
        elif name.__name__ in ("Softmax", "SoftmaxCrossEntropy"):
            assert read == {"float32"} and dtypes == ["float32"]
        if name in (MatMul, ProductWithSum) or "Convolution" in name.__name__:
            assert {v.dtype for v in step.inputs[:2]} == {half}
    assert {type(s.op) for v in images(program, "float32") for s in readers(program, v)} <= {Reduce}
    assert len(images(program, half)) > 3


@halves
@pytest.mark.parametrize(("network", "count"), [(mlp, 2), (small_lenet, 1), (residual, 2)])
def test_parameters_and_images_are_converted_once(network, count, half) -> None:
    """One conversion for all parameters, one for the image but where a map makes it from bytes; no other."""
    program = rewritten(network(), half)
    casts = [s for s in program.steps if is_cast(s) and s.inputs[0].shape == s.outputs[0].shape]
    assert len(casts) == count
    assert program.state["parameters.0"] in [s.inputs[0] for s in casts]


@halves
def test_what_readers_need_decides(half) -> None:
    """What is only read in float32 stays so, and so does what is read in both dtypes and what is only summed."""
    p = Program()
    x, w, b = p.input("x", (4, 6)), p.input("w", (6, 6)), p.input("b", (6,))
    first = m.maximum(p.apply(Linear(), x, w, b), 0)
    p.output("both", first)
    second = p.apply(MatMul(), first, w)
    p.output("soft", p.apply(Softmax(1), second))
    p.output("sum", reduce_axes(p, "sum", first * first, None))
    made = backend(precision=half).rewritten(p)
    products = [s for s in made.steps if kind(s) is MatMul]
    assert [s.outputs[0].dtype for s in products] == ["float32", "float32"]
    assert made.outputs["both"] is products[0].outputs[0]
    assert [s.inputs[0] for s in made.steps if is_cast(s)].count(made.outputs["both"]) == 1
    squares = [s for s in made.steps if isinstance(s.op, Map) and not is_cast(s)]
    assert [s.outputs[0].dtype for s in squares] == ["float32"]


@halves
def test_an_op_without_a_rule_gets_float32(half) -> None:
    """A convolution gives 16 bits, a softmax reads float32: there is a conversion on either side."""
    p = Program()
    x, w = p.input("x", (2, 3, 5, 5)), p.input("w", (4, 3, 3, 3))
    y = p.apply(Softmax(1), p.apply(Convolution(Window.of(3)), x, w))
    p.output("z", p.apply(Convolution(Window.of(3)), y, p.input("v", (2, 4, 3, 3))))
    (soft,) = [s for s in backend(precision=half).rewritten(p).steps if isinstance(s.op, Softmax)]
    assert (soft.inputs[0].dtype, soft.outputs[0].dtype) == ("float32", "float32")


@halves
def test_statistics_of_raw_data_are_those_of_float32(half) -> None:
    """1000 and 1001 are the same in bfloat16: batch normalisation of what is float32 reads it so."""
    p = Program()
    x, w = p.input("x", (8, 3)), p.input("w", (3, 4))
    ones, zeros = p.constant(np.ones(3, np.float32)), p.constant(np.zeros(3, np.float32))
    y, mean, _ = p.apply(BatchNormalisation((0,), 0.0), x * 1000.0, ones, zeros)
    p.output("mean", mean)
    p.output("z", p.apply(MatMul(), y, w))
    executable = backend(precision=half).compile(p)
    given = 1 + 1e-3 * np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32)
    executable.write("x", given)
    executable.write("w", np.eye(3, 4))
    executable.run()
    wanted = (given - given.mean(0)) / given.std(0)
    found = executable.read("z")[:, :3]
    np.testing.assert_allclose(found, wanted, rtol=ROUNDOFF[half], atol=1e-3)
    np.testing.assert_allclose(executable.read("mean"), 1000 * given.mean(0), rtol=1e-6)


def test_float64_and_other_precisions_stay_as_they_are() -> None:
    for precision, dtype in (("bfloat16", "float64"), ("tf32", "float32"), ("float32", "float32")):
        p = Program()
        a = p.input("a", (4, 4), dtype)
        p.output("y", p.apply(MatMul(), m.tanh(a), a))
        program = backend(precision=precision).rewritten(p)
        assert {v.dtype for s in program.steps for v in (*s.inputs, *s.outputs)} == {dtype}


# ------------------------------------------------------------------------------ memory


def arena(network: cortex.Network, precision: str) -> int:
    """Return the bytes planned for a training step of 64 images; nothing is compiled."""
    made = backend(precision=precision)
    program = made.rewritten(training(network, "numpy", 64).program)
    return assign(lower(program, made.device, made.options, made.libraries)).size


@pytest.mark.parametrize(
    ("network", "most"), [(small_lenet, 0.55), (residual, 0.6)], ids=["lenet", "residual"]
)
def test_the_arena_falls(network, most) -> None:
    """Images halve; the gradients of parameters do not, nor what batch normalisation's gradient sums."""
    found = {precision: arena(network(), precision) for precision in ("float32", *HALVES)}
    assert found["bfloat16"] == found["float16"] <= most * found["float32"]


# ------------------------------------------------------------------------------ numbers


@halves
@networks
def test_a_step_is_that_of_numpy_rounding_at_the_same_places(network, half) -> None:
    """Sums in another order now and then round the other way, which is one u of what is held there."""
    step = training(network(), backend(precision=half), adam=False)
    before = state(step)
    program = backend(precision=half).rewritten(step.program)
    (loss,) = train(step, 1)
    given = before | {n: step.read(n) for n in program.inputs}
    wanted = by_numpy(program, given)
    u = ROUNDOFF[half]
    np.testing.assert_allclose(loss, wanted["loss"], rtol=u)
    for name in program.updates:
        change = np.abs(wanted[name].astype(float) - before[name]).max()
        np.testing.assert_allclose(step.read(name), wanted[name], rtol=1e-6, atol=2 * u * change)


@halves
@pytest.mark.parametrize("libraries", [True, False], ids=["libraries", "plain kernels"])
def test_forward_is_within_the_bound_of_its_roundings(half, libraries) -> None:
    """Running error analysis of three layers: every operand and every held result is off by u of itself."""
    generator, u = np.random.default_rng(2), ROUNDOFF[half]
    shapes = [(7, 19), (23, 19), (17, 23), (5, 17)]
    x, *weights = (generator.standard_normal(s).astype(np.float32) for s in shapes)
    p = Program()
    y, exact, error = p.input("x", x.shape), x.astype(float), u * np.abs(x)
    for k, w in enumerate(weights):
        b = np.float32(generator.standard_normal(len(w)))
        last, limits = k == len(weights) - 1, (np.abs(w).T * (1 + u), u * np.abs(w).T)
        y = p.apply(Linear(), y, p.constant(w), p.constant(b))
        error = error @ limits[0] + np.abs(exact) @ limits[1] + (0 if last else u * np.abs(b))
        exact = exact @ w.T.astype(float) + b
        if not last:  # relu moves nothing further apart; then the result is rounded
            y, exact = m.maximum(y, 0), np.maximum(exact, 0)
            error = error + u * (np.abs(exact) + error)
    p.output("y", y)
    executable = backend(libraries, precision=half).compile(p)
    executable.write("x", x)
    executable.run()
    off = np.abs(executable.read("y") - exact)
    assert (off <= error + 1e-5).all()
    assert off.max() > 0.01 * error.max()  # 16 bits it was


@halves
def test_gradients_are_near_those_of_float32(half) -> None:
    """In norm: n results, each off by at most u of itself in a random direction, take a walk of sqrt(n) u.

    Without relu, whose slope is another number where a rounding moves a value over 0.
    """
    change = {}
    for precision in ("float32", half):
        step = training(smooth(), backend(precision=precision), adam=False)
        before = step.read("parameters.0")
        train(step, 1)
        change[precision] = step.read("parameters.0") - before
    steps = backend(precision=half).rewritten(step.program).steps
    n = sum(o.dtype == half for s in steps for o in s.outputs)
    far = np.linalg.norm(change[half] - change["float32"]) / np.linalg.norm(change["float32"])
    assert 0.5 * ROUNDOFF[half] < far < np.sqrt(n) * ROUNDOFF[half]


@halves
def test_training_lowers_the_loss_as_float32_does(half) -> None:
    def losses(precision: str) -> list[float]:
        # With the scale that float16 begins with, the first step overflows and is left out.
        step = training(small_lenet(), backend(precision=precision), loss_scale=64)
        return [loss for _ in range(12) for loss in train(step, 1)]  # the same images again

    found, wanted = losses(half), losses("float32")
    assert found[-1] < 0.5 * found[0]
    np.testing.assert_allclose(found, wanted, atol=0.1 * wanted[0])


@halves
@networks
def test_eager_and_captured_agree_bit_for_bit(network, half) -> None:
    found = []
    for capture in (False, True):
        step = training(network(), backend(precision=half, capture=capture))
        found.append((train(step, 4), state(step)))
    assert found[0][0] == found[1][0]
    for name, array in found[0][1].items():
        np.testing.assert_array_equal(array, found[1][1][name])


@halves
def test_libraries_and_plain_kernels_agree(half) -> None:
    steps = [training(small_lenet(), backend(one, precision=half)) for one in (True, False)]
    providers = steps[1].report.providers()
    assert not any(name.startswith(("cublas", "cuDNN")) for name in providers)
    losses = [train(step, 3) for step in steps]
    np.testing.assert_allclose(*losses, rtol=4 * ROUNDOFF[half])


@halves
def test_masks_of_dropout_do_not_depend_on_the_precision(half) -> None:
    zeros = {}
    for precision in ("float32", half):
        p = Program()
        x, w = p.input("x", (64, 6)), p.constant(np.eye(6, dtype=np.float32))
        y = p.apply(Dropout(0.4, p.next_random()), p.apply(MatMul(), x, w), *random_state(p))
        p.output("y", p.apply(MatMul(), y, w))
        made = backend(precision=precision).compile(p)
        made.write("random.seed", 5)
        made.write("x", np.ones((64, 6), np.float32))
        made.run()
        zeros[precision] = made.read("y") == 0
    np.testing.assert_array_equal(zeros[half], zeros["float32"])
    assert 0 < zeros[half].mean() < 1


class NoWholeSums(EmulatedDevice):
    """A library that gives kernel gradients of 16 bits in 16 bits alone."""

    def libraries(self, options) -> Libraries:
        class Dnn(EmulatedDnn):
            def plan(self, description, *rest):
                outputs = description.outputs.values()
                if description.dtype in HALVES and any(o.dtype == "float32" for o in outputs):
                    raise Unsupported("no whole sums")
                return super().plan(description, *rest)

        return Libraries(EmulatedProducts(), Dnn())


@halves
def test_a_library_without_whole_sums_still_computes_kernel_gradients(half, caplog) -> None:
    found = []
    for device in (EmulatedDevice(), NoWholeSums()):
        step = training(small_lenet(), CudaBackend(device, precision=half), adam=False)
        before = step.read("parameters.0")
        train(step, 1)
        found.append(step.read("parameters.0") - before)
    assert f"cuDNN {half}+emitted" in step.report.providers() and not caplog.records
    u = ROUNDOFF[half]
    np.testing.assert_allclose(*found, rtol=2 * u, atol=u * np.abs(found[0]).max() / 100)


# ------------------------------------------------------------------------------ movement, range, errors


@halves
@pytest.mark.parametrize("libraries", [True, False], ids=["libraries", "plain kernels"])
def test_movement_of_16_bits_is_exact(half, libraries) -> None:
    """Slices, pads with a value, joins, transposes and maxima of what a product holds: every bit arrives."""
    p = Program()
    x, eye = p.input("x", (6, 8)), p.constant(np.eye(8, dtype=np.float32))
    y = p.apply(MatMul(), x, eye)  # x rounded
    odd = p.apply(Pad((1, 0), (0, 1), value=0.3), p.apply(Slice((0, 1), (6, 8), (1, 2)), y))
    even = p.apply(Pad((0, 0), (1, 0)), p.apply(Slice((0, 0), (6, 3)), y))
    image = p.apply(Reshape((1, 1, 7, 8)), p.apply(Concatenate(1), odd, even))
    pooled, _ = p.apply(Pool("max", Window.of((2, 1))), image)
    turned = p.apply(Transpose((1, 0)), p.apply(Reshape((6, 8)), pooled))
    p.output("z", p.apply(MatMul(True), turned, eye))
    given = np.random.default_rng(0).standard_normal((6, 8)).astype(np.float32)
    made = backend(libraries, precision=half)
    kinds = {kind(s): s.outputs[0].dtype for s in made.rewritten(p).steps}
    assert {kinds[k] for k in (Slice, Pad, Concatenate, Pool, Transpose)} == {half}
    executable = made.compile(p)
    executable.write("x", given)
    executable.run()
    r = held(given, half)
    left = np.pad(r[:, 1:8:2], ((1, 0), (0, 1)), constant_values=np.float32(0.3))
    joined = held(np.concatenate([left, np.pad(r[:, :3], ((0, 1), (0, 0)))], 1), half)
    np.testing.assert_array_equal(executable.read("z"), np.maximum(joined[:-1], joined[1:]))


@pytest.mark.parametrize(("half", "wanted"), [("float16", np.inf), ("bfloat16", 2.0**18)])
def test_what_float16_cannot_hold_is_infinite(half, wanted) -> None:
    p = Program()
    x, w = p.input("x", (1, 2)), p.constant(np.eye(2, dtype=np.float32))
    y = p.apply(MatMul(), x, w) * 256.0
    p.output("y", p.apply(MatMul(), y, p.constant(np.ones((2, 1), np.float32))))
    executable = backend(precision=half).compile(p)
    executable.write("x", np.full((1, 2), 512.0))
    executable.run()
    assert executable.read("y") == wanted


def test_debug_reads_16_bits_too() -> None:
    p = Program()
    x, w = p.input("x", (2, 2)), p.constant(np.eye(2, dtype=np.float32))
    p.output("y", p.apply(MatMul(), m.log(p.apply(MatMul(), x, w)), w))
    executable = backend(precision="bfloat16", debug=True).compile(p)
    executable.write("x", np.array([[1, 1], [1, -1]]))
    with pytest.raises(BackendError, match=r"Map .*: NaN at \(1, 1\) of bfloat16\[2, 2\]"):
        executable.run()


@pytest.mark.parametrize("name", ["numpy", "cpu", "cuda-emulated"])
@pytest.mark.parametrize("half", HALVES)
def test_programs_do_not_name_16_bit_dtypes(name, half) -> None:
    given, kept, made = Program(), Program(), Program()
    given.output("y", given.input("x", (2,), half))
    kept.persistent("moment", (2,), half)
    made.output("y", made.apply(Map((symbol(0),), (half,)), made.input("x", (2,))))
    for program, what in ((given, "x"), (kept, "moment"), (made, "Map")):
        message = rf'{name}: {what} has dtype {half}, .*make it float32.*precision="{half}"'
        with pytest.raises(BackendError, match=message):
            get_backend(name).compile(program)


def test_specs_of_16_bits() -> None:
    for half in HALVES:
        spec = Spec((3, 5), half)
        assert spec.is_float and spec.bytes == 30
        assert Reduce("sum", (0,)).infer(spec) == (Spec((5,)),)
        assert Reduce("max", (0,)).infer(spec) == (Spec((5,), half),)
        assert MatMul(False, True).infer(spec, spec) == (Spec((3, 3), half),)
        assert MatMul(False, True, "float32").infer(spec, spec) == (Spec((3, 3)),)
        assert Map((symbol(0),), (half,)).computes_in([half]) == "float32"
