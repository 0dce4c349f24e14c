"""`Pool` and `PoolGradient`: both kinds, both rounding rules, both ways to count padding."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops import Pool, PoolGradient, Window
from .. import oracles
from ..case import Case, distinct, exactly, integers, normal


def _cases(name: str, window: Window, x: tuple[int, ...], *, quick: bool = True) -> list[Case]:
    options: dict[str, Any] = {"quick": quick}
    out = (*x[:2], *oracles.extents(window, x[2:]))
    found = [
        Case(
            f"max pool/{name}", Pool("max", window), (distinct(*x),),
            lambda x: oracles.max_pool(window, x), **options,
        )
    ]  # fmt: skip
    for padding in (False, True):
        found += [
            Case(
                f"average pool/{name}{', padding counts' * padding}",
                Pool("average", window, padding),
                (normal(*x),),
                lambda x, padding=padding: oracles.average_pool(window, padding, x),
                **options,
            ),
            Case(
                f"average pool gradient/{name}{', padding counts' * padding}",
                PoolGradient("average", window, x[2:], padding),
                (normal(*out),),
                lambda dy, padding=padding, size=x[2:]: oracles.average_pool_gradient(
                    window, padding, size, dy
                ),
                **options,
            ),
        ]
    return found


_TIES = Window.of(2, 1, 1)

CASES: tuple[Case, ...] = (
    *_cases("2x2 stride 2", Window.of(2, 2), (2, 3, 6, 8)),
    *_cases("2x2 stride 2, remainder dropped", Window.of(2, 2), (2, 3, 7, 5)),
    *_cases("2x2 stride 2, remainder kept", Window.of(2, 2, ceil=True), (2, 3, 7, 5)),
    *_cases("3x3 overlapping, padded", Window.of(3, 2, 1), (2, 5, 7, 8)),
    *_cases("3x3 overlapping, padded, rounded up", Window.of(3, 2, 1, ceil=True), (1, 17, 6, 8)),
    *_cases("uneven", Window.of((2, 3), (1, 2), ((1, 0), (0, 2))), (2, 3, 5, 7)),
    *_cases("stride above size", Window.of(1, 2), (1, 2, 5, 6)),
    *_cases("global", Window.of((5, 7)), (3, 4, 5, 7)),
    *_cases("1-d", Window.of(3, 2, 1, rank=1), (2, 3, 9)),
    *_cases("1-d rounded up", Window.of(2, 3, 1, ceil=True, rank=1), (1, 2, 9)),
    *_cases("33 channels", Window.of(2, 2), (2, 33, 9, 10), quick=False),
    Case(
        "max pool/ties go to the first", Pool("max", _TIES), (exactly(np.ones((1, 1, 3, 3))),),
        lambda x: oracles.max_pool(_TIES, x), gradient=False,
    ),
    Case(
        "max pool/padding is minus infinity", Pool("max", _TIES), (exactly(np.full((1, 2, 2, 2), -11.0)),),
        lambda x: oracles.max_pool(_TIES, x), gradient=False,
    ),
    Case(
        "max pool/index of a large window", Pool("max", Window.of((17, 16))), (distinct(1, 2, 18, 17),),
        lambda x: oracles.max_pool(Window.of((17, 16)), x), quick=False,
    ),
    Case(
        "max pool gradient/overlapping", PoolGradient("max", Window.of(3, 2, 1), (7, 8)),
        (normal(2, 3, 4, 4), integers(4, 6, 2, 3, 4, 4, dtype="uint8")),
        lambda dy, i: oracles.max_pool_gradient(Window.of(3, 2, 1), (7, 8), dy, i), gradient=False,
    ),
)  # fmt: skip
