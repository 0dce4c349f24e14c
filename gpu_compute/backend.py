"""`CudaBackend`: passes, lowering, memory, and one graph launch per run."""

from __future__ import annotations

from copy import copy
from functools import partial
from typing import Any

from cortex.compute.backend import Capabilities, Memory, check_dtypes
from cortex.compute.errors import BackendError
from cortex.compute.group import Group, check_programs
from cortex.compute.options import full_name
from cortex.compute.passes import decompose, fuse_epilogues, fuse_maps, simplify, updates_last
from cortex.compute.plan.storage import isolate
from cortex.compute.program import Program

from .device import Device
from .executable import CudaExecutable
from .memory import DeviceMemory
from .options import Options
from .passes.attention import attend
from .passes.gates import gate_products
from .passes.layout import channels_last
from .passes.normalisation import normalise
from .passes.precision import mixed_precision
from .passes.sums import join_sums

# A launch in a graph costs about 2 microseconds (an estimate), in which 64 KiB are read from the caches many times.
SMALL = 1 << 16


class CudaBackend:
    """Programs on an NVIDIA GPU; `device` None is the first one.

    Keyword arguments are those of `Options`: `CudaBackend(precision="tf32")`.
    """

    _group: Group | None = None  # what `AllReduce` sums over; a backend of its own for each

    def __init__(self, device: Device | None = None, **options: Any) -> None:
        self.options = Options(**options)
        self.device: Device = device if device is not None else _first_gpu()
        self.libraries = self.device.libraries(self.options)
        self._joined: dict[Group, CudaBackend] = {}

    def joined(self, group: Group) -> CudaBackend:
        """Return the backend that sums over a group, the same one for the same group.

        The processes of a machine share its GPUs out in turn.
        """
        if group not in self._joined:
            device = self.device.of_process(group.rank)
            backend = self._joined[group] = copy(self)
            backend.device, backend.libraries = device, device.libraries(self.options)
            backend._group = device.joined(group)
        return self._joined[group]

    @property
    def name(self) -> str:
        """The name of its device with its options."""
        return full_name(self.device.name, self.options)

    @property
    def capabilities(self) -> Capabilities:
        """float32 and float64; captured graphs, unless they were turned off."""
        found = self.device.properties
        notes = {
            "device": found.name, "compute capability": found.capability or "-", "precision": self.options.precision,
            **found.versions,
        }  # fmt: skip
        return Capabilities(
            ("float32", "float64"), graph_capture=self.options.capture, deterministic=self.options.deterministic,
            collectives=True, loss_scale="dynamic" if self.options.precision == "float16" else None, notes=notes,
        )  # fmt: skip

    def _channels_last(self, program: Program) -> Program:
        from .providers.convolution import wants_channels_last
        from .providers.pooling import is_pooling

        wanted = partial(wants_channels_last, libraries=self.libraries)
        return simplify(channels_last(program, wanted, is_pooling))

    def compile(self, program: Program, memory: Memory | None = None) -> CudaExecutable:
        """Rewrite, plan and compile a program.

        Raises:
            BackendError: the memory is another device's, its state differs in shape or dtype, or the program does not
                fit into what the device has free.
        """
        if memory is None:
            memory = DeviceMemory(self.device)
        if not isinstance(memory, DeviceMemory) or memory.device is not self.device:
            raise BackendError(
                f"{self.name}: expected a memory of this device, given {type(memory).__name__}"
                f"{' of another one' if isinstance(memory, DeviceMemory) else ''}"
            )
        check_dtypes(program, self.name)
        program = self.rewritten(program)
        if self._group is not None:
            check_programs(self._group, program)
        return CudaExecutable(program, memory, self.options, self.libraries, self._group)

    def rewritten(self, program: Program) -> Program:
        """Return the program as this backend runs it, after all passes."""
        from .providers import accepts_epilogue, accepts_graph, keeps
        from .providers.matrix import accepts_gate

        held, libraries = self.options.held, self.libraries
        accepts = partial(accepts_graph, libraries)
        program = simplify(decompose(attend(program, held, accepts), partial(keeps, self._group)))
        program = normalise(self._channels_last(program), held, accepts)
        program = simplify(fuse_maps(program, SMALL))
        if self.libraries.products is not None:
            program = join_sums(program)
        program = fuse_epilogues(program, partial(accepts_epilogue, libraries, self.options))
        program = gate_products(program, partial(accepts_gate, libraries, self.options))
        if held != "float32":
            program = mixed_precision(program, held)
        return updates_last(isolate(program))


def _first_gpu() -> Device:
    from .cuda import CudaDevice

    return CudaDevice()
