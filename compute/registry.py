"""Which backends there are, which of them work here and why the others do not."""

from __future__ import annotations

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
}
PREFERENCE = ("cuda", "cpu", "numpy")  # what `auto` tries, best first; others come before `numpy`

_default: ContextVar[str] = ContextVar("cortex_backend", default="auto")
_made: dict[str, Backend] = {}


@dataclass(frozen=True)
class Availability:
    """Whether a backend works here, and the reason in words."""

    name: str
    works: bool
    reason: str


def names() -> tuple[str, ...]:
    """Return the names of all registered backends, in the order in which `auto` tries them."""
    found = {**BUILT_IN, **{e.name: e.value for e in entry_points(group=GROUP)}}
    others = sorted(set(found) - set(PREFERENCE))
    order = [n for n in PREFERENCE[:-1] if n in found] + others + ["numpy"]
    return tuple(order)


def _target(name: str) -> str:
    for entry in entry_points(group=GROUP):
        if entry.name == name:
            return entry.value
    return BUILT_IN[name]


def availability(name: str) -> Availability:
    """Say whether backend `name` works here, by asking its module's `available()`.

    Raises:
        BackendError: no backend is registered under that name.
    """
    if name not in names():
        raise BackendError(f"no backend is named {name!r}{near(name, names())}")
    try:
        module = import_module(_target(name).partition(":")[0])
        works, reason = module.available() if hasattr(module, "available") else (True, "registered")
    except (
        Exception
    ) as error:  # a third party's import may fail in any way; the reason is what people need
        return Availability(name, False, f"{type(error).__name__}: {error}")
    return Availability(name, works, reason)


def get_backend(name: str | Backend | None = None) -> Backend:
    """Return a backend by name; None means the default, `auto` the best that works.

    Raises:
        BackendError: the name is unknown, or the backend does not work here; the message says why.
    """
    if name is not None and not isinstance(name, str):
        return name
    chosen = name or _default.get()
    if chosen == "auto":
        chosen = next(n for n in names() if availability(n).works)
    if chosen not in _made:
        state = availability(chosen)
        if not state.works:
            raise BackendError(
                f"backend {chosen!r} is not available: {state.reason}; `cortex info` lists all backends"
            )
        module, _, attribute = _target(chosen).partition(":")
        _made[chosen] = getattr(import_module(module), attribute)()
    return _made[chosen]


@contextmanager
def use_backend(name: str) -> Iterator[Backend]:
    """Make `name` the default backend inside a `with` block."""
    backend = get_backend(name)
    token = _default.set(name)
    try:
        yield backend
    finally:
        _default.reset(token)
