"""Every form of convolution, normalisation and attention against NumPy in float64: eager, captured, deterministic.

On the emulation these tests check themselves; with `-m gpu` they run on a GPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from devices import UNIT, Emulated, close, rounding

from cortex.compute.errors import BackendError
from cortex.compute.ops.window import Window
from cortex.gpu_compute.libraries import dnn
from cortex.gpu_compute.libraries.emulated_dnn import FORMULAS
from cortex.gpu_compute.libraries.errors import Unsupported
from cortex.gpu_compute.libraries.plan_cache import PlanCache

gpu = pytest.mark.gpu
TF32 = pytest.param("float32", True, marks=gpu)  # the emulation does not round: nothing new there
MODES = [("float32", False), TF32, ("bfloat16", False), ("float16", False)]
CAPTURED = [False, pytest.param(True, marks=gpu)]
# Inputs, kernels, window, groups: LeNet, 3 x 3, strided, point, stem, odd, dilated, grouped, one axis.
GEOMETRIES = [
    ((4, 1, 28, 28), (20, 1, 5, 5), Window.of(5), 1),
    ((5, 20, 12, 12), (50, 20, 5, 5), Window.of(5), 1),
    ((3, 32, 9, 7), (64, 32, 3, 3), Window.of(3, 1, 1), 1),
    ((2, 64, 14, 14), (64, 64, 3, 3), Window.of(3, 2, 1), 1),
    ((3, 64, 8, 8), (32, 64, 1, 1), Window.of(1, 2), 1),
    ((2, 8, 31, 33), (16, 8, 7, 7), Window.of(7, 2, 3), 1),
    ((1, 5, 6, 6), (3, 5, 2, 3), Window.of((2, 3), 1, ((1, 0), (0, 2))), 1),
    ((2, 16, 12, 12), (16, 16, 3, 3), Window.of(3, 1, 2, 2), 1),
    ((2, 16, 8, 8), (32, 4, 3, 3), Window.of(3, 1, 1), 4),
    ((3, 16, 40), (24, 16, 5), Window.of(5, 2, 2, rank=1), 1),
    ((2, 8, 9, 9), (8, 8, 2, 2), Window.of(2, 2, ceil=True), 1),
]
# What the backend counts on; of the rest cuDNN may have no kernel for small or odd shapes.
NEEDED = range(6)
names = [f"{x}*{w}" for x, w, _, _ in GEOMETRIES]


def drawn(operand: dnn.Operand, seed: int) -> np.ndarray:
    """Multiples of 1/8 below 2: exact in every dtype."""
    return np.random.default_rng(seed).integers(-15, 16, operand.shape) / 8.0


def inputs(description: dnn.Description, seed: int) -> dict[str, np.ndarray]:
    found = {n: drawn(o, seed + i) for i, (n, o) in enumerate(description.inputs.items())}
    for name in set(found) & {"inverse", "running_variance"}:
        found[name] = np.abs(found[name]) + 0.25
    return found | ({"mask": found["mask"] > 0} if "mask" in found else {})


def planned(
    device: Emulated, description: dnn.Description, needed: bool = True, **mode: Any
) -> Any:
    try:
        return device.dnn(**mode).plan(description)
    except Unsupported as error:
        if needed:
            raise
        pytest.skip(str(error))


def run(
    device: Emulated,
    plan: Any,
    first: dict[str, np.ndarray],
    then: dict[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Outputs of an eager run, or those of a captured one replayed on other inputs."""
    d = plan.description
    addresses = {n: device.put(n, o, first[n]) for n, o in d.inputs.items()}
    addresses |= {n: device.put(n, o) for n, o in d.outputs.items()}
    workspace = device.workspace(plan.workspace)

    def enqueue() -> None:
        plan.run(addresses, workspace=workspace, stream=device.stream)

    if then is None:
        enqueue()
    else:
        device.replayed(enqueue, lambda: [device.put(n, o, then[n]) for n, o in d.inputs.items()])
    return {n: device.get(n, o) for n, o in d.outputs.items()}


def reference(description: dnn.Description, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    results = FORMULAS[type(description)](description, **values)
    return dict(zip(description.outputs, results, strict=True))


def agree(
    description: dnn.Description,
    found: dict[str, np.ndarray],
    values: dict[str, np.ndarray],
    tolerance: float,
) -> None:
    """Outputs are those of float64, within `tolerance` of the largest of each."""
    for name, expected in reference(description, values).items():
        what = f"{type(description).__name__}.{name}"
        if name == "mask":
            continue
        close(found[name], expected, tolerance * max(1.0, float(np.abs(expected).max())), what)


@pytest.mark.parametrize(("dtype", "tf32"), MODES)
@pytest.mark.parametrize("number", range(len(GEOMETRIES)), ids=names)
@pytest.mark.parametrize("kind", ["forward", "fused", "dx", "dw"])
@pytest.mark.parametrize("captured", CAPTURED)
def test_convolutions(device, dtype, tf32, number, kind, captured) -> None:
    x, w, window, groups = GEOMETRIES[number]
    makers = {
        "forward": dnn.ConvolutionForward,
        "fused": dnn.ConvolutionForward,
        "dx": dnn.ConvolutionInputGradient,
        "dw": dnn.ConvolutionKernelGradient,
    }
    options = {"bias": True, "activation": "relu"} if kind == "fused" else {}
    d = makers[kind](x, w, window, groups, dtype, **options)
    plan = planned(device, d, number in NEEDED, tf32=tf32)
    values = [inputs(d, 0), inputs(d, 10)]
    found = run(device, plan, values[0], values[1] if captured else None)
    used = values[captured]
    (expected,) = reference(d, used).values()
    (magnitude,) = reference(d, {n: np.abs(v) for n, v in used.items()}).values()
    terms = {"dx": w[0] * np.prod(w[2:]), "dw": x[0] * np.prod(d.y[2:])}.get(kind, np.prod(w[1:]))
    (result,) = found.values()
    close(
        result,
        expected,
        rounding(dtype, int(terms) + 1, magnitude, tf32),
        f"{kind} {names[number]}",
    )


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_kernel_gradient_of_sixteen_bits_in_float32(device, dtype) -> None:
    x, w, window, groups = GEOMETRIES[2]
    d = dnn.ConvolutionKernelGradient(x, w, window, groups, dtype, "float32")
    values = inputs(d, 0)
    found = run(device, planned(device, d, needed=False), values)["dw"]
    magnitude = reference(d, {n: np.abs(v) for n, v in values.items()})["dw"]
    close(found, reference(d, values)["dw"], rounding("float32", x[0] * 63, magnitude))


@pytest.mark.parametrize("activation", ["none", "relu", "tanh", "sigmoid", "elu", "gelu", "swish"])
def test_activations_of_a_convolution(device, activation) -> None:
    x, w, window, groups = GEOMETRIES[2]
    d = dnn.ConvolutionForward(x, w, window, groups, "bfloat16", bias=True, activation=activation)
    values = inputs(d, 0)
    values["w"] = values["w"] / 16
    plan = planned(device, d, needed=activation in ("none", "relu"))
    agree(d, run(device, plan, values), values, 4 * UNIT["bfloat16"])


def test_strict_float32_keeps_what_tf32_rounds(device) -> None:
    """A kernel of one 1 copies the input: 20 bits of mantissa come through, or not."""
    x = np.full((2, 32, 8, 8), 1 + 2.0**-20)
    w = np.zeros((32, 32, 1, 1))
    w[range(32), range(32)] = 1
    d = dnn.ConvolutionForward(x.shape, w.shape, Window.of(1))
    strict = run(device, planned(device, d), {"x": x, "w": w})["y"]
    np.testing.assert_array_equal(strict, x)
    rounded = run(device, planned(device, d, tf32=True), {"x": x, "w": w})["y"]
    if device.has_tf32:  # allowed, not ordered: cuDNN may still keep all bits
        assert np.isin(rounded, [1, np.float32(1 + 2.0**-20)]).all()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("shape", [(8, 64, 14, 14), (256, 32), (3, 24, 9, 7), (4, 16, 40)], ids=str)
@pytest.mark.parametrize("fused", ["", "relu", "residual relu"])
@pytest.mark.parametrize("captured", [False, True])
def test_batch_normalisation(device, dtype, shape, fused, captured) -> None:
    options = {name: True for name in fused.split()}
    needed = shape == (8, 64, 14, 14)
    forward = dnn.BatchNormTraining(shape, 1e-3, dtype, **options)
    plan = planned(device, forward, needed)
    values = [inputs(forward, 0), inputs(forward, 10)]
    found = run(device, plan, values[0], values[1] if captured else None)
    used = values[captured]
    tolerance = 4 * UNIT[dtype] + 1e-5
    agree(forward, found, used, tolerance)

    backward = dnn.BatchNormBackward(shape, 1e-3, dtype, **options)
    kept = {"x": used["x"], "scale": used["scale"], "mean": found["mean"].astype(float)}
    kept |= {"inverse": found["inverse"].astype(float)}
    kept |= {"mask": found["mask"]} if "relu" in options else {}
    if "relu" in options:  # bits are cuDNN's own affair; what they mean is not
        np.testing.assert_array_equal(found["mask"].astype(bool), found["y"] > 0)
    kept |= {"dy": drawn(backward.inputs["dy"], 7)}
    again = run(device, planned(device, backward, needed), kept)
    agree(backward, again, kept, 2 * tolerance)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("residual", [False, True])
def test_batch_normalisation_in_inference(device, dtype, residual) -> None:
    d = dnn.BatchNormInference((8, 64, 14, 14), 1e-3, dtype, residual, "relu")
    values = inputs(d, 0)
    agree(d, run(device, planned(device, d), values), values, 4 * UNIT[dtype] + 1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("kind", ["layer", "rms"])
@pytest.mark.parametrize("shape", [(64, 1024), (33, 96)], ids=str)
def test_row_normalisation(device, dtype, kind, shape) -> None:
    forward = dnn.RowNormTraining(*shape, 1e-3, kind, dtype)
    values = inputs(forward, 0)
    needed = shape == (64, 1024)
    found = run(device, planned(device, forward, needed), values)
    agree(forward, found, values, 4 * UNIT[dtype] + 1e-5)
    backward = dnn.RowNormBackward(*shape, 1e-3, kind, dtype)
    kept = {n: v.astype(float) for n, v in found.items() if n != "y"}
    kept |= {"x": values["x"], "scale": values["scale"], "dy": drawn(backward.inputs["dy"], 7)}
    again = run(device, planned(device, backward, needed), kept)
    agree(backward, again, kept, 8 * UNIT[dtype] + 1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("captured", CAPTURED)
@pytest.mark.parametrize("time", [16, pytest.param(128, marks=gpu)])
def test_attention(device, dtype, causal, transposed, captured, time) -> None:
    sizes = (2, 4, time, time, 64, dtype, causal, None, transposed)
    forward = dnn.AttentionForward(*sizes)
    values = [inputs(forward, 0), inputs(forward, 10)]
    found = run(device, planned(device, forward), values[0], values[1] if captured else None)
    used = values[captured]
    agree(forward, found, used, 8 * UNIT[dtype])

    backward = dnn.AttentionBackward(*sizes)
    kept = used | {"logarithms": found["logarithms"].astype(float), "o": found["o"].astype(float)}
    kept |= {"do": drawn(backward.inputs["do"], 7)}
    again = run(device, planned(device, backward), kept)
    agree(backward, again, kept, 32 * UNIT[dtype])


@pytest.mark.parametrize(("dtype", "tf32"), MODES)
@pytest.mark.parametrize("kind", ["forward", "dx", "dw"])
def test_deterministic_mode_gives_the_same_bits(device, dtype, tf32, kind) -> None:
    x, w, window = (8, 64, 14, 14), (64, 64, 3, 3), Window.of(3, 1, 1)
    makers = {
        "forward": dnn.ConvolutionForward,
        "dx": dnn.ConvolutionInputGradient,
        "dw": dnn.ConvolutionKernelGradient,
    }
    d = makers[kind](x, w, window, 1, dtype)
    plan = planned(device, d, tf32=tf32, deterministic=True)
    values = {n: v + 1e-3 for n, v in inputs(d, 0).items()}
    (first,) = run(device, plan, values).values()
    for _ in range(2):
        (again,) = run(device, plan, values).values()
        np.testing.assert_array_equal(again, first)


@gpu
def test_a_plan_from_disk_computes_the_same(device, tmp_path) -> None:
    x, w, window, groups = GEOMETRIES[3]
    d = dnn.ConvolutionForward(x, w, window, groups, bias=True, activation="relu")
    values = inputs(d, 0)
    first = run(device, device.dnn(cache=PlanCache(tmp_path)).plan(d), values)["y"]
    cache = PlanCache(tmp_path)
    again = run(device, device.dnn(cache=cache).plan(d), values)["y"]
    assert (cache.hits, cache.misses) == (1, 0)
    np.testing.assert_array_equal(first, again)


@gpu
def test_every_choice_computes_the_same(device) -> None:
    x, w, window, groups = GEOMETRIES[2]
    d = dnn.ConvolutionForward(x, w, window, groups, "bfloat16")
    values = inputs(d, 0)
    ops, choice = device.dnn(), 0
    magnitude = reference(d, {n: np.abs(v) for n, v in values.items()})["y"]
    while choice < 8:
        try:
            plan = ops.plan(d, choice)
        except Unsupported:
            break
        found = run(device, plan, values)["y"]
        close(found, reference(d, values)["y"], rounding("bfloat16", 289, magnitude), plan.notes[0])
        choice += 1
    assert choice


@gpu
def test_a_plan_without_its_workspace_is_refused(device) -> None:
    d = dnn.BatchNormTraining((256, 64, 56, 56), 1e-3)
    plan = device.dnn().plan(d)
    if not plan.workspace:
        pytest.skip("this plan needs no workspace")
    addresses = dict.fromkeys([*d.inputs, *d.outputs], 4096)
    with pytest.raises(
        BackendError, match=f"needs a workspace of {plan.workspace} bytes, given none"
    ):
        plan.run(addresses)
