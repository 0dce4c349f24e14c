"""A stand-in for an array: NumPy's own functions, called with it, record ops into a program.

Elementwise functions become `Map`s, reductions `Reduce`, products of matrices `MatMul`. Whatever
only moves elements (indexing, `roll`, `reshape`, `concatenate`, ...) is asked of NumPy itself, with
the numbers of the elements in their place, and becomes one `Gather`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from cortex.compute.errors import NotDifferentiable, near
from cortex.compute.expression import node
from cortex.compute.ops import Concatenate, Gather, MatMul, Slice
from cortex.compute.ops.reduce import reduce_axes, reshape_to
from cortex.compute.program import Program, Value

# NumPy's elementwise functions and the scalar operations they are
ELEMENTWISE: dict[Any, str] = {
    np.add: "add", np.subtract: "sub", np.multiply: "mul", np.divide: "div", np.power: "pow",
    np.float_power: "pow", np.negative: "neg", np.absolute: "abs", np.fabs: "abs", np.exp: "exp",
    np.expm1: "expm1", np.log: "log", np.log1p: "log1p", np.sqrt: "sqrt", np.tanh: "tanh",
    np.sin: "sin", np.cos: "cos", np.sign: "sign", np.floor: "floor", np.maximum: "maximum",
    np.minimum: "minimum", np.greater: "gt", np.greater_equal: "ge", np.less: "lt",
    np.less_equal: "le", np.equal: "eq", np.not_equal: "ne", np.logical_and: "and",
    np.logical_or: "or", np.logical_not: "not", np.bitwise_and: "and", np.bitwise_or: "or",
    np.invert: "not", np.isnan: "isnan",
}  # fmt: skip
REDUCTIONS: dict[Any, str] = {
    np.sum: "sum", np.prod: "prod", np.max: "max", np.min: "min", np.amax: "max", np.amin: "min",
    np.add: "sum", np.multiply: "prod", np.maximum: "max", np.minimum: "min",
}  # fmt: skip
# functions of one array that only move its elements
MOVES = {
    np.roll, np.reshape, np.ravel, np.transpose, np.flip, np.repeat, np.tile, np.broadcast_to,
    np.squeeze, np.expand_dims, np.take, np.diagonal, np.swapaxes, np.moveaxis, np.triu, np.tril,
}  # fmt: skip
JOINS = {np.concatenate, np.stack, np.hstack, np.vstack}


class Traced(NDArrayOperatorsMixin):
    """An array of the function that is being traced; holds a float64 `Value` of a program."""

    __slots__ = ("value",)

    def __init__(self, value: Value) -> None:
        self.value = value

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents of the axes."""
        return self.value.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.value.spec.size

    @property
    def T(self) -> Traced:  # noqa: N802 - NumPy's name
        """The array with its axes in the opposite order."""
        return self._moved(np.transpose)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a number")
        return self.shape[0]

    def __iter__(self) -> Iterator[Traced]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> Traced:
        if any(isinstance(k, Traced) for k in (key if isinstance(key, tuple) else (key,))):
            raise TypeError(
                "a function whose gradient is derived cannot choose elements by its argument: write "
                "where(condition, a, b) instead of x[condition], or give the gradient"
            )
        return self._moved(lambda numbers: numbers[key])

    def __bool__(self) -> bool:
        raise TypeError(
            "a function whose gradient is derived cannot branch on its argument: write "
            "where(condition, a, b) instead of `if`, or give the gradient"
        )

    __float__ = __int__ = __bool__

    def sum(self, axis: Any = None, keepdims: bool = False) -> Traced:
        """Return the sum over axes (None: all)."""
        return _reduced("sum", self, axis, keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Traced:
        """Return the mean over axes (None: all)."""
        return _mean(self, axis, keepdims)

    def prod(self, axis: Any = None, keepdims: bool = False) -> Traced:
        """Return the product over axes (None: all)."""
        return _reduced("prod", self, axis, keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> Traced:
        """Return the largest element over axes (None: all)."""
        return _reduced("max", self, axis, keepdims)

    def min(self, axis: Any = None, keepdims: bool = False) -> Traced:
        """Return the smallest element over axes (None: all)."""
        return _reduced("min", self, axis, keepdims)

    def dot(self, other: Any) -> Any:
        """Return the product with another array."""
        return _product(self, other)

    def reshape(self, *shape: Any) -> Traced:
        """Return the same elements in another shape."""
        return self._moved(lambda numbers: numbers.reshape(*shape))

    def ravel(self) -> Traced:
        """Return the elements as a vector."""
        return self.reshape(-1)

    flatten = ravel

    def __cortex_apply__(self, op: str, args: Sequence[Any]) -> Any:
        return _elementwise(op, args)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if method == "reduce" and ufunc in REDUCTIONS:
            options = {k: v for k, v in options.items() if k in ("axis", "keepdims")}
            return _reduced(REDUCTIONS[ufunc], inputs[0], **({"axis": 0} | options))
        if method != "__call__" or options:
            return NotImplemented
        if ufunc is np.matmul:
            return _product(*inputs)
        if ufunc is np.square:
            return inputs[0] * inputs[0]
        if ufunc not in ELEMENTWISE:
            names = [u.__name__ for u in ELEMENTWISE]
            raise NotDifferentiable(_unknown(f"numpy.{ufunc.__name__}", ufunc.__name__, names))
        return _elementwise(ELEMENTWISE[ufunc], inputs)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        if function in MOVES:
            return args[0]._moved(lambda numbers: function(numbers, *args[1:], **options))
        if function in JOINS:
            return _joined(function, *args, **options)
        if function in REDUCTIONS:
            return _reduced(REDUCTIONS[function], *args, **options)
        if function not in FUNCTIONS:
            names = [f.__name__ for f in (*MOVES, *JOINS, *REDUCTIONS, *FUNCTIONS)]
            raise NotDifferentiable(
                _unknown(f"numpy.{function.__name__}", function.__name__, names)
            )
        return FUNCTIONS[function](*args, **options)

    def _moved(self, move: Callable[[np.ndarray], Any]) -> Traced:
        """Return the elements that `move` picks from an array of their numbers."""
        index = np.asarray(move(np.arange(self.size).reshape(self.shape)))
        program, flat = self.value.program, reshape_to(self.value.program, self.value, (self.size,))
        first = int(index.flat[0]) if index.size else 0
        if np.array_equal(index.reshape(-1), np.arange(first, first + index.size)):
            if index.size != self.size:
                flat = program.apply(Slice((first,), (first + index.size,)), flat)
        else:
            flat = program.apply(Gather(), flat, program.constant(index.reshape(-1), "int64"))
        return Traced(reshape_to(program, flat, index.shape))


def _unknown(what: str, name: str, names: Any) -> str:
    return (
        f"no gradient can be derived through {what}{near(name, set(names))}; or give the gradient"
    )


def _program(things: Sequence[Any]) -> Program:
    return next(t.value.program for t in things if isinstance(t, Traced))


def _value(program: Program, thing: Any) -> Value:
    if isinstance(thing, Traced):
        return thing.value
    return program.constant(np.asarray(thing, np.float64))


def _elementwise(op: str, args: Sequence[Any]) -> Traced:
    program = _program(args)
    numbers = [a if isinstance(a, (int, float)) else _value(program, a) for a in args]
    return Traced(program.map(lambda *symbols: node(op, *symbols), *numbers))


def _reduced(kind: str, x: Any, axis: Any = None, keepdims: bool = False) -> Traced:
    return Traced(reduce_axes(x.value.program, kind, x.value, axis, bool(keepdims)))


def _mean(x: Any, axis: Any = None, keepdims: bool = False) -> Traced:
    total = _reduced("sum", x, axis, keepdims)
    return total * (total.size / x.size)


def _product(a: Any, b: Any) -> Any:
    """Return a @ b for operands of at least one axis; vectors are rows on the left, columns on the right."""
    program = _program((a, b))
    left, right = _value(program, a), _value(program, b)
    if not left.shape or not right.shape:
        return _elementwise("mul", (a, b))
    rows, columns = left.spec.rank > 1, right.spec.rank > 1
    if not rows:
        left = reshape_to(program, left, (1, *left.shape))
    if not columns:
        right = reshape_to(program, right, (*right.shape, 1))
    result = program.apply(MatMul(), left, right)
    shape = [*result.shape[:-2], *([result.shape[-2]] * rows), *([result.shape[-1]] * columns)]
    return Traced(reshape_to(program, result, tuple(shape)))


def _joined(join: Callable[..., Any], parts: Any, **options: Any) -> Traced:
    program = _program(parts)
    values = [_value(program, p) for p in parts]
    flat = [reshape_to(program, v, (v.spec.size,)) for v in values]
    whole = Traced(program.apply(Concatenate(0), *flat) if len(flat) > 1 else flat[0])
    ends = np.cumsum([0, *(v.spec.size for v in values)])
    numbers = [
        np.arange(a, b).reshape(v.shape) for a, b, v in zip(ends, ends[1:], values, strict=False)
    ]
    return whole._moved(lambda _: join(numbers, **options))


def _cumulated(x: Traced, axis: Any = None) -> Traced:
    flat = x.ravel() if axis is None else x
    if flat.ndim != 1:
        raise NotDifferentiable(
            "no gradient can be derived through numpy.cumsum along an axis; use one vector"
        )
    return _product(np.tri(flat.size), flat)


# the other functions of NumPy, in terms of the ones above
FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.mean: _mean,
    np.where: lambda c, a, b: _elementwise("where", (c, a, b)),
    np.clip: lambda x, low, high: _elementwise(
        "minimum", (_elementwise("maximum", (x, low)), high)
    ),
    np.dot: _product,
    np.vdot: lambda a, b: _reduced("sum", a * b),
    np.inner: lambda a, b: _product(a, np.transpose(b)),
    np.outer: lambda a, b: np.reshape(a, (-1, 1)) * np.reshape(b, (1, -1)),
    np.cumsum: _cumulated,
    np.diff: lambda x: x[1:] - x[:-1],
    np.linalg.norm: lambda x: np.sqrt(_reduced("sum", x * x)),
    np.zeros_like: lambda x: np.zeros(x.shape),
    np.ones_like: lambda x: np.ones(x.shape),
    np.shape: lambda x: x.shape,
    np.size: lambda x: x.size,
    np.ndim: lambda x: x.ndim,
}
