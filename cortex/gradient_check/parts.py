"""What all subjects of a check have in common: the number that is differentiated, first contents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cortex.build import Build
from cortex.compute.errors import DescriptionError
from cortex.compute.ops.reduce import reduce_axes
from cortex.compute.program import Value
from cortex.protocols import Parameter

VALUE = "gradient_check.value"  # the output that holds the number; no node can have this name


def weighted_sum(build: Build, results: Sequence[Value], seed: int) -> Value:
    """Return the sum of all float results, each element multiplied by a random number.

    Raises:
        DescriptionError: none of the results holds floats.
    """
    generator, total = np.random.default_rng(seed + 1), None
    for result in results:
        if result.spec.is_float:
            weights = build.constant(generator.standard_normal(result.shape))
            part = reduce_axes(build.program, "sum", result * weights, None)
            total = part if total is None else total + part
    if total is None:
        raise DescriptionError("gradient_check", ["the subject has no float output"])
    return total


def filled(
    parameters: Mapping[str, Parameter], given: Mapping[str, Any], seed: int, problems: list[str]
) -> dict[str, Any]:
    """Return float64 content of each parameter: what is given, or its initialiser's.

    The initialiser's is moved by a little noise where trainable, so that none sits at a kink. What
    has the wrong shape is added to `problems`.
    """
    generator, found = np.random.default_rng(seed), {}
    for name, parameter in parameters.items():
        if name in given:
            found[name] = np.asarray(given[name], np.float64)
        else:
            found[name] = parameter.initialiser(generator, parameter.shape).astype(np.float64)
            if parameter.trainable:
                found[name] = found[name] + 0.1 * generator.standard_normal(parameter.shape)
        if found[name].shape != parameter.shape:
            shape = found[name].shape
            problems.append(f"parameter {name!r}: expected shape {parameter.shape}, given {shape}")
    return found
