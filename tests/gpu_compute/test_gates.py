"""Gradients of relus inside products: the numbers stay, the launches become fewer."""

from __future__ import annotations

import numpy as np
import pytest
from gpu_programs import agree, drawn, linear_layers, ran
from gpu_steps import mlp, training

from cortex.compute import Program
from cortex.compute import math as m
from cortex.compute.ops import MatMul
from cortex.compute.verify import execute
from cortex.gpu_compute.backend import CudaBackend
from cortex.gpu_compute.device import Libraries
from cortex.gpu_compute.emulated import EmulatedDevice
from cortex.gpu_compute.libraries.emulated import EmulatedProducts
from cortex.gpu_compute.libraries.errors import Unsupported

from .conftest import backend


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

        return Libraries(Products())


def refusing(epilogue: str, **options) -> CudaBackend:
    backend()  # skips where there is no compiler
    device = Refusing()
    device.epilogue = epilogue
    return CudaBackend(device, **options)


@pytest.mark.parametrize("batch", [1, 5, 64])
@pytest.mark.parametrize("widths", [(7, 33, 130, 3), (4, 128, 1, 2), (3, 256, 257, 5)])
def test_each_relu_costs_no_launch_backward(batch: int, widths: tuple[int, ...]) -> None:
    got = agree(backend(), linear_layers, batch, widths)
    assert ran(got, "relu_aux_bias") == ran(got, "drelu") == 2


def test_a_step_of_an_mlp_with_two_hidden_layers_is_21_launches() -> None:
    """Three products forward, five backward with their biases and relus; softmax and loss; Adam in two maps."""
    assert training(mlp(dropout=0.0), backend()).executable.launches == 21


@pytest.mark.parametrize("epilogue", ["drelu", "relu_aux_bias"])
def test_a_library_without_the_epilogue_takes_a_launch_more_for_each(epilogue: str, caplog) -> None:
    without, full = agree(refusing(epilogue), linear_layers), agree(backend(), linear_layers)
    assert without.launches == full.launches + 2 and not caplog.records
    assert ran(without, "relu_bias") == 2
    assert not ran(without, "drelu") and not ran(without, "aux")


def test_a_library_without_relu_leaves_it_to_a_map() -> None:
    assert not ran(agree(refusing("relu_bias"), linear_layers), "relu")


def test_in_bfloat16_the_bits_are_those_of_the_rounded_product() -> None:
    program = linear_layers()
    without, gated = (
        execute(one, program, drawn(program))
        for one in (refusing("drelu", precision="bfloat16"), backend(precision="bfloat16"))
    )
    assert ran(gated, "bfloat16 drelu") == 2
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
    assert not ran(agree(backend(), shared), "drelu")


def test_nothing_comes_back_through_a_relu_of_zero() -> None:
    zeros_stop(backend())


def zeros_stop(one: CudaBackend) -> None:
    """Check that the derivative of relu at exactly 0 is 0, whatever bit the library keeps there."""
    program = linear_layers()
    shapes = {n: v.shape for n, v in program.inputs.items()}
    given = {n: np.full(s, float(n[0] == "w" or n == "b2")) for n, s in shapes.items()}
    got = execute(one, program, given)
    assert got.read("db2").all()
    assert not got.read("db1").any() and not got.read("dw1").any()
