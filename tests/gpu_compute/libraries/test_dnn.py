"""What is asked of cuDNN: shapes, layouts, errors; and what each description means, against the ops of a program."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from descriptions import DESCRIPTIONS, IMAGES, KERNELS, WINDOW

from cortex.compute import reference
from cortex.compute.errors import BackendError, ShapeError
from cortex.compute.ops import Convolution, ConvolutionInputGradient, ConvolutionKernelGradient
from cortex.compute.ops.normalisation import (
    BatchNormalisation,
    LayerNormalisation,
    RmsNormalisation,
)
from cortex.compute.ops.window import Window
from cortex.compute.program import Program
from cortex.gpu_compute.libraries import dnn, emulated
from cortex.gpu_compute.libraries.errors import Unsupported
from cortex.gpu_compute.libraries.graphs import BUILDERS, identities

RNG = np.random.default_rng(0)


def run(description: dnn.Description, **values: np.ndarray) -> dict[str, np.ndarray]:
    """Outputs of the emulation, through addresses and layouts."""
    buffers = {}
    for name, o in (description.inputs | description.outputs).items():
        buffers[name] = np.full(o.bytes, 0xFF, np.uint8)  # nan
        if name in values:
            emulated.save(o, buffers[name].ctypes.data, values[name])
    plan = emulated.EmulatedDnn().plan(description)
    assert (plan.description, plan.workspace) == (description, 0)
    plan.run({name: b.ctypes.data for name, b in buffers.items()})
    outputs = description.outputs.items()
    return {name: emulated.load(o, buffers[name].ctypes.data) for name, o in outputs}


def near(found: np.ndarray, expected: np.ndarray) -> None:
    """Sums of float32 in another order, as layouts have it."""
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def gradients(op, cotangent: np.ndarray, *inputs: np.ndarray) -> list[np.ndarray]:
    """Those of a program, by its own decomposition."""
    program = Program()
    values = [program.input(f"x{i}", x.shape) for i, x in enumerate(inputs)]
    c = program.input("c", cotangent.shape)
    outputs = program.apply(op, *values)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    found = op.gradient(program, values, outputs, [c, *[None] * (len(outputs) - 1)])
    for i, value in enumerate(found):
        program.output(f"d{i}", value)
    return reference.interpret(program, [*inputs, cotangent])


def test_every_description_has_a_graph_and_a_meaning() -> None:
    kinds = {type(d) for d in DESCRIPTIONS}
    assert kinds == set(BUILDERS) == set(emulated.FORMULAS)


@pytest.mark.parametrize("description", DESCRIPTIONS, ids=lambda d: type(d).__name__)
def test_operands_are_numbered_from_one_inputs_first(description) -> None:
    names = [*description.inputs, *description.outputs]
    assert identities(description) == {name: i + 1 for i, name in enumerate(names)}
    assert {description: 1}[replace(description)] == 1  # equal and hashable: a key of plans


def test_images_are_channels_last_and_bits_are_packed() -> None:
    d = dnn.BatchNormTraining((2, 3, 4, 5), 1e-3, "bfloat16", relu=True)
    assert d.inputs["x"].strides == (60, 1, 15, 3) and d.inputs["x"].bytes == 240
    assert d.outputs["mask"].bytes == 15 and d.outputs["mask"].strides == (60, 1, 15, 3)
    assert d.inputs["scale"] == dnn.Operand((3,), "float32")
    assert dnn.Operand((2, 3, 4), "float32").strides == (12, 4, 1)


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("ceil", [False, True])
def test_convolutions_are_those_of_a_program(rank, groups, ceil) -> None:
    size, stride, padding = (3, 2)[:rank], (2, 1)[:rank], ((1, 0), (1, 2))[:rank]
    window = Window.of(size, stride, padding, ceil=ceil, rank=rank)
    x, w = normal(3, 4, *(8, 6)[:rank]), normal(6, 4 // groups, *size)
    (y,) = reference.convolution(Convolution(window, groups), x, w)
    shared = {"x": x.shape, "w": w.shape, "window": window, "groups": groups}
    near(run(dnn.ConvolutionForward(**shared), x=x, w=w)["y"], y)
    bias = normal(6)
    d = dnn.ConvolutionForward(**shared, bias=True, activation="relu")
    column = bias.reshape(-1, *[1] * rank)
    near(run(d, x=x, w=w, bias=bias)["y"], np.maximum(y + column, 0))
    dy = normal(*y.shape)
    op = ConvolutionInputGradient(window, x.shape[2:], groups)
    (dx,) = reference.convolution_input_gradient(op, dy, w)
    found = run(dnn.ConvolutionInputGradient(**shared), dy=dy, w=w)["dx"]
    near(found, dx)
    (dw,) = reference.convolution_kernel_gradient(ConvolutionKernelGradient(window, groups), x, dy)
    found = run(dnn.ConvolutionKernelGradient(**shared), x=x, dy=dy)["dw"]
    near(found, dw)


def test_batch_normalisation_is_that_of_a_program() -> None:
    x, residual, dy = (normal(*IMAGES) for _ in range(3))
    scale, bias, mean, variance = normal(4), normal(4), normal(4), normal(4) ** 2
    op = BatchNormalisation((0, 2, 3), 1e-3)
    program = Program()
    values = [program.input(n, v.shape) for n, v in (("x", x), ("s", scale), ("b", bias))]
    for i, value in enumerate(program.apply(op, *values)):
        program.output(f"o{i}", value)
    y, batch_mean, batch_variance = reference.interpret(program, [x, scale, bias])
    forward = dnn.BatchNormTraining(IMAGES, 1e-3, momentum=0.75)
    given = {"scale": scale, "bias": bias, "running_mean": mean, "running_variance": variance}
    found = run(forward, x=x, **given)
    np.testing.assert_allclose(found["y"], y, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found["mean"], batch_mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["inverse"], (batch_variance + 1e-3) ** -0.5, rtol=1e-5)
    np.testing.assert_allclose(found["next_mean"], 0.75 * mean + 0.25 * batch_mean, rtol=1e-5)
    count = x.size // 4
    unbiased = batch_variance * count / (count - 1)
    np.testing.assert_allclose(found["next_variance"], 0.75 * variance + 0.25 * unbiased, rtol=1e-5)

    kept = {"x": x, "scale": scale, "mean": found["mean"], "inverse": found["inverse"]}
    back = run(dnn.BatchNormBackward(IMAGES, 1e-3), dy=dy, **kept)
    for name, expected in zip(
        ("dx", "dscale", "dbias"), gradients(op, dy, x, scale, bias), strict=True
    ):
        near(back[name], expected)

    fused = run(
        dnn.BatchNormTraining(IMAGES, 1e-3, residual=True, relu=True),
        x=x,
        residual=residual,
        **given,
    )
    near(fused["y"], np.maximum(y + residual, 0))
    np.testing.assert_array_equal(fused["mask"], fused["y"] > 0)
    fused_back = run(
        dnn.BatchNormBackward(IMAGES, 1e-3, residual=True, relu=True),
        dy=dy,
        mask=fused["mask"],
        **kept,
    )
    passed = dy * (fused["y"] > 0)
    np.testing.assert_array_equal(fused_back["dresidual"], passed)
    expected = run(dnn.BatchNormBackward(IMAGES, 1e-3), dy=passed, **kept)
    for name in ("dx", "dscale", "dbias"):
        np.testing.assert_array_equal(fused_back[name], expected[name])

    inference = dnn.BatchNormInference(IMAGES, 1e-3, activation="tanh")
    again = run(inference, bias=bias, **kept)["y"]
    near(again, np.tanh(y))


@pytest.mark.parametrize("kind", ["layer", "rms"])
def test_row_normalisation_is_that_of_a_program(kind) -> None:
    x, dy, scale, bias = normal(5, 8), normal(5, 8), normal(8), normal(8)
    op = LayerNormalisation((1,), 1e-3) if kind == "layer" else RmsNormalisation((1,), 1e-3)
    inputs = {"x": x, "scale": scale} | ({"bias": bias} if kind == "layer" else {})
    program = Program()
    values = [program.input(n, v.shape) for n, v in inputs.items()]
    program.output("y", program.apply(op, *values))
    (y,) = reference.interpret(program, list(inputs.values()))
    found = run(dnn.RowNormTraining(5, 8, 1e-3, kind), **inputs)
    near(found["y"], y)
    kept = {k: v for k, v in found.items() if k != "y"} | {"x": x, "scale": scale}
    back = run(dnn.RowNormBackward(5, 8, 1e-3, kind), dy=dy, **kept)
    for found_one, expected in zip(back.values(), gradients(op, dy, *inputs.values()), strict=True):
        near(found_one, expected)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
def test_attention_and_its_gradients(causal, transposed) -> None:
    """Against the definition, and central differences of it in float64."""
    b, h, t, s, w = 2, 3, 4, 5, 6
    shapes = [(b, t, h, w), (b, s, h, w), (b, s, h, w)]
    if not transposed:
        shapes = [(x[0], x[2], x[1], x[3]) for x in shapes]
    q, k, v = (normal(*x) for x in shapes)
    sizes = (b, h, t, s, w, "float32", causal, 0.3, transposed)

    def attend(q, k, v) -> np.ndarray:
        q, k, v = (a.swapaxes(1, 2) if transposed else a for a in (q, k, v))
        scores = 0.3 * np.einsum("bhtw,bhsw->bhts", q, k)
        if causal:
            scores = np.where(np.arange(s) <= np.arange(t)[:, None], scores, -np.inf)
        e = np.exp(scores - scores.max(-1, keepdims=True))
        o = np.einsum("bhts,bhsw->bhtw", e / e.sum(-1, keepdims=True), v)
        return o.swapaxes(1, 2) if transposed else o

    found = run(dnn.AttentionForward(*sizes), q=q, k=k, v=v)
    near(found["o"], attend(q, k, v))
    do = normal(*shapes[0])
    back = run(dnn.AttentionBackward(*sizes), q=q, k=k, v=v, do=do, **found)
    wide = [a.astype(float) for a in (q, k, v)]
    for i, name in enumerate(("dq", "dk", "dv")):
        direction = RNG.normal(size=wide[i].shape)
        ends = []
        for sign in (1, -1):
            moved = list(wide)
            moved[i] = moved[i] + sign * 1e-5 * direction
            ends.append((attend(*moved) * do).sum())
        slope = (ends[0] - ends[1]) / 2e-5
        np.testing.assert_allclose((back[name] * direction).sum(), slope, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("activation", sorted({"tanh", "sigmoid", "elu", "gelu", "swish"}))
def test_activations_are_those_of_cortex(activation) -> None:
    """By a 1 x 1 convolution with the kernel 1."""
    import cortex.activations as ours

    x = np.linspace(-3, 3, 41, dtype=np.float32).reshape(1, 1, 1, 41)
    one = np.ones((1, 1, 1, 1), np.float32)
    d = dnn.ConvolutionForward(x.shape, one.shape, Window.of(1), activation=activation)
    names = {"gelu": "gelu_tanh", "sigmoid": "logistic"}
    function = getattr(ours, names.get(activation, activation))
    expected = np.asarray(function(x.astype(float)))
    np.testing.assert_allclose(run(d, x=x, w=one)["y"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sixteen_bit_operands_are_rounded_to_nearest_even(dtype) -> None:
    values = np.array([1, 1 + 2**-8, 1 + 3 * 2**-8, -2.5, 1e-3, np.inf, np.nan], np.float32)
    buffer = np.zeros(7, np.uint16)
    emulated.write(dtype, buffer.ctypes.data, values)
    found = emulated.read(dtype, buffer.ctypes.data, (7,))
    if dtype == "float16":
        np.testing.assert_array_equal(found, values.astype(np.float16).astype(np.float32))
    else:
        np.testing.assert_array_equal(found[:3], [1, 1, 1 + 2**-6])
        np.testing.assert_allclose(found, values, rtol=2**-8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: dnn.ConvolutionForward((1, 4, 5, 5), (2, 3, 3, 3), Window.of(3)),
            "given .*4, 5, 5",
        ),
        (
            lambda: dnn.ConvolutionForward((1, 4, 5, 5), (2, 4, 2, 2), Window.of(3)),
            r"of size \(3, 3\)",
        ),
        (lambda: dnn.BatchNormTraining((3, 4), 1e-3, "float64"), "computes in float32, bfloat16"),
        (lambda: dnn.BatchNormTraining((3,), 1e-3), r"expected x \[N, C"),
        (lambda: dnn.BatchNormInference((3, 4), 1e-3, activation="rleu"), "did you mean 'relu'"),
        (lambda: dnn.RowNormTraining(3, 4, 1e-3, "batch"), "known: layer, rms"),
        (lambda: dnn.AttentionForward(1, 1, 1, 1, 1, "int8"), "given 'int8'"),
    ],
)
def test_descriptions_that_do_not_fit(make, message) -> None:
    with pytest.raises(ShapeError, match=message):
        make()


def test_addresses_of_all_operands_and_of_nothing_else() -> None:
    plan = emulated.EmulatedDnn().plan(dnn.ConvolutionInputGradient(IMAGES, KERNELS, WINDOW, 2))
    with pytest.raises(
        BackendError,
        match="no address of w; an address of bias, which is no operand; expected dy, w, dx",
    ):
        plan.run({"dy": 4096, "dx": 4096, "bias": 4096})


def test_the_emulation_has_one_choice() -> None:
    with pytest.raises(Unsupported, match="asked for number 1"):
        emulated.EmulatedDnn().plan(DESCRIPTIONS[0], 1)
