"""Ops against the values in `golden/operations.json`, in float32 and float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import ops
from ..autodiff import pull_back
from ..backend import Backend
from ..program import Op, Program
from .check import Check
from .compare import execute, within
from .golden import array, load, same_part


def operation(entry: dict[str, Any]) -> Op:
    """Return the op that an entry describes; lists become tuples, a window is made by `Window.of`."""
    arguments: dict[str, Any] = {}
    for name, value in entry["arguments"].items():
        if name == "window":
            value = ops.Window.of(**value)
        arguments[name] = tuple(value) if isinstance(value, list) else value
    made: Op = getattr(ops, entry["op"])(**arguments)
    return made


def program(entry: dict[str, Any], dtype: str) -> Program:
    """Return a program with inputs `in<k>`, outputs `out<k>`, cotangents `c<k>`, gradients `d<k>`."""
    p = Program()
    ins = [p.input(f"in{k}", s["shape"], dtype) for k, s in enumerate(entry["inputs"])]
    result = p.apply(operation(entry), *ins)
    results = result if isinstance(result, tuple) else (result,)
    for k, r in enumerate(results):
        p.output(f"out{k}", r)
    if "gradients" in entry:
        seeds = {
            r: p.input(f"c{k}", r.shape, r.dtype)
            for k, (r, c) in enumerate(zip(results, entry["cotangents"], strict=True))
            if c is not None
        }
        found = pull_back(p, seeds, ins, 0)
        for k, (g, wanted) in enumerate(zip(found, entry["gradients"], strict=True)):
            if g is not None and wanted is not None:
                p.output(f"d{k}", g)
    return p


def _check(entry: dict[str, Any], dtype: str) -> Callable[[Backend], None]:
    def check(backend: Backend) -> None:
        inputs = {f"in{k}": array(s) for k, s in enumerate(entry["inputs"])}
        for k, s in enumerate(entry.get("cotangents", ())):
            if s is not None:
                inputs[f"c{k}"] = array(s)
        executable = execute(backend, program(entry, dtype), inputs)
        for letter, name in (("outputs", "out"), ("gradients", "d")):
            for k, spec in enumerate(entry.get(letter, ())):
                if spec is not None:
                    got = same_part(spec, executable.read(f"{name}{k}"))
                    within(f"{entry['name']}, {name}{k}", got, array(spec), entry["tolerance"])

    return check


CHECKS = [
    Check(f"golden/{e['name']}/{d}", _check(e, d), needs=(d,))
    for e in load("operations")
    for d in ("float32", "float64")
]
