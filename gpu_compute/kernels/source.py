"""The kernels as their own source declares them: names, forms, parameters, structures, element types.

A kernel is declared once, as `CX_EACH(name, (T* y, const T* x, I n), n) { ... } CX_END` or in another of the forms of
csrc/device/device.h. What a launch must know is read from there, so that no second table can disagree with it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ...compute.errors import BackendError, near

# dtype -> the C types T (in memory), A (computed), R (of sums); raw ones are moved and never computed with
TYPES = {
    "float32": ("float", "float", "float"),
    "float64": ("double", "double", "double"),
    "float16": ("cx_f16", "float", "float"),
    "bfloat16": ("cx_bf16", "float", "float"),
    "bool": ("cx_u8", "cx_i64", "cx_i64"),
    "uint8": ("cx_u8", "cx_i64", "cx_i64"),
    "int32": ("int", "cx_i64", "cx_i64"),
    "int64": ("cx_i64", "cx_i64", "cx_i64"),
    "uint64": ("cx_u64", "cx_i64", "cx_i64"),
    "raw8": ("cx_u8", "cx_u8", "cx_u8"),
    "raw16": ("cx_u16", "cx_u16", "cx_u16"),
    "raw32": ("cx_u32", "cx_u32", "cx_u32"),
    "raw64": ("cx_u64", "cx_u64", "cx_u64"),
    "raw128": ("cx_u128", "cx_u128", "cx_u128"),
}
POINTER = np.dtype(np.uint64)
SCALARS: dict[str, np.dtype[Any]] = {
    "float": np.dtype(np.float32),
    "double": np.dtype(np.float64),
    "int": np.dtype(np.int32),
    "cx_f16": np.dtype(np.uint16),
    "cx_bf16": np.dtype(np.uint16),
    "cx_u8": np.dtype(np.uint8),
    "cx_u16": np.dtype(np.uint16),
    "cx_u32": np.dtype(np.uint32),
    "cx_u64": np.dtype(np.uint64),
    "cx_i64": np.dtype(np.int64),
    "cx_u128": np.dtype("V16"),
}
ITEM_BYTES = {name: SCALARS[types[0]].itemsize for name, types in TYPES.items()}
# Below this many elements an index is a 32-bit integer, to which the stride of a grid can be added without overflow.
NARROW = 1 << 30

_KERNEL = re.compile(
    r"^CX_(EACH|ROWS|COLUMNS|WARPS|TILES)(?:_WITH)?\((\w+),\s*\(([^()]*)\),\s*(.*?)\) \{",
    re.M | re.S,
)
_SIZES = {"EACH": 1, "ROWS": 2, "WARPS": 1, "COLUMNS": 3, "TILES": 1}
_STRUCT = re.compile(r"^struct (\w+) \{[^\n]*\n(.*?)^\};", re.M | re.S)
_FIELD = re.compile(r"^\s*(int|I|A) ([\w\[\], ]+);", re.M)
_INCLUDE = re.compile(r'^#include "([\w.]+)"\n', re.M)


@dataclass(frozen=True)
class Variant:
    """What a unit is compiled for: element type, width of indices, and the C text of an activation of `x`, or none."""

    dtype: str = "float32"
    wide: bool = False
    activation: str = ""

    @property
    def names(self) -> dict[str, str]:
        """The C types that T, A, R and I stand for."""
        if self.dtype not in TYPES:
            raise BackendError(f"kernels: unknown dtype {self.dtype!r}{near(self.dtype, TYPES)}")
        t, a, r = TYPES[self.dtype]
        return {"T": t, "A": a, "R": r, "I": "cx_i64" if self.wide else "int"}

    @staticmethod
    def of(dtype: str, size: int, activation: str = "") -> Variant:
        """Return the variant for buffers of at most `size` elements: 64-bit indices only where they are needed."""
        return Variant(dtype, size >= NARROW, activation)


@dataclass(frozen=True)
class Parameter:
    """One parameter: its name and C type, `const T*` or `I` or the name of a structure, T and the like not replaced."""

    name: str
    type: str
    fields: tuple[
        tuple[str, str, int], ...
    ] = ()  # of a structure: name, C type, count (0: no array)

    @property
    def is_pointer(self) -> bool:
        """Whether a launch passes an address."""
        return self.type.endswith("*")

    def dtype(self, variant: Variant) -> np.dtype:
        """Return the NumPy dtype that has the bytes of this parameter."""
        if self.is_pointer:
            return POINTER
        names = variant.names
        if self.fields:
            parts = [
                (n, SCALARS[names.get(t, t)], (k,)) if k else (n, SCALARS[names.get(t, t)])
                for n, t, k in self.fields
            ]
            return np.dtype(parts, align=True)
        return SCALARS[names.get(self.type, self.type)]


@dataclass(frozen=True)
class Kernel:
    """One kernel: its name, its form (`each`, `rows`, `warps`, `columns`, `tiles`) and its parameters in order.

    `sizes` are the C expressions of its declaration: items, rows and width, columns with count and parts, or tiles.
    """

    name: str
    kind: str
    parameters: tuple[Parameter, ...]
    sizes: tuple[str, ...] = ()
    source: str = field(default="", compare=False)  # the file that has it

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{p.type} {p.name}' for p in self.parameters)})"


@dataclass(frozen=True)
class Source:
    """A file of kernels: its name, its text with headers put in, its kernels, and the dtypes it is made for."""

    name: str
    text: str
    kernels: dict[str, Kernel]
    dtypes: tuple[str, ...]


def folder() -> Path:
    """Return where the kernel sources lie: in the package, or in csrc/device of a checkout."""
    here = Path(__file__).resolve().parent
    for place in (here / "device", here.parent.parent / "csrc" / "device"):
        if (place / "device.h").is_file():
            return place
    raise BackendError(
        f"kernels: their sources are missing (looked for device.h in {here / 'device'}); install cortex again"
    )


def parse(text: str, source: str = "") -> dict[str, Kernel]:
    """Return the kernels that a text declares, by name."""
    structures = {name: _fields(body) for name, body in _STRUCT.findall(text)}
    found: dict[str, Kernel] = {}
    for kind, name, parameters, rest in _KERNEL.findall(text):
        made = tuple(_parameter(p, structures) for p in parameters.split(","))
        sizes = _split(rest)[: _SIZES[kind]]
        found[name] = Kernel(name, kind.lower(), made, tuple(sizes), source)
    return found


def _split(text: str) -> list[str]:
    """Split at the commas that stand in no parentheses."""
    parts, depth = [""], 0
    for c in text:
        depth += (c == "(") - (c == ")")
        if c == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += c
    return [" ".join(p.split()) for p in parts]


def _fields(body: str) -> tuple[tuple[str, str, int], ...]:
    fields = []
    for kind, names in _FIELD.findall(body):
        for one in names.split(","):
            name, _, count = one.strip().rstrip("]").partition("[")
            fields.append((name, kind, int(count or 0)))
    return tuple(fields)


def _parameter(text: str, structures: dict[str, tuple[tuple[str, str, int], ...]]) -> Parameter:
    kind, name = " ".join(text.split()).rsplit(" ", 1)
    if not kind.endswith("*") and kind not in (*SCALARS, *structures, "T", "A", "R", "I"):
        raise BackendError(
            f"kernels: parameter {text.strip()!r} has a type that no launch can pass"
        )
    return Parameter(name, kind, structures.get(kind, ()))


def with_headers(text: str, seen: set[str] | None = None) -> str:
    """Return a text with every header in it put in once; so a digest of the text is one of everything in it."""
    done = set() if seen is None else seen

    def content(match: re.Match[str]) -> str:
        name = match.group(1)
        if name in done:
            return ""
        done.add(name)
        body = (folder() / name).read_text(encoding="utf-8").replace("#pragma once\n", "")
        return with_headers(body, done)

    return _INCLUDE.sub(content, text)


@cache
def sources() -> dict[str, Source]:
    """Return every file of kernels, by name without suffix."""
    found = {}
    for path in sorted(folder().glob("*.cu")):
        text = path.read_text(encoding="utf-8")
        dtypes = re.search(r"^CX_DTYPES\(([^)]*)\)", text, re.M)
        listed = tuple(d.strip() for d in dtypes.group(1).split(",")) if dtypes else ()
        found[path.stem] = Source(path.stem, text, parse(text, path.stem), listed)
    return found


@cache
def kernels() -> dict[str, Kernel]:
    """Return every kernel by name."""
    return {name: k for source in sources().values() for name, k in source.kernels.items()}


def kernel(name: str) -> Kernel:
    """Return a kernel by name.

    Raises:
        BackendError: there is none of this name.
    """
    if name not in kernels():
        raise BackendError(f"kernels: unknown kernel {name!r}{near(name, kernels())}")
    return kernels()[name]


def translation_unit(names: str | tuple[str, ...], variant: Variant, *texts: str) -> str:
    """Return one text to compile: the files of these names for a variant, then further texts (emitted kernels).

    Raises:
        BackendError: there is no such file, or it is not made for the dtype of the variant.
    """
    wanted = (names,) if isinstance(names, str) else names
    types = variant.names
    lines = [
        f"#define CX_{macro} {types[letter]}\n"
        for letter, macro in (
            ("T", "STORAGE"),
            ("A", "ARITHMETIC"),
            ("R", "RESULT"),
            ("I", "INDEX"),
        )
    ]
    if variant.activation:
        lines.append(f"#define CX_ACTIVATION(x) ({variant.activation})\n")
    lines.append('#include "device.h"\n')
    for name in wanted:
        if name not in sources():
            raise BackendError(f"kernels: unknown source {name!r}{near(name, sources())}")
        if variant.dtype not in sources()[name].dtypes:
            known = ", ".join(sources()[name].dtypes)
            raise BackendError(f"kernels: {name} is not made for {variant.dtype}, only for {known}")
        lines.append(sources()[name].text)
    return with_headers("".join([*lines, *texts]))
