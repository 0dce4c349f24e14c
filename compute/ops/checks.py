"""What composite ops check alike: a float operand, axes within its rank, one operand's spec."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import ShapeError
from ..spec import Shape, Spec


def need_float(operation: str, x: Spec, name: str = "x") -> None:
    """Raise `ShapeError` where an operand is not a float."""
    if not x.is_float:
        raise ShapeError(
            f"{operation}: expected {name} to be float32 or float64, given {x}; convert it first"
        )


def need_spec(operation: str, name: str, given: Spec, shape: Shape, x: Spec) -> None:
    """Raise `ShapeError` where `given` is not of `shape` and the dtype of `x`; name both sides."""
    if given != Spec(shape, x.dtype):
        raise ShapeError(
            f"{operation}: for x {x} expected {name} {Spec(shape, x.dtype)}, given {given}"
        )


def normal_axes(operation: str, axes: Sequence[int], x: Spec) -> tuple[int, ...]:
    """Return axes, which may be negative, as ascending non-negative ones.

    Raises:
        ShapeError: there is none, one lies outside the rank of `x`, or one is named twice.
    """
    normal = tuple(sorted(a + x.rank if a < 0 else a for a in axes))
    inside = all(0 <= a < x.rank for a in normal)
    if not normal or not inside or len(set(normal)) < len(normal):
        raise ShapeError(
            f"{operation}: axes {tuple(axes)} must be different axes of {x}, "
            f"each in {-x.rank}..{x.rank - 1}"
        )
    return normal


def need_probability(operation: str, name: str, p: float) -> None:
    """Raise `ShapeError` where `p` is not in [0, 1)."""
    if not 0 <= p < 1:
        raise ShapeError(f"{operation}: {name} must be at least 0 and below 1, given {p}")
