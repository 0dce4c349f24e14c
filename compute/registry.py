"""Which backends there are, which of them work here and why the others do not."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points

from .backend import Backend
from .errors import BackendError, near

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
    """Whether a backend works here, the reason in words, and whether it leaves a device unused that is there."""

    name: str
    works: bool
    reason: str
    unused: bool = False


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
    """Say whether backend `name` works here, by asking its module's `available()`: (works, reason[, device is there]).

    Raises:
        BackendError: no backend is registered under that name.
    """
    if name not in names():
        raise BackendError(f"no backend is named {name!r}{near(name, names())}")
    try:
        module = import_module(_target(name).partition(":")[0])
        found = module.available() if hasattr(module, "available") else (True, "registered")
        works, reason, *device = found
    except (
        Exception
    ) as error:  # a third party's import may fail in any way; the reason is what people need
        return Availability(name, False, f"{type(error).__name__}: {error}")
    return Availability(name, works, reason, not works and any(device))


def get_backend(name: str | Backend | None = None) -> Backend:
    """Return a backend by name; None means the default, `auto` the best that works.

    Raises:
        BackendError: the name is unknown, or the backend does not work here; the message says why.
    """
    if name is not None and not isinstance(name, str):
        return name
    chosen = name or _default.get()
    if chosen == "auto":
        chosen = _best()
    if chosen not in _made:
        state = availability(chosen)
        if not state.works:
            raise BackendError(
                f"backend {chosen!r} is not available: {state.reason}; `cortex info` lists all backends"
            )
        module, _, attribute = _target(chosen).partition(":")
        _made[chosen] = getattr(import_module(module), attribute)()
    return _made[chosen]


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
    """Make `name` the default backend inside a `with` block."""
    backend = get_backend(name)
    token = _default.set(name)
    try:
        yield backend
    finally:
        _default.reset(token)
