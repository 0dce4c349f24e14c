"""Every form of product against NumPy in float64: eager, and captured and replayed with other operands.

On the emulation these tests check themselves; with `-m gpu` they run on a GPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from devices import Emulated, close, rounding

from cortex.compute.errors import BackendError
from cortex.compute.ops.matmul import MatMul
from cortex.gpu_compute.libraries import emulated
from cortex.gpu_compute.libraries.dnn import Operand
from cortex.gpu_compute.libraries.errors import Unsupported
from cortex.gpu_compute.libraries.products import Alignments, cublas_arguments

gpu = pytest.mark.gpu
TF32 = pytest.param("float32", True, marks=gpu)  # the emulation does not round: nothing new there
SUMMED = [("float32", False), TF32, ("bfloat16", False), ("float16", False)]  # in float32
MODES = [*SUMMED, ("float64", False)]
SMALL = [(1, 1, 1), (7, 5, 3), (33, 130, 65)]
LARGE = [(64, 784, 512), (256, 512, 10), (257, 513, 129), (1, 1024, 1024)]
SHAPES = [*SMALL, *(pytest.param(s, marks=gpu) for s in LARGE)]
# What the backend counts on; of the others the library may have no kernel.
NEEDED = {"none", "bias", "relu_bias", "relu_aux_bias", "drelu", "drelu_bgrad", "bgrad_left"}


def held(x: np.ndarray, transposed: bool) -> np.ndarray:
    return np.ascontiguousarray(x.swapaxes(-1, -2)) if transposed else x


def drawn(seed: int, *shape: int) -> np.ndarray:
    """Numbers that every dtype holds exactly: multiples of 1/8 below 2."""
    return np.random.default_rng(seed).integers(-15, 16, shape) / 8.0


class Run:
    """A product on the GPU: `outputs` after an eager run or a replay of a captured one."""

    def __init__(
        self, device: Emulated, a, b, op=None, dtype="float32", out_dtype=None, **options: Any
    ) -> None:
        op = op or MatMul()
        self.device, self.op = device, op
        ha, hb = held(a, op.transpose_a), held(b, op.transpose_b)
        self.g = cublas_arguments(op, ha.shape, hb.shape, dtype, out_dtype=out_dtype, **options)
        shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
        self.operands = {
            "a": Operand(ha.shape, dtype),
            "b": Operand(hb.shape, dtype),
            "d": Operand(shape, self.g.out_dtype),
        }
        if self.g.has_bias:
            self.operands["bias"] = Operand((self.g.bias_size,), self.g.bias_dtype)
        if self.g.has_aux:
            self.operands["aux"] = Operand((8 * self.g.aux_bytes,), "bits")
        try:
            self.plan = device.products().plan(self.g)
        except Unsupported as error:
            if options.get("epilogue", "none") in NEEDED and dtype != "float64":
                raise
            pytest.skip(str(error))

    def put(self, **values: np.ndarray) -> dict[str, int]:
        if "a" in values:
            values["a"] = held(values["a"], self.op.transpose_a)
        if "b" in values:
            values["b"] = held(values["b"], self.op.transpose_b)
        return {n: self.device.put(n, self.operands[n], v) for n, v in values.items()}

    def outputs(self, first: dict[str, np.ndarray], then: dict[str, np.ndarray] | None = None):
        addresses = {n: self.device.put(n, o) for n, o in self.operands.items() if n not in first}
        addresses |= self.put(**first)
        size = self.plan.workspace
        addresses |= {"workspace": self.device.workspace(size)}

        def enqueue() -> None:
            self.plan.run(**addresses, stream=self.device.stream)

        if then is None:
            enqueue()
        else:
            self.device.replayed(enqueue, lambda: self.put(**then) and None)
        return {n: self.device.get(n, o) for n, o in self.operands.items()}


@pytest.mark.parametrize(("dtype", "tf32"), MODES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("ta", [False, True])
@pytest.mark.parametrize("tb", [False, True])
@pytest.mark.parametrize("captured", [False, True])
def test_products(device, dtype, tf32, shape, ta, tb, captured) -> None:
    m, k, n = shape
    values = [{"a": drawn(i, m, k), "b": drawn(i + 1, k, n)} for i in (0, 2)]
    run = Run(device, **values[0], op=MatMul(ta, tb), dtype=dtype, tf32=tf32)
    d = run.outputs(values[0], values[1] if captured else None)["d"]
    a, b = values[captured].values()
    close(d, a @ b, rounding(dtype, k, np.abs(a) @ np.abs(b), tf32), f"{dtype} {shape}")


@pytest.mark.parametrize(
    ("left", "right"),
    [((5,), (5,)), ((5,), ()), ((), (5,)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((2, 3), (2, 1))],
)
@pytest.mark.parametrize("ta", [False, True])
@pytest.mark.parametrize("epilogue", ["none", "bias", "relu_bias"])
def test_batches(device, left, right, ta, epilogue) -> None:
    a, b, bias = drawn(0, *left, 33, 20), drawn(1, *right, 20, 17), drawn(2, 17)
    given = {"a": a, "b": b} | ({"bias": bias} if epilogue != "none" else {})
    d = Run(device, a, b, op=MatMul(ta), epilogue=epilogue).outputs(given)["d"]
    z = a @ b + (bias if epilogue != "none" else 0)
    expected = np.maximum(z, 0) if epilogue == "relu_bias" else z
    close(d, expected, rounding("float32", 21, np.abs(a) @ np.abs(b) + 2))


@pytest.mark.parametrize(("dtype", "tf32"), MODES)
@pytest.mark.parametrize("epilogue", ["bias", "relu", "relu_bias", "gelu", "gelu_bias"])
@pytest.mark.parametrize("captured", [False, True])
def test_bias_and_activation(device, dtype, tf32, epilogue, captured) -> None:
    biased = epilogue.endswith("bias")

    def inputs(seed: int) -> dict[str, np.ndarray]:
        found = {"a": drawn(seed, 64, 100), "b": drawn(seed + 1, 100, 72) / 16}
        return found | ({"bias": drawn(seed + 2, 72)} if biased else {})

    values = [inputs(0), inputs(3)]
    run = Run(device, values[0]["a"], values[0]["b"], dtype=dtype, tf32=tf32, epilogue=epilogue)
    found = run.outputs(values[0], values[1] if captured else None)["d"]
    used = values[captured]
    z = used["a"] @ used["b"] + (used["bias"] if biased else 0)
    expected = (
        np.maximum(z, 0) if "relu" in epilogue else emulated.gelu(z) if "gelu" in epilogue else z
    )
    magnitude = np.abs(used["a"]) @ np.abs(used["b"]) + 2
    slack = 1e-3 if "gelu" in epilogue else 0  # the library's tanh is an approximation itself
    close(found, expected, rounding(dtype, 101, magnitude, tf32) + slack)


@pytest.mark.parametrize(("dtype", "tf32"), SUMMED)
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("n", [64, 130])
@pytest.mark.parametrize("summed", ["", "_bgrad"])
def test_forward_and_backward_through_the_auxiliary_buffer(
    device, dtype, tf32, activation, n, summed
) -> None:
    """y = f(x w + b); then d = (dz v^T) f' and, `summed`, the sum of d: the bias gradient of that layer."""
    x, w, bias = drawn(0, 40, 24), drawn(1, 24, n) / 8, drawn(2, n)
    forward = Run(device, x, w, dtype=dtype, tf32=tf32, epilogue=f"{activation}_aux_bias")
    y = forward.outputs({"a": x, "b": w, "bias": bias})["d"]
    z = x @ w + bias
    magnitude = np.abs(x) @ np.abs(w) + 2
    functions = {"relu": lambda v: np.maximum(v, 0), "gelu": emulated.gelu}
    bound = rounding(dtype, 25, magnitude, tf32)
    close(y, functions[activation](z), bound + (1e-3 if activation == "gelu" else 0))

    dz, v = drawn(3, 40, 16), drawn(4, n, 16)
    op = MatMul(False, True)
    epilogue = f"d{activation}{summed}"
    backward = Run(device, dz, v.T, op=op, dtype=dtype, tf32=tf32, epilogue=epilogue)
    kept = device.get("aux", backward.operands["aux"])  # the layouts of both are one
    found = backward.outputs({"a": dz, "b": v.T, "aux": kept})
    d = found["d"]
    slope = (z > 0) if activation == "relu" else emulated.gelu_slope(z)
    sure = np.abs(z) > bound if activation == "relu" else np.ones_like(z, bool)
    expected = (dz @ v.T) * slope
    bound = rounding(dtype, 16, np.abs(dz) @ np.abs(v.T), tf32) * 2
    bound = bound + (0.02 * np.abs(dz @ v.T) if activation == "gelu" else 0)
    close(np.where(sure, d, 0), np.where(sure, expected, 0), bound)
    if summed:
        said = "the bias gradient sums what was stored, or what was not yet rounded"
        close(found["bias"], d.sum(0), bound.sum(0) + 1e-6, said)


@pytest.mark.parametrize(("dtype", "tf32"), SUMMED)
@pytest.mark.parametrize(("epilogue", "axis"), [("bgrad_left", 1), ("bgrad_right", 0)])
def test_sums_of_an_operand(device, dtype, tf32, epilogue, axis) -> None:
    a, b = drawn(0, 48, 200), drawn(1, 200, 56)
    op = MatMul(True, False)  # as dw = d^T x is
    found = Run(device, a, b, op=op, dtype=dtype, tf32=tf32, epilogue=epilogue).outputs(
        {"a": a, "b": b}
    )
    close(found["d"], a @ b, rounding(dtype, 200, np.abs(a) @ np.abs(b), tf32))
    operand = b if axis == 0 else a
    magnitude = np.abs(operand).sum(axis)
    close(found["bias"], operand.sum(axis), rounding(dtype, 200, magnitude, tf32))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_sixteen_bit_operands_give_float32(device, dtype) -> None:
    a, b = drawn(0, 40, 300), drawn(1, 300, 24)
    d = Run(device, a, b, dtype=dtype, out_dtype="float32").outputs({"a": a, "b": b})["d"]
    close(d, a @ b, rounding("float32", 300, np.abs(a) @ np.abs(b)))


def test_alpha_and_beta(device) -> None:
    a, b, c = drawn(0, 30, 40), drawn(1, 40, 50), drawn(2, 30, 50)
    d = Run(device, a, b, alpha=0.5, beta=2.0).outputs({"a": a, "b": b, "d": c})["d"]
    close(d, 0.5 * (a @ b) + 2 * c, rounding("float32", 40, np.abs(a) @ np.abs(b) + 4))


def test_tf32_rounds_operands_and_strict_float32_does_not(device) -> None:
    """The flag does what it says: an operand of 20 bits of mantissa is kept by the one, not by the other."""
    a, b = np.full((64, 64), 1 + 2.0**-20), np.eye(64)
    strict = Run(device, a, b).outputs({"a": a, "b": b})["d"]
    np.testing.assert_array_equal(strict, a)
    rounded = Run(device, a, b, tf32=True).outputs({"a": a, "b": b})["d"]
    np.testing.assert_array_equal(rounded, np.ones_like(a) if device.has_tf32 else a)


@pytest.mark.parametrize("offset", [1, 2, 3])
def test_operands_at_odd_addresses(device, offset) -> None:
    """Weights are views of one flat buffer, aligned to 4 bytes only."""
    a, b = drawn(0, 31, 45), drawn(1, 45, 27)
    flat = device.put(
        "b", Operand((45 * 27 + offset,), "float32"), np.r_[np.zeros(offset), b.ravel()]
    )
    at_a = device.put("a", Operand(a.shape, "float32"), a)
    at_d = device.put("d", Operand((31, 27), "float32"))
    address = flat + 4 * offset
    arguments = cublas_arguments(MatMul(), a.shape, b.shape)
    plan = device.products().plan(arguments, alignments=Alignments.of(a=at_a, b=address, d=at_d))
    plan.run(at_a, address, at_d, workspace=device.workspace(plan.workspace), stream=device.stream)
    found = device.get("d", Operand((31, 27), "float32"))
    close(found, a @ b, rounding("float32", 45, np.abs(a) @ np.abs(b)))
    strict = device.products().plan(arguments)
    with pytest.raises(BackendError, match="is not aligned to the 256 bytes"):
        strict.run(at_a, address, at_d, workspace=device.workspace(strict.workspace))


def test_every_algorithm_found_computes_the_same(device) -> None:
    a, b = drawn(0, 128, 256), drawn(1, 256, 64)
    run = Run(device, a, b)
    count = len(run.plan.choices) if device.name != "emulated" else 1
    assert count
    for choice in range(count):
        if device.name != "emulated":
            run.plan.choose(choice)
        d = run.outputs({"a": a, "b": b})["d"]
        close(d, a @ b, rounding("float32", 256, np.abs(a) @ np.abs(b)), f"choice {choice}")


@pytest.mark.parametrize(("dtype", "tf32"), MODES)
def test_the_same_bits_every_time(device, dtype, tf32) -> None:
    values = {"a": drawn(0, 50, 2000) + 1e-3, "b": drawn(1, 2000, 30)}
    run = Run(device, **values, dtype=dtype, tf32=tf32)
    first = run.outputs(values)["d"]
    for _ in range(3):
        np.testing.assert_array_equal(run.outputs(values)["d"], first)


def test_without_workspace_an_algorithm_needs_none(device) -> None:
    plan = device.products().plan(
        cublas_arguments(MatMul(), (64, 4096), (4096, 64)), workspace_limit=0
    )
    assert plan.workspace == 0
