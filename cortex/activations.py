"""Activations: ordinary functions of one number, written with `cortex.compute.math`.

Called with arrays they compute; in a network they are compiled and differentiated symbolically. A
user's own activation is any Python function of one argument, for example `lambda x: m.exp(-x *
x)`. To add one, add a function and its row in `ACTIVATIONS`. At 0 the derivatives of the piecewise
ones are those from the left: 0 for relu, the slope for leaky relu, that of the exponential for elu
and selu.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cortex.compute import math as m

SELU_ALPHA = 1.6732632423543772848
SELU_SCALE = 1.0507009873554804934


def relu(x: Any) -> Any:
    """Return max(x, 0). Nair and Hinton 2010."""
    return m.maximum(x, 0)


def leaky_relu(x: Any, slope: float = 0.01) -> Any:
    """Return x where x > 0, else slope x. Maas, Hannun and Ng 2013."""
    return m.where(x > 0, x, slope * x)


def elu(x: Any, alpha: float = 1.0) -> Any:
    """Return x where x > 0, else alpha (e^x - 1). Clevert, Unterthiner and Hochreiter 2016."""
    # The exponent is limited to 0: overflow in the branch not taken makes a derivative NaN.
    return m.where(x > 0, x, alpha * m.expm1(m.minimum(0, x)))


def selu(x: Any) -> Any:
    """Return 1.0507 elu(x, alpha=1.6733), which keeps mean 0, variance 1. Klambauer et al. 2017."""
    return SELU_SCALE * elu(x, SELU_ALPHA)


def gelu(x: Any) -> Any:
    """Return x Phi(x) = x/2 (1 + erf(x / sqrt 2)), exactly. Hendrycks and Gimpel 2016."""
    return x * (0.5 * (1 + m.erf(x * math.sqrt(0.5))))


def gelu_tanh(x: Any) -> Any:
    """Return x/2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))). Hendrycks and Gimpel 2016."""
    return x * (0.5 * (1 + m.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x)))))


def swish(x: Any, beta: float = 1.0) -> Any:
    """Return x / (1 + e^(-beta x)), also called silu. Ramachandran, Zoph and Le 2017."""
    return x * m.logistic(beta * x)


def softplus(x: Any, beta: float = 1.0) -> Any:
    """Return log(1 + e^(beta x)) / beta, without overflow. Dugas et al. 2001."""
    return m.softplus(beta * x) / beta


def logistic(x: Any) -> Any:
    """Return 1 / (1 + e^-x), also called sigmoid."""
    return m.logistic(x)


def tanh(x: Any) -> Any:
    """Return the hyperbolic tangent. LeCun et al. 1998, Efficient BackProp, section 4.4."""
    return m.tanh(x)


def softsign(x: Any) -> Any:
    """Return x / (1 + |x|). Bergstra et al. 2009."""
    return x / (1 + m.absolute(x))


def mish(x: Any) -> Any:
    """Return x tanh(log(1 + e^x)). Misra 2019."""
    return x * m.tanh(m.softplus(x))


def hard_tanh(x: Any) -> Any:
    """Return x limited to [-1, 1]. Collobert 2004."""
    return m.clip(x, -1, 1)


def hard_logistic(x: Any) -> Any:
    """Return x/6 + 1/2 limited to [0, 1]. Howard et al. 2019, section 5.2."""
    return m.clip(x * (1 / 6) + 0.5, 0, 1)


def hard_swish(x: Any) -> Any:
    """Return x hard_logistic(x). Howard et al. 2019, section 5.2."""
    return x * hard_logistic(x)


@dataclass(frozen=True)
class Row:
    """An activation, and whether it rectifies: He's rule then fills the weights before it."""

    function: Callable[[Any], Any]
    rectifies: bool = False


ACTIVATIONS: dict[str, Row] = {
    "relu": Row(relu, True),
    "leaky_relu": Row(leaky_relu, True),
    "elu": Row(elu, True),
    "selu": Row(selu),  # its fixed point is derived for variance 1 / fan-in, not He's
    "gelu": Row(gelu, True),
    "gelu_tanh": Row(gelu_tanh, True),
    "swish": Row(swish, True),
    "softplus": Row(softplus),
    "logistic": Row(logistic),
    "tanh": Row(tanh),
    "softsign": Row(softsign),
    "mish": Row(mish, True),
    "hard_tanh": Row(hard_tanh),
    "hard_logistic": Row(hard_logistic),
    "hard_swish": Row(hard_swish, True),
}
