"""Loss scaling: exact where nothing overflows, and a step that does is as if it had not been."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cortex
from cortex import layers as L
from cortex import stopping
from cortex.compute import get_backend
from cortex.compute.backend import Capabilities
from cortex.compute.errors import DescriptionError
from cortex.executables import Clip, LossScale, NetworkExecutable, training_step
from cortex.losses import SoftmaxCrossEntropy
from cortex.network import node
from cortex.observers import epoch_line
from cortex.optimise import Adam, Sgd
from cortex.optimise.schedules import ExponentialDecay
from cortex.tracing import step as recorded
from cortex.tracing.scaling import STATE

RNG = np.random.default_rng(3)
X = RNG.normal(size=(5, 12, 6)).astype(np.float32)  # five batches
Y = RNG.integers(0, 3, (5, 12))
HEAVY = {"linear2": (SoftmaxCrossEntropy(), 100.0)}  # gradients above 2: they overflow times 2^127
ENDLESS = np.where(np.arange(6) == 2, np.inf, X[1]).astype(np.float32)


def network(*more: Any) -> cortex.Network:
    items = [L.Linear(9), *more, L.Tanh(), node(L.Linear(3), l2=0.01, max_norm=0.8)]
    return cortex.Network([("x", L.Input(6)), *items], seed=2)


def made(scale: Any, on: str = "cpu", net: Any = None, **options: Any) -> NetworkExecutable:
    given = {"optimiser": Adam(ExponentialDecay(0.02, 0.9)), "totals": True, "seed": 4, **options}
    return training_step(
        net or network(L.BatchNormalisation(), L.Dropout(0.3)), loss=HEAVY, batch_size=12,
        metrics=["correct"], backend=on, loss_scale=scale, **given,
    )  # fmt: skip


def run(step: NetworkExecutable, batches: Sequence[np.ndarray]) -> NetworkExecutable:
    for k, x in enumerate(batches):
        step.write("x", x)
        step.write("label", Y[k % len(Y)])
        step.run()
    return step


def state(step: NetworkExecutable, *without: str) -> dict[str, np.ndarray]:
    return {n: step.read(n) for n in step.program.state if n not in (*STATE, *without)}


def there(on: str) -> None:
    if not (found := cortex.compute.availability(on)).works:
        pytest.skip(found.reason)


def equal(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert a.keys() == b.keys()
    for name, array in a.items():
        np.testing.assert_array_equal(array, b[name], err_msg=name)


@pytest.mark.parametrize("on", ["cpu", "numpy"])
@pytest.mark.parametrize("scale", [1, 2.0**-3, 2.0**20, "dynamic"])
@pytest.mark.parametrize(
    "options",
    [
        {"optimiser": Sgd(0.1, momentum=0.9)},
        {"optimiser": Sgd(0.1), "clip": 0.05},
        {"clip": Clip(norm=0.5, value=0.01)},
        {},
    ],
    ids=["sgd", "sgd, clipped", "adam, clipped", "adam"],
)
def test_a_power_of_two_changes_no_bit(options: dict, scale: Any, on: str) -> None:
    scaled, plain = (run(made(s, on, **options), X) for s in (scale, None))
    equal(state(scaled), state(plain))
    assert scaled.read("loss") == plain.read("loss") and scaled.read("scaling.skipped") == 0
    assert "clip" not in options or scaled.read("gradient.norm") == plain.read("gradient.norm")


def test_any_other_number_rounds() -> None:
    scaled, plain = (run(made(s, optimiser=Sgd(0.1)), X) for s in (1000, None))
    for name, array in state(plain).items():
        np.testing.assert_allclose(scaled.read(name), array, rtol=2e-5, atol=1e-6, err_msg=name)


def test_networks_of_64_bits_are_scaled_in_64_bits() -> None:
    wide = network().with_dtype("float64")
    scaled, plain = (run(made(s, net=wide), X) for s in (2.0**200, None))
    equal(state(scaled), state(plain))


def test_without_a_scale_nothing_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program is the one without scaling; with it, only steps of its own are added."""
    scaled = made("dynamic").program
    monkeypatch.setattr(recorded, "Scaling", None)
    plain = made(None).program
    assert not set(STATE) & set(plain.state) and set(scaled.state) == {*plain.state, *STATE}
    one, other = (
        [(str(s.op), s.label) for s in p.steps if s.label != "loss scale"] for p in (plain, scaled)
    )
    differences = [pair for pair in zip(one, other, strict=True) if pair[0] != pair[1]]
    assert differences == [(("Map[1.0]", "gradient"), ("Map[x0]", ""))], "the cotangent of the loss"
    assert len(one) == len(plain.steps) < len(scaled.steps)


@pytest.mark.parametrize("on", ["cpu", "cuda-emulated"])
def test_scaling_is_one_sum_over_the_gradient_and_nothing_else(on: str) -> None:
    """The division, and the choice between old and new, are in the optimiser's pass over the flat buffers."""
    there(on)
    net = cortex.Network([("x", L.Input(50)), L.Linear(100), L.Tanh(), L.Linear(3)], seed=2)
    reports = []
    for scale in (None, "dynamic"):
        step = made(scale, on, net)
        flat = f"float32[{step.layout.groups[0].size}]"
        reports.append([s.op for s in step.report.steps if flat in s.outputs])
    assert reports[0] == reports[1] and reports[0].count("Map") == 1
    assert sum(s.op == "Reduce" and s.label == "loss scale" for s in step.report.steps) == 1


@pytest.mark.parametrize("on", ["cpu", "numpy", "cuda-emulated"])
def test_an_overflow_leaves_all_state_as_it_was(on: str) -> None:
    there(on)
    step = run(made("dynamic", on), X[:2])
    before = state(step)
    step.write("scaling.scale", 2.0**127)
    run(step, X[2:3])
    assert step.read("scaling.scale") == 2.0**126 and step.read("scaling.skipped") == 1
    assert step.read("scaling.good") == 0
    after = state(step)
    drawn = after.pop("random.step")
    assert drawn == before.pop("random.step") + 1, "the next step draws other numbers"
    counted = [n for n in after if n.startswith("total.")]
    assert len(counted) == 5
    for name in counted:  # the loss itself is finite, and counts
        assert after.pop(name) != before.pop(name)
    equal(after, before)


@pytest.mark.parametrize("on", ["cpu", "numpy"])
def test_a_step_without_a_finite_loss_is_as_if_it_had_not_been(on: str) -> None:
    """Running sums are those of the other steps too. Without random layers the steps after it are the same."""
    options = {"net": network(L.BatchNormalisation()), "on": on}
    torn = run(made("dynamic", **options), [X[0], ENDLESS, X[2], X[3]])
    whole = made("dynamic", **options)
    for k in (0, 2, 3):
        whole.write("x", X[k])
        whole.write("label", Y[k])
        whole.run()
    equal(state(torn), state(whole))
    assert torn.read("scaling.skipped") == 1 and whole.read("scaling.skipped") == 0
    assert torn.read("scaling.scale") == 2**15 and torn.read("scaling.good") == 2


def test_a_scale_that_stays_skips_too() -> None:
    step = run(made(2.0**127), X[:2])
    assert step.read("scaling.skipped") == 2 and "scaling.scale" not in step.program.state
    np.testing.assert_array_equal(
        step.read("linear1.weights"), network().parameters["linear1.weights"]
    )


@pytest.mark.parametrize("on", ["cpu", "cuda-emulated"])
def test_the_scale_moves_as_the_rule_says(on: str) -> None:
    there(on)
    step, found = made(LossScale(8.0, interval=2, most=16.0), on), []
    for x in (X[0], X[1], X[2], X[3], ENDLESS, X[4], ENDLESS, X[0], X[1]):
        run(step, [x])
        found.append((float(step.read("scaling.scale")), int(step.read("scaling.good"))))
    assert found == [(8, 1), (16, 0), (16, 1), (16, 0), (8, 0), (8, 1), (4, 0), (4, 1), (8, 0)]


def test_on_the_emulated_device_as_on_the_cpu() -> None:
    there("cuda-emulated")
    batches = [X[0], ENDLESS, X[2], X[3]]
    device, host = (
        run(made("dynamic", on, network(L.Dropout(0.3)), optimiser=Sgd(0.1, 0.9)), batches)
        for on in ("cuda-emulated", "cpu")
    )
    for name, array in state(host).items():
        np.testing.assert_allclose(device.read(name), array, rtol=1e-5, atol=1e-6, err_msg=name)
    assert all(device.read(n) == host.read(n) for n in STATE)


@given(
    st.lists(st.booleans(), max_size=60),
    st.integers(1, 5),
    st.integers(0, 24),
)
def test_the_rule(overflows: list[bool], interval: int, start: int) -> None:
    """Against its words: runs of good steps are counted by hand, from the last overflow or doubling on."""
    rule = LossScale(2.0**start, interval)
    scale, good = rule.start, 0.0
    for k, overflow in enumerate(overflows):
        before = scale
        scale, good = rule.next(scale, good, float(overflow))
        run = 0
        for was in reversed(overflows[: k + 1]):
            if was:
                break
            run += 1
        assert good == run % interval
        if overflow:
            assert scale == max(before / 2, 1)
        elif run % interval == 0:
            assert scale == min(before * 2, 2**24)
        else:
            assert scale == before
        assert 1 <= scale <= 2**24 and np.log2(scale) % 1 == 0


def data() -> dict[str, np.ndarray]:
    """50 examples, the inputs of number 17 endless: one step of each epoch overflows."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(50, 6)).astype(np.float32)
    x[17, 3] = np.inf
    return {"x": x, "label": rng.integers(0, 3, 50)}


OPTIONS = {
    "batch_size": 12, "seed": 1, "progress": False, "backend": "cpu", "loss_scale": LossScale(64.0, interval=3),
}  # fmt: skip


def test_a_run_says_what_it_skipped() -> None:
    net = network(L.Dropout(0.2))
    result = cortex.fit(net, data(), epochs=3, **OPTIONS)
    assert result.reason is stopping.Reason.EPOCHS and np.isfinite(result.metrics["loss"])
    assert [row["skipped_steps"] for row in result.history] == [1, 2, 3]
    assert result.metrics["step"] == 15, "a step that is skipped counts"
    assert result.metrics["loss_scale"] == result.checkpoint.state["scaling.scale"]
    assert "  3 steps skipped  " in epoch_line(result.metrics, 3)
    assert "skipped" not in epoch_line({**result.metrics, "skipped_steps": 0}, 3)
    plain = cortex.fit(net, data(), epochs=3, **{**OPTIONS, "loss_scale": None})
    assert plain.reason is stopping.Reason.NOT_FINITE and "loss_scale" not in plain.checkpoint.state


def test_a_first_step_that_overflows_does_not_end_a_run() -> None:
    """Its loss is finite; records come after each step."""
    clean = {"x": X.reshape(60, 6), "label": Y.reshape(60)}
    scale = LossScale(2.0**127, most=2.0**127)
    records = list(
        cortex.train(
            network(), clean, loss=HEAVY, loss_scale=scale, every=1, epochs=9, backend="cpu"
        )
    )
    assert records[0]["skipped_steps"] == 1 and records[0]["loss_scale"] == 2.0**126
    assert records[-1]["reason"] is stopping.Reason.EPOCHS
    assert 1 < records[-1]["skipped_steps"] < records[-1]["step"] == 9


@pytest.mark.parametrize("stop_at", [2, 5, 7])
@pytest.mark.parametrize("on", ["cpu", "numpy"])
def test_a_resumed_run_equals_an_uninterrupted_one(on: str, stop_at: int, tmp_path: Path) -> None:
    options = {**OPTIONS, "backend": on}
    net = network(L.BatchNormalisation(), L.Dropout(0.2))
    whole = cortex.fit(net, data(), epochs=3, **options)
    part = cortex.fit(net, data(), stop=stopping.steps(stop_at), every=1, **options)
    cortex.save_checkpoint(tmp_path / "run", part.checkpoint)
    rest = cortex.fit(net, data(), epochs=3, resume=tmp_path / "run", **options)
    equal(dict(whole.checkpoint.state), dict(rest.checkpoint.state))
    assert set(STATE) <= set(whole.checkpoint.state)
    assert whole.history[-1]["skipped_steps"] == rest.history[-1]["skipped_steps"] == 3


@pytest.mark.parametrize(
    ("first", "then", "kept"),
    [(None, "dynamic", set(STATE)), ("dynamic", None, set()), ("dynamic", 8, {"scaling.skipped"})],
)
def test_a_run_may_go_on_with_another_scale(first: Any, then: Any, kept: set) -> None:
    """As it may on another backend, whose gradients want another one."""
    clean = {"x": X.reshape(60, 6), "label": Y.reshape(60)}
    options = {k: v for k, v in OPTIONS.items() if k != "loss_scale"}
    part = cortex.fit(network(), clean, epochs=1, loss_scale=first, **options)
    rest = cortex.fit(
        network(), clean, epochs=2, loss_scale=then, resume=part.checkpoint, **options
    )
    whole = cortex.fit(network(), clean, epochs=2, **options)
    assert set(rest.checkpoint.state) & set(STATE) == kept
    for name, array in whole.network.parameters.items():
        np.testing.assert_array_equal(array, rest.network.parameters[name])


class Wanting:
    """The NumPy backend, but for what it says of its gradients."""

    name = "wanting"
    capabilities = Capabilities(("float32", "float64"), loss_scale="dynamic")
    compile = staticmethod(get_backend("numpy").compile)


def test_without_a_word_the_backend_says() -> None:
    assert set(STATE) <= set(made(None, Wanting()).program.state)  # type: ignore[arg-type]
    assert "scaling.scale" not in made(1, Wanting()).program.state  # type: ignore[arg-type]
    options = {**OPTIONS, "loss_scale": None, "backend": Wanting()}
    assert cortex.fit(network(), data(), epochs=1, **options).metrics["loss_scale"] == 2**15


@pytest.mark.parametrize("wrong", ["dynamc", 0, -1.0, True, float("nan"), [2]])
def test_what_is_no_scale_is_said(wrong: Any) -> None:
    message = "loss_scale: expected 'dynamic', a number > 0 or None, given "
    with pytest.raises(DescriptionError, match=message):
        made(wrong)
    with pytest.raises(DescriptionError, match=message):
        cortex.fit(network(), data(), **{**OPTIONS, "loss_scale": wrong})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"start": 0.5}, "LossScale: start: expected 1 to 1.67772e.07, given 0.5"),
        ({"start": 2.0**25}, "start: expected 1 to 1.67772e.07, given 3.35544e.07"),
        ({"interval": 0}, "interval: expected an integer >= 1, or None, given 0"),
        ({"least": 0}, "least: expected a number > 0, given 0"),
    ],
)
def test_a_rule_that_cannot_be(fields: dict, message: str) -> None:
    with pytest.raises(DescriptionError, match=message):
        LossScale(**fields)
