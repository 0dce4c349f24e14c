"""The tables of op cases, by theme. To cover a new op, add rows to one of them (see `case.Case`)."""

from __future__ import annotations

from ..case import Case
from .composites import CASES as COMPOSITES
from .convolutions import CASES as CONVOLUTIONS
from .elementwise import CASES as ELEMENTWISE
from .matrices import CASES as MATRICES
from .movement import CASES as MOVEMENT
from .pooling import CASES as POOLING
from .reductions import CASES as REDUCTIONS

CASES: tuple[Case, ...] = (
    *ELEMENTWISE,
    *REDUCTIONS,
    *MATRICES,
    *MOVEMENT,
    *CONVOLUTIONS,
    *POOLING,
    *COMPOSITES,
)
