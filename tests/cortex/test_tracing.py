"""A training step against NumPy and against differences: losses, penalties, sharing, freezing, optimisers, statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cortex import layers as L
from cortex.compute.errors import ShapeError
from cortex.executables import Clip, NetworkExecutable, evaluation, training_step
from cortex.losses import CategoricalCrossEntropy, CentreLoss, MeanAbsoluteError, MeanSquaredError
from cortex.network import Network, column, constant, node
from cortex.optimise.optimisers import Adam, AdamW, Sgd
from cortex.optimise.schedules import ExponentialDecay
from cortex.parameters import ALIGNMENT, layout
from cortex.tracing import inference_nodes

RNG = np.random.default_rng(11)
X, LABELS, Y = RNG.normal(size=(6, 5)), RNG.integers(0, 3, 6), RNG.normal(size=(6, 2))


def trained_like(network: Network, seed: int = 5) -> Network:
    """The network in float64 with random numbers everywhere, biases too."""
    rng = np.random.default_rng(seed)
    wide = network.with_dtype("float64")
    return wide.with_parameters(
        {n: rng.normal(size=s.shape) * 0.5 for n, s in wide.parameter_specs.items()}
    )


def chain(*items: Any) -> Network:
    return trained_like(Network([("x", L.Input(5)), *items]))


def run(executable: NetworkExecutable, steps: int = 1, **columns: Any) -> NetworkExecutable:
    for name, array in columns.items():
        executable.write(name, array)
    for _ in range(steps):
        executable.run()
    return executable


def step(
    network: Network, optimiser: Any = None, batch_size: int = 6, **options: Any
) -> NetworkExecutable:
    return training_step(
        network, optimiser=optimiser or Sgd(1.0), batch_size=batch_size, backend="numpy", **options
    )


def gradient(network: Network, columns: dict[str, Any], **options: Any) -> dict[str, np.ndarray]:
    """What one step of gradient descent of size 1 subtracts."""
    made = run(step(network, **options), **columns)
    return {
        n: network.parameters[n] - made.read(n)
        for n in network.parameters
        if n not in network.statistics
    }


def differences(network: Network, columns: dict[str, Any], name: str, **options: Any) -> np.ndarray:
    """The gradient of the loss by central differences of an evaluation."""
    made = evaluation(network, batch_size=6, backend="numpy", **options)
    run(made, **columns)
    start, found, h = network.parameters[name], np.empty(network.parameter_specs[name].shape), 1e-5
    for i in np.ndindex(*start.shape):
        value = []
        for sign in (1, -1):
            moved = start.copy()
            moved[i] += sign * h
            made.write(name, moved)
            made.run()
            value.append(float(made.read("loss")))
        found[i] = (value[0] - value[1]) / (2 * h)
    return found


def check(network: Network, columns: dict[str, Any], **options: Any) -> None:
    for name, g in gradient(network, columns, **options).items():
        expected = differences(network, columns, name, **options)
        assert np.abs(g - expected).max() < 1e-7 * max(1.0, np.abs(expected).max()), name


CASES: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "softmax": (lambda: chain(L.Linear(4), L.Tanh(), L.Linear(3), L.Softmax()), {"x": X, "label": LABELS}, {}),
    "regression": (lambda: chain(L.Linear(4), L.Softplus(), L.Linear(2)), {"x": X, "label": Y}, {}),
    "penalties": (
        lambda: chain(node(L.Linear(4), l1=0.1, l2=0.3), L.Tanh(), node(L.Linear(2), parameters={"bias": {"l2": 0.7}})),
        {"x": X, "label": Y},
        {},
    ),
    "shared": (
        lambda: chain(("a", L.Linear(5)), L.Tanh(), node(L.Linear(5), "b", bindings={"weights": "a.weights"}), L.Linear(2)),
        {"x": X, "label": Y},
        {},
    ),
    "hypernetwork": (
        lambda: chain(
            node(L.Linear(4), "code", parents=constant([0.3, -0.7])), L.Tanh(), ("weights", L.Linear(10)),
            node(L.Linear(2), "main", "x", bindings={"weights": "weights"}),
        ),
        {"x": X, "label": Y},
        {},
    ),
    "network that reads its own weights": (
        lambda: chain(
            ("a", L.Linear(4)), node(L.Linear(4), "b", "a.weights"), L.Tanh(),
            node(L.Linear(2), "c", "a", bindings={"bias": "d"}), node(L.Linear(2), "d", "tanh1"),
        ),
        {"x": X, "label": Y},
        {},
    ),
    "column": (
        lambda: chain(L.Linear(4), L.Tanh(), node(L.Linear(2), bindings={"weights": column("w")})),
        {"x": X, "label": Y, "w": RNG.normal(size=(2, 4))},
        {},
    ),
    "several outputs": (
        lambda: trained_like(
            Network(
                [("x", L.Input(5)), ("t", L.Linear(4)), L.Tanh(), ("a", L.Linear(2)),
                 node(L.Linear(3), "l", "tanh1"), ("b", L.Softmax())]
            )
        ),
        {"x": X, "label": LABELS, "y": Y, "sample_weight": RNG.uniform(0.1, 2, 6)},
        {"loss": {"a": (MeanSquaredError(), 0.25), "b": (CategoricalCrossEntropy(), 2.0)},
         "target": {"a": "y", "b": "label"}, "sample_weight": True},
    ),
    "convolution": (
        lambda: trained_like(
            Network([("x", L.Input(2, 6, 5)), L.Convolution(3, 3), L.Tanh(), L.AveragePooling(2), L.Linear(3), L.Softmax()])
        ),
        {"x": RNG.normal(size=(6, 2, 6, 5)), "label": LABELS},
        {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_gradients_equal_differences(case: str) -> None:
    make, columns, options = CASES[case]
    check(make(), columns, **options)


def test_the_gradient_of_a_shared_parameter_is_the_sum() -> None:
    shared = CASES["shared"][0]()
    apart = trained_like(
        Network([("x", L.Input(5)), ("a", L.Linear(5)), L.Tanh(), ("b", L.Linear(5)), L.Linear(2)])
    ).with_parameters({**shared.parameters, "b.weights": shared.parameters["a.weights"]})
    columns = {"x": X, "label": Y}
    one, two = gradient(shared, columns), gradient(apart, columns)
    np.testing.assert_allclose(one["a.weights"], two["a.weights"] + two["b.weights"], rtol=1e-12)


def test_losses_by_hand() -> None:
    network, columns, options = CASES["several outputs"][0](), *CASES["several outputs"][1:]
    made = run(evaluation(network, batch_size=6, backend="numpy", **options), **columns)
    p, w = network.parameters, columns["sample_weight"]
    h = np.tanh(X @ p["t.weights"].T + p["t.bias"])
    a, z = h @ p["a.weights"].T + p["a.bias"], h @ p["l.weights"].T + p["l.bias"]
    squares = (w * ((a - Y) ** 2).mean(1)).sum() / w.sum()
    log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    entropy = (w * -log_p[np.arange(6), LABELS]).sum() / w.sum()
    assert made.read("loss.a") == pytest.approx(squares, rel=1e-12)
    assert made.read("loss.b") == pytest.approx(entropy, rel=1e-12)
    assert made.read("loss") == pytest.approx(0.25 * squares + 2 * entropy, rel=1e-12)
    np.testing.assert_allclose(made.read("b"), np.exp(log_p), rtol=1e-12)


def test_penalty_is_a_part_of_the_loss() -> None:
    network = CASES["penalties"][0]()
    made = run(evaluation(network, batch_size=6, backend="numpy"), x=X, label=Y)
    w, b = network.parameters["linear1.weights"], network.parameters["linear2.bias"]
    penalty = 0.1 * np.abs(w).sum() + 0.15 * (w**2).sum() + 0.35 * (b**2).sum()
    assert made.read("loss.penalty") == pytest.approx(penalty, rel=1e-12)
    assert made.read("loss") == pytest.approx(made.read("loss.linear2") + penalty, rel=1e-12)


def test_l2_gradient_of_zero_data_is_the_weight() -> None:
    network = chain(node(L.Linear(2), l2=0.25))
    zero = network.with_parameters({"linear1.bias": np.zeros(2)})
    g = gradient(zero, {"x": np.zeros((6, 5)), "label": np.zeros((6, 2))})
    np.testing.assert_allclose(
        g["linear1.weights"], 0.25 * zero.parameters["linear1.weights"], rtol=1e-12
    )


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
            [("x", L.Input(5)), L.Linear(4), L.BatchNormalisation(), L.Dropout(0.5), L.Linear(4), L.BatchNormalisation(),
             L.Linear(3), L.Softmax()]
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


def test_metrics_and_totals() -> None:
    network = chain(L.Linear(3), L.Softmax())
    made = step(network, Sgd(0.0), metrics=["correct"], totals=True)
    run(made, 2, x=X, label=LABELS)
    right = (made.read("output").argmax(1) == LABELS).sum()
    assert made.read("metric.correct") == right and made.read("total.metric.correct") == 2 * right
    assert made.read("total.examples") == 12 and made.read("total.loss") == pytest.approx(
        12 * made.read("loss")
    )
    made.write("total.examples", np.zeros(()))
    made.run()
    assert made.read("total.examples") == 6
    weighted = evaluation(
        network, batch_size=6, backend="numpy", sample_weight=True, totals=True,
        metrics={"largest": lambda build, output, target: build.map(lambda o: o * 2.0, build.constant(np.ones(())))},
    )  # fmt: skip
    run(weighted, x=X, label=LABELS, sample_weight=np.full(6, 0.5))
    assert weighted.read("total.examples") == 3 and weighted.read("metric.largest") == 2
    missing = run(step(network, Sgd(0.0), metrics=["correct"]), x=X, label=np.full(6, -1))
    assert missing.read("metric.correct") == 0 and missing.read("loss") == 0


def test_bytes_stay_bytes() -> None:
    network = Network(
        [("image", L.Input(1, 4, 4, dtype="uint8", scale=1 / 255)), L.Linear(3), L.Softmax()]
    )
    made = step(network)
    assert (
        made.program.inputs["image"].dtype == "uint8"
        and made.program.inputs["label"].dtype == "int32"
    )
    image = RNG.integers(0, 256, (6, 1, 4, 4)).astype(np.uint8)
    run(made, image=image, label=LABELS.astype(np.uint8))
    assert np.isfinite(made.read("loss"))


def test_layout() -> None:
    network = chain(
        L.Linear(3), L.BatchNormalisation(), node(L.Linear(4), l2=0.1, parameters={"bias": {"frozen": True}}),
        ("z", L.Linear(2)),
    )  # fmt: skip
    plan = layout(network)
    members = [[s.name for s in g.slots] for g in plan.groups]
    assert members == [
        ["linear1.weights", "linear1.bias", "batch_normalisation1.scale", "batch_normalisation1.bias",
         "z.weights", "z.bias"],
        ["linear2.weights"],
        ["linear2.bias"],
    ]  # fmt: skip
    assert set(plan.statistics) == set(network.statistics)
    for g in plan.groups:
        assert g.size % ALIGNMENT == 0
        ends = 0
        for s in g.slots:
            assert s.offset % ALIGNMENT == 0 and s.offset >= ends
            ends = s.offset + s.size
        assert g.size - ends < ALIGNMENT


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


def test_mean_absolute_error_has_weights_of_examples() -> None:
    network = chain(L.Linear(2))
    made = step(network, Sgd(0.0), loss=MeanAbsoluteError(), sample_weight=True)
    weights = np.array([1, 0, 0, 2, 0, 0.5])
    run(made, x=X, label=Y, sample_weight=weights)
    error = np.abs(
        X @ network.parameters["linear1.weights"].T + network.parameters["linear1.bias"] - Y
    ).mean(1)
    assert made.read("loss") == pytest.approx((weights * error).sum() / 3.5, rel=1e-12)
