"""Gradients against differences: is the gradient that a function claims its real one?

`check_gradient` compares one vector function with its gradient along random directions;
`gradient_check` does it for everything that can be traced: a network, a layer, a loss, an op, or a
function of `cortex.compute.math`.

    gradient_check(Linear(3), np.ones((2, 4)))
    gradient_check(SoftmaxCrossEntropy(), logits, labels)
    gradient_check(network, {"image": images, "label": labels}, target="label")
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from .traced import gradient_check
from .vector import Direction, GradientCheck, GradientError, check_gradient

__all__ = ["Direction", "GradientCheck", "GradientError", "check_gradient", "gradient_check"]


class _Callable(ModuleType):
    """`cortex.gradient_check` names this module once it is imported, and is to be the function."""

    def __call__(self, subject: Any, *inputs: Any, **options: Any) -> dict[str, GradientCheck]:
        return gradient_check(subject, *inputs, **options)


sys.modules[__name__].__class__ = _Callable
