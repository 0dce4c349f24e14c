"""`term`: a stopping rule put together from transforms, and `review`, which replays logs through one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cortex import stopping
from cortex.compute.errors import DescriptionError, near
from cortex.records import Record
from cortex.stopping import Factory, Reason

from . import rules
from .rules import zipped

LABELS = ("in_", "out")


def term(*unlabelled: Any, in_: Any = (), out: Any = (), **others: Any) -> Factory:
    """Return a stopping rule: each record goes through `in_`, then through `out`, from left to right.

    An in transform gives the record that those after it see (`skip_initial`, `stagger`,
    `count_steps`). An out transform is a stopping rule, an observer, or any function of a record:
    the first one that gives something true stops, and those after it do not see that record.

        term(in_=[count_steps()], out=[limit_gradient(1e-10), outputf("%d: % .2e", "step_count", "params")])

    One alone needs no list. The rule is made anew for each run.

    Raises:
        DescriptionError: a transform has no label or an unknown one, or cannot be called.
    """
    problems = [f"{_name(t)} has no label: write term(in_=[...], out=[...])" for t in unlabelled]
    problems += [
        f"no label is named {label!r}{near(label, LABELS)}; known: {', '.join(LABELS)}"
        for label in others
    ]
    ins, outs = ([t] if callable(t) else list(t) for t in (in_, out))
    problems += [
        f"{label}: expected transforms, given {t!r}"
        for label, several in (("in_", ins), ("out", outs))
        for t in several
        if not callable(t)
    ]
    problems += [
        f"in_: {_name(t)} is an out transform" for t in ins if isinstance(t, Factory)
    ]  # fmt: skip
    if problems:
        raise DescriptionError("term", problems)

    def start() -> stopping.Rule:
        before = [t() for t in ins]
        after = [t() if isinstance(t, Factory) else t for t in outs]

        def rule(record: Any) -> Reason | None:
            if not isinstance(record, Record):
                record = Record(record)
            for transform in before:
                record = transform(record)
                if record is None:
                    return None
            for check in after:
                reason = stopping.as_reason(check(record))
                if reason is not None:
                    return reason
            return None

        return rule

    return Factory(start)


def review(terminate: Any, *logs: Sequence[Mapping[str, Any]]) -> Reason:
    """Replay logs as if they were happening, and return why that ended.

    One log gives its records; several give records whose entries are tuples, one of each log, for as
    long as the shortest lasts.

    Raises:
        DescriptionError: no log is given.
    """
    if not logs:
        raise DescriptionError("review", ["expected at least one log, given none"])
    rule = stopping.begin(terminate)
    records = logs[0] if len(logs) == 1 else map(zipped, zip(*logs, strict=False))
    for record in records:
        reason = rule(record)
        if reason is not None:
            return reason
    return Reason.EXHAUSTED


def _name(transform: Callable[..., Any]) -> str:
    inner = transform.start if isinstance(transform, Factory) else transform
    words = getattr(inner, "__qualname__", repr(inner)).split(".")
    return next((w for w in words if hasattr(rules, w)), words[0])
