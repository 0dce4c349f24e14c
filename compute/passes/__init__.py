"""Passes: a program in, a simpler or faster program with the same results out.

| pass | what it does |
|---|---|
| `decompose` | replaces composite ops that a backend does not bind by their decomposition |
| `simplify` | folds constants, merges equal steps and constants, removes steps that nobody needs |
| `fold_affine` | folds scales and shifts behind a convolution into its kernels, where they last |
| `choose_layouts` | brings images into the layout in which the program takes the least time |
| `fuse_maps` | merges elementwise steps into one |
| `fuse_sums` | adds up elementwise results without writing them, several sums in one pass |
| `fuse_epilogues` | lets a matrix product or convolution add its bias and activation itself |
| `fuse_chains` | lets a convolution pool its own result |
| `updates_last` | moves what only updates state to the end |
| `memory` | gives every result a place in one arena |
"""

from __future__ import annotations

from .affine import fold_affine
from .chain import fuse_chains
from .decompose import decompose
from .epilogue import fuse_epilogues
from .fuse import fuse_maps
from .layout import choose_layouts
from .memory import Interval, plan
from .order import updates_last
from .simplify import simplify
from .sums import fuse_sums

__all__ = [
    "Interval",
    "choose_layouts",
    "decompose",
    "fold_affine",
    "fuse_chains",
    "fuse_epilogues",
    "fuse_maps",
    "fuse_sums",
    "plan",
    "simplify",
    "updates_last",
]
