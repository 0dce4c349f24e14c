"""Attention by cuDNN in 16 bits, by our kernels and products in float32."""

from __future__ import annotations

import pytest
from gpu_programs import agree, attention, ran
from refusing import Refusing

from cortex.gpu_compute.backend import CudaBackend
from cortex.gpu_compute.libraries import dnn

from .conftest import backend

FORWARD, BACKWARD = "cuDNN AttentionForward", "cuDNN AttentionBackward"
IN_8_BITS = 0.03  # of the largest number: operands and results of three graphs in a row are rounded


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("queries", "keys"), [(5, 7), (6, 6), (9, 4), (2, 3)])
def test_cudnn_runs_it_in_bfloat16(queries: int, keys: int, causal: bool) -> None:
    one = backend(precision="bfloat16")
    got = agree(one, attention, queries, keys, causal, 0.5, of_largest=IN_8_BITS)
    assert ran(got, FORWARD) == ran(got, BACKWARD) == 1
    assert not ran(got, "cublasLt")


@pytest.mark.parametrize("precision", ["float32", "tf32"])
@pytest.mark.parametrize("causal", [False, True])
def test_it_is_taken_apart_in_float32(precision: str, causal: bool) -> None:
    got = agree(backend(precision=precision), attention, 5, 7, causal)
    assert not ran(got, "Attention")
    assert ran(got, "cublasLt") == 6  # two products forward, four backward


def test_plain_kernels_compute_it_too() -> None:
    agree(backend(libraries=False), attention, 5, 7, True)


@pytest.mark.parametrize("kind", [dnn.AttentionForward, dnn.AttentionBackward])
def test_either_pass_is_taken_apart_where_its_graph_is_refused(kind: type) -> None:
    backend()  # skips where there is no compiler
    device = Refusing(kind)
    one = CudaBackend(device, precision="bfloat16")
    # twice as much: what is rounded in one pass is taken from what is rounded otherwise in the other
    got = agree(one, attention, 5, 7, True, of_largest=2 * IN_8_BITS)
    assert not ran(got, f"cuDNN {kind.__name__}")
    assert ran(got, "cuDNN Attention") == 1
