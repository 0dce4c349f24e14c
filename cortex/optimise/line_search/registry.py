"""The table of line searches, so that a solver can be stored as data."""

from __future__ import annotations

from cortex.description import Registry

SEARCHES = Registry("search")
register = SEARCHES.register
