"""`study`, `do_study`, `log`: descents run to their end, with a reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cortex import stopping
from cortex.observers import Observer
from cortex.optimise.functions import Vector
from cortex.optimise.logs import Log
from cortex.records import Record
from cortex.stopping import Reason

from .rules import realised
from .steps import Projection, steps


@dataclass(frozen=True)
class Result:
    """Where a study ended and why; the sentence is `reason.value`."""

    params: Vector
    reason: Reason
    record: Record

    @property
    def value(self) -> float:
        """The value at the end."""
        return self.record["value"]

    @property
    def gradient(self) -> Vector:
        """The gradient at the end."""
        return self.record["gradient"]

    @property
    def steps(self) -> int:
        """How many steps were made, those before a resume included."""
        return self.record["step"]

    @property
    def optimiser(self) -> Any:
        """The optimiser with its state; a study that starts with it and `params` goes on."""
        return self.record["optimiser"]

    def __repr__(self) -> str:
        return f"Result(params={self.params}, steps={self.steps}, reason={self.reason.value!r})"


def study(
    function: Any,
    optimiser: Any,
    initial: Any,
    terminate: Any,
    *,
    observers: Sequence[Observer] = (),
    project: Projection | None = None,
    seed: int = 0,
) -> Result:
    """Descend until `terminate` says stop, and return the result; Ctrl-C returns what there is.

    Args:
        function: whatever `functions.function` takes.
        optimiser: an optimiser or solver, a record's `optimiser`, or (params, gradient) -> params.
        initial: the first parameters [n].
        terminate: what is asked before every step, the first included: `term(...)`, a rule of
            `cortex.stopping`, a function of the record (see `steps`), or a list of these.
        observers: functions called with every record, such as those of `cortex.observers`; those that
            have a method `close` are closed at the end, however it comes.
        project: a constraint, such as `constraints.Box(0, 1)`.
        seed: of functions that are drawn anew per step.

    Raises:
        DescriptionError: an argument is not what it should be.
    """
    return _run(function, optimiser, initial, terminate, observers, project, seed)


def do_study(function: Any, optimiser: Any, initial: Any, terminate: Any, **options: Any) -> Reason:
    """Study for what `terminate` does on the way, and return only the reason; options as for `study`."""
    return _run(function, optimiser, initial, terminate, **options).reason


def log(function: Any, optimiser: Any, initial: Any, terminate: Any, **options: Any) -> Log:
    """Study and return every record, with everything in it computed; options as for `study`."""
    kept: list[Mapping[str, Any]] = []
    watching = (lambda r: kept.append(realised(r)), *options.pop("observers", ()))
    result = _run(function, optimiser, initial, terminate, watching, **options)
    return Log(kept, reason=result.reason)


def _run(
    function: Any,
    optimiser: Any,
    initial: Any,
    terminate: Any,
    observers: Sequence[Observer] = (),
    project: Projection | None = None,
    seed: int = 0,
) -> Result:
    rule = stopping.begin(terminate)
    running = steps(function, optimiser, initial, project=project, seed=seed)
    record = next(running)
    reason: Reason | None = None
    try:
        while True:
            for observe in observers:
                observe(record)
            reason = rule(record)
            if reason is not None:
                break
            following = next(running, None)
            if following is None:
                reason = Reason.STUCK
                break
            record = following
    except KeyboardInterrupt:
        reason = Reason.INTERRUPTED
    finally:
        for observe in observers:
            getattr(observe, "close", lambda: None)()
    return Result(record["params"], reason, record)
