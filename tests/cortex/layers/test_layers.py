"""Every layer, one row each: shapes, formula, gradients, training against inference, JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from formulas import (
    column,
    convolve,
    elu,
    erf,
    neighbours,
    normalised,
    pooled,
    ragged_product,
    ragged_sum,
    spread,
)

from cortex import layers
from cortex.compute import Spec
from cortex.layers import (
    Activation,
    Autoencoder,
    AveragePooling,
    AveragePooling1D,
    BatchNormalisation,
    Branches,
    Combine,
    Concatenate,
    Convolution,
    Convolution1D,
    Dropout,
    Elu,
    Embedding,
    Flatten,
    Function,
    GaussianNoise,
    Gelu,
    GlobalAveragePooling,
    GlobalMaxPooling,
    Identity,
    Input,
    Join,
    LayerNormalisation,
    LeakyRelu,
    Linear,
    LocalResponseNormalisation,
    Logistic,
    LogSoftmax,
    MaxPooling,
    MaxPooling1D,
    MultiplicativeNoise,
    Normaliser,
    Prelu,
    Relu,
    Reshape,
    Residual,
    RmsNormalisation,
    Scale,
    Selu,
    Sequence,
    Softmax,
    Softplus,
    Split,
    Swish,
    Tanh,
    Transpose,
    TransposedConvolution,
    TransposedConvolution1D,
)

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Row:
    """A layer, the shapes of its inputs without the batch, and its formula in plain NumPy.

    `formula(p, *x)` gets the parameters by name. `training`: "same" as inference, "random", or "statistics"
    of the batch. `stopped`: an input that training treats as a constant somewhere, so that a difference
    quotient differs from the gradient.
    """

    layer: Any
    shapes: tuple[tuple[int, ...], ...]
    formula: Callable[..., Any]
    training: str = "same"
    dtype: str = "float64"
    stopped: bool = False


def per_channel(x: np.ndarray, p: Arrays, epsilon: float) -> np.ndarray:
    mean, var, scale, bias = (
        column(p[n], x) for n in ("running_mean", "running_variance", "scale", "bias")
    )
    return scale * (x - mean) / np.sqrt(var + epsilon) + bias


def gaussian_bump(x: Any) -> Any:
    from cortex.compute import math as m

    return m.exp(-x * x)


def swapped_product(a: Any, b: Any) -> Any:
    return a * b - b


def total_times(x: Any) -> Any:
    from cortex.compute.ops.reduce import reduce_axes

    return x * reduce_axes(x.program, "sum", x, 1, keep=True)


layers.register_function("test.gaussian_bump", gaussian_bump)
layers.register_function("test.swapped_product", swapped_product)
layers.register_function("test.total_times", total_times)

IMAGE = (3, 7, 5)
SERIES = (4, 9)
P0, P1 = [(0, 0), (0, 0)], [(1, 1), (1, 1)]

ROWS = [
    Row(Input(3, 5), ((3, 5),), lambda p, x: x),
    Row(Input(5, scale=0.5, offset=-2.0), ((5,),), lambda p, x: x / 2 - 2),
    Row(Input(2, offset=1.5), ((2,),), lambda p, x: x + 1.5),
    Row(Input(2, scale=-2), ((2,),), lambda p, x: -2 * x),
    Row(Linear(4), ((5,),), lambda p, x: x @ p["weights"].T + p["bias"]),
    Row(Linear(4, bias=False), (IMAGE,), lambda p, x: x.reshape(len(x), -1) @ p["weights"].T),
    Row(Linear(4, axes="last"), ((2, 3, 5),), lambda p, x: x @ p["weights"].T + p["bias"]),
    Row(Linear(3, False, "last"), ((2, 5),), lambda p, x: x @ p["weights"].T),
    Row(Embedding(7, 3), ((5,),), lambda p, x: p["weights"][x], dtype="int32"),
    Row(
        Embedding(7, 3, padding_index=2),
        ((2, 4),),
        lambda p, x: np.where((x == 2)[..., None], 0, p["weights"][x]),
        dtype="int64",
    ),
    Row(
        Convolution(4, 3), (IMAGE,), lambda p, x: convolve(x, p["weights"], p["bias"], 1, P0, 1, 1)
    ),
    Row(
        Convolution(6, (3, 2), stride=(2, 1), padding=((1, 0), 2), dilation=(1, 2), groups=3),
        (IMAGE,),
        lambda p, x: convolve(x, p["weights"], p["bias"], (2, 1), [(1, 0), (2, 2)], (1, 2), 3),
    ),
    Row(
        Convolution(2, 4, stride=2, padding="same", bias=False),
        (IMAGE,),
        lambda p, x: convolve(x, p["weights"], None, 2, [(1, 2), (1, 2)], 1, 1),
    ),
    Row(
        Convolution1D(3, 4, padding="same"),
        (SERIES,),
        lambda p, x: convolve(x, p["weights"], p["bias"], 1, [(1, 2)], 1, 1),
    ),
    Row(
        TransposedConvolution(4, 3, stride=2, padding=1, output_padding=(1, 0)),
        (IMAGE,),
        lambda p, x: spread(x, p["weights"], p["bias"], 2, P1, (1, 0), 1),
    ),
    Row(
        TransposedConvolution(4, (2, 3), padding=((0, 1), 0), groups=2, bias=False),
        ((6, 4, 3),),
        lambda p, x: spread(x, p["weights"], None, 1, [(0, 1), (0, 0)], 0, 2),
    ),
    Row(
        TransposedConvolution1D(2, 5, stride=3, padding="same"),
        (SERIES,),
        lambda p, x: spread(x, p["weights"], p["bias"], 3, [(1, 1)], 0, 1),
    ),
    Row(MaxPooling(2), (IMAGE,), lambda p, x: pooled(x, 2, 2, P0, (3, 2), "max", False)),
    Row(
        MaxPooling(3, 2, 1, "ceil"),
        ((2, 6, 5),),
        lambda p, x: pooled(x, 3, 2, P1, (4, 3), "max", False),
    ),
    Row(
        MaxPooling((3, 2), stride=1, padding="same"),
        (IMAGE,),
        lambda p, x: pooled(x, (3, 2), 1, [(1, 1), (0, 1)], (7, 5), "max", False),
    ),
    Row(MaxPooling1D(4, 3), (SERIES,), lambda p, x: pooled(x, 4, 3, [(0, 0)], (2,), "max", False)),
    Row(
        AveragePooling(3, 2, 1),
        (IMAGE,),
        lambda p, x: pooled(x, 3, 2, P1, (4, 3), "average", False),
    ),
    Row(
        AveragePooling((2, 3), 2, (0, 1), "ceil", count_padding=True),
        (IMAGE,),
        lambda p, x: pooled(x, (2, 3), 2, [(0, 0), (1, 1)], (4, 3), "average", True),
    ),
    Row(
        AveragePooling1D(4, 2, padding=2),
        (SERIES,),
        lambda p, x: pooled(x, 4, 2, [(2, 2)], (5,), "average", False),
    ),
    Row(GlobalMaxPooling(), (IMAGE,), lambda p, x: x.max((2, 3))),
    Row(GlobalAveragePooling(), (SERIES,), lambda p, x: x.mean(2)),
    Row(Relu(), (IMAGE,), lambda p, x: np.where(x > 0, x, 0)),
    Row(LeakyRelu(), ((5,),), lambda p, x: np.where(x > 0, x, 0.01 * x)),
    Row(Elu(1.5), ((5,),), lambda p, x: elu(x, 1.5)),
    Row(Selu(), ((5,),), lambda p, x: 1.0507009873554805 * elu(x, 1.6732632423543772)),
    Row(Gelu(), ((5,),), lambda p, x: x / 2 * (1 + erf(x / math.sqrt(2)))),
    Row(
        Gelu("tanh"),
        ((5,),),
        lambda p, x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    ),
    Row(Swish(1.5), ((5,),), lambda p, x: x / (1 + np.exp(-1.5 * x))),
    Row(Softplus(2.0), ((5,),), lambda p, x: np.log1p(np.exp(2 * x)) / 2),
    Row(Logistic(), ((5,),), lambda p, x: 1 / (1 + np.exp(-x))),
    Row(Tanh(), ((5,),), lambda p, x: np.tanh(x)),
    Row(Activation("softsign"), (IMAGE,), lambda p, x: x / (1 + abs(x))),
    Row(Activation(gaussian_bump), (IMAGE,), lambda p, x: np.exp(-(x**2))),
    Row(Prelu(), (IMAGE,), lambda p, x: np.where(x > 0, x, column(p["slope"], x) * x)),
    Row(Prelu(per="element"), ((3, 2),), lambda p, x: np.where(x > 0, x, p["slope"] * x)),
    Row(Softmax(), ((5,),), lambda p, x: np.exp(x) / np.exp(x).sum(1, keepdims=True)),
    Row(Softmax(-1), ((3, 4),), lambda p, x: np.exp(x) / np.exp(x).sum(2, keepdims=True)),
    Row(LogSoftmax(), (IMAGE,), lambda p, x: x - np.log(np.exp(x).sum(1, keepdims=True))),
    Row(Dropout(0.3), ((40,),), lambda p, x: x, "random"),
    Row(Dropout(0.3, "gaussian"), ((3, 5),), lambda p, x: x, "random"),
    Row(GaussianNoise(0.2), ((3, 5),), lambda p, x: x, "random"),
    Row(MultiplicativeNoise(0.7, 0.3), ((30,),), lambda p, x: x, "random"),
    Row(BatchNormalisation(), (IMAGE,), lambda p, x: per_channel(x, p, 1e-4), "statistics"),
    Row(
        BatchNormalisation(0.5, 1e-2, "element"),
        ((2, 3),),
        lambda p, x: (
            p["scale"] * (x - p["running_mean"]) / np.sqrt(p["running_variance"] + 1e-2) + p["bias"]
        ),
        "statistics",
    ),
    Row(
        LayerNormalisation(),
        ((4, 5),),
        lambda p, x: p["scale"] * normalised(x, (2,), 1e-5) + p["bias"],
    ),
    Row(
        LayerNormalisation((1, -1), 1e-3),
        (IMAGE,),
        lambda p, x: p["scale"][:, None] * normalised(x, (1, 3), 1e-3) + p["bias"][:, None],
    ),
    Row(
        RmsNormalisation(),
        ((4, 5),),
        lambda p, x: p["scale"] * x / np.sqrt((x**2).mean(2, keepdims=True) + 1e-5),
    ),
    Row(
        LocalResponseNormalisation(4, 1.5, 0.3),
        ((6, 3, 2),),
        lambda p, x: neighbours(x, 4, 1.5, 0.3, 0.75),
    ),
    Row(LocalResponseNormalisation(), ((7,),), lambda p, x: neighbours(x, 5, 2, 1e-4, 0.75)),
    Row(
        Normaliser(0.1, 0.5),
        ((3, 2),),
        lambda p, x: (
            (x - p["running_mean"]) / np.sqrt(p["running_square"] - p["running_mean"] ** 2)
        ),
    ),
    Row(Identity(), (IMAGE,), lambda p, x: x),
    Row(Flatten(), (IMAGE,), lambda p, x: x.reshape(len(x), -1)),
    Row(Reshape((5, -1, 3)), (IMAGE,), lambda p, x: x.reshape(len(x), 5, 7, 3)),
    Row(Transpose((3, 1, 2)), (IMAGE,), lambda p, x: np.moveaxis(x, 3, 1)),
    Row(Scale((2.0, 3.0), 1.0), ((3, 2),), lambda p, x: x * [2, 3] + 1),
    Row(Split((2, 1, 4)), ((7, 3),), lambda p, x: (x[:, :2], x[:, 2:3], x[:, 3:])),
    Row(Split((2, 3), axis=-1), ((4, 5),), lambda p, x: (x[..., :2], x[..., 2:])),
    Row(Concatenate(), ((2, 3), (4, 3), (1, 3)), lambda p, *x: np.concatenate(x, 1)),
    Row(Concatenate(-1), ((2, 3), (2, 1)), lambda p, *x: np.concatenate(x, 2)),
    Row(Join(), ((3, 2), (5, 2), (4, 2)), lambda p, *x: ragged_sum(*x)),
    Row(Join("*"), ((3,), (5,), (4,)), lambda p, *x: ragged_product(*x)),
    Row(Function(total_times), ((5,),), lambda p, x: x * x.sum(1, keepdims=True)),
    Row(Combine(swapped_product), ((5,), (5,)), lambda p, a, b: a * b - b),
    Row(
        Sequence([Linear(4), Tanh(), Sequence([Linear(3, bias=False)])]),
        ((2, 3),),
        lambda p, x: (
            np.tanh(x.reshape(len(x), -1) @ p["linear1.weights"].T + p["linear1.bias"])
            @ p["sequence1.linear1.weights"].T
        ),
    ),
    Row(
        Branches([Linear(2), Sequence([Linear(3), Linear(2)]), Tanh()]),
        ((4,),),
        lambda p, x: (
            x @ p["linear1.weights"].T + p["linear1.bias"],
            (x @ p["sequence1.linear1.weights"].T + p["sequence1.linear1.bias"])
            @ p["sequence1.linear2.weights"].T
            + p["sequence1.linear2.bias"],
            np.tanh(x),
        ),
    ),
    Row(Residual([Tanh()]), ((2, 3),), lambda p, x: x + np.tanh(x)),
    Row(
        Residual([Linear(4)], shortcut=Linear(4, bias=False)),
        ((5,),),
        lambda p, x: (
            x @ (p["body.linear1.weights"] + p["shortcut.weights"]).T + p["body.linear1.bias"]
        ),
    ),
    Row(
        Autoencoder(Linear(3), Sequence([Linear(5), Tanh()]), 0.5),
        ((5,),),
        lambda p, x: x @ p["up.weights"].T + p["up.bias"],
        stopped=True,
    ),
]
IDS = [f"{i}-{row.layer}" for i, row in enumerate(ROWS)]
every_row = pytest.mark.parametrize("row", ROWS, ids=IDS)


def make_arrays(row: Row, batch: int) -> tuple[list[Spec], Arrays]:
    """Inputs x0, x1, ..., parameters and nothing else: normal numbers, far from any special value."""
    generator = np.random.default_rng(batch + 7)
    specs = [Spec((batch, *s), row.dtype) for s in row.shapes]
    arrays: Arrays = {}
    for i, s in enumerate(specs):
        integers = generator.integers(0, 7, s.shape)
        arrays[f"x{i}"] = generator.normal(0.3, 1.2, s.shape) if s.is_float else integers
    for name, p in row.layer.parameters(*specs).items():
        arrays[name] = generator.normal(0.2, 0.7, p.shape)
        if name.endswith(("variance", "square")):
            arrays[name] = 12 + np.abs(arrays[name])
    return specs, arrays


def cotangents(compiled: Any) -> Arrays:
    generator = np.random.default_rng(3)
    program = compiled.executable.program
    return {
        f"dy{i}": generator.normal(size=program.outputs[f"y{i}"].shape)
        for i in range(compiled.count)
    }


def test_every_layer_has_a_row() -> None:
    ours = {n for n, t in layers.TYPES.items() if t.__module__.startswith("cortex.layers")}
    assert ours == {type(r.layer).__name__ for r in ROWS}


@every_row
@pytest.mark.parametrize("batch", [1, 3])
def test_the_formula(row: Row, batch: int, alone: Any) -> None:
    specs, arrays = make_arrays(row, batch)
    compiled = alone(row.layer, *specs).run(**arrays)
    inputs = [arrays[f"x{i}"] for i in range(len(specs))]
    expected = row.formula(arrays, *inputs)
    expected = expected if isinstance(expected, tuple) else (expected,)
    found = compiled.y if isinstance(compiled.y, tuple) else (compiled.y,)
    assert [y.shape for y in found] == [e.shape for e in expected]
    for y, e in zip(found, expected, strict=True):
        np.testing.assert_allclose(y, e, rtol=1e-12, atol=1e-13)


@every_row
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
def test_gradients(row: Row, batch: int, training: bool, alone: Any) -> None:
    """d loss along a random direction of each input and parameter, against a central difference."""
    specs, arrays = make_arrays(row, batch)
    compiled = alone(row.layer, *specs, training=training)
    arrays |= cotangents(compiled)
    generator = np.random.default_rng(11)
    step = 1e-5
    for name in compiled.names:
        if row.stopped and training and name == "x0":
            continue
        direction = generator.normal(size=arrays[name].shape)
        compiled.run(**arrays)
        expected = float((compiled.gradient(name) * direction).sum())
        up, down = (
            compiled.run(**arrays | {name: arrays[name] + h * direction}).loss
            for h in (step, -step)
        )
        given = (up - down) / (2 * step)
        scale = max(abs(given), abs(expected), 1e-2)
        assert abs(given - expected) < 1e-6 * scale, (name, given, expected)


@every_row
def test_training_and_inference(row: Row, alone: Any) -> None:
    specs, arrays = make_arrays(row, 4)
    first, second = (alone(row.layer, *specs, training=t).run(**arrays).y for t in (False, True))
    if row.training == "same":
        np.testing.assert_array_equal(first, second) if not isinstance(first, tuple) else [
            np.testing.assert_array_equal(a, b) for a, b in zip(first, second, strict=True)
        ]
    else:
        assert first.shape == second.shape
        assert np.abs(first - second).max() > 1e-3


FLOATS = [r for r in ROWS if r.dtype == "float64"]


@pytest.mark.parametrize("row", FLOATS, ids=[str(r.layer) for r in FLOATS])
def test_single_precision(row: Row, run: Any) -> None:
    """float32 in, float32 out, near the formula."""
    specs, arrays = make_arrays(row, 2)
    inputs = [arrays[f"x{i}"] for i in range(len(specs))]
    parameters = {n: arrays[n] for n in row.layer.parameters(*specs)}
    found = run(row.layer, *inputs, dtype="float32", parameters=parameters).y
    expected = row.formula(arrays, *inputs)
    if not isinstance(found, tuple):
        found, expected = (found,), (expected,)
    for y, e in zip(found, expected, strict=True):
        assert y.dtype == np.float32
        np.testing.assert_allclose(y, e, rtol=2e-4, atol=2e-5)


@every_row
def test_data_round_trip(row: Row) -> None:
    data = layers.to_data(row.layer)
    again = layers.from_data(json.loads(json.dumps(data, allow_nan=False)))
    assert again == row.layer
    assert hash(again) == hash(row.layer)
    assert layers.to_data(again) == data
