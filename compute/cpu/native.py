"""The compiled engine `cortex.compute._native`, or the reason why it is missing."""

from __future__ import annotations

import os
from functools import cache
from types import ModuleType
from typing import Any


@cache
def native() -> ModuleType | None:
    """Return the compiled engine, or None where it was not built or `CORTEX_NATIVE=0` switches it off."""
    return _load()[0]


@cache
def engine() -> str:
    """Return `native:<instruction set>`, or `fallback: <reason>`."""
    module, reason = _load()
    return f"native:{module.isa()}" if module is not None else f"fallback: {reason}"


@cache
def _load() -> tuple[Any, str]:
    if os.environ.get("CORTEX_NATIVE") == "0":
        return None, "switched off by CORTEX_NATIVE=0"
    try:
        from cortex.compute import _native
    except ImportError as error:
        return (
            None,
            f"the compiled engine is missing ({error}); install with a C++ compiler to build it",
        )
    return _native, ""
