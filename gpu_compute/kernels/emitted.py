"""Maps as device kernels: the expressions of a `Map` written out as source, fused into one pass over memory.

So a user's own activation or optimiser runs unchanged.

A kernel's iteration space is collapsed to as few axes as broadcasting (or strides) allow. An item is `width` neighbours
of the last axis, loaded and stored as one where all of them lie side by side and aligned; what depends on scalars alone
is computed once per thread. Inputs are read before outputs are written, so an output may lie exactly over an input.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from ...compute.emission import Language, emit, number
from ...compute.errors import BackendError
from ...compute.expression import Expression
from ...compute.plan.geometry import Layout
from .source import ITEM_BYTES, NARROW, TYPES, Kernel, Variant, parse, translation_unit

MAX_RANK = 8
_NAME = "map_name"  # stands for the digest of the text that it is in
VECTOR_BYTES = 16  # what a thread loads at once
_LOGICAL = {
    "({} & {})": "(bool({}) && bool({}))",
    "({} | {})": "(bool({}) || bool({}))",
    "(!{})": "(!bool({}))",
}
DEVICE = Language(
    lambda s: _LOGICAL.get(s.c, s.c), lambda x: f"S({number(x)})", "const auto {} = {};", "S({})"
)


@dataclass(frozen=True)
class Form:
    """All that the code of a map depends on.

    `moves` says for each operand (outputs, then inputs) along which axes it moves, and `classes` how along the last:
    `v` to the next element, `s` not at all, `g` by a stride. `width` elements are one item.
    """

    expressions: tuple[Expression, ...]
    outputs: tuple[str, ...]
    inputs: tuple[str, ...]
    compute: str
    moves: tuple[tuple[bool, ...], ...]
    classes: tuple[str, ...]
    width: int = 1
    wide: bool = False

    @property
    def rank(self) -> int:
        """Number of collapsed axes."""
        return len(self.moves[0])

    @property
    def name(self) -> str:
        """The name of the kernel: a digest of its text (that of the expressions may be exponentially long)."""
        return f"map_{hashlib.sha256(_text(self).encode()).hexdigest()[:16]}"

    @property
    def steps(self) -> list[tuple[int, int]]:
        """The (operand, axis) pairs whose strides a launch passes, in order."""
        inner = self.rank - 1
        return [
            (k, d)
            for k, moved in enumerate(self.moves)
            for d, m in enumerate(moved)
            if m and (d < inner or self.classes[k] == "g")
        ]


def form_of(
    expressions: Sequence[Expression],
    outputs: Sequence[str],
    inputs: Sequence[str],
    compute: str,
    layout: Layout,
    addresses: Sequence[int],
) -> Form:
    """Return the form of a map over operands (outputs, then inputs) with these dtypes, layout and addresses.

    `layout` comes from `plan.geometry.collapse` or has strides of one's own; addresses decide whether elements can
    be loaded several at a time, so any multiple of the real alignment will do.

    Raises:
        BackendError: more axes than 8 are left after collapsing.
    """
    if len(layout.shape) > MAX_RANK:
        raise BackendError(
            f"kernels: a map over {len(layout.shape)} axes that cannot be merged; at most {MAX_RANK} are supported"
        )
    single = math.prod(layout.shape) == 1  # no thread may read an input that another writes over
    moves = tuple(tuple(s != 0 for s in strides) for strides in layout.strides)
    classes = tuple("v" if single else c for c in layout.classes)
    if single:
        moves = tuple((True,) * len(layout.shape) for _ in layout.strides)
    width = _width(layout, classes, [*outputs, *inputs], len(outputs), addresses)
    wide = (
        max(math.prod(layout.shape), *(_reach(layout.shape, s) for s in layout.strides)) >= NARROW
    )
    return Form(
        tuple(expressions), tuple(outputs), tuple(inputs), compute, moves, classes, width, wide
    )


def _reach(shape: Sequence[int], strides: Sequence[int]) -> int:
    return 1 + sum((n - 1) * abs(s) for n, s in zip(shape, strides, strict=True))


def _width(
    layout: Layout,
    classes: Sequence[str],
    dtypes: Sequence[str],
    outputs: int,
    addresses: Sequence[int],
) -> int:
    """Return how many elements an item has: 16 bytes of the widest operand that moves, where all are aligned to it."""
    if any(c != "v" for c in classes[:outputs]) or math.prod(layout.shape) == 1:
        return 1
    vectors = [k for k, c in enumerate(classes) if c == "v"]
    width = VECTOR_BYTES // max(ITEM_BYTES[dtypes[k]] for k in vectors)
    if len(layout.shape) > 1 and layout.shape[-1] % width:
        return 1
    for k in vectors:
        size = ITEM_BYTES[dtypes[k]]
        unit = min(VECTOR_BYTES, width * size)
        if addresses[k] % unit or any(s * size % unit for s in layout.strides[k][:-1]):
            return 1
    return width


def values_of(form: Form, layout: Layout, addresses: Sequence[int]) -> list[Any]:
    """Return the values of a launch for `Arguments`: addresses of outputs and inputs, extents and strides, elements."""
    values: list[Any] = list(addresses)
    if form.rank > 1 or form.steps:
        steps = [layout.strides[k][d] for k, d in form.steps]
        values.append({"extent": layout.shape, "step": steps or [0]})
    return [*values, math.prod(layout.shape)]


def emitted_source(forms: Sequence[Form]) -> tuple[str, dict[str, Kernel]]:
    """Return one translation unit with the kernels of all forms, and the kernels by name.

    One unit for all maps of a program: starting a compiler costs more than compiling a map.

    Raises:
        BackendError: 32- and 64-bit forms are mixed.
    """
    if len({f.wide for f in forms}) > 1:
        raise BackendError(
            "kernels: maps with 32-bit and with 64-bit indices belong into different units"
        )
    texts = {f.name: kernel_text(f) for f in forms}
    unit = translation_unit((), unit_variant(forms), *texts.values())
    return unit, {name: k for text in texts.values() for name, k in parse(text, "emitted").items()}


def unit_variant(forms: Sequence[Form]) -> Variant:
    """Return the variant for `Arguments` of these forms."""
    return Variant("float32", any(f.wide for f in forms))


def kernel_text(form: Form) -> str:
    """Return the source of one map."""
    return _text(form).replace(_NAME, form.name)


@cache
def _text(form: Form) -> str:
    outs, n_in, w = len(form.outputs), len(form.inputs), form.width
    fixed = frozenset(i for i in range(n_in) if not any(form.moves[outs + i]))
    prologue, body, results = emit(
        form.expressions, {i: f"x{i}" for i in range(n_in)}, fixed, DEVICE
    )
    c_out, c_in = ([TYPES[d][0] for d in dtypes] for dtypes in (form.outputs, form.inputs))
    parameters = [f"{t}* q{k}" for k, t in enumerate(c_out)] + [
        f"const {t}* p{i}" for i, t in enumerate(c_in)
    ]
    structure = ""
    if form.rank > 1 or form.steps:
        steps = max(1, len(form.steps))
        structure = f"struct Moves_{_NAME} {{\n  I extent[{form.rank}];\n  I step[{steps}];\n}};\n"
        parameters.append(f"Moves_{_NAME} shape")
    given = [f"S x{i}" for i in range(n_in) if i not in fixed] + [
        f"{t}& r{k}" for k, t in enumerate(c_out)
    ]
    store = [
        f"r{k} = {_converted(r, e.is_bool, d)};"
        for k, (r, e, d) in enumerate(zip(results, form.expressions, form.outputs, strict=True))
    ]
    once = [
        f"typedef {TYPES[form.compute][0]} S;",
        *(f"const S x{i} = {_loaded(f'p{i}[0]', form.inputs[i])};" for i in sorted(fixed)),
        *prologue,
        f"const auto element = [&]({', '.join(given)}) {{",
        *(f"  {line}" for line in (*body, *store)),
        "};",
    ]
    items = "n" if w == 1 else f"(n + {w - 1}) / {w}"
    lines = [
        f"CX_EACH_WITH({_NAME}, ({', '.join([*parameters, 'I n'])}), {items},",
        *(f"  {line}" for line in once),
        ") {",
        *(f"  {line}" for line in (_flat(form, fixed) if form.rank == 1 else _nested(form, fixed))),
        "} CX_END",
    ]
    return "\n".join(
        ["namespace cx {", f"{structure}{lines[0]}", *lines[1:], "}  // namespace cx", ""]
    )


def _loaded(at: str, dtype: str) -> str:
    return f"S({at} != 0)" if dtype == "bool" else f"cast<S>({at})"


def _converted(result: str, is_bool: bool, dtype: str) -> str:
    if dtype == "bool":
        return f"(cx_u8)({result})" if is_bool else f"(cx_u8)({result} != S(0))"
    return f"cast<{TYPES[dtype][0]}>({f'S({result})' if is_bool else result})"


def _call(form: Form, fixed: frozenset[int], inputs: dict[int, str], outputs: list[str]) -> str:
    given = [_loaded(inputs[i], d) for i, d in enumerate(form.inputs) if i not in fixed]
    return f"element({', '.join([*given, *outputs])});"


def _flat(form: Form, fixed: frozenset[int]) -> list[str]:
    """One axis: every operand is dense, a scalar, or has one stride."""
    outs, w = len(form.outputs), form.width
    steps = {k: f" * shape.step[{s}]" for s, (k, _) in enumerate(form.steps)}

    def at(k: int, index: str) -> str:
        return f"{index}{steps.get(k, '')}"

    def whole(index: str) -> str:
        inputs = {i: f"p{i}[{at(outs + i, index)}]" for i in range(len(form.inputs))}
        return _call(form, fixed, inputs, [f"q{k}[{at(k, index)}]" for k in range(outs)])

    if w == 1:
        return [whole("i")]
    offsets = {k: at(k, "at") for k in range(outs + len(form.inputs))}
    return [
        f"const I at = i * {w};",
        f"if (at + {w} <= n) {{",
        *(f"  {line}" for line in _packed(form, fixed, offsets, steps)),
        "} else {",
        f"  for (I e = at; e < n; ++e) {whole('e')}",
        "}",
    ]


def _nested(form: Form, fixed: frozenset[int]) -> list[str]:
    """Several axes: split the item into one index per axis, and add up the offset of each operand."""
    outs, w, inner = len(form.outputs), form.width, form.rank - 1
    count = outs + len(form.inputs)
    number_of = {pair: s for s, pair in enumerate(form.steps)}
    last = f"(shape.extent[{inner}] / {w})" if w > 1 else f"shape.extent[{inner}]"
    lines = [
        f"const I r{inner} = i / {last}, i{inner} = (i - r{inner} * {last}){f' * {w}' if w > 1 else ''};"
    ]
    for d in range(inner - 1, 0, -1):
        lines.append(
            f"const I r{d} = r{d + 1} / shape.extent[{d}], i{d} = r{d + 1} - r{d} * shape.extent[{d}];"
        )
    lines.append("const I i0 = r1;")
    offsets = {}
    for k in range(count):
        terms = [
            f"i{d} * shape.step[{number_of[k, d]}]" for d in range(form.rank) if (k, d) in number_of
        ]
        if form.classes[k] == "v":
            terms.append(f"i{inner}")
        if terms:
            offsets[k] = f"o{k}"
            lines.append(f"const I o{k} = {' + '.join(terms)};")
    offsets = {k: offsets.get(k, "0") for k in range(count)}
    if w == 1:
        inputs = {i: f"p{i}[{offsets[outs + i]}]" for i in range(len(form.inputs))}
        return [*lines, _call(form, fixed, inputs, [f"q{k}[{offsets[k]}]" for k in range(outs)])]
    steps = {
        k: f" * shape.step[{number_of[k, inner]}]" for k in range(count) if (k, inner) in number_of
    }
    return [*lines, *_packed(form, fixed, offsets, steps)]


def _packed(
    form: Form, fixed: frozenset[int], offsets: dict[int, str], steps: dict[int, str]
) -> list[str]:
    """Load `width` elements of every operand at once, compute, store at once."""
    outs, w = len(form.outputs), form.width
    lines, inputs = [], {}
    for i, dtype in enumerate(form.inputs):
        kind, at = form.classes[outs + i], f"p{i} + {offsets[outs + i]}"
        pack = f"cx_pack<{TYPES[dtype][0]}, {w}>"
        if kind == "v":
            lines.append(f"const {pack} v{i} = *reinterpret_cast<const {pack}*>({at});")
            inputs[i] = f"v{i}.at[j]"
        elif kind == "g":
            inputs[i] = f"({at})[j{steps[outs + i]}]"
        elif i not in fixed:
            lines.append(f"const {TYPES[dtype][0]} v{i} = *({at});")
            inputs[i] = f"v{i}"
    for k, dtype in enumerate(form.outputs):
        lines.append(f"cx_pack<{TYPES[dtype][0]}, {w}> w{k};")
    lines += ["CX_UNROLL", f"for (int j = 0; j < {w}; ++j) "]
    lines[-1] += _call(form, fixed, inputs, [f"w{k}.at[j]" for k in range(outs)])
    for k, dtype in enumerate(form.outputs):
        pack = f"cx_pack<{TYPES[dtype][0]}, {w}>"
        lines.append(f"*reinterpret_cast<{pack}*>(q{k} + {offsets[k]}) = w{k};")
    return lines


def activation_text(expression: Expression) -> str:
    """Return the C text of an activation of `x`, for `Variant.activation`: the product then ends with it.

    An expression of symbol 0 alone; it is written as one nested expression, common parts and all.
    """
    prologue, body, (result,) = emit((expression,), {0: "S(v)"}, frozenset(), DEVICE)
    return f"[&](A v) {{ typedef A S; {' '.join([*prologue, *body])} return S({result}); }}(x)"
