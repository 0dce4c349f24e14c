"""The one place where a loss looks at the step that made an output, for the form that loses no
precision.

log(softmax(x)) and log(logistic(x)) computed from the probability break down once it rounds to 0 or
1; computed from x they do not. The probability itself is then needed for predictions only.
"""

from __future__ import annotations

from cortex.build import Build
from cortex.compute.ops import Map, Softmax
from cortex.compute.program import Step, Value


def softmax_input(build: Build, output: Value) -> Value | None:
    """Return x where the output is softmax(x) over axis 1, else None."""
    step = _producer(build, output)
    if step is None or not isinstance(step.op, Softmax):
        return None
    return step.inputs[0] if step.op.axis in (1, 1 - output.spec.rank) else None


def logistic_input(build: Build, output: Value) -> Value | None:
    """Return x where the output is logistic(x), elementwise, else None."""
    step = _producer(build, output)
    if step is None or not isinstance(step.op, Map):
        return None
    e = step.op.expressions[[o is output for o in step.outputs].index(True)]
    if e.op != "logistic":
        return None
    x: Value = build.apply(Map((e.args[0],), (output.dtype,), output.shape), *step.inputs)
    return x


def _producer(build: Build, value: Value) -> Step | None:
    steps = reversed(build.program.steps)
    return next((s for s in steps if any(o is value for o in s.outputs)), None)
