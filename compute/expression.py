"""Scalar expressions: built by calling ordinary functions with symbols, differentiated, substituted, evaluated.

Nodes are interned: equal expressions are one object, so equality is identity, hashing is constant time and a
derivative or an emitted kernel is shared for free. Nodes are immutable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from .scalars import scalars

_interned: WeakValueDictionary[tuple[Any, ...], Expression] = WeakValueDictionary()


class Expression:
    """One node: the name of a scalar operation and its arguments, or a symbol (index) or a constant (number)."""

    __slots__ = ("op", "args", "_symbols", "__weakref__")
    op: str
    args: tuple[Any, ...]
    _symbols: frozenset[int]

    def __cortex_apply__(self, op: str, args: Sequence[Any]) -> Expression:
        return node(op, *args)

    def __add__(self, other: Any) -> Expression:
        return _binary("add", self, other)

    def __radd__(self, other: Any) -> Expression:
        return _binary("add", other, self)

    def __sub__(self, other: Any) -> Expression:
        return _binary("sub", self, other)

    def __rsub__(self, other: Any) -> Expression:
        return _binary("sub", other, self)

    def __mul__(self, other: Any) -> Expression:
        return _binary("mul", self, other)

    def __rmul__(self, other: Any) -> Expression:
        return _binary("mul", other, self)

    def __truediv__(self, other: Any) -> Expression:
        return _binary("div", self, other)

    def __rtruediv__(self, other: Any) -> Expression:
        return _binary("div", other, self)

    def __pow__(self, other: Any) -> Expression:
        return _binary("pow", self, other)

    def __rpow__(self, other: Any) -> Expression:
        return _binary("pow", other, self)

    def __neg__(self) -> Expression:
        return node("neg", self)

    def __abs__(self) -> Expression:
        return node("abs", self)

    def __gt__(self, other: Any) -> Expression:
        return _binary("gt", self, other)

    def __ge__(self, other: Any) -> Expression:
        return _binary("ge", self, other)

    def __lt__(self, other: Any) -> Expression:
        return _binary("lt", self, other)

    def __le__(self, other: Any) -> Expression:
        return _binary("le", self, other)

    def __and__(self, other: Any) -> Expression:
        return _binary("and", self, other)

    def __or__(self, other: Any) -> Expression:
        return _binary("or", self, other)

    def __invert__(self) -> Expression:
        return node("not", self)

    def __bool__(self) -> bool:
        raise TypeError(
            "Expression: a symbol has no truth value; write where(condition, a, b) instead of `if`, "
            "and maximum(a, b) instead of max(a, b)"
        )

    def __repr__(self) -> str:
        if self.op == "symbol":
            return f"x{self.args[0]}"
        if self.op == "constant":
            return repr(self.args[0])
        return f"{self.op}({', '.join(map(repr, self.args))})"

    @property
    def symbols(self) -> frozenset[int]:
        """Indices of the symbols on which this expression depends."""
        return self._symbols

    @property
    def is_bool(self) -> bool:
        """Whether the result is a truth value."""
        return self.op not in ("symbol", "constant") and scalars()[self.op].is_bool


def _intern(op: str, args: tuple[Any, ...], key: tuple[Any, ...]) -> Expression:
    found = _interned.get(key)
    if found is None:
        found = Expression.__new__(Expression)
        found.op, found.args = op, args
        if op == "symbol":
            found._symbols = frozenset(args)
        elif op == "constant":
            found._symbols = frozenset()
        else:
            found._symbols = frozenset().union(*(a._symbols for a in args))
        _interned[key] = found
    return found


def symbol(index: int) -> Expression:
    """Return the symbol that stands for input `index`."""
    return _intern("symbol", (index,), ("symbol", index))


def constant(number: float) -> Expression:
    """Return a constant; integers stay integers, so that integer maps stay integer."""
    if isinstance(number, (bool, np.bool_)):
        number = int(number)
    number = int(number) if isinstance(number, (int, np.integer)) else float(number)
    return _intern("constant", (number,), ("constant", type(number), repr(number)))


def wrap(thing: Any) -> Expression:
    """Return `thing` as an expression; numbers and 0-d arrays become constants.

    Raises:
        TypeError: it is neither; an array of several elements must be an input of the map.
    """
    if isinstance(thing, Expression):
        return thing
    if isinstance(thing, (int, float, np.number, np.bool_)):
        return constant(thing)  # type: ignore[arg-type]
    if isinstance(thing, np.ndarray) and thing.ndim == 0:
        return constant(thing.item())
    raise TypeError(
        f"Expression: expected a number or an expression, given {type(thing).__name__}; "
        "arrays enter an expression as inputs, through symbols"
    )


def _binary(op: str, a: Any, b: Any) -> Expression:
    try:
        return node(op, a, b)
    except TypeError:
        if isinstance(a, (int, float, Expression)) and isinstance(b, (int, float, Expression)):
            raise
        return NotImplemented


def _is(e: Expression, number: float) -> bool:
    return e.op == "constant" and e.args[0] == number


def node(op: str, *args: Any) -> Expression:
    """Build `op(args)`, simplified where that costs nothing and cannot change a finite result."""
    a = tuple(map(wrap, args))
    simplified = _simplify(op, a)
    return simplified if simplified is not None else _intern(op, a, (op, *map(id, a)))


def _simplify(op: str, a: tuple[Expression, ...]) -> Expression | None:
    if all(x.op == "constant" for x in a):
        with np.errstate(all="ignore"):
            numbers = [x.args[0] for x in a]
            if op in ("pow", "div"):
                numbers = [float(n) for n in numbers]
            return constant(np.asarray(scalars()[op].evaluate(*numbers)).item())
    rule = _RULES.get(op)
    return rule(*a) if rule else None


def _add(a: Expression, b: Expression) -> Expression | None:
    if _is(a, 0):
        return b
    if _is(b, 0):
        return a
    return node("sub", a, b.args[0]) if b.op == "neg" else None


def _sub(a: Expression, b: Expression) -> Expression | None:
    if _is(b, 0):
        return a
    if _is(a, 0):
        return node("neg", b)
    if a is b:
        return constant(0)
    return node("add", a, b.args[0]) if b.op == "neg" else None


def _mul(a: Expression, b: Expression) -> Expression | None:
    if _is(a, 0) or _is(b, 0):
        return constant(0)
    for one, other in ((a, b), (b, a)):
        if _is(one, 1):
            return other
        if _is(one, -1):
            return node("neg", other)
    return None


def _div(a: Expression, b: Expression) -> Expression | None:
    if _is(b, 1):
        return a
    return constant(0) if _is(a, 0) else None


def _pow(a: Expression, b: Expression) -> Expression | None:
    if b.op != "constant":
        return None
    simple: dict[float, Callable[[], Expression]] = {
        0: lambda: constant(1),
        1: lambda: a,
        2: lambda: a * a,
        3: lambda: a * a * a,
        0.5: lambda: node("sqrt", a),
        -1: lambda: 1 / a,
        -0.5: lambda: 1 / node("sqrt", a),
    }
    build = simple.get(b.args[0])
    return build() if build else None


def _neg(a: Expression) -> Expression | None:
    return a.args[0] if a.op == "neg" else None


def _where(c: Expression, a: Expression, b: Expression) -> Expression | None:
    if a is b:
        return a
    if c.op == "constant":
        return a if c.args[0] else b
    return None


_RULES: dict[str, Callable[..., Expression | None]] = {
    "add": _add, "sub": _sub, "mul": _mul, "div": _div, "pow": _pow, "neg": _neg, "where": _where,
}  # fmt: skip


def derivative(
    e: Expression, index: int, memo: dict[Expression, Expression] | None = None
) -> Expression:
    """Return d `e` / d symbol `index`, by the chain rule over the expression graph."""
    memo = {} if memo is None else memo
    if e.op == "symbol":
        return constant(1 if e.args[0] == index else 0)
    if index not in e.symbols:
        return constant(0)
    if e not in memo:
        total = constant(0)
        for partial, argument in zip(scalars()[e.op].partials, e.args, strict=True):
            if index in argument.symbols:
                total = total + wrap(partial(*e.args)) * derivative(argument, index, memo)
        memo[e] = total
    return memo[e]


def substitute(
    e: Expression,
    replacement: Sequence[Expression],
    memo: dict[Expression, Expression] | None = None,
) -> Expression:
    """Return `e` with symbol i replaced by `replacement[i]`; this is all that fusing two maps needs."""
    memo = {} if memo is None else memo
    if e.op == "symbol":
        return replacement[e.args[0]]
    if e.op == "constant":
        return e
    if e not in memo:
        memo[e] = node(e.op, *(substitute(a, replacement, memo) for a in e.args))
    return memo[e]


def evaluate(expressions: Sequence[Expression], arrays: Sequence[Any], dtype: Any) -> list[Any]:
    """Compute expressions with NumPy; `arrays[i]` stands for symbol i, constants take `dtype`.

    The slow, obvious definition of what an expression means: every other form is compared with it.
    """
    kind = np.dtype(dtype)
    memo: dict[Expression, Any] = {}

    def visit(e: Expression) -> Any:
        if e.op == "symbol":
            return arrays[e.args[0]]
        if e not in memo:
            if e.op == "constant":
                memo[e] = kind.type(e.args[0])
            else:
                result = scalars()[e.op].evaluate(*(visit(a) for a in e.args))
                memo[e] = result if scalars()[e.op].is_bool else np.asarray(result, kind)
        return memo[e]

    with np.errstate(all="ignore"):
        return [visit(e) for e in expressions]


def cost(e: Expression, seen: set[Expression] | None = None) -> int:
    """Return a rough number of cycles per element, shared sub-expressions counted once."""
    seen = set() if seen is None else seen
    if e.op in ("symbol", "constant") or e in seen:
        return 0
    seen.add(e)
    return scalars()[e.op].cost + sum(cost(a, seen) for a in e.args)
