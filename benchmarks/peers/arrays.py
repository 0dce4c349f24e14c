"""What is built on NumPy's arrays: an MLP by hand, scikit-learn's, and Adam as one loop of Numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from harness import STEPS_CHECKED, Contender
from networks import Batch, Workload

from cortex import layers as L


def fits(workload: Workload) -> bool:
    """Whether the network is linear layers with relu between, trained by Adam."""
    return all(isinstance(a, L.Linear | L.Relu) for a in workload.layers)


def training(workload: Workload, batch: Batch) -> Contender:
    """Return the training step of an MLP written out in NumPy, Adam over one flat array."""
    given = workload.weights()
    flat = np.concatenate([w.ravel() for w in given])
    gradient, m, v, once, twice = (np.zeros_like(flat) for _ in range(5))
    weights, slopes = _views(flat, given), _views(gradient, given)
    x, rows, t = batch.images.reshape(len(batch.labels), -1), np.arange(len(batch.labels)), 0

    def step() -> float:
        nonlocal t
        values = _forward(weights, x)
        logits = values[-1] - values[-1].max(1, keepdims=True)
        p = np.exp(logits)
        p /= p.sum(1, keepdims=True)
        loss = -np.log(p[rows, batch.labels]).mean()
        p[rows, batch.labels] -= 1
        d = p / len(x)
        for k in range(len(weights) - 2, -1, -2):
            np.matmul(d.T, values[k // 2], out=slopes[k])
            d.sum(0, out=slopes[k + 1])
            if k:
                d = d @ weights[k]
                d *= values[k // 2] > 0
        t += 1
        _adam(flat, gradient, m, v, once, twice, t)
        return float(loss)

    def run(count: int) -> None:
        for _ in range(count):
            step()

    return Contender("NumPy by hand", run, lambda: [step() for _ in range(STEPS_CHECKED)])


def inference(workload: Workload, images: np.ndarray) -> Contender:
    """Return the inference of an MLP written out in NumPy."""
    weights, x = workload.weights(), images.reshape(len(images), -1)

    def run(count: int) -> np.ndarray:
        for _ in range(count):
            y = _forward(weights, x)[-1]
        return y

    return Contender("NumPy by hand", run, lambda: run(1))


def _forward(weights: Any, x: np.ndarray) -> list[np.ndarray]:
    """Return the input, what follows each hidden layer, and the logits."""
    values = [x]
    for k in range(0, len(weights), 2):
        x = x @ weights[k].T
        x += weights[k + 1]
        if k + 2 < len(weights):
            np.maximum(x, 0, out=x)
        values.append(x)
    return values


def _views(flat: np.ndarray, like: list[np.ndarray]) -> list[np.ndarray]:
    parts = np.split(flat, np.cumsum([w.size for w in like])[:-1])
    return [part.reshape(w.shape) for part, w in zip(parts, like, strict=True)]


def _adam(p: Any, g: Any, m: Any, v: Any, once: Any, twice: Any, t: int) -> None:
    """Kingma and Ba 2015, algorithm 1, in place; `once` and `twice` are scratch."""
    m *= 0.9
    m += np.multiply(g, 0.1, out=once)
    v *= 0.999
    v += np.multiply(np.multiply(g, g, out=once), 0.001, out=once)
    np.sqrt(np.divide(v, 1 - 0.999**t, out=once), out=once)
    once += 1e-8
    np.divide(m, once, out=twice)
    p -= np.multiply(twice, 0.001 / (1 - 0.9**t), out=twice)


def sklearn_training(workload: Workload, batch: Batch) -> Contender:
    """Return scikit-learn's `partial_fit`, its weights replaced by ours after it has made its own."""
    from sklearn.neural_network import MLPClassifier
    from sklearn.neural_network._stochastic_optimizers import AdamOptimizer

    x, weights = batch.images.reshape(len(batch.labels), -1), workload.weights()
    hidden = tuple(len(w) for w in weights[1:-2:2])
    model = MLPClassifier(hidden, alpha=0.0, batch_size=len(x), shuffle=False)
    model.partial_fit(x, batch.labels, classes=np.arange(10))
    for k in range(len(weights) // 2):
        model.coefs_[k] = np.ascontiguousarray(weights[2 * k].T)
        model.intercepts_[k] = weights[2 * k + 1].copy()
    model._optimizer = AdamOptimizer(model.coefs_ + model.intercepts_, 1e-3)

    def run(count: int) -> None:
        for _ in range(count):
            model.partial_fit(x, batch.labels)

    def once() -> float:
        run(1)
        return float(model.loss_)

    return Contender(
        "scikit-learn MLPClassifier", run, lambda: [once() for _ in range(STEPS_CHECKED)]
    )


def numba_adam(gradient: np.ndarray) -> Contender:
    """Return Adam's update as one hand-written loop, over all threads of Numba."""
    import numba

    @numba.njit(parallel=True, fastmath=True)
    def update(p: Any, g: Any, m: Any, v: Any, one: float, two: float) -> None:
        for i in numba.prange(len(p)):
            m[i] = np.float32(0.9) * m[i] + np.float32(0.1) * g[i]
            v[i] = np.float32(0.999) * v[i] + np.float32(0.001) * g[i] * g[i]
            root = np.sqrt(v[i] * two) + np.float32(1e-8)
            p[i] -= np.float32(0.001) * m[i] * one / root

    p, m, v = (np.zeros_like(gradient) for _ in range(3))
    t = 0

    def run(count: int) -> None:
        nonlocal t
        for _ in range(count):
            t += 1
            one, two = np.float32(1 / (1 - 0.9**t)), np.float32(1 / (1 - 0.999**t))
            update(p, gradient, m, v, one, two)

    def first() -> np.ndarray:
        run(1)
        return p[:1000].copy()

    return Contender("Numba, a loop by hand", run, first)


def products(program: Any) -> Contender:
    """Return NumPy's time for nothing but the matrix products of a program, operands laid out as it likes them."""
    import roofline

    rng = np.random.default_rng(0)
    made = []
    for p in roofline.products(program):
        a, b = rng.random((p.m, p.k), np.float32), rng.random((p.k, p.n), np.float32)
        made += [(a, b, np.empty((p.m, p.n), np.float32))] * p.count

    def run(count: int) -> None:
        for _ in range(count):
            for a, b, c in made:
                np.matmul(a, b, out=c)

    return Contender("NumPy, the matrix products alone", run)
