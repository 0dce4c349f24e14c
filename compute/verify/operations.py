"""Every op, primitive and composite, from the tables in `cases`."""

from __future__ import annotations

from .case import checks_of
from .cases import CASES

CHECKS = checks_of(CASES)
