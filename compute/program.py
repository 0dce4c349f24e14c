"""`Program`: a flat list of op applications on typed, shaped values; what a backend compiles.

A program has inputs (written by the host before a run), state (memory that outlives a run and that programs share by
name: parameters, optimiser moments, counters), updates (what a run leaves in the state), outputs (read after a run)
and constants. Values are immutable names for results (static single assignment); a state value means the content
*before* the run, and updates take effect when every reader of the old content is done.

A *view* names a range of a state buffer, such as one weight matrix inside the flat parameter buffer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .errors import NotDifferentiable, ShapeError, near
from .expression import Expression, symbol, wrap
from .spec import Shape, Spec


@dataclass(eq=False, slots=True)
class Value:
    """A typed, shaped result inside one program; supports arithmetic, which records `Map`s."""

    spec: Spec
    program: Program
    name: str = ""

    @property
    def shape(self) -> Shape:
        """Extents of the axes."""
        return self.spec.shape

    @property
    def dtype(self) -> str:
        """Name of the dtype."""
        return self.spec.dtype

    def __cortex_apply__(self, op: str, args: Sequence[Any]) -> Value:
        from .expression import node

        return self.program.map(lambda *a: node(op, *a), *args)

    def __add__(self, other: Any) -> Value:
        return self.program.map(lambda a, b: a + b, self, other)

    def __radd__(self, other: Any) -> Value:
        return self.program.map(lambda a, b: b + a, self, other)

    def __sub__(self, other: Any) -> Value:
        return self.program.map(lambda a, b: a - b, self, other)

    def __rsub__(self, other: Any) -> Value:
        return self.program.map(lambda a, b: b - a, self, other)

    def __mul__(self, other: Any) -> Value:
        return self.program.map(lambda a, b: a * b, self, other)

    def __rmul__(self, other: Any) -> Value:
        return self.program.map(lambda a, b: b * a, self, other)

    def __truediv__(self, other: Any) -> Value:
        return self.program.map(lambda a, b: a / b, self, other)

    def __rtruediv__(self, other: Any) -> Value:
        return self.program.map(lambda a, b: b / a, self, other)

    def __pow__(self, other: Any) -> Value:
        return self.program.map(lambda a, b: a**b, self, other)

    def __rpow__(self, other: Any) -> Value:
        return self.program.map(lambda a, b: b**a, self, other)

    def __neg__(self) -> Value:
        return self.program.map(lambda a: -a, self)

    def __abs__(self) -> Value:
        return self.program.map(abs, self)

    def __gt__(self, other: Any) -> Value:
        return self.program.map(lambda a, b: a > b, self, other)

    def __ge__(self, other: Any) -> Value:
        return self.program.map(lambda a, b: a >= b, self, other)

    def __lt__(self, other: Any) -> Value:
        return self.program.map(lambda a, b: a < b, self, other)

    def __le__(self, other: Any) -> Value:
        return self.program.map(lambda a, b: a <= b, self, other)

    def __and__(self, other: Any) -> Value:
        return self.program.map(lambda a, b: a & b, self, other)

    def __or__(self, other: Any) -> Value:
        return self.program.map(lambda a, b: a | b, self, other)

    def __invert__(self) -> Value:
        return self.program.map(lambda a: ~a, self)

    def __bool__(self) -> bool:
        raise TypeError(
            "Value: a value of a program has no truth value while the program is built; use where()"
        )

    def __repr__(self) -> str:
        return f"Value({self.name + ': ' if self.name else ''}{self.spec})"


Values = Sequence[Value]
Cotangents = Sequence[Value | None]  # None: zero


class Op:
    """What an op is: a frozen dataclass that derives from this and holds data only.

    A primitive is bound by every backend. A composite overrides `decompose`; a backend may bind it directly where it
    has something faster, and everything else follows from the decomposition.
    """

    def infer(self, *inputs: Spec) -> tuple[Spec, ...]:
        """Return the specs of the outputs, or raise `ShapeError` naming both sides."""
        raise NotImplementedError

    def gradient(
        self, build: Program, inputs: Values, outputs: Values, cotangents: Cotangents
    ) -> Cotangents:
        """Record the ops that carry `cotangents` of the outputs to the inputs; None means zero.

        A composite that does not override this is differentiated through its decomposition.
        """
        from .autodiff import pull_back

        if type(self).decompose is Op.decompose:
            raise NotDifferentiable(f"{type(self).__name__} has no gradient")
        start = len(build.steps)
        results = self.decompose(build, *inputs)
        seeds = {r: c for r, c in zip(results or (), cotangents, strict=True) if c is not None}
        return pull_back(build, seeds, inputs, start)

    def decompose(self, build: Program, *inputs: Value) -> tuple[Value, ...] | None:
        """Record this op in terms of simpler ones and return its outputs; None means that it is a primitive."""
        return None

    @property
    def is_composite(self) -> bool:
        """Whether the op carries its own decomposition."""
        return type(self).decompose is not Op.decompose


@dataclass(frozen=True, eq=False, slots=True)
class Step:
    """One application of an op; `label` says for what (the name of a layer)."""

    op: Op
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    label: str = ""


@dataclass(frozen=True)
class View:
    """A named range of a state buffer: `shape` elements, row-major, from `offset` (in elements)."""

    state: str
    offset: int
    shape: Shape


@dataclass
class Program:
    """A program under construction or finished; see the module for the meaning of its parts."""

    steps: list[Step] = field(default_factory=list)
    inputs: dict[str, Value] = field(default_factory=dict)
    state: dict[str, Value] = field(default_factory=dict)
    updates: dict[str, Value] = field(default_factory=dict)
    outputs: dict[str, Value] = field(default_factory=dict)
    views: dict[str, View] = field(default_factory=dict)
    constants: dict[Value, np.ndarray] = field(default_factory=dict)
    random_count: int = 0
    label: str = ""

    def input(self, name: str, shape: Sequence[int], dtype: str = "float32") -> Value:
        """Declare an input that the host writes before a run.

        Raises:
            ShapeError: the name is taken.
        """
        self._check_free(name)
        value = self.inputs[name] = Value(Spec(tuple(shape), dtype), self, name)
        return value

    def persistent(self, name: str, shape: Sequence[int], dtype: str = "float32") -> Value:
        """Declare state that outlives a run; its value is the content before the run.

        Raises:
            ShapeError: the name is taken.
        """
        self._check_free(name)
        value = self.state[name] = Value(Spec(tuple(shape), dtype), self, name)
        return value

    def view(self, name: str, state: str, offset: int, shape: Sequence[int]) -> Value:
        """Name a range of the flat (1-d) state buffer `state` and return it as a value.

        Raises:
            ShapeError: the name is taken, there is no such state, or the range leaves the buffer.
        """
        from .ops import Reshape, Slice

        self._check_free(name)
        if state not in self.state:
            raise ShapeError(
                f"Program.view {name!r}: no state named {state!r}{near(state, self.state)}"
            )
        whole = self.state[state]
        view = View(state, offset, tuple(shape))
        size = Spec(view.shape, whole.dtype).size
        if whole.spec.rank != 1 or offset < 0 or offset + size > whole.spec.size:
            raise ShapeError(
                f"Program.view {name!r}: {size} elements from {offset} do not lie inside the 1-d buffer "
                f"{state!r} of {whole.spec}"
            )
        self.views[name] = view
        piece = whole
        if (offset, size) != (0, whole.spec.size):
            piece = self.apply(Slice((offset,), (offset + size,)), whole)
        if piece.shape != view.shape:
            piece = self.apply(Reshape(view.shape), piece)
        return piece

    def constant(self, array: Any, dtype: str | None = None) -> Value:
        """Return a value that holds a copy of `array` (dtype float32 for Python floats unless said)."""
        data = np.array(
            array, dtype=dtype or (None if isinstance(array, np.ndarray) else _default_dtype(array))
        )
        value = Value(Spec(data.shape, data.dtype.name), self)
        data.setflags(write=False)
        self.constants[value] = data
        return value

    def apply(self, op: Op, *inputs: Value) -> Any:
        """Record one op; return its output, or the tuple of its outputs.

        Raises:
            ShapeError: the inputs do not fit the op, or belong to another program.
        """
        for v in inputs:
            if v.program is not self:
                raise ShapeError(f"{type(op).__name__}: {v!r} belongs to another program")
        try:
            specs = op.infer(*(v.spec for v in inputs))
        except ShapeError as error:
            if self.label and not str(error).startswith(f"in {self.label!r}"):
                raise ShapeError(f"in {self.label!r}: {error}") from None
            raise
        outputs = tuple(Value(s, self) for s in specs)
        self.steps.append(Step(op, inputs, outputs, self.label))
        return outputs[0] if len(outputs) == 1 else outputs

    def map(self, function: Callable[..., Any], *args: Any, dtype: str | None = None) -> Any:
        """Apply a scalar function elementwise with broadcasting; numbers become constants.

        `function` is called once, with symbols; a tuple as result gives several outputs. `dtype` overrides the
        dtype of the results (float for arithmetic, bool for comparisons).
        """
        from .ops import Map

        values = [a for a in args if isinstance(a, Value)]
        place = {id(v): i for i, v in reversed(list(enumerate(values)))}
        unique = sorted(set(place.values()))
        number = {i: n for n, i in enumerate(unique)}
        converted = [_operand(self, a) for a in args]
        extra = [c for c in converted if isinstance(c, Value) and id(c) not in place]
        index = {id(values[i]): symbol(number[i]) for i in unique}
        index |= {id(c): symbol(len(unique) + n) for n, c in enumerate(extra)}
        result = function(*(index[id(c)] if isinstance(c, Value) else c for c in converted))
        results = tuple(map(wrap, result if isinstance(result, tuple) else (result,)))
        inputs = [values[i] for i in unique] + extra
        dtypes = tuple(dtype or _result_dtype(e, inputs) for e in results)
        outputs = self.apply(Map(results, dtypes), *inputs)
        return (
            outputs
            if isinstance(result, tuple) and len(results) > 1
            else ((outputs,) if isinstance(result, tuple) else outputs)
        )

    def update(self, state: str, value: Value) -> None:
        """Say what a run leaves in the state buffer `state`.

        Raises:
            ShapeError: there is no such state, the specs differ, or the value belongs to another program.
        """
        if state not in self.state:
            raise ShapeError(f"Program.update: no state named {state!r}{near(state, self.state)}")
        self._check_own("update", value)
        if value.spec != self.state[state].spec:
            raise ShapeError(
                f"Program.update {state!r}: expected {self.state[state].spec}, given {value.spec}"
            )
        self.updates[state] = value

    def output(self, name: str, value: Value) -> None:
        """Name a value that the host may read after a run.

        Raises:
            ShapeError: the name is taken, or the value belongs to another program.
        """
        self._check_free(name)
        self._check_own("output", value)
        self.outputs[name] = value

    def next_random(self) -> int:
        """Return the number of the next random op: the op word of its Philox counter."""
        self.random_count += 1
        return self.random_count - 1

    @contextmanager
    def scope(self, label: str) -> Iterator[None]:
        """Label the steps recorded inside (nested labels are joined by a slash)."""
        before, self.label = self.label, f"{self.label}/{label}" if self.label else label
        try:
            yield
        finally:
            self.label = before

    def _check_own(self, what: str, value: Value) -> None:
        if value.program is not self:
            raise ShapeError(f"Program.{what}: {value!r} belongs to another program")

    def _check_free(self, name: str) -> None:
        for kind in (self.inputs, self.state, self.outputs, self.views):
            if name in kind:
                raise ShapeError(
                    f"Program: the name {name!r} is taken; names of inputs, state, outputs and views differ"
                )

    def __str__(self) -> str:
        names: dict[Value, str] = {
            v: n for group in (self.inputs, self.state) for n, v in group.items()
        }
        for v in self.constants:
            names[v] = f"c{len(names)}"
        lines = [f"{n}: {v.spec}" for v, n in names.items()]
        for step in self.steps:
            for o in step.outputs:
                names[o] = f"v{len(names)}"
            left = ", ".join(f"{names[o]}: {o.spec}" for o in step.outputs)
            right = ", ".join(names[i] for i in step.inputs)
            lines.append(
                f"{left} = {step.op}({right})" + (f"  # {step.label}" if step.label else "")
            )
        lines += [f"update {n} <- {names[v]}" for n, v in self.updates.items()]
        lines += [f"output {n} = {names[v]}" for n, v in self.outputs.items()]
        return "\n".join(lines)


def count_uses(program: Program) -> Counter[Value]:
    """Return how often each value is read: by steps, and by what names it as an output or update."""
    uses = Counter(v for step in program.steps for v in step.inputs)
    uses.update((*program.outputs.values(), *program.updates.values()))
    return uses


def rewrite(
    program: Program, replace: Callable[[Program, Step, tuple[Value, ...]], Sequence[Value] | None]
) -> Program:
    """Replay a program into a new one; `replace` may record something else for a step.

    `replace(new, step, inputs)` gets the step with its inputs in the new program and returns the values that stand for
    its outputs, or None to keep the step.
    """
    new, place = begin_copy(program)
    for step in program.steps:
        inputs = tuple(place[v] for v in step.inputs)
        new.label = step.label
        results = replace(new, step, inputs)
        if results is None:
            outputs = tuple(Value(o.spec, new, o.name) for o in step.outputs)
            new.steps.append(Step(step.op, inputs, outputs, step.label))
            results = outputs
        place.update(zip(step.outputs, results, strict=True))
    return finish_copy(program, new, place)


def inline(build: Program, body: Program, inputs: Sequence[Value]) -> tuple[Value, ...]:
    """Record the steps of a stateless `body` on `inputs` (in order) and return what stands for its outputs."""
    place = dict(zip(body.inputs.values(), inputs, strict=True))
    for value, data in body.constants.items():
        place[value] = build.constant(data)
    for step in body.steps:
        result = build.apply(step.op, *(place[v] for v in step.inputs))
        results = result if isinstance(result, tuple) else (result,)
        place.update(zip(step.outputs, results, strict=True))
    return tuple(place[v] for v in body.outputs.values())


def begin_copy(program: Program) -> tuple[Program, dict[Value, Value]]:
    """Return a program with the inputs, state and constants of another, and where each of them is in it."""
    new = Program(views=dict(program.views), random_count=program.random_count)
    place: dict[Value, Value] = {}
    for old, fresh in ((program.inputs, new.inputs), (program.state, new.state)):
        for name, value in old.items():
            place[value] = fresh[name] = Value(value.spec, new, name)
    for value, data in program.constants.items():
        place[value] = Value(value.spec, new, value.name)
        new.constants[place[value]] = data
    return new, place


def finish_copy(old: Program, new: Program, place: Mapping[Value, Value]) -> Program:
    """Give a copy the outputs and updates of the old program; `place` says what stands for each value."""
    new.label = ""
    new.outputs = {n: place[v] for n, v in old.outputs.items()}
    new.updates = {n: place[v] for n, v in old.updates.items()}
    return new


def _default_dtype(thing: Any) -> str | None:
    kind = np.asarray(thing).dtype
    return "float32" if kind.kind == "f" else None


def _operand(program: Program, thing: Any) -> Value | Expression:
    if isinstance(thing, Value):
        return thing
    if isinstance(thing, np.ndarray) and thing.ndim:
        return program.constant(thing)
    return wrap(thing)


def _result_dtype(e: Expression, inputs: Sequence[Value]) -> str:
    if e.is_bool:
        return "bool"
    used = [inputs[i].spec for i in e.symbols] or [v.spec for v in inputs]
    if any(s.dtype == "float64" for s in used):
        return "float64"
    if any(s.is_float for s in used) or not used or _has_float(e):
        return "float32"
    kind = str(np.result_type(*(s.dtype for s in used)))
    return "int64" if kind not in ("uint8", "int32", "int64", "uint64") else kind


def _has_float(e: Expression) -> bool:
    if e.op == "symbol":
        return False
    if e.op == "constant":
        return isinstance(e.args[0], float)
    return e.op in ("div", "exp", "log", "sqrt", "tanh", "logistic") or any(
        _has_float(a) for a in e.args
    )
