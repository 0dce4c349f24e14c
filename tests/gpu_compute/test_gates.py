"""Gradients of relus inside products: the numbers stay, the launches become fewer."""

from __future__ import annotations

import numpy as np
import pytest

from cortex.compute import Program, get_backend
from cortex.compute import math as m
from cortex.compute.autodiff import gradients
from cortex.compute.ops import Linear, MatMul
from cortex.compute.ops.reduce import reduce_axes
from cortex.compute.verify import close, execute
from cortex.gpu_compute.backend import CudaBackend
from cortex.gpu_compute.device import Libraries
from cortex.gpu_compute.emulated import EmulatedDevice
from cortex.gpu_compute.libraries.emulated import EmulatedProducts
from cortex.gpu_compute.libraries.errors import Unsupported

from .conftest import backend


def mlp(
    dtype: str = "float32", batch: int = 5, widths: tuple[int, ...] = (7, 33, 130, 3)
) -> Program:
    """Linear layers with relu between, and the gradients of all weights."""
    p = Program()
    y, trained = p.input("x", (batch, widths[0]), dtype), []
    for k, (i, o) in enumerate(zip(widths, widths[1:], strict=False)):
        w, b = p.input(f"w{k}", (o, i), dtype), p.input(f"b{k}", (o,), dtype)
        trained += [w, b]
        y = p.apply(Linear(), y, w, b)
        y = m.maximum(y, 0) if o != widths[-1] else y
    p.output("y", y)
    loss = reduce_axes(p, "sum", y * y * y, None)
    for value, g in zip(trained, gradients(p, loss, trained), strict=True):
        p.output(f"d{value.name}", g)
    return p


def drawn(program: Program) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(2)
    return {
        n: generator.normal(size=v.shape) / v.shape[-1] ** 0.5 for n, v in program.inputs.items()
    }


def agree(one: CudaBackend, make=mlp, **sizes):
    """Compare a float32 program with NumPy in float64; return the executable."""
    program = make(**sizes)
    given = drawn(program)
    wanted = execute(get_backend("numpy"), make("float64", **sizes), given)
    got = execute(one, program, given)
    for name in program.outputs:
        close(name, got.read(name), wanted.read(name), factor=20)
    return got


class Refusing(EmulatedDevice):
    """A library without one of the epilogues."""

    epilogue = ""

    def libraries(self, options) -> Libraries:
        epilogue = self.epilogue

        class Products(EmulatedProducts):
            def plan(self, arguments, **rest):
                if arguments.epilogue == epilogue:
                    raise Unsupported("no such epilogue")
                return super().plan(arguments, **rest)

        return Libraries(Products(), multiplies_in=options.multiplies_in)


@pytest.mark.parametrize("batch", [1, 5, 64])
@pytest.mark.parametrize("widths", [(7, 33, 130, 3), (4, 128, 1, 2), (3, 256, 257, 5)])
def test_each_relu_costs_no_launch_backward(batch: int, widths: tuple[int, ...]) -> None:
    got = agree(backend(), batch=batch, widths=widths)
    providers = got.report.providers()
    assert providers["cublasLt float32 relu_aux_bias"] == providers["cublasLt float32 drelu"] == 2


@pytest.mark.parametrize("epilogue", ["drelu", "relu_aux_bias"])
def test_a_library_without_the_epilogue_takes_one_launch_more_for_each(
    epilogue: str, caplog
) -> None:
    device = Refusing()
    device.epilogue = epilogue
    without, full = agree(CudaBackend(device)), agree(backend())
    assert without.launches == full.launches + 2 and not caplog.records
    providers = without.report.providers()
    assert providers["cublasLt float32 relu_bias"] == 2
    assert not any("drelu" in name or "aux" in name for name in providers)


def test_a_library_without_relu_leaves_it_to_a_map() -> None:
    device = Refusing()
    device.epilogue = "relu_bias"
    providers = agree(CudaBackend(device)).report.providers()
    assert not any("relu" in name for name in providers)


def test_in_bfloat16_the_bits_are_those_of_the_rounded_product() -> None:
    device = Refusing()
    device.epilogue = "drelu"
    program = mlp()
    without, gated = (
        execute(one, program, drawn(program))
        for one in (CudaBackend(device, precision="bfloat16"), backend(precision="bfloat16"))
    )
    assert gated.report.providers()["emitted+cublasLt bfloat16 drelu"] == 2
    for name in program.outputs:
        np.testing.assert_array_equal(gated.read(name), without.read(name), err_msg=name)


def shared(dtype: str = "float32") -> Program:
    """A relu whose cotangent, a product, is read by others too."""
    p = Program()
    x, w = p.input("x", (5, 7), dtype), p.input("w", (6, 7), dtype)
    y = m.maximum(p.apply(MatMul(transpose_b=True), x, w), 0)
    c = p.apply(MatMul(), p.input("dz", (5, 3), dtype), p.input("v", (3, 6), dtype))
    p.output("y", y)
    p.output("gated", c * m.where(y > 0, 1, 0))
    p.output("c", c)
    return p


def test_a_cotangent_that_others_read_is_written() -> None:
    assert not any("drelu" in name for name in agree(backend(), shared).report.providers())
