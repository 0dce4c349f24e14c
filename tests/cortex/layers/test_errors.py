"""Wrong descriptions and wrong shapes: one clear message that names everything at once."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from cortex import layers as L
from cortex.compute import DescriptionError, ShapeError, Spec

COUNT = "expected an integer >= 1, given"
EXTENT = "expected an integer >= 1 or 2 of them in a tuple, given"

# a call that fails, and all problems it must name
WRONG: list[tuple[Any, list[str]]] = [
    (lambda: L.Input(0, -1), ["shape: expected a tuple of any number of entries", "given (0, -1)"]),
    (lambda: L.Input(3, dtype="flaot32"), ["dtype: expected", "did you mean 'float32'?"]),
    (lambda: L.Linear(0), [f"Linear: units: {COUNT} 0"]),
    (lambda: L.Linear(-3, bias=1), [f"units: {COUNT} -3", "bias: expected True or False, given 1"]),
    (lambda: L.Linear(2.5), [f"units: {COUNT} 2.5"]),
    (lambda: L.Linear(True), [f"units: {COUNT} True"]),
    (lambda: L.Linear(3, axes="lost"), ["axes: expected 'all' or 'last', given 'lost'; did you mean 'last'?"]),
    (lambda: L.Linear(3, initialiser=len), ["initialiser: expected None, or an initialiser such as He()"]),
    (
        lambda: L.Convolution(0, (3, 0), stride=-1, padding="sane", dilation=0, groups=0),
        [
            f"kernels: {COUNT} 0",
            f"kernel: {EXTENT} (3, 0)",
            f"stride: {EXTENT} -1",
            "padding: expected 'same', an integer >= 0, or a tuple of 2",
            "given 'sane'; did you mean 'same'?",
            f"dilation: {EXTENT} 0",
            f"groups: {COUNT} 0",
        ],
    ),
    (lambda: L.Convolution(4, 0), [f"Convolution: kernel: {EXTENT} 0"]),
    (lambda: L.Convolution(4, 3, stride=0), [f"Convolution: stride: {EXTENT} 0"]),
    (lambda: L.Convolution(4, 3, padding=-1), ["padding: expected", "given -1"]),
    (lambda: L.Convolution(4, 3, padding=(1, 2, 3)), ["padding: expected", "given (1, 2, 3)"]),
    (lambda: L.Convolution(4, 3, groups=3), ["kernels: expected a multiple of groups = 3, given 4"]),
    (lambda: L.Convolution1D(4, (3, 3)), ["Convolution1D: kernel: expected an integer >= 1, given (3, 3)"]),
    (
        lambda: L.TransposedConvolution(4, 3, stride=2, output_padding=2),
        ["output_padding: expected less than stride = 2, given 2"],
    ),
    (lambda: L.MaxPooling(0), [f"MaxPooling: size: {EXTENT} 0"]),
    (lambda: L.MaxPooling(2, 0), ["stride: expected", "given 0"]),
    (lambda: L.MaxPooling(2, padding=2), ["padding: expected less than size = 2, given 2"]),
    (lambda: L.AveragePooling(2, rounding="cell"), ["rounding: expected 'floor' or 'ceil'", "did you mean 'ceil'?"]),
    (lambda: L.AveragePooling(2, count_padding="no"), ["count_padding: expected True or False, given 'no'"]),
    (lambda: L.Dropout(1.0), ["Dropout: probability: expected a number >= 0 and < 1, given 1.0"]),
    (lambda: L.Dropout(-0.1, "normal"), ["probability: expected", "distribution: expected 'bernoulli' or 'gaussian'"]),
    (lambda: L.Dropout(float("nan")), ["probability: expected", "given nan"]),
    (lambda: L.GaussianNoise(-1), ["sd: expected a number >= 0, given -1"]),
    (lambda: L.MultiplicativeNoise(1.5, 1), ["probability: expected a number from 0 to 1, given 1.5"]),
    (lambda: L.BatchNormalisation(2, 0, "chanel"), ["momentum", "epsilon", "did you mean 'channel'?"]),
    (lambda: L.LayerNormalisation(()), ["axes: expected a tuple of at least 1 entries"]),
    (lambda: L.LayerNormalisation(0), ["axes: expected", "other than 0, the batch axis, given (0,)"]),
    (lambda: L.LocalResponseNormalisation(0), [f"size: {COUNT} 0"]),
    (lambda: L.Normaliser(2), ["learn_rate: expected a number from 0 to 1, given 2"]),
    (lambda: L.Softmax(0), ["axis: expected an integer other than 0, the batch axis, given 0"]),
    (lambda: L.Concatenate(0), ["axis: expected an integer other than 0"]),
    (lambda: L.Join("-"), ["operation: expected '+' or '*', given '-'"]),
    (lambda: L.Split((2, 0)), ["widths: expected"]),
    (lambda: L.Reshape((0, 3)), ["shape: expected", "or -1 for the rest"]),
    (lambda: L.Reshape((-1, -1)), ["shape: only one extent may be -1, given (-1, -1)"]),
    (lambda: L.Transpose((0, 1)), ["axes: expected a tuple with each of the axes 1, 2, ... once, given (0, 1)"]),
    (lambda: L.Scale("2"), ["factor: expected a number or a regular nested tuple of numbers, given '2'"]),
    (lambda: L.Scale(((1, 2), (3,))), ["factor: expected a number or a regular nested tuple"]),
    (lambda: L.Softplus(0), ["beta: expected a number > 0, given 0"]),
    (lambda: L.Gelu("fast"), ["form: expected 'exact' or 'tanh'"]),
    (lambda: L.Prelu(per="row"), ["per: expected 'channel' or 'element'"]),
    (lambda: L.Activation("rleu"), ["activation: no function is named 'rleu'; did you mean 'relu'?"]),
    (lambda: L.Activation(3), ["activation: expected a function, or the name"]),
    (lambda: L.Function(None, 3), ["function: expected a function", "gradient: expected a function"]),
    (lambda: L.Embedding(0, 3), [f"count: {COUNT} 0"]),
    (lambda: L.Embedding(4, 3, 4), ["padding_index: expected a row below count = 4, given 4"]),
    (lambda: L.Sequence([]), ["layers: expected a tuple of at least 1 entries, each a layer such as Linear(10)"]),
    (lambda: L.Sequence([L.Relu]), ["layers: expected", "each a layer such as Linear(10)"]),
    (lambda: L.Residual([L.Relu()], 3), ["shortcut: expected a layer such as Linear(10), or None"]),
    (lambda: L.Autoencoder(3, L.Relu), ["up: expected a layer", "down: expected a layer"]),
]  # fmt: skip


@pytest.mark.parametrize(("make", "words"), WRONG, ids=[w[0][:40] for _, w in WRONG])
def test_construction(make: Any, words: list[str]) -> None:
    with pytest.raises(DescriptionError) as caught:
        make()
    for word in words:
        assert word in str(caught.value)


S = Spec
MISFITS: list[tuple[Any, tuple[Spec, ...], str]] = [
    (L.Linear(3), (S((5,)),), "Linear: expected an input [batch, features, ...], given float32[5]"),
    (
        L.Linear(3),
        (S((5, 2)), S((5, 2))),
        "Linear: expected 1 input, given 2 (float32[5, 2], float32[5, 2])",
    ),
    (L.Relu(), (), "Relu: expected 1 input, given 0 (none)"),
    (L.Join(), (), "Join: expected at least 1 input, given none"),
    (
        L.Convolution(4, 3),
        (S((2, 10)),),
        "Convolution: expected an input [batch, channels, height, width], given float32[2, 10]",
    ),
    (
        L.Convolution(4, 3, groups=2),
        (S((2, 3, 8, 8)),),
        "expected an input [batch, channels, height, width] with channels in 2 groups, given float32[2, 3, 8, 8]",
    ),
    (L.Convolution1D(4, 3), (S((2, 3, 8, 8)),), "expected an input [batch, channels, time]"),
    (L.Convolution(4, 9), (S((2, 3, 8, 8)),), "the window covers 9 cells along spatial axis 0"),
    (
        L.TransposedConvolution(4, 3, padding=4),
        (S((2, 3, 4, 4)),),
        "an input of extents (4, 4) gives (-2, -2): the padding 4 takes everything away",
    ),
    (L.MaxPooling(3), (S((2, 3, 2, 8)),), "the window covers 3 cells along spatial axis 0"),
    (
        L.GlobalMaxPooling(),
        (S((2, 3)),),
        "GlobalMaxPooling: expected an input [batch, channels, spatial axes ...], given float32[2, 3]",
    ),
    (
        L.Reshape((3, 4)),
        (S((2, 10)),),
        "Reshape: an example of float32[2, 10] has 10 elements, the shape (3, 4) asks for 12",
    ),
    (L.Reshape((3, -1)), (S((2, 10)),), "the shape (3, -1) asks for a multiple of 3"),
    (L.Transpose((2, 1)), (S((2, 6)),), "Transpose: axes (2, 1) need 3 axes, given float32[2, 6]"),
    (
        L.Split((2, 3)),
        (S((2, 6)),),
        "Split: the widths (2, 3) add up to 5, axis 1 of float32[2, 6] has extent 6",
    ),
    (
        L.Split((2,), axis=2),
        (S((2, 6)),),
        "Split: axis 2 is not among the axes of float32[2, 6] behind the batch",
    ),
    (L.Scale((1.0, 2.0, 3.0)), (S((2, 6)),), "do not broadcast"),
    (
        L.Scale(((1.0, 2.0), (3.0, 4.0))),
        (S((1, 2)),),
        "Scale: factor and constant must broadcast to an example",
    ),
    (
        L.LayerNormalisation((1, 3)),
        (S((2, 6)),),
        "LayerNormalisation: axes (1, 3) must be different axes of float32[2, 6] other than the batch",
    ),
    (
        L.Join(),
        (S((2, 6, 3)), S((2, 6, 4))),
        "Join '+': only axis 1 may differ, given float32[2, 6, 3], float32[2, 6, 4]",
    ),
    (
        L.Embedding(5, 3),
        (S((2, 6)),),
        "Embedding: expected integer indices, given float32[2, 6]; declare Input(..., dtype='int32')",
    ),
    (
        L.Residual([L.Linear(3)]),
        (S((2, 6)),),
        "Residual: the layers give float32[2, 3], the shortcut float32[2, 6], expected the same",
    ),
    (
        L.Function(lambda x: 3),
        (S((2, 6)),),
        "Function: the function must return a value or a tuple of them, given int",
    ),
    (
        L.Function(lambda x: x, gradient=lambda x: (x, x)),
        (S((2, 6)),),
        "Function: a gradient is elementwise: expected 1 derivatives of the shape (2, 6)",
    ),
    (
        L.Sequence([L.Flatten(), L.Convolution(4, 3)]),
        (S((2, 1, 8, 8)),),
        "Convolution: expected an input [batch, channels, height, width], given float32[2, 64]",
    ),
]


@pytest.mark.parametrize(
    ("layer", "specs", "words"), MISFITS, ids=[f"{i}-{m[0]}" for i, m in enumerate(MISFITS)]
)
def test_shapes(layer: Any, specs: tuple[Spec, ...], words: str) -> None:
    with pytest.raises(ShapeError, match=re.escape(words)):
        L.output_specs(layer, specs)


def test_a_truth_value_of_a_value_is_refused() -> None:
    with pytest.raises(TypeError, match="use where"):
        L.output_specs(L.Function(lambda x: x if x > 0 else -x), [Spec((2, 3))])
    with pytest.raises(TypeError, match="has no truth value"):
        L.output_specs(L.Activation(lambda x: max(x, 0)), [Spec((2, 3))])


def test_numbers_of_numpy_are_plain_numbers() -> None:
    layer = L.Convolution(np.int64(3), np.array([3, 5]), padding=[[0, 1], 2])
    assert layer == L.Convolution(3, (3, 5), padding=((0, 1), 2))
    assert L.to_data(layer)["kernel"] == [3, 5]
