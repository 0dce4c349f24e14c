"""Attention by cuDNN in 16 bits, by our kernels in float32."""

from __future__ import annotations

import numpy as np
import pytest

from cortex.compute import Program, get_backend
from cortex.compute.autodiff import gradients
from cortex.compute.ops import Attention
from cortex.compute.ops.reduce import reduce_axes
from cortex.compute.verify import execute
from cortex.gpu_compute.backend import CudaBackend
from cortex.gpu_compute.device import Libraries
from cortex.gpu_compute.emulated import EmulatedDevice
from cortex.gpu_compute.libraries import dnn
from cortex.gpu_compute.libraries.emulated import EmulatedDnn, EmulatedProducts
from cortex.gpu_compute.libraries.errors import Unsupported

from .conftest import backend

FORWARD, BACKWARD = "cuDNN AttentionForward", "cuDNN AttentionBackward"


def attention(
    dtype: str, queries: int, keys: int, causal: bool = False, scale: float | None = None
) -> Program:
    p = Program()
    q = p.input("q", (2, queries, 3, 8), dtype)
    k, v = (p.input(n, (2, keys, 3, 8), dtype) for n in "kv")
    y, logarithms = p.apply(Attention(causal, scale), q, k, v)
    p.output("y", y)
    p.output("logarithms", logarithms)
    loss = reduce_axes(p, "sum", y * y * y, None)
    for name, g in zip("qkv", gradients(p, loss, [q, k, v]), strict=True):
        p.output(f"d{name}", g)
    return p


def compared(one: CudaBackend, tolerance: float, *options) -> dict[str, int]:
    """Compare a float32 program with NumPy in float64, relative to the largest number; return the providers."""
    program = attention("float32", *options)
    generator = np.random.default_rng(4)
    given = {n: generator.normal(size=v.shape) for n, v in program.inputs.items()}
    wanted = execute(get_backend("numpy"), attention("float64", *options), given)
    got = execute(one, program, given)
    for name in program.outputs:
        exact = wanted.read(name)
        np.testing.assert_allclose(
            got.read(name), exact, rtol=0, atol=tolerance * np.abs(exact).max(), err_msg=name
        )
    return got.report.providers()


def count(providers: dict[str, int], name: str) -> int:
    return sum(n for provider, n in providers.items() if name in provider)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("queries", "keys"), [(5, 7), (6, 6), (9, 4), (2, 3)])
def test_cudnn_runs_it_in_bfloat16(queries: int, keys: int, causal: bool) -> None:
    # operands and results have 8 bits; a gradient chains three of them
    providers = compared(backend(precision="bfloat16"), 0.03, queries, keys, causal, 0.5)
    assert count(providers, FORWARD) == count(providers, BACKWARD) == 1
    assert not count(providers, "cublasLt")


@pytest.mark.parametrize("precision", ["float32", "tf32"])
@pytest.mark.parametrize("causal", [False, True])
def test_it_is_taken_apart_in_float32(precision: str, causal: bool) -> None:
    providers = compared(backend(precision=precision), 1e-5, 5, 7, causal)
    assert not count(providers, "Attention")
    assert count(providers, "cublasLt") == 6  # two products forward, four backward


def test_plain_kernels_compute_it_too() -> None:
    compared(backend(libraries=False), 1e-5, 5, 7, True)


class Refusing(EmulatedDevice):
    """A cuDNN without one of the graphs, as for a width that is no multiple of 8."""

    kind: type = dnn.AttentionForward

    def libraries(self, options) -> Libraries:
        kind = self.kind

        class Dnn(EmulatedDnn):
            def plan(self, description, choice=0):
                if isinstance(description, kind):
                    raise Unsupported("no engine")
                return super().plan(description, choice)

        return Libraries(EmulatedProducts(), Dnn(), multiplies_in=options.multiplies_in)


@pytest.mark.parametrize("kind", [dnn.AttentionForward, dnn.AttentionBackward])
def test_either_pass_is_taken_apart_where_its_graph_is_refused(kind: type) -> None:
    device = Refusing()
    device.kind = kind
    providers = compared(CudaBackend(device, precision="bfloat16"), 0.03, 5, 7, True)
    assert count(providers, f"cuDNN {kind.__name__}") == 0
    assert count(providers, "cuDNN Attention") == 1
