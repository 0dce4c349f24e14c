"""Memory of a device by name: state that executables share, arenas, and checked reading and writing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cortex.compute.errors import BackendError
from cortex.compute.host import checked, unknown
from cortex.compute.passes.memory import round_up
from cortex.compute.program import Program
from cortex.compute.spec import ITEM_BYTES, Spec

from .device import Block, Device
from .stored import memory_dtype, widened


@dataclass(frozen=True)
class Region:
    """Where an array lies on the device, and what it is."""

    address: int
    spec: Spec


class DeviceMemory:
    """Named persistent buffers on a device; programs compiled with one memory share them by name."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.one_at_a_time = False  # the executables never run at once: they may share one arena
        self._state: dict[str, tuple[Block, Spec]] = {}
        self._arena: Block | None = None

    def names(self) -> tuple[str, ...]:
        """Return the names of the buffers held."""
        return tuple(self._state)

    def check(self, wanted: dict[str, Spec]) -> None:
        """Raise `BackendError` where a buffer is held with another shape or dtype."""
        for name, spec in wanted.items():
            held = self._state[name][1] if name in self._state else spec
            if held != spec:
                raise BackendError(
                    f"state {name!r}: the program expects {spec}, the shared memory holds {held}; "
                    "compile with a memory of its own"
                )

    def missing(self, wanted: dict[str, Spec]) -> dict[str, Spec]:
        """Return what is not held yet."""
        return {n: s for n, s in wanted.items() if n not in self._state}

    def require(self, name: str, spec: Spec) -> Region:
        """Return the buffer `name`, made of zeros where there is none yet."""
        if name not in self._state:
            block = self.device.allocate(round_up(spec.bytes))
            self.device.clear(block.address, block.bytes)
            self._state[name] = (block, spec)
        return Region(self._state[name][0].address, spec)

    def arena_shortage(self, size: int) -> int:
        """Return how many bytes must be allocated for an arena of `size`."""
        return 0 if self._shared(size) else size

    def arena(self, size: int) -> Block:
        """Return `size` bytes for the activations of an executable.

        Where executables run one at a time they get the same bytes, if there are enough: the outputs of one are then
        good until another runs.
        """
        if not self._shared(size) or self._arena is None:
            self._arena = self.device.allocate(size)
        return self._arena

    def _shared(self, size: int) -> bool:
        return self.one_at_a_time and self._arena is not None and self._arena.bytes >= size


class DeviceBuffers:
    """The arrays of one executable by name: checked on the host, copied to and from the device."""

    def __init__(self, program: Program, memory: DeviceMemory, inputs: dict[str, Region]) -> None:
        self.device = memory.device
        self.inputs = inputs
        self.state = {n: memory.require(n, v.spec) for n, v in program.state.items()}
        self.outputs: dict[str, Region] = {}
        self.views: dict[str, Region] = {}
        for name, view in program.views.items():
            whole = self.state[view.state]
            shift = view.offset * ITEM_BYTES[whole.spec.dtype]
            self.views[name] = Region(whole.address + shift, Spec(view.shape, whole.spec.dtype))

    def write(self, name: str, array: Any) -> None:
        """Copy `array` into the input, state or view `name`.

        Raises:
            ShapeError: unknown name, another shape, or a dtype that would lose more than precision.
        """
        region = self._find(name, (self.inputs, self.state, self.views))
        dtype = np.dtype(region.spec.dtype)
        given = checked(name, array, region.spec.shape, dtype)
        if region.spec.size:
            dense = np.ascontiguousarray(given.astype(dtype, casting="unsafe", copy=False))
            self.device.upload(region.address, dense)

    def read(self, name: str) -> np.ndarray:
        """Return a copy of the output, state, view or input `name`, after waiting for the device.

        Raises:
            ShapeError: there is nothing of that name.
        """
        region = self._find(name, (self.outputs, self.state, self.views, self.inputs))
        return fetch(self.device, region)

    @staticmethod
    def _find(name: str, groups: Iterable[dict[str, Region]]) -> Region:
        for group in groups:
            if name in group:
                return group[name]
        raise unknown(name, [n for g in groups for n in g])


def fetch(device: Device, region: Region) -> np.ndarray:
    """Return a copy of a region on the host; of 16-bit floats as float32."""
    array = np.empty(region.spec.shape, memory_dtype(region.spec.dtype))
    if array.size:
        device.download(region.address, array)
    return widened(array, region.spec.dtype)
