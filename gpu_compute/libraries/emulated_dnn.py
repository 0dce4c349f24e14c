"""What each description of `dnn` means, in the most obvious NumPy; convolutions are those of `compute.reference`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cortex.compute import reference
from cortex.compute.ops import convolution as ops

from . import dnn

Arrays = tuple[np.ndarray, ...]
Array = np.ndarray

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "none": lambda z: z,
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "elu": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
    "gelu": lambda z: 0.5 * z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))),
    "swish": lambda z: z / (1 + np.exp(-z)),
}


def convolution(d: dnn.ConvolutionForward, x: Array, w: Array, bias: Array | None = None) -> Arrays:
    """y = activation(x * w + bias)."""
    (y,) = reference.convolution(ops.Convolution(d.window, d.groups), x, w)
    return (ACTIVATIONS[d.activation](y if bias is None else y + _column(bias, y.ndim)),)


def convolution_input_gradient(d: dnn.ConvolutionInputGradient, dy: Array, w: Array) -> Arrays:
    """dx from dy and w."""
    op = ops.ConvolutionInputGradient(d.window, d.x[2:], d.groups)
    return reference.convolution_input_gradient(op, dy, w)


def convolution_kernel_gradient(d: dnn.ConvolutionKernelGradient, x: Array, dy: Array) -> Arrays:
    """dw from x and dy."""
    op = ops.ConvolutionKernelGradient(d.window, d.groups)
    return reference.convolution_kernel_gradient(op, x, dy)


def batch_norm_training(
    d: dnn.BatchNormTraining,
    x: Array,
    scale: Array,
    bias: Array,
    running_mean: Array,
    running_variance: Array,
    residual: Array | None = None,
) -> Arrays:
    """y, mean and 1 / sqrt(variance + epsilon) of the batch, the running values after it, y > 0."""
    axes = (0, *range(2, x.ndim))
    count = x.size // x.shape[1]
    mean, variance = x.mean(axes), x.var(axes)
    inverse = 1 / np.sqrt(variance + x.dtype.type(d.epsilon))
    y = _normalised(x, mean, inverse, scale, bias, residual)
    y = np.maximum(y, 0) if d.relu else y
    old, new = x.dtype.type(d.momentum), x.dtype.type(1 - d.momentum)
    next_mean = old * running_mean + new * mean
    next_variance = old * running_variance + new * variance * (count / max(1, count - 1))
    results = (y, mean, inverse, next_mean, next_variance)
    return (*results, y > 0) if d.relu else results


def batch_norm_inference(
    d: dnn.BatchNormInference,
    x: Array,
    mean: Array,
    inverse: Array,
    scale: Array,
    bias: Array,
    residual: Array | None = None,
) -> Arrays:
    """y = activation(scale (x - mean) inverse + bias [+ residual])."""
    return (ACTIVATIONS[d.activation](_normalised(x, mean, inverse, scale, bias, residual)),)


def _normalised(
    x: Array, mean: Array, inverse: Array, scale: Array, bias: Array, residual: Array | None
) -> Array:
    m, i, s, b = (_column(v, x.ndim) for v in (mean, inverse, scale, bias))
    y = s * (x - m) * i + b
    return y if residual is None else y + residual


def batch_norm_backward(
    d: dnn.BatchNormBackward,
    dy: Array,
    x: Array,
    scale: Array,
    mean: Array,
    inverse: Array,
    mask: Array | None = None,
) -> Arrays:
    """With z = (x - mean) inverse: dx = scale inverse (dy - mean dy - z mean(dy z)), and the sums of dy z and dy."""
    axes = (0, *range(2, x.ndim))
    dy = dy if mask is None else dy * mask
    z = (x - _column(mean, x.ndim)) * _column(inverse, x.ndim)
    dscale, dbias = (dy * z).sum(axes), dy.sum(axes)
    count = x.size // x.shape[1]
    mean_dy, mean_dyz = (_column(v / count, x.ndim) for v in (dbias, dscale))
    dx = _column(scale * inverse, x.ndim) * (dy - mean_dy - z * mean_dyz)
    return (dx, dscale, dbias, dy) if "dresidual" in d.outputs else (dx, dscale, dbias)


def row_norm_training(
    d: dnn.RowNormTraining, x: Array, scale: Array, bias: Array | None = None
) -> Arrays:
    """y and the statistics of each row."""
    if d.kind == "rms":
        inverse = 1 / np.sqrt((x * x).mean(1) + x.dtype.type(d.epsilon))
        return scale * x * inverse[:, None], inverse
    mean = x.mean(1)
    inverse = 1 / np.sqrt(x.var(1) + x.dtype.type(d.epsilon))
    return scale * (x - mean[:, None]) * inverse[:, None] + bias, mean, inverse


def row_norm_backward(
    d: dnn.RowNormBackward,
    dy: Array,
    x: Array,
    scale: Array,
    inverse: Array,
    mean: Array | None = None,
) -> Arrays:
    """With e = dy scale: dx = inverse (e - mean e - z mean(e z)) over each row; without mean e for `rms`."""
    z = (x if mean is None else x - mean[:, None]) * inverse[:, None]
    e = dy * scale
    dx = e - z * (e * z).mean(1, keepdims=True)
    if d.kind == "rms":
        return dx * inverse[:, None], (dy * z).sum(0)
    dx = (dx - e.mean(1, keepdims=True)) * inverse[:, None]
    return dx, (dy * z).sum(0), dy.sum(0)


def attention(d: dnn.AttentionForward, q: Array, k: Array, v: Array) -> Arrays:
    """o and the logarithm of the sums of the softmax."""
    q, k, v = (_heads_first(d, a) for a in (q, k, v))
    scores = _scores(d, q, k)
    most = scores.max(-1, keepdims=True)
    logarithms = np.log(np.exp(scores - most).sum(-1)) + most[..., 0]
    return _heads_first(d, np.exp(scores - logarithms[..., None]) @ v), logarithms


def attention_backward(
    d: dnn.AttentionBackward, q: Array, k: Array, v: Array, o: Array, do: Array, logarithms: Array
) -> Arrays:
    """With p the weights: dv = p^T do, ds = p (do v^T - sum(do o)), dq = factor ds k, dk = factor ds^T q."""
    q, k, v, o, do = (_heads_first(d, a) for a in (q, k, v, o, do))
    p = np.exp(_scores(d, q, k) - logarithms[..., None])
    ds = p * (do @ v.swapaxes(-1, -2) - (do * o).sum(-1, keepdims=True)) * p.dtype.type(d.factor)
    results = ds @ k, ds.swapaxes(-1, -2) @ q, p.swapaxes(-1, -2) @ do
    return tuple(_heads_first(d, a) for a in results)


def _scores(d: dnn.AttentionForward | dnn.AttentionBackward, q: Array, k: Array) -> Array:
    scores: Array = q @ k.swapaxes(-1, -2) * q.dtype.type(d.factor)
    if d.causal:
        scores = np.where(np.tri(d.queries, d.keys, dtype=bool), scores, -np.inf)
    return scores


def _heads_first(d: Any, a: Array) -> Array:
    """Exchange time and heads where they are held the other way; its own inverse."""
    return a.swapaxes(1, 2) if d.transposed else a


def _column(v: Array, rank: int) -> Array:
    return v.reshape(-1, *[1] * (rank - 2))


FORMULAS: dict[type, Callable[..., Arrays]] = {
    dnn.ConvolutionForward: convolution,
    dnn.ConvolutionInputGradient: convolution_input_gradient,
    dnn.ConvolutionKernelGradient: convolution_kernel_gradient,
    dnn.BatchNormTraining: batch_norm_training,
    dnn.BatchNormInference: batch_norm_inference,
    dnn.BatchNormBackward: batch_norm_backward,
    dnn.RowNormTraining: row_norm_training,
    dnn.RowNormBackward: row_norm_backward,
    dnn.AttentionForward: attention,
    dnn.AttentionBackward: attention_backward,
}
