"""The error of a library that works but has no kernel for what was asked."""

from __future__ import annotations

from cortex.compute.errors import BackendError


class Unsupported(BackendError):
    """The library has no kernel for this operation; the message says what was asked and what to do instead."""
