"""Precision and determinism: what the options ask of the libraries, and what the report says."""

from __future__ import annotations

import numpy as np
import pytest

from cortex.compute import Program
from cortex.compute.ops import Convolution, MatMul, Window
from cortex.gpu_compute import cuda
from cortex.gpu_compute.backend import CudaBackend
from cortex.gpu_compute.device import Libraries
from cortex.gpu_compute.emulated import EmulatedDevice
from cortex.gpu_compute.libraries.emulated import EmulatedDnn, EmulatedProducts
from cortex.gpu_compute.libraries.errors import Unsupported
from cortex.gpu_compute.options import PRECISIONS, Options


class Recording(EmulatedDevice):
    """An emulated device that keeps what it is asked for."""

    def __init__(self, refuse: bool = False) -> None:
        super().__init__()
        self.products, self.asked, self.refuse = [], [], refuse

    def libraries(self, options: Options) -> Libraries:
        device = self

        class Products(EmulatedProducts):
            def plan(self, arguments, **options):
                device.products.append(arguments)
                if device.refuse:
                    raise Unsupported(f"refused in {__name__}")
                return super().plan(arguments, **options)

        class Dnn(EmulatedDnn):
            def plan(self, description, *rest):
                if device.refuse:
                    raise Unsupported(f"refused in {__name__}")
                return super().plan(description, *rest)

        self.asked.append(options)
        return Libraries(Products(), Dnn())


def program(dtype: str = "float32") -> Program:
    p = Program()
    x, w = p.input("x", (2, 3, 5, 5), dtype), p.input("w", (4, 3, 3, 3), dtype)
    p.output("y", p.apply(Convolution(Window.of(3)), x, w))
    a = p.input("a", (6, 6), dtype)
    p.output("b", p.apply(MatMul(), a, a))
    return p


@pytest.mark.parametrize(
    ("precision", "dtype", "compute"),
    [
        ("float32", "float32", "COMPUTE_32F"),
        ("tf32", "float32", "COMPUTE_32F_FAST_TF32"),
        ("tf32", "float64", "COMPUTE_64F"),
    ],
)
def test_products_compute_as_asked(precision: str, dtype: str, compute: str) -> None:
    device = Recording()
    report = CudaBackend(device, precision=precision).compile(program(dtype)).report
    assert [g.compute for g in device.products] == [compute]
    assert f"cublasLt {precision}" in report.providers()
    # cuDNN has no float64: our own kernel runs it
    assert (f"cuDNN {precision}" in report.providers()) == (dtype == "float32")


@pytest.mark.parametrize(("precision", "lost"), [("bfloat16", 2**-9), ("float16", 2**-12)])
def test_rounded_operands_and_whole_sums(precision: str, lost: float) -> None:
    device = Recording()
    CudaBackend(device, precision=precision).compile(program())
    (g,) = device.products
    assert (g.dtype, g.out_dtype, g.compute) == (precision, "float32", "COMPUTE_32F")
    executable = CudaBackend(Recording(), precision=precision).compile(program())
    a = np.full((6, 6), 1 + lost)  # rounds to 1
    executable.write("a", a)
    executable.run()
    np.testing.assert_array_equal(executable.read("b"), np.full((6, 6), 6, np.float32))


def test_options_reach_cudnn(monkeypatch) -> None:
    from cortex.gpu_compute.libraries import frontend

    made: list[dict] = []
    monkeypatch.setattr(frontend, "FrontendDnn", lambda **options: made.append(options))
    for precision, deterministic in (("float32", True), ("tf32", False)):
        cuda._dnn(0, Options(precision, deterministic), 32 << 30)
    assert [(o["tf32"], o["deterministic"], o["workspace_limit"]) for o in made] == [
        (False, True, 1 << 30),
        (True, False, 1 << 30),
    ]


def test_what_a_library_refuses_our_kernels_compute_and_that_is_said_once(caplog) -> None:
    CudaBackend(Recording(refuse=True)).compile(program())
    providers = CudaBackend(Recording(refuse=True)).compile(program()).report.providers()
    assert not any(name.startswith(("cublas", "cuDNN")) for name in providers)
    assert providers["kernel"] >= 2
    assert len({r.message for r in caplog.records}) == len(caplog.records) <= 2


def test_gradients_in_float16_want_a_scale(monkeypatch) -> None:
    monkeypatch.setitem(PRECISIONS, "float16", "whatever it computes")
    wanted = {
        p: CudaBackend(EmulatedDevice(), precision=p).capabilities.loss_scale for p in PRECISIONS
    }
    assert wanted.pop("float16") == "dynamic" and set(wanted.values()) == {None}


def test_the_capabilities_say_the_mode() -> None:
    found = CudaBackend(EmulatedDevice(), precision="tf32", deterministic=False).capabilities
    assert found.notes["precision"] == "tf32" and not found.deterministic and found.graph_capture
    assert found.dtypes == ("float32", "float64")
