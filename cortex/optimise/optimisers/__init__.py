"""Optimisers: what to do with a gradient, written once for studies and for networks.

    new_parameters, new_state = optimiser.update(state, parameters, gradient)

`update` is ordinary mathematics over `cortex.compute.math` and changes nothing: called with NumPy
float64 arrays it computes, called with symbols it becomes one compiled pass
(`cortex.optimise.trace`). State entries are vectors like the parameters, or 0-d scalars such as
`num_steps`; the new value of a scalar depends on scalars alone. Hyper-parameters are numbers or
schedules (`cortex.optimise.schedules`). To add an optimiser, write one frozen dataclass and add its
row to the table below. `LBfgs` and `ConjugateGradients` search along lines (`solvers`): they drive
descents, not the training of networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cortex.compute.errors import DescriptionError, near
from cortex.description import Registry
from cortex.protocols import Optimiser

from .adam import Adam, AdamW, AmsGrad, Lion, Nadam
from .adaptive import Adadelta, Adagrad, RmsProp
from .conjugate_gradients import ConjugateGradients
from .lbfgs import LBfgs
from .newton import NewtonSecant
from .sgd import Sgd
from .solvers import SOLVERS, Solver

__all__ = [
    "OPTIMISERS", "SOLVERS", "Adadelta", "Adagrad", "Adam", "AdamW", "AmsGrad", "ConjugateGradients",
    "LBfgs", "Lion", "Nadam", "NewtonSecant", "RmsProp", "Sgd", "Solver", "from_data", "register",
    "to_data",
]  # fmt: skip

OPTIMISERS = Registry("optimiser")
register = OPTIMISERS.register

for _type in (Sgd, Adagrad, Adadelta, RmsProp, Adam, AdamW, AmsGrad, Nadam, Lion, NewtonSecant):
    register(_type)


def to_data(optimiser: Optimiser | Solver) -> dict[str, Any]:
    """Return `{"type": name, hyper-parameter: value, ...}`, which survives JSON.

    Raises:
        DescriptionError: the type is not registered, or a schedule is a function without a name.
    """
    return OPTIMISERS.to_data(optimiser)


def from_data(data: Mapping[str, Any] | str) -> Any:
    """Return the optimiser or solver that data describe; a name alone, in any case, has the default settings.

    Raises:
        DescriptionError: lists everything that is wrong, with the nearest name for a mistyped one.
    """
    if isinstance(data, str):
        names = {name.lower(): name for name in (*OPTIMISERS.types, *SOLVERS.types)}
        if data.lower() not in names:
            problem = f"no optimiser has the type {data!r}{near(data.lower(), names)}"
            raise DescriptionError("optimiser from data", [problem])
        data = {"type": names[data.lower()]}
    solver = isinstance(data, Mapping) and data.get("type") in SOLVERS.types
    return (SOLVERS if solver else OPTIMISERS).from_data(data)
