"""Maps as device kernels: every scalar operation, broadcasting, vectors, several outputs, users' own functions."""

from __future__ import annotations

import numpy as np
import pytest
from device_cases import RNG, close, from_bits, needs_compiler, normal, to_bits

from cortex.activations import ACTIVATIONS
from cortex.compute import math as m
from cortex.compute.errors import BackendError
from cortex.compute.expression import derivative, symbol
from cortex.compute.ops import Map
from cortex.compute.plan.geometry import Layout, collapse
from cortex.compute.reference import map_
from cortex.compute.scalars import scalars
from cortex.gpu_compute.kernels import (
    Arguments,
    emitted_source,
    form_of,
    host_library,
    launch_for,
    unit_variant,
    values_of,
)
from cortex.optimise import Adam

pytestmark = needs_compiler
X, Y, Z = symbol(0), symbol(1), symbol(2)


class Maps:
    """Several maps in one unit, as a program compiles them: one start of the compiler."""

    def __init__(self):
        self.jobs = []

    def add(self, expressions, dtypes, arrays, shape=None, over=(), shift=0):
        """Output k is written over input over[k]; `shift` bytes put the operands out of alignment."""
        op = Map(tuple(expressions), tuple(dtypes), shape)
        arrays = [np.asarray(a) for a in arrays]
        wanted = map_(op, *arrays)
        place = [_moved(a, shift) for a in arrays]
        outs = [
            place[over[k]] if k < len(over) else _moved(np.zeros_like(w), shift)
            for k, w in enumerate(wanted)
        ]
        layout = collapse(wanted[0].shape, [a.shape for a in (*outs, *place)])
        addresses = [a.ctypes.data for a in (*outs, *place)]
        kinds = [a.dtype.name for a in place]
        form = form_of(op.expressions, op.dtypes, kinds, op.computes_in(kinds), layout, addresses)
        self.jobs.append((form, layout, addresses, outs, wanted, place))
        return form

    def run(self):
        """Compile, run, and return what was found and wanted, output by output."""
        forms = [job[0] for job in self.jobs]
        text, kernels = emitted_source(forms)
        library = host_library(text)
        for form, layout, addresses, *_ in self.jobs:
            arguments = Arguments(
                kernels[form.name], unit_variant(forms), values_of(form, layout, addresses)
            )
            assert launch_for(arguments).grid[0] >= 1
            library[form.name](arguments)
        return [(f, w) for job in self.jobs for f, w in zip(job[3], job[4], strict=True)]

    def check(self, exact=True):
        for found, wanted in self.run():
            assert found.dtype == wanted.dtype
            if exact:
                np.testing.assert_array_equal(found, wanted)
            else:
                close(
                    found, wanted, wanted.dtype.name if wanted.dtype.kind == "f" else "float64", 4
                )


def _moved(a, shift):
    """A copy at an address that is aligned to 64 bytes, plus `shift`."""
    buffer = np.zeros(a.nbytes + 128 + shift, np.uint8)
    start = -buffer.ctypes.data % 64 + shift
    view = buffer[start : start + a.nbytes].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


EXACT = {
    "add",
    "sub",
    "mul",
    "div",
    "neg",
    "sqrt",
    "abs",
    "sign",
    "floor",
    "maximum",
    "minimum",
    "where",
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_scalar_operation(dtype):
    a = np.concatenate(
        [normal(301, dtype=dtype), np.array([0.0, -0.0, np.nan, np.inf, -np.inf], dtype)]
    )
    b = RNG.permutation(a)
    exact, near = Maps(), Maps()
    for name, row in scalars().items():
        count = len(row.partials)
        args = [X > 0, X, Y] if name == "where" else [X, Y][:count]
        if name in ("and", "or", "not"):
            args = [X > 0, Y > 0][:count]
        positive = [np.abs(a), b] if name == "pow" else [a, b]
        made = args[0].__cortex_apply__(name, args)
        chosen = exact if name in EXACT or row.is_bool else near
        chosen.add([made], ["bool" if row.is_bool else dtype], positive)
    exact.check()
    near.check(exact=False)


LAYOUTS = [
    [(33, 7, 12), (12,)],
    [(33, 7, 12), (7, 1)],
    [(33, 7, 12), (33, 1, 12)],
    [(5, 1, 3, 1, 9), (1, 4, 1, 6, 1)],
    [(1037,), ()],
    [(), ()],
    [(1,), (1, 1)],
    [(3, 5), (3, 5)],
    [(4, 128), (4, 1)],
]


def test_broadcasting_and_vectors():
    """The same bits at any alignment; rows and flat ranges are loaded 16 bytes at a time where they can be."""
    maps, widths = Maps(), {}
    for shapes in LAYOUTS:
        x, y = (normal(*s) for s in shapes)
        for shift in (0, 4):
            form = maps.add(
                [m.maximum(X + Y, 0) * X, X > Y], ["float32", "bool"], [x, y], shift=shift
            )
            widths[tuple(shapes), shift] = form.width
    assert widths[((33, 7, 12), (12,)), 0] == 4 and widths[((1037,), ()), 0] == 4
    assert widths[((33, 7, 12), (7, 1)), 0] == 4 and widths[((4, 128), (4, 1)), 0] == 4
    assert widths[((5, 1, 3, 1, 9), (1, 4, 1, 6, 1)), 0] == 1
    assert {w for (_, shift), w in widths.items() if shift} == {1}
    maps.check()


def test_dtypes_are_converted():
    a, maps = RNG.integers(0, 200, 77), Maps()
    for dtype in ("uint8", "int32", "int64", "uint64", "bool", "float64"):
        x = (a % 2 if dtype == "bool" else a).astype(dtype)
        maps.add([X * 3 + 1, X], ["float32", dtype], [x])
        if dtype != "float64":
            maps.add([X * 2, m.equal(X, 1)], ["int64", "bool"], [x])
    maps.add(
        [m.where((X > 0) & Y, 2, 0), m.logical_not(Y) * X],
        ["float32", "int32"],
        [normal(77), a % 2 == 1],
    )
    maps.add([X + 1], ["int64"], [np.array(5)])
    maps.check()


def test_outputs_may_lie_over_inputs():
    """Adam as networks are trained with it, and momentum, in place; the step count is a number beside them."""
    maps, w, g = Maps(), normal(1001), normal(1001)
    first, second, rate = normal(1001), abs(normal(1001)), np.float32(0.01)
    names = ("first_moment", "second_moment", "num_steps")
    state = {name: symbol(2 + k) for k, name in enumerate(names)}
    moved, new = Adam().update(state, X, Y)
    made = [moved, *(new[n] for n in names[:2])]
    maps.add(made, ["float32"] * 3, [w, g, first, second, np.float32(3)], over=(0, 2, 3))
    maps.add([X - Z * Y, X], ["float32", "float32"], [w, g, rate], over=(0, 1))
    maps.check(exact=False)
    counter = Maps()
    counter.add([X + 1], ["int64"], [np.array(5)], over=(0,))
    counter.check()


def test_every_activation_and_its_slope():
    maps, x = Maps(), normal(515)
    for row in ACTIVATIONS.values():
        made = row.function(X)
        maps.add([made, derivative(made, 0)], ["float32"] * 2, [x])
    maps.check(exact=False)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_floats_are_computed_in_float32(dtype):
    x, y = to_bits(normal(40, 24), dtype), np.zeros((40, 24), np.uint16)
    b, z = normal(24), np.zeros((40, 24), np.float32)
    outs, ins = [_moved(y, 0), _moved(z, 0)], [_moved(x, 0), _moved(b, 0)]
    layout = collapse(x.shape, [x.shape, x.shape, x.shape, b.shape])
    addresses = [a.ctypes.data for a in (*outs, *ins)]
    expressions = (m.maximum(X + Y, 0), X * Y)
    form = form_of(
        expressions, (dtype, "float32"), (dtype, "float32"), "float32", layout, addresses
    )
    text, kernels = emitted_source([form])
    arguments = Arguments(
        kernels[form.name], unit_variant([form]), values_of(form, layout, addresses)
    )
    host_library(text)[form.name](arguments)
    wide = from_bits(x, dtype)
    np.testing.assert_array_equal(outs[0], to_bits(np.maximum(wide + b, 0), dtype))
    np.testing.assert_array_equal(outs[1], wide * b)
    assert form.width == 4


def test_strides_of_ones_own():
    """A transposed operand, and every third element."""
    x, y, z = normal(30, 40), normal(40, 30), np.zeros((40, 30), np.float32)
    forms = []
    for layout in (
        Layout((40, 30), ((30, 1), (1, 40), (30, 1))),
        Layout((400,), ((3,), (3,), (3,))),
    ):
        addresses = [a.ctypes.data for a in (z, x, y)]
        forms.append(
            (
                form_of([X + Y], ["float32"], ["float32"] * 2, "float32", layout, addresses),
                layout,
                addresses,
            )
        )
    text, kernels = emitted_source([f for f, *_ in forms])
    library, results = host_library(text), []
    for form, layout, addresses in forms:
        z[...] = 7
        library[form.name](
            Arguments(kernels[form.name], unit_variant([form]), values_of(form, layout, addresses))
        )
        results.append(z.copy())
    np.testing.assert_array_equal(results[0], x.T + y)
    wanted = np.full(1200, 7, np.float32)
    wanted[::3] = x.ravel()[::3] + y.ravel()[::3]
    np.testing.assert_array_equal(results[1].ravel(), wanted)


def test_indices_are_wide_only_where_they_must_be():
    def form(n):
        layout = Layout((n,), ((1,), (1,)))
        return form_of([X], ["float32"], ["float32"], "float32", layout, [0, 0])

    assert not form((1 << 30) - 1).wide and form(1 << 30).wide
    assert form(1 << 30).name == form(5).name
    with pytest.raises(
        BackendError, match="32-bit and with 64-bit indices belong into different units"
    ):
        emitted_source([form(5), form(1 << 30)])


def test_equal_maps_are_one_kernel():
    layout = Layout((8,), ((1,), (1,)))
    make = [
        form_of([m.exp(X) * 2], ["float32"], ["float32"], "float32", layout, [0, 0])
        for _ in range(2)
    ]
    assert len(emitted_source(make)[1]) == 1


def test_too_many_axes_are_refused():
    layout = Layout((2,) * 9, ((1,) * 9, (3,) * 9))
    with pytest.raises(BackendError, match="a map over 9 axes that cannot be merged; at most 8"):
        form_of([X], ["float32"], ["float32"], "float32", layout, [0, 0])
