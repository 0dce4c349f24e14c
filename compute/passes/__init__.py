"""Passes: a program in, a simpler or faster program with the same results out.

| pass | what it does |
|---|---|
| `decompose` | replaces composite ops that a backend does not bind by their decomposition |
| `simplify` | folds constants, merges equal steps, removes steps that nobody needs |
| `fuse_maps` | merges elementwise steps into one |
| `fuse_epilogues` | lets a matrix product or convolution add its bias and activation itself |
| `updates_last` | moves what only updates state to the end |
| `memory` | gives every result a place in one arena |
"""

from __future__ import annotations

from .decompose import decompose
from .epilogue import fuse_epilogues
from .fuse import fuse_maps
from .memory import Interval, plan
from .order import updates_last
from .simplify import simplify

__all__ = [
    "Interval",
    "decompose",
    "fuse_epilogues",
    "fuse_maps",
    "plan",
    "simplify",
    "updates_last",
]
