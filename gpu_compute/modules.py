"""Compiled kernels: what a list of launches needs is compiled once for a process and found again by its key."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from .device import KernelTarget, MapTarget
from .kernels.arguments import Arguments
from .kernels.emitted import Form, emitted_source, unit_variant
from .kernels.source import Kernel, Variant, translation_unit

Module = TypeVar("Module")
Key = str | tuple[str, Variant]


@dataclass(frozen=True)
class Loaded(Generic[Module]):
    """A kernel, the types it was compiled for, and the module that has it."""

    kernel: Kernel
    variant: Variant
    module: Module

    def arguments(self, values: tuple[Any, ...]) -> Arguments:
        """Return the values in the exact types of the kernel's parameters."""
        return Arguments(self.kernel, self.variant, values)


@dataclass
class Modules(Generic[Module]):
    """Modules by what they hold; `compile` turns a translation unit into one."""

    compile: Callable[[str], Module]
    files: dict[tuple[str, Variant], Module] = field(default_factory=dict)
    maps: dict[str, Loaded[Module]] = field(default_factory=dict)

    def prepare(self, targets: Iterable[object]) -> None:
        """Compile what is missing: a unit for each file of kernels and variant, and one for all new maps together."""
        forms: dict[str, Form] = {}
        for target in targets:
            if isinstance(target, MapTarget) and target.form.name not in self.maps:
                forms[target.form.name] = target.form
            elif isinstance(target, KernelTarget):
                key = (target.kernel.source, target.variant)
                if key not in self.files:
                    self.files[key] = self.compile(translation_unit(*key))
        for wide in (False, True):
            chosen = [f for f in forms.values() if f.wide == wide]
            if chosen:
                text, kernels = emitted_source(chosen)
                module, variant = self.compile(text), unit_variant(chosen)
                self.maps.update({n: Loaded(k, variant, module) for n, k in kernels.items()})

    def find(self, target: KernelTarget | MapTarget) -> Loaded[Module]:
        """Return the compiled kernel of a target that was prepared."""
        if isinstance(target, MapTarget):
            return self.maps[target.form.name]
        module = self.files[target.kernel.source, target.variant]
        return Loaded(target.kernel, target.variant, module)
