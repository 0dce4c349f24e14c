"""Sums joined to products: the numbers stay, the launches become fewer."""

from __future__ import annotations

import numpy as np
import pytest
from rounding import held

from cortex.compute import Program
from cortex.compute.numpy_backend import NumpyBackend
from cortex.compute.ops import MatMul, Reduce
from cortex.compute.spec import HALVES
from cortex.compute.verify import close, execute
from cortex.gpu_compute.backend import CudaBackend
from cortex.gpu_compute.device import Libraries
from cortex.gpu_compute.emulated import EmulatedDevice
from cortex.gpu_compute.libraries.emulated import EmulatedProducts
from cortex.gpu_compute.libraries.errors import Unsupported
from cortex.gpu_compute.passes.sums import ProductWithSum, join_sums


def gradients(dtype: str = "float32", first: bool = False) -> Program:
    p = Program()
    dy, x = p.input("dy", (9, 5), dtype), p.input("x", (9, 7), dtype)
    if first:
        p.output("db", p.apply(Reduce("sum", (0,)), dy))
    p.output("dw", p.apply(MatMul(transpose_a=True), dy, x))
    if not first:
        p.output("db", p.apply(Reduce("sum", (0,)), dy))
    p.output("other", p.apply(Reduce("sum", (0,)), x))
    return p


class Simple(EmulatedDevice):
    """A library without epilogues."""

    def libraries(self, options) -> Libraries:
        class Products(EmulatedProducts):
            def plan(self, arguments, **rest):
                if arguments.epilogue != "none":
                    raise Unsupported("no epilogues")
                return super().plan(arguments, **rest)

        return Libraries(Products())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("device", [EmulatedDevice, Simple])
def test_the_numbers_stay(dtype: str, device, caplog) -> None:
    program = gradients(dtype)
    generator = np.random.default_rng(0)
    given = {n: generator.normal(size=v.shape) for n, v in program.inputs.items()}
    wanted = execute(NumpyBackend(), program, given)
    got = execute(CudaBackend(device()), program, given)
    reference = execute(NumpyBackend(), join_sums(program), given)
    for name in program.outputs:
        close(name, got.read(name), wanted.read(name))
        close(name, reference.read(name), wanted.read(name))
    joined = "cublasLt float32 bgrad_left" in got.report.providers()
    assert joined == (device is EmulatedDevice) and not caplog.records


def test_only_a_sum_behind_its_product_is_joined() -> None:
    kinds = [type(s.op) for s in join_sums(gradients()).steps]
    assert kinds == [ProductWithSum, Reduce]
    early = gradients(first=True)
    assert join_sums(early) is early


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("device", [EmulatedDevice, Simple])
def test_products_of_16_bits_take_their_sums_along(half: str, device) -> None:
    """Whole sums of rounded operands, by the library's epilogue or beside the product."""
    generator = np.random.default_rng(0)
    given = {n: generator.normal(size=v.shape) for n, v in gradients().inputs.items()}
    got = execute(CudaBackend(device(), precision=half), gradients(), given)
    joined = f"cublasLt {half} bgrad_left" in got.report.providers()
    assert joined == (device is EmulatedDevice)
    dy, x = (held(np.float32(given[n]), half).astype(float) for n in ("dy", "x"))
    for name, wanted in (
        ("dw", dy.T @ x),
        ("db", dy.sum(0)),
        ("other", np.float32(given["x"]).sum(0)),
    ):
        np.testing.assert_allclose(got.read(name), wanted, rtol=1e-5, atol=1e-6)
