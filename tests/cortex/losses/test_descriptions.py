"""Losses as data, checks of settings and shapes, and their messages."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from cortex import losses as L
from cortex.build import Build
from cortex.compute.errors import DescriptionError, ShapeError
from cortex.compute.program import Program
from cortex.description import register_function

SOME = [
    L.MeanSquaredError(),
    L.MeanAbsoluteError(),
    L.Huber(0.5),
    L.BinaryCrossEntropy(),
    L.BinaryCrossEntropyWithLogits(2.0),
    L.CategoricalCrossEntropy(0.1),
    L.SoftmaxCrossEntropy(0.1, (1.0, 2.0)),
    L.NegativeLogLikelihood(),
    L.CentreLoss(10, radius=2.0),
]


@pytest.mark.parametrize("loss", SOME, ids=repr)
def test_there_and_back(loss: Any) -> None:
    assert L.from_data(json.loads(json.dumps(L.to_data(loss)))) == loss


def test_a_loss_of_your_own_has_a_name() -> None:
    function = register_function(
        "test.fourth_power", lambda o, t: (o - t) * (o - t) * (o - t) * (o - t)
    )
    loss = L.Elementwise(function)
    assert L.to_data(loss) == {"type": "Elementwise", "element": "test.fourth_power"}
    assert (
        L.from_data(json.loads(json.dumps(L.to_data(loss))))
        == loss
        == L.Elementwise("test.fourth_power")
    )  # type: ignore[arg-type]
    with pytest.raises(
        DescriptionError, match="no function is named 'test.forth_power'; did you mean 'test.f"
    ):
        L.from_data({"type": "Elementwise", "element": "test.forth_power"})


def test_a_mistyped_loss() -> None:
    with pytest.raises(DescriptionError, match="did you mean 'SoftmaxCrossEntropy'"):
        L.from_data({"type": "SoftmaxCrossEntrpy"})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: L.Huber(0), "Huber: delta: expected a number > 0, given 0"),
        (lambda: L.SoftmaxCrossEntropy(1.0), "label_smoothing: expected a number >= 0 and < 1"),
        (lambda: L.SoftmaxCrossEntropy(0.0, (-1.0,)), "class_weights: expected None, or a tuple"),
        (lambda: L.CentreLoss(0), "classes: expected an integer >= 1, given 0"),
        (lambda: L.CentreLoss(3, 1.5), "alpha: expected a number from 0 to 1, given 1.5"),
        (lambda: L.BinaryCrossEntropy(0), "epsilon: expected a number > 0, given 0"),
        (lambda: L.BinaryCrossEntropyWithLogits(0), "positive_weight: expected a number > 0"),
        (lambda: L.L2Regulariser(-1), "factor: expected a number >= 0, given -1"),
        (lambda: L.Elementwise(3), "element: expected a function of an output and its target"),  # type: ignore[arg-type]
    ],
)
def test_settings_are_checked_when_made(make: Any, message: str) -> None:
    with pytest.raises(DescriptionError, match=message):
        make()


@pytest.mark.parametrize(
    ("loss", "output", "target", "message"),
    [
        (L.MeanSquaredError(), (4, 3), (4, 2), "MeanSquaredError: output and target must have the"),
        (
            L.MeanSquaredError(),
            (4, 3),
            (3, 3),
            r"given output float64\[4, 3\] and target float64\[3",
        ),
        (
            L.SoftmaxCrossEntropy(),
            (4, 3),
            (3,),
            r"expected labels of shape \(4,\) or a distribution",
        ),
        (L.SoftmaxCrossEntropy(), (4,), (4,), r"expected an output \[N, classes, ...\] of floats"),
        (
            L.SoftmaxCrossEntropy(0.0, (1, 2)),
            (4, 3),
            (4,),
            "expected 3 class_weights, one for each",
        ),
        (L.CentreLoss(5), (4, 3), (4, 2), r"CentreLoss: expected features .* one-hot \[N, 5\]"),
    ],
)
def test_shapes_that_do_not_fit(loss: Any, output: Any, target: Any, message: str) -> None:
    program = Program()
    build = Build(program, dtype="float64")
    values = [program.input("o", output, "float64"), program.input("t", target, "float64")]
    own = {
        n: program.input(n, p.shape, "float64")
        for n, p in loss.parameters(*(v.spec for v in values)).items()
    }
    with pytest.raises(ShapeError, match=message):
        loss.terms(build, *values, **own)


def test_sample_weights_that_do_not_fit(loss_of: Any) -> None:
    with pytest.raises(ShapeError, match=r"expected sample_weights of shape \(4,\), one for each"):
        loss_of(L.MeanSquaredError(), np.zeros((4, 3)), np.zeros((4, 3)), np.zeros(3))
