"""Pairs that occur together, as functions: the original's `linear->relu` and its kin."""

from __future__ import annotations

from typing import Any

from cortex.layers.activation import Logistic, Relu, Selu, Softmax, Swish, Tanh
from cortex.layers.composite import Sequence
from cortex.layers.convolution import Convolution
from cortex.layers.linear import Linear


def linear_relu(units: int, **options: Any) -> Sequence:
    """Return `Linear(units, **options)`, then `Relu()`."""
    return Sequence((Linear(units, **options), Relu()))


def linear_logistic(units: int, **options: Any) -> Sequence:
    """Return `Linear(units, **options)`, then `Logistic()`."""
    return Sequence((Linear(units, **options), Logistic()))


def linear_tanh(units: int, **options: Any) -> Sequence:
    """Return `Linear(units, **options)`, then `Tanh()`."""
    return Sequence((Linear(units, **options), Tanh()))


def linear_selu(units: int, **options: Any) -> Sequence:
    """Return `Linear(units, **options)`, then `Selu()`."""
    return Sequence((Linear(units, **options), Selu()))


def linear_swish(units: int, **options: Any) -> Sequence:
    """Return `Linear(units, **options)`, then `Swish()`."""
    return Sequence((Linear(units, **options), Swish()))


def linear_softmax(units: int, **options: Any) -> Sequence:
    """Return `Linear(units, **options)`, then `Softmax()`."""
    return Sequence((Linear(units, **options), Softmax()))


def convolution_relu(kernels: int, kernel: int | tuple[int, ...], **options: Any) -> Sequence:
    """Return `Convolution(kernels, kernel, **options)`, then `Relu()`."""
    return Sequence((Convolution(kernels, kernel, **options), Relu()))
