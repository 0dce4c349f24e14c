"""`run_test`, `run_tests`: how much work a descent is, or the descent in one of its other forms."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cortex.compute.errors import DescriptionError, near
from cortex.optimise import functions

from .point import Counted
from .study import Result, do_study, log, study


@dataclass(frozen=True)
class Test:
    """The arguments of a study, kept to be run in several modes."""

    __test__ = False  # not one of pytest's

    function: Any
    optimiser: Any
    initial: Any
    terminate: Any
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Profile:
    """The work that a study was: calls of both parts of the function, and time of this process."""

    result: Result
    value_calls: int
    gradient_calls: int
    cpu_ms: float

    def __str__(self) -> str:
        return (
            f"{self.result.steps} steps, {self.value_calls} values, {self.gradient_calls} gradients, "
            f"{self.cpu_ms:.1f} ms: {self.result.reason.value}"
        )


def profile(function: Any, optimiser: Any, initial: Any, terminate: Any, **options: Any) -> Profile:
    """Study, and count the calls of value and gradient and the milliseconds of processor time.

    What a record's reader computes counts too: a rule that reads the value costs a value per step.
    A function that is drawn anew per step is counted over all its draws.
    """
    made = functions.function(function)
    counted = Counted(made)
    watched: Any = _Drawn(made, counted) if hasattr(made, "at") else counted
    begin = time.process_time()
    result = study(watched, optimiser, initial, terminate, **options)
    spent = (time.process_time() - begin) * 1000
    return Profile(result, counted.values, counted.gradients, spent)


MODES = {"profile": profile, "study": study, "do_study": do_study, "log": log}


def run_test(test: Test, mode: str = "profile") -> Any:
    """Run a test in a mode: `profile`, `study`, `do_study` or `log`; return what that gives.

    Raises:
        DescriptionError: there is no such mode.
    """
    if mode not in MODES:
        raise DescriptionError("run_test", [f"no mode is named {mode!r}{near(mode, MODES)}"])
    run: Any = MODES[mode]
    return run(test.function, test.optimiser, test.initial, test.terminate, **test.options)


def run_tests(tests: Mapping[str, Test], mode: str = "profile") -> dict[str, Any]:
    """Run each test in a mode, and return the results under the same names."""
    return {name: run_test(test, mode) for name, test in tests.items()}


class _Drawn:
    """A function that is drawn anew per step, with all draws counted together."""

    def __init__(self, drawn: Any, counted: Counted) -> None:
        self.drawn, self.counted = drawn, counted
        self.value, self.gradient = counted.value, counted.gradient

    def at(self, seed: functions.Seed) -> Any:
        one, counted = self.drawn.at(seed), self.counted

        def value(params: functions.Vector) -> float:
            counted.values += 1
            return one.value(params)

        def gradient(params: functions.Vector) -> functions.Vector:
            counted.gradients += 1
            return one.gradient(params)

        return functions.Pair(value, gradient)
