"""Which backends there are, which of them work here and why the others do not, and what options they take.

A name may carry options, such as `"cpu:exact"`; see `cortex.compute.options`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, is_dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from .backend import Backend
from .errors import BackendError, near
from .options import Option, checked, full_name, listed, split

GROUP = "cortex.backends"
# Known without an installation, so that a checkout works; entry points of the same name take precedence.
BUILT_IN = {
    "numpy": "cortex.compute.numpy_backend:NumpyBackend",
    "cpu": "cortex.compute.cpu.backend:CpuBackend",
    "cuda": "cortex.gpu_compute:CudaBackend",
    "cuda-emulated": "cortex.gpu_compute.emulated:EmulatedBackend",
}
PREFERENCE = ("cuda", "cpu", "numpy")  # what `auto` tries, best first; others come before `numpy`
STAND_INS = (
    "cuda-emulated",
)  # for tests of what is not there; taken only where they are asked for

_default: ContextVar[str] = ContextVar("cortex_backend", default="auto")
_made: dict[str, Backend] = {}
_said: set[str] = set()  # why `auto` passed a backend over: each reason once


@dataclass(frozen=True)
class Availability:
    """Whether a backend works here, the reason in words, and whether it leaves a device unused that is there.

    `schema` is the dataclass of its options, None where it has none.
    """

    name: str
    works: bool
    reason: str
    unused: bool = False
    schema: type | None = None

    @property
    def options(self) -> tuple[Option, ...]:
        """The options that it takes."""
        return listed(self.schema)


def names() -> tuple[str, ...]:
    """Return the names of all registered backends, in the order in which `auto` tries them; stand-ins last."""
    found = {**BUILT_IN, **{e.name: e.value for e in entry_points(group=GROUP)}}
    others = sorted(set(found) - set(PREFERENCE) - set(STAND_INS))
    order = [*PREFERENCE[:-1], *others, "numpy", *STAND_INS]
    return tuple(n for n in order if n in found)


def _target(name: str) -> str:
    for entry in entry_points(group=GROUP):
        if entry.name == name:
            return entry.value
    return BUILT_IN[name]


def availability(name: str) -> Availability:
    """Say whether backend `name` works here and what options it has, by asking its module.

    The module's `available()` returns (works, reason[, device is there]); its dataclass `Options` has the options.

    Raises:
        BackendError: no backend is registered under that name.
    """
    if name not in names():
        raise BackendError(f"no backend is named {name!r}{near(name, names())}")
    try:
        module = import_module(_target(name).partition(":")[0])
        found = module.available() if hasattr(module, "available") else (True, "registered")
        works, reason, *device = found
        schema = getattr(module, "Options", None)
    except (
        Exception
    ) as error:  # a third party's import may fail in any way; the reason is what people need
        return Availability(name, False, f"{type(error).__name__}: {error}")
    return Availability(
        name,
        works,
        reason,
        not works and any(device),
        schema if isinstance(schema, type) and is_dataclass(schema) else None,
    )


def chosen(name: str | None = None, **options: Any) -> tuple[str, dict[str, Any]]:
    """Return the registered name that `name` means and the options that differ from their defaults, all checked.

    Raises:
        BackendError: as `get_backend`.
    """
    base, written = split(name or _default.get())
    if base == "auto":
        if written or options:
            raise BackendError(
                "backend 'auto' takes no options, for each backend has its own; name one, such as 'cpu:exact' "
                "(`cortex info` lists them)"
            )
        return _best(), {}
    state = availability(base)
    found = checked(base, state.schema, written, options)
    if not state.works:
        raise BackendError(
            f"backend {base!r} is not available: {state.reason}; `cortex info` lists all backends"
        )
    return base, found


def get_backend(name: str | Backend | None = None, **options: Any) -> Backend:
    """Return a backend by name; None means the default, `auto` the best that works.

    Options stand behind the name or are keywords: `get_backend("cuda:precision=tf32")` is
    `get_backend("cuda", precision="tf32")`. Backends of one name and the same options are one object.

    Raises:
        BackendError: the name is unknown, an option is unknown or has no such value, or the backend does not work
            here; the message says why.
    """
    if name is not None and not isinstance(name, str):
        if options:
            raise BackendError(
                f"get_backend: options go with a name; the backend {name.name!r} is made already"
            )
        return name
    base, found = chosen(name, **options)
    full = full_name(base, found)
    if full not in _made:
        module, _, attribute = _target(base).partition(":")
        _made[full] = getattr(import_module(module), attribute)(**found)
    return _made[full]


def _best() -> str:
    """Return the best backend that works, and log once what stood before it and why it does not work.

    That is a warning where a device is there that goes unused, else a line for those who turn on logging.
    """
    passed = []
    for name in names():
        state = availability(name)
        if state.works:
            break
        passed.append(state)
    if passed:
        level = logging.WARNING if any(s.unused for s in passed) else logging.INFO
        reasons = "; ".join(f"{s.name} does not work here: {s.reason}" for s in passed)
        if reasons not in _said:
            _said.add(reasons)
            logging.getLogger("cortex").log(level, "running on the backend %s: %s", name, reasons)
    return name


@contextmanager
def use_backend(name: str) -> Iterator[Backend]:
    """Make `name`, which may carry options, the default backend inside a `with` block."""
    backend = get_backend(name)
    token = _default.set(name)
    try:
        yield backend
    finally:
        _default.reset(token)
