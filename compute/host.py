"""What backends on the host share: named buffers, and checked reading and writing of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .errors import BackendError, ShapeError, near
from .pages import allocate
from .program import Program, View
from .spec import Shape, Spec


def aligned(spec: Spec) -> np.ndarray:
    """Return a zeroed array at an address that is a multiple of 64, with 64 spare bytes behind it."""
    return allocate(spec.bytes).view(spec.dtype).reshape(spec.shape)


def checked(name: str, array: Any, shape: Shape, dtype: np.dtype[Any]) -> np.ndarray:
    """Return what a host gives for `name` as an array that may be cast to `dtype`.

    Raises:
        ShapeError: another shape, or a dtype that would lose more than precision.
    """
    given = np.asarray(array)
    if given.shape != shape:
        raise ShapeError(f"write {name!r}: expected shape {shape}, given {given.shape}")
    if given.dtype == dtype:  # at once: the checks take 2 of the 40 microseconds of a small network
        return given
    both_integer = given.dtype.kind in "iu" and dtype.kind in "iu"
    loses = not np.can_cast(given.dtype, dtype, "same_kind")
    if loses and not both_integer and given.dtype.kind != "b":
        raise ShapeError(
            f"write {name!r}: expected dtype {dtype}, given {given.dtype}; convert it first"
        )
    if given.dtype != dtype and both_integer and given.size:
        limits = np.iinfo(dtype)
        low, high = int(given.min()), int(given.max())
        if low < limits.min or high > limits.max:
            raise ShapeError(f"write {name!r}: values {low}..{high} do not fit into {dtype}")
    return given


def unknown(name: str, names: Iterable[str]) -> ShapeError:
    """Return the error for a name that an executable does not know."""
    return ShapeError(f"nothing is named {name!r} here{near(name, names)}")


class HostMemory:
    """Named persistent arrays; programs compiled with one memory share them by name."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self.one_at_a_time = False  # the executables never run at once: they may share one arena
        self.versions: Counter[str] = Counter()  # how often the content of each buffer was changed
        self._arena: np.ndarray | None = None

    def names(self) -> tuple[str, ...]:
        """Return the names of the buffers held."""
        return tuple(self.arrays)

    def arena(self, size: int) -> np.ndarray:
        """Return `size` bytes for the activations of an executable.

        Where executables run one at a time they get the same bytes, if there are enough: the outputs of one are then
        good until another runs.
        """
        if self.one_at_a_time and self._arena is not None and self._arena.size >= size:
            return self._arena
        self._arena = aligned(Spec((size,), "uint8"))
        return self._arena

    def require(self, name: str, spec: Spec) -> np.ndarray:
        """Return the array `name`, made of zeros where there is none yet.

        Raises:
            BackendError: it exists with another shape or dtype.
        """
        found = self.arrays.get(name)
        if found is None:
            found = self.arrays[name] = aligned(spec)
        elif found.shape != spec.shape or found.dtype.name != spec.dtype:
            raise BackendError(
                f"state {name!r}: the program expects {spec}, the shared memory holds "
                f"{Spec(found.shape, found.dtype.name)}; compile with a memory of its own"
            )
        return found


class HostBuffers:
    """The arrays of one executable by name, with checks worded for people."""

    def __init__(
        self, program: Program, memory: HostMemory, make: Callable[[Spec], np.ndarray] = aligned
    ) -> None:
        self._memory = memory
        self.state = {n: memory.require(n, v.spec) for n, v in program.state.items()}
        self.inputs = {n: make(v.spec) for n, v in program.inputs.items()}
        self.outputs: dict[str, np.ndarray] = {}
        self._ranges = program.views
        self.views = {n: self._view(v) for n, v in program.views.items()}

    def _view(self, view: View) -> np.ndarray:
        size = Spec(view.shape).size
        return self.state[view.state][view.offset : view.offset + size].reshape(view.shape)

    def write(self, name: str, array: Any) -> None:
        """Copy `array` into the input, state or view `name`.

        Raises:
            ShapeError: unknown name, another shape, or a dtype that would lose more than precision.
        """
        target = self._find(name, self.inputs, self.state, self.views)
        given = checked(name, array, target.shape, target.dtype)
        np.copyto(target, given, casting="unsafe")
        if name not in self.inputs:
            self._memory.versions[self._ranges[name].state if name in self._ranges else name] += 1

    def read(self, name: str) -> np.ndarray:
        """Return a copy of the output, state, view or input `name`.

        Raises:
            ShapeError: there is nothing of that name.
        """
        return self._find(name, self.outputs, self.state, self.views, self.inputs).copy()

    @staticmethod
    def _find(name: str, *groups: dict[str, np.ndarray]) -> np.ndarray:
        for group in groups:
            if name in group:
                return group[name]
        raise unknown(name, [n for g in groups for n in g])
