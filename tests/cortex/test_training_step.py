"""A training step: optimisers, learning-rate factors, max-norm, freezing, statistics, clipping, losses with state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from stepping import LABELS, X, Y, chain, gradient, run, step, trained_like

from cortex import layers as L
from cortex.compute.errors import ShapeError
from cortex.executables import Clip, NetworkExecutable
from cortex.losses import CategoricalCrossEntropy, CentreLoss
from cortex.network import Network, node
from cortex.optimise.optimisers import Adam, AdamW, Sgd
from cortex.optimise.schedules import ExponentialDecay
from cortex.tracing import inference_nodes


def mlp(
    p: dict[str, np.ndarray], x: np.ndarray, labels: np.ndarray
) -> tuple[float, dict[str, np.ndarray]]:
    """Loss and gradients of linear, tanh, linear, softmax in plain NumPy."""
    h = np.tanh(x @ p["linear1.weights"].T + p["linear1.bias"])
    z = h @ p["linear2.weights"].T + p["linear2.bias"]
    q = np.exp(z - z.max(1, keepdims=True))
    q /= q.sum(1, keepdims=True)
    rows = np.arange(len(x))
    dz = q.copy()
    dz[rows, labels] -= 1
    dz /= len(x)
    dh = dz @ p["linear2.weights"] * (1 - h * h)
    return -np.log(q[rows, labels]).mean(), {
        "linear1.weights": dh.T @ x, "linear1.bias": dh.sum(0), "linear2.weights": dz.T @ h, "linear2.bias": dz.sum(0),
    }  # fmt: skip


def test_adam_in_the_loop_equals_a_reference() -> None:
    """The original lost Adam's state with every batch: 60 steps over three epochs, last batches smaller."""
    network = chain(L.Linear(8), L.Tanh(), L.Linear(3), L.Softmax())
    rng = np.random.default_rng(2)
    x, labels = rng.normal(size=(99, 5)), rng.integers(0, 3, 99)
    made: dict[int, NetworkExecutable] = {}
    p = {n: a.copy() for n, a in network.parameters.items()}
    m = {n: np.zeros_like(a) for n, a in p.items()}
    v = {n: np.zeros_like(a) for n, a in p.items()}
    t, memory = 0, None
    for _ in range(3):
        for start in range(0, 99, 5):
            batch = slice(start, start + 5)
            size = len(x[batch])
            if size not in made:
                made[size] = step(network, Adam(0.01), batch_size=size, memory=memory)
                memory = made[size].memory
            run(made[size], x=x[batch], label=labels[batch])
            loss, g = mlp(p, x[batch], labels[batch])
            assert made[size].read("loss") == pytest.approx(loss, rel=1e-11)
            t += 1
            for n in p:
                m[n] = 0.9 * m[n] + 0.1 * g[n]
                v[n] = 0.999 * v[n] + 0.001 * g[n] ** 2
                p[n] = p[n] - 0.01 * (m[n] / (1 - 0.9**t)) / (np.sqrt(v[n] / (1 - 0.999**t)) + 1e-8)
    assert set(made) == {5, 4} and t == 60
    for n in p:
        np.testing.assert_allclose(made[5].read(n), p[n], rtol=0, atol=1e-12)


def test_schedules_advance_once_per_step_whatever_the_number_of_groups() -> None:
    network = chain(
        node(L.Linear(4), l2=1e-9), node(L.Linear(3), learning_rate_factor=2.0), L.Softmax()
    )
    made = run(step(network, Sgd(ExponentialDecay(0.1, 0.5))), 3, x=X, label=LABELS)
    assert made.read("optimiser.num_steps") == 3
    assert len(made.layout.groups) == 3


def test_learning_rate_factor_scales_the_step_exactly() -> None:
    plain = chain(L.Linear(4), L.Tanh(), L.Linear(3), L.Softmax())
    for factor in (0.25, 2.0, 0.0):
        scaled = plain.with_attributes("linear1", learning_rate_factor=factor)
        one = run(step(plain, Adam(0.01)), x=X, label=LABELS)
        two = run(step(scaled, Adam(0.01)), x=X, label=LABELS)
        for n in plain.parameters:
            old = plain.parameters[n]
            wanted = old + (factor if n.startswith("linear1") else 1) * (one.read(n) - old)
            if n.startswith("linear1"):
                np.testing.assert_allclose(two.read(n), wanted, rtol=1e-15, atol=1e-17)
            else:
                assert np.array_equal(two.read(n), one.read(n))


def test_max_norm_holds_after_every_step() -> None:
    network = chain(
        node(L.Linear(4), max_norm=0.8),
        L.Tanh(),
        node(L.Linear(3), parameters={"bias": {"max_norm": 0.1}}),
        L.Softmax(),
    )
    free = chain(L.Linear(4), L.Tanh(), L.Linear(3), L.Softmax())
    one, two = step(network, Sgd(0.5)), step(free, Sgd(0.5))
    run(one, x=X, label=LABELS)
    run(two, x=X, label=LABELS)
    w = two.read("linear1.weights")
    norms = np.sqrt((w * w).sum(1, keepdims=True))
    assert (norms > 0.8).any()
    np.testing.assert_allclose(
        one.read("linear1.weights"), w * np.minimum(1, 0.8 / norms), rtol=1e-14
    )
    for _ in range(20):
        one.run()
        w = one.read("linear1.weights")
        assert np.sqrt((w * w).sum(1)).max() <= 0.8 * (1 + 1e-12)
        assert np.linalg.norm(one.read("linear2.bias")) <= 0.1 * (1 + 1e-12)
    assert np.linalg.norm(one.read("linear1.bias")) > 0  # biases are not touched


def test_frozen_parts_do_not_change_by_a_bit() -> None:
    network = trained_like(
        Network(
            [("x", L.Input(5)), L.Linear(4), L.BatchNormalisation(), L.Dropout(0.5), L.Linear(4),
             L.BatchNormalisation(), L.Linear(3), L.Softmax()]
        )
    )  # fmt: skip
    network = network.with_parameters(
        {f"batch_normalisation{i}.running_variance": np.ones(4) for i in (1, 2)}
    )
    frozen = network.freeze(up_to="dropout1").freeze("linear3.bias")
    made = run(step(frozen, AdamW(0.01)), 5, x=X, label=LABELS)
    changed = {
        n for n in network.parameters if not np.array_equal(made.read(n), network.parameters[n])
    }
    assert changed == {
        "linear2.weights", "linear2.bias", "batch_normalisation2.scale", "batch_normalisation2.bias",
        "batch_normalisation2.running_mean", "batch_normalisation2.running_variance", "linear3.weights",
    }  # fmt: skip
    assert not any(
        s.label.startswith(("linear1", "dropout1")) and "gradient" in s.label
        for s in made.program.steps
    )
    assert "random.seed" not in made.program.state  # the frozen dropout runs as in inference


def test_which_nodes_run_in_inference_mode() -> None:
    network = Network(
        [
            ("x", L.Input(5)),
            L.Dropout(0.1),
            L.Linear(4),
            L.BatchNormalisation(),
            L.Linear(3),
            L.BatchNormalisation(),
        ]
    )
    assert (
        inference_nodes(network) == frozenset()
    )  # an input and a dropout in front are no frozen prefix
    assert inference_nodes(network.freeze("linear1")) == {"x", "dropout1", "linear1"}
    assert inference_nodes(network.freeze("linear2")) == frozenset()
    assert inference_nodes(network.freeze("batch_normalisation2")) == {"batch_normalisation2"}
    both = network.freeze("linear1", "batch_normalisation1", "linear2")
    assert inference_nodes(both) == {"x", "dropout1", "linear1", "batch_normalisation1", "linear2"}
    lent = Network(
        [
            ("x", L.Input(4)),
            ("a", L.Linear(4)),
            node(L.Linear(4), "b", bindings={"weights": "a.weights"}),
        ]
    )
    assert inference_nodes(lent.freeze("b")) == frozenset()  # it uses weights that are trained
    assert (
        inference_nodes(lent.freeze("a.weights", "b")) == frozenset()
    )  # it reads a, whose bias is trained
    assert inference_nodes(lent.freeze("a", "b")) == {"x", "a", "b"}


def test_statistics_are_refreshed() -> None:
    network = chain(L.BatchNormalisation(momentum=0.75), L.Linear(2))
    made = run(step(network), x=X, label=Y)
    mean, variance = X.mean(0), X.var(0, ddof=1)
    for name, batch in (("running_mean", mean), ("running_variance", variance)):
        old = network.parameters[f"batch_normalisation1.{name}"]
        np.testing.assert_allclose(
            made.read(f"batch_normalisation1.{name}"), 0.75 * old + 0.25 * batch, rtol=1e-12
        )


def test_penalties_of_layers_are_trained() -> None:
    network = chain(L.Autoencoder(L.Linear(2), L.Linear(5), factor=0.5))
    made = run(step(network), x=X, label=Y)
    p = network.parameters
    code = X @ p["autoencoder1.up.weights"].T + p["autoencoder1.up.bias"]
    back = code @ p["autoencoder1.down.weights"].T + p["autoencoder1.down.bias"]
    penalty = 0.5 * ((back - X) ** 2).mean()
    assert made.read("loss.penalty") == pytest.approx(penalty, rel=1e-12)
    assert made.read("loss") == pytest.approx(((code - Y) ** 2).mean() + penalty, rel=1e-12)
    wanted = p["autoencoder1.down.bias"] - 0.5 * 2 * (back - X).sum(0) / X.size
    np.testing.assert_allclose(made.read("autoencoder1.down.bias"), wanted, rtol=1e-12)


def test_clipping() -> None:
    network = chain(node(L.Linear(4), l2=0.1), L.Tanh(), L.Linear(3), L.Softmax())
    columns = {"x": X, "label": LABELS}
    g = gradient(network, columns)
    norm = np.sqrt(sum((a * a).sum() for a in g.values()))
    made = run(step(network, clip=norm / 2), **columns)
    assert made.read("gradient.norm") == pytest.approx(norm, rel=1e-12)
    for n, a in gradient(network, columns, clip=norm / 2).items():
        np.testing.assert_allclose(a, g[n] / 2, rtol=1e-9, atol=1e-15)
    for n, a in gradient(network, columns, clip=Clip(value=0.01)).items():
        np.testing.assert_allclose(a, np.clip(g[n], -0.01, 0.01), rtol=1e-9, atol=1e-15)
    same = gradient(network, columns, clip=norm * 2)
    np.testing.assert_allclose(same["linear1.weights"], g["linear1.weights"], rtol=1e-9, atol=1e-15)


def test_centres_of_a_loss_are_state_and_move() -> None:
    network = chain(("features", L.Linear(2)), ("head", L.Linear(3)), L.Softmax())
    made = step(
        network,
        loss={"softmax1": CategoricalCrossEntropy(), "features": (CentreLoss(3, alpha=0.5), 0.1)},
        target={"softmax1": "label", "features": "label"},
    )
    run(made, x=X, label=LABELS)
    p = network.parameters
    f = X @ p["features.weights"].T + p["features.bias"]
    assert made.read("loss.features") == pytest.approx(
        0.5 * (f * f).sum(1).mean(), rel=1e-12
    )  # centres begin at 0
    wanted = np.stack(
        [0.5 * f[LABELS == k].mean(0) if (LABELS == k).any() else np.zeros(2) for k in range(3)]
    )
    np.testing.assert_allclose(made.read("loss.features.centres"), wanted, rtol=1e-12)


def test_a_loss_with_parameters_that_are_trained() -> None:
    from cortex.initialisers import Constant
    from cortex.losses.reduction import sum_of_examples
    from cortex.protocols import Parameter

    class Scaled:
        """s (o - t)^2 + s^2, with one trained number s."""

        def parameters(self, output: Any, target: Any) -> dict[str, Parameter]:
            return {"s": Parameter((1,), Constant(3.0))}

        def terms(self, build: Any, output: Any, target: Any, *, s: Any) -> Any:
            return sum_of_examples(build, s * (output - target) * (output - target) + s * s), None

    network = chain(L.Linear(1))
    made = run(step(network, Sgd(0.01), loss=Scaled()), x=X, label=Y[:, :1])
    error = (
        X @ network.parameters["linear1.weights"].T + network.parameters["linear1.bias"] - Y[:, :1]
    )
    assert made.read("loss") == pytest.approx((3 * error**2).mean() + 9, rel=1e-12)
    assert made.read("loss.linear1.s")[0] == pytest.approx(
        3 - 0.01 * ((error**2).mean() + 6), rel=1e-12
    )


def test_padding_stays_zero() -> None:
    network = chain(node(L.Linear(3), l1=0.1, max_norm=0.5), L.Tanh(), L.Linear(2))
    made = run(step(network, AdamW(0.1, weight_decay=0.1), clip=1.0), 10, x=X, label=Y)
    for g in made.layout.groups:
        flat = made.read(g.state)
        used = np.zeros(g.size, bool)
        for s in g.slots:
            used[s.offset : s.offset + s.size] = True
            assert np.array_equal(
                flat[s.offset : s.offset + s.size].reshape(s.shape), made.read(s.name)
            )
        assert (~used).any() and not flat[~used].any()


def test_one_pass_per_group_and_one_over_the_scalars() -> None:
    network = chain(node(L.Linear(3), l2=0.1), L.Tanh(), L.Linear(2))
    made = step(network, Adam())
    passes = [s for s in made.program.steps if s.label == "optimiser"]
    assert (
        len(passes) == 1 + len(made.layout.groups) == 3
    )  # the weights of linear1; everything else
    assert sum(n.startswith("optimiser.") for n in made.program.state) == 1 + 2 * 2


def test_nothing_left_to_train() -> None:
    with pytest.raises(
        ShapeError, match="every parameter is frozen, there is nothing to train; unfreeze some"
    ):
        step(chain(L.Linear(2)).freeze())
