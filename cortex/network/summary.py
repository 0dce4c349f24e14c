"""A network as a table: nodes, shapes, parameters, and the exact bytes of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .network import Network


def summary(network: Network) -> str:
    return ""
