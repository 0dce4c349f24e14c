"""A GPU, and its emulation, as tests of libraries see them: operands at addresses, captured runs, bounds of errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cortex.gpu_compute.libraries import cublas, emulated, frontend
from cortex.gpu_compute.libraries.dnn import Operand

GUARD = 512  # bytes behind every operand that nobody may write
ALIGNED = 256  # bytes, as memory of a GPU is
UNIT = {
    "float64": 2.0**-53,
    "float32": 2.0**-24,
    "tf32": 2.0**-11,
    "float16": 2.0**-11,
    "bfloat16": 2.0**-8,
}


class Emulated:
    """Operands in memory of the host, each with a guard behind it; libraries by NumPy."""

    name = "emulated"
    stream = 0
    has_tf32 = False

    def __init__(self) -> None:
        self.blocks: dict[str, Any] = {}

    def products(self) -> Any:
        """Return the library of products."""
        return emulated.EmulatedProducts()

    def dnn(self, **mode: Any) -> Any:
        """Return the library of convolutions, in a mode."""
        return emulated.EmulatedDnn()

    def put(self, name: str, operand: Operand, values: np.ndarray | None = None) -> int:
        """Write an operand, or nan where it has no values; return its address, which stays from then on."""
        host = np.full(operand.bytes + GUARD, 0xFF, np.uint8)
        if values is not None:
            emulated.save(operand, host.ctypes.data, np.asarray(values))
        return self._placed(name, host)

    def get(self, name: str, operand: Operand) -> np.ndarray:
        """Return an operand as numbers, in its logical shape, after checking its guard."""
        host = self._read(name)
        assert (host[operand.bytes :] == 0xFF).all(), f"{name}: written past its end"
        return np.array(emulated.load(operand, host.ctypes.data))

    def workspace(self, size: int) -> int:
        """Return the address of a workspace of that many bytes."""
        return self.put("workspace", Operand((8 * size,), "bits")) if size else 0

    def replayed(self, enqueue: Callable[[], None], change: Callable[[], object]) -> None:
        """Run once, capture, change what it reads, and replay: afterwards outputs follow the change."""
        enqueue()
        change()
        enqueue()

    def _placed(self, name: str, host: np.ndarray) -> int:
        if name not in self.blocks or self.blocks[name].size != host.size:
            whole = np.empty(host.size + ALIGNED, np.uint8)
            start = -whole.ctypes.data % ALIGNED
            self.blocks[name] = whole[start : start + host.size]
        self.blocks[name][...] = host
        return int(self.blocks[name].ctypes.data)

    def _read(self, name: str) -> np.ndarray:
        return self.blocks[name]


class Bound(Emulated):
    """Memory of the host, and the real bindings with a library that multiplies there (fake_cublaslt.c)."""

    name = "bound"
    stream = 55  # the one stream that library knows

    def products(self) -> Any:
        """Return our bindings."""
        return cublas.CublasLt()


class Cuda(Emulated):
    """The GPU of number 0, through CuPy; a stream that does not wait for the default one."""

    name = "cuda"

    def __init__(self, cupy: Any) -> None:
        super().__init__()
        self._cupy = cupy
        cupy.cuda.Device(0).use()
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self.stream = int(self._stream.ptr)
        self.has_tf32 = int(cupy.cuda.Device(0).compute_capability) >= 80

    def products(self) -> Any:
        """Return cuBLASLt."""
        return cublas.CublasLt()

    def dnn(self, **mode: Any) -> Any:
        """Return cuDNN in a mode."""
        return frontend.FrontendDnn(**mode)

    def replayed(self, enqueue: Callable[[], None], change: Callable[[], object]) -> None:
        """Run once, capture, change what it reads, and replay."""
        enqueue()
        self._stream.synchronize()
        with self._stream:
            self._stream.begin_capture(self._cupy.cuda.runtime.streamCaptureModeRelaxed)
            enqueue()
            graph = self._stream.end_capture()
        change()
        graph.launch(self._stream)
        self._stream.synchronize()

    def _placed(self, name: str, host: np.ndarray) -> int:
        self._stream.synchronize()
        if name not in self.blocks or self.blocks[name].size != host.size:
            self.blocks[name] = self._cupy.empty(host.size, np.uint8)
        self.blocks[name].set(host)
        self._cupy.cuda.runtime.deviceSynchronize()
        return int(self.blocks[name].data.ptr)

    def _read(self, name: str) -> np.ndarray:
        self._stream.synchronize()
        return np.asarray(self.blocks[name].get())


def close(
    found: np.ndarray, expected: np.ndarray, bound: np.ndarray | float, what: str = ""
) -> None:
    """Assert that no element is nan or off by more than its bound."""
    assert found.shape == np.shape(expected), (
        f"{what}: {found.shape}, expected {np.shape(expected)}"
    )
    assert not np.isnan(found).any(), f"{what}: nan"
    excess = np.abs(found.astype(float) - expected) / np.maximum(bound, 1e-300)
    worst = float(excess.max()) if excess.size else 0.0
    assert worst <= 1, f"{what}: off by {worst:.3g} times the bound"


def rounding(dtype: str, terms: int, magnitude: np.ndarray, tf32: bool = False) -> np.ndarray:
    """Return a bound of the error of sums of `terms` products whose absolute values sum to `magnitude`.

    The error of a sum grows with the square root of its terms, here 4 units of it; TF32 rounds both operands, and a
    16-bit result is rounded once, at the end.
    """
    summed = UNIT["float64" if dtype == "float64" else "float32"]
    bound = 4 * np.sqrt(terms) * summed * magnitude + 1e-30
    bound = bound + (3 * UNIT["tf32"] * magnitude if tf32 else 0)
    return bound + (UNIT[dtype] * magnitude if dtype in ("float16", "bfloat16") else 0)
