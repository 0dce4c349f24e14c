"""JAX: the step and the inference as one compiled function each, buffers donated; written from cortex layers.

Max pooling of windows that touch is a reshape and a maximum, whose gradient XLA compiles to faster code than that of
`reduce_window`. Products and convolutions are computed in the type of their input, statistics and losses in float32.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from harness import STEPS_CHECKED, Contender
from networks import Batch, Workload

from cortex import layers as L

Arrays = list[Any]
MOST_CONSTANTS = (
    1 << 26
)  # bytes of weights that are compiled in: as arguments they cost a call 150 us


PRECISIONS = {"float32": "float32", "tf32": "tensorfloat32", "bfloat16": "default"}


def training(workload: Workload, batch: Batch, precision: str | None = None) -> Contender:
    """Return the compiled training step; with a `precision`, one of `PRECISIONS`, the batch lies on the device."""
    parameters, statistics = _weights(workload)
    zeros = lambda: [jnp.zeros_like(a) for a in parameters]  # noqa: E731
    moments = (zeros(), zeros()) if workload.optimiser == "adam" else (zeros(),)
    update = _adam if workload.optimiser == "adam" else _sgd

    given: Any = (batch.images, batch.labels)
    if precision is not None:
        given = tuple(map(jnp.asarray, given))

    def loss_of(p: Arrays, s: Arrays, x: Any, y: Any) -> Any:
        new: Arrays = []
        x = x.astype(jnp.bfloat16) if precision == "bfloat16" else x
        with jax.default_matmul_precision(PRECISIONS.get(precision, "default")):
            logits = forward(workload.layers, x, iter(p), iter(s), new).astype(jnp.float32)
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(len(y)), y]), new

    def step(p: Arrays, s: Arrays, m: Any, t: Any, x: Any, y: Any) -> Any:
        (loss, s), g = jax.value_and_grad(loss_of, has_aux=True)(p, s, x, y)
        p, m = update(p, g, m, t)
        return p, s, m, t + 1, loss

    compiled = jax.jit(step, donate_argnums=(0, 1, 2))
    state = [parameters, statistics, moments, jnp.float32(1)]

    def once() -> Any:
        *state[:], loss = compiled(*state, *given)
        return loss

    def run(count: int) -> None:
        for _ in range(count):
            loss = once()
        loss.block_until_ready()

    return Contender("JAX jit", run, lambda: [float(once()) for _ in range(STEPS_CHECKED)])


def inference(workload: Workload, images: np.ndarray) -> Contender:
    """Return the compiled inference of a batch."""
    parameters, statistics = _weights(workload)
    compiled = jax.jit(lambda p, s, x: forward(workload.layers, x, iter(p), iter(s)))
    made = functools.partial(compiled, parameters, statistics)
    if sum(a.nbytes for a in parameters) < MOST_CONSTANTS:
        made = jax.jit(lambda x: forward(workload.layers, x, iter(parameters), iter(statistics)))

    def run(count: int) -> Any:
        for _ in range(count):
            y = np.asarray(made(images))
        return y

    return Contender("JAX jit", run, lambda: run(1))


def _weights(workload: Workload) -> tuple[Arrays, Arrays]:
    """Return what is trained, and the running statistics."""
    pairs = list(zip(workload.weights(), workload.trainable(), strict=True))
    parameters = [jnp.asarray(a) for a, trained in pairs if trained]
    return parameters, [jnp.asarray(a) for a, trained in pairs if not trained]


def _adam(p: Arrays, g: Arrays, moments: Any, t: Any) -> Any:
    """Kingma and Ba 2015, algorithm 1."""
    v = [0.9 * a + 0.1 * b for a, b in zip(moments[0], g, strict=True)]
    w = [0.999 * a + 0.001 * b * b for a, b in zip(moments[1], g, strict=True)]
    one, two = 1 - 0.9**t, 1 - 0.999**t
    new = [
        a - 1e-3 * (b / one) / (jnp.sqrt(c / two) + 1e-8) for a, b, c in zip(p, v, w, strict=True)
    ]
    return new, (v, w)


def _sgd(p: Arrays, g: Arrays, moments: Any, t: Any) -> Any:
    v = [0.9 * a + b for a, b in zip(moments[0], g, strict=True)]
    return [a - 0.01 * b for a, b in zip(p, v, strict=True)], (v,)


def forward(
    layers: Any,
    x: Any,
    parameters: Iterator[Any],
    statistics: Iterator[Any],
    new: Arrays | None = None,
) -> Any:
    """Return what the layers make of x; training appends the running statistics to `new`."""
    for layer in layers:
        match layer:
            case L.Convolution():
                stride, padding = (layer.stride,) * 2, [(layer.padding,) * 2] * 2
                x = jax.lax.conv_general_dilated(
                    x, next(parameters).astype(x.dtype), stride, padding
                )
                if layer.bias:
                    x = x + next(parameters).astype(x.dtype)[:, None, None]
            case L.Linear():
                w, b = (next(parameters).astype(x.dtype) for _ in range(2))
                x = x.reshape(len(x), -1) @ w.T + b
            case L.BatchNormalisation():
                x = _normalised(layer, x, parameters, statistics, new)
            case L.MaxPooling():
                x = _pooled(layer, x)
            case L.Relu():
                x = jax.nn.relu(x)
            case L.GlobalAveragePooling():
                x = x.mean((2, 3))
            case L.Sequence():
                x = forward(layer.layers, x, parameters, statistics, new)
            case L.Residual():
                body = forward(layer.layers, x, parameters, statistics, new)
                shortcut = [] if layer.shortcut is None else [layer.shortcut]
                x = forward(shortcut, x, parameters, statistics, new) + body
            case _:
                raise TypeError(f"{layer} has no counterpart in JAX here; add one")
    return x


def _pooled(layer: Any, x: Any) -> Any:
    n, c, h, w = x.shape
    k, stride = layer.size, layer.stride or layer.size
    if stride == k and not layer.padding and h % k == w % k == 0:
        return x.reshape(n, c, h // k, k, w // k, k).max((3, 5))
    padding = ((0, 0), (0, 0), *[(layer.padding,) * 2] * 2)
    return jax.lax.reduce_window(
        x, -jnp.inf, jax.lax.max, (1, 1, k, k), (1, 1, stride, stride), padding
    )


def _normalised(
    layer: Any, given: Any, parameters: Any, statistics: Any, new: Arrays | None
) -> Any:
    scale, bias = next(parameters), next(parameters)
    mean, variance = next(statistics), next(statistics)
    x = given.astype(jnp.float32)
    if new is not None:
        m, count = layer.momentum, x.size // len(scale)
        batch_mean, batch_variance = x.mean((0, 2, 3)), x.var((0, 2, 3))
        new.append(m * mean + (1 - m) * batch_mean)
        new.append(m * variance + (1 - m) * batch_variance * count / (count - 1))
        mean, variance = batch_mean, batch_variance
    factor = scale / jnp.sqrt(variance + layer.epsilon)
    y = x * factor[:, None, None] + (bias - mean * factor)[:, None, None]
    return y.astype(given.dtype)
