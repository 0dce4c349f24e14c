"""Mathematics written once: scalar functions of NumPy arrays, expressions and program values alike.

Called with arrays or numbers they compute (NumPy); called with symbols they build an `Expression`; called with the
values of a program they record a `Map`. An activation, an elementwise loss, a schedule or an optimiser update written
with these and the ordinary operators runs everywhere and is differentiated symbolically.

| function | meaning |
|---|---|
| `exp log sqrt tanh sin cos expm1 log1p erf logistic floor absolute sign power` | as in NumPy; `logistic` 1/(1+e^-x) |
| `maximum minimum where clip square` | as in NumPy |
| `equal not_equal logical_and logical_or logical_not isnan` | truth values |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = [
    "absolute", "clip", "cos", "equal", "erf", "exp", "expm1", "floor", "isnan", "log", "log1p", "logical_and",
    "logical_not", "logical_or", "logistic", "maximum", "minimum", "not_equal", "power", "sign", "sin", "softplus",
    "sqrt", "square", "tanh", "where",
]  # fmt: skip


def _function(op: str, doc: str) -> Callable[..., Any]:
    def function(*args: Any) -> Any:
        for a in args:
            apply = getattr(a, "__cortex_apply__", None)
            if apply is not None:
                return apply(op, args)
        from .scalars import scalars

        with np.errstate(all="ignore"):
            result = scalars()[op].evaluate(*args)
        if op == "erf":  # computed in float64; give back the dtype that came
            result = np.asarray(result, np.result_type(*args, np.float32))[()]
        return result

    function.__doc__ = doc
    function.__name__ = function.__qualname__ = op
    return function


exp = _function("exp", "Return e to the power x, elementwise.")
expm1 = _function("expm1", "Return exp(x) - 1 without cancellation near 0.")
log = _function("log", "Return the natural logarithm, elementwise.")
log1p = _function("log1p", "Return log(1 + x) without cancellation near 0.")
sqrt = _function("sqrt", "Return the square root, elementwise.")
tanh = _function("tanh", "Return the hyperbolic tangent, elementwise.")
sin = _function("sin", "Return the sine of x in radians.")
cos = _function("cos", "Return the cosine of x in radians.")
erf = _function(
    "erf", "Return the error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x."
)
logistic = _function("logistic", "Return 1 / (1 + exp(-x)), elementwise.")
floor = _function("floor", "Return the largest integer not above x, as a float.")
absolute = _function("abs", "Return |x|; its derivative at 0 is 0.")
sign = _function("sign", "Return -1, 0 or 1, elementwise.")
power = _function("pow", "Return a to the power b, elementwise.")
maximum = _function("maximum", "Return the larger of a and b; at a tie the derivative goes to b.")
minimum = _function("minimum", "Return the smaller of a and b; at a tie the derivative goes to b.")
where = _function("where", "Return a where the condition holds, else b.")
equal = _function("eq", "Return whether a equals b, elementwise.")
not_equal = _function("ne", "Return whether a differs from b, elementwise.")
logical_and = _function("and", "Return whether both a and b hold.")
logical_or = _function("or", "Return whether a or b holds.")
logical_not = _function("not", "Return whether a does not hold.")
isnan = _function("isnan", "Return whether x is not a number.")


def square(x: Any) -> Any:
    """Return x times x."""
    return x * x


def clip(x: Any, low: Any, high: Any) -> Any:
    """Return x limited to [low, high]."""
    return minimum(maximum(x, low), high)


def softplus(x: Any) -> Any:
    """Return log(1 + exp(x)), computed as (x + |x|) / 2 + log1p(exp(-|x|)) so that it never overflows.

    The first term is max(x, 0), in the form whose derivative at 0 is the right one for the sum, 1/2.
    """
    return 0.5 * (x + absolute(x)) + log1p(exp(-absolute(x)))
