"""Elementwise maps: every way to run them against the definition, in every instruction set."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex.compute import BackendError, Program, get_backend
from cortex.compute import math as m
from cortex.compute.cpu import cache, precompiled
from cortex.compute.cpu.maps import Form, collapse, compiled
from cortex.compute.cpu.native import native
from cortex.compute.expression import Expression, constant, node, symbol
from cortex.compute.ops import Map, Slice, Transpose
from cortex.compute.reference import map_
from cortex.compute.scalars import scalars

ROOT = Path(__file__).resolve().parents[2]
ISAS = native().available_isas() if native() is not None else []
needs_native = pytest.mark.skipif(native() is None, reason="the native engine is not built")
RELATIVE = {"float32": 2e-6, "float64": 1e-14}
X, Y, Z = symbol(0), symbol(1), symbol(2)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CORTEX_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "maps"))


@pytest.fixture(params=ISAS)
def isa(request):
    module = native()
    before, threads = module.isa(), module.get_num_threads()
    module.set_isa(request.param)
    yield request.param
    module.set_isa(before)
    module.set_num_threads(threads)


class Run:
    """A map as a program of its own; `over` writes output k over input over[k]."""

    def __init__(
        self, expressions, dtypes, arrays, way, monkeypatch, over: Sequence[int] = (), shape=None
    ):
        monkeypatch.setenv("CORTEX_MAPS", way) if way else monkeypatch.delenv(
            "CORTEX_MAPS", raising=False
        )
        self.op = Map(tuple(expressions), tuple(dtypes), shape)
        self.arrays = [np.asarray(x) for x in arrays]
        self.over = over
        program = Program()
        values = [
            (program.persistent if i in over else program.input)(f"x{i}", x.shape, x.dtype.name)
            for i, x in enumerate(self.arrays)
        ]
        outputs = program.apply(self.op, *values)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        for k, value in enumerate(outputs):
            if k < len(over):
                program.update(f"x{over[k]}", value)
            else:
                program.output(f"y{k}", value)
        self.executable = get_backend("cpu").compile(program)
        self.instruction = self.executable._low.instructions[0]

    def write(self):
        for i, x in enumerate(self.arrays):
            self.executable.write(f"x{i}", x)

    def results(self):
        names = [
            f"x{self.over[k]}" if k < len(self.over) else f"y{k}"
            for k in range(len(self.op.dtypes))
        ]
        return [self.executable.read(name) for name in names]

    def check(self, rtol=None, atol=None):
        expected = map_(self.op, *self.arrays)
        self.write()
        self.executable.run()
        for k, (found, want) in enumerate(zip(self.results(), expected, strict=True)):
            assert found.dtype == want.dtype and found.shape == want.shape
            name = f"{self.instruction.provider}: {str(self.op.expressions[k])[:200]}"
            if rtol is None or want.dtype.kind != "f":
                np.testing.assert_array_equal(found, want, err_msg=name)
            else:
                limit = np.finfo(want.dtype).tiny if atol is None else atol
                np.testing.assert_allclose(found, want, rtol, limit, equal_nan=True, err_msg=name)
        return self

    def check_splits(self):
        """However the units are cut and on however many threads, the bits are the same."""
        i, first = self.instruction, None
        for threads, grain in [(1, i.units), (1, 1), (2, 7), (3, 33), (2, 130)]:
            if i.units // grain > 5000:
                continue
            native().set_num_threads(threads)
            self.write()
            native().run_kernel(i.target, i.buffers, i.integers, i.reals, i.units, grain, i.scratch)
            found = [x.tobytes() for x in self.results()]
            first = first or found
            assert found == first, f"{i.target}: {threads} threads, grain {grain}"


def special(dtype, count, seed=0):
    """Numbers of every size, and those that have rules of their own."""
    rng = np.random.default_rng(seed)
    info = np.finfo(dtype)
    hard = [
        0.0,
        -0.0,
        1,
        -1,
        0.5,
        -0.5,
        2,
        -2,
        np.inf,
        -np.inf,
        np.nan,
        info.max,
        -info.max,
        info.tiny,
        -info.tiny,
    ]
    usual = rng.standard_normal(count) * np.exp(rng.uniform(-6, 3, count))
    array = np.concatenate([hard, usual]).astype(dtype)
    rng.shuffle(array)
    return array[:count]


def every_operation():
    """One expression for each row of the table of scalar operations."""
    for name, row in scalars().items():
        arguments = [X, Y, Z][: len(row.partials)]
        if name in ("and", "or"):
            arguments = [X > 0, Y > 0]
        elif name in ("not", "where"):
            arguments[0] = X > 0
        yield node(name, *arguments)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [1, 7, 1500])
@needs_native
def test_every_operation_on_a_tape(isa, dtype, count, monkeypatch):
    arrays = [special(dtype, count, k) for k in range(3)]
    for e in every_operation():
        out = "bool" if e.is_bool else dtype
        run = Run([e], [out], arrays[: max(e.symbols) + 1], "tape", monkeypatch).check(
            RELATIVE[dtype]
        )
        assert run.instruction.provider == "native tape"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_operation_with_numba(dtype, monkeypatch):
    every = list(every_operation())
    outs = ["bool" if e.is_bool else dtype for e in every]
    arrays = [special(dtype, 700, k) for k in range(3)]
    run = Run(every, outs, arrays, "numba", monkeypatch).check(RELATIVE[dtype])
    assert run.instruction.provider == "numba"


REFERENCES = {
    "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "tanh": np.tanh, "sin": np.sin, "cos": np.cos,
    "logistic": lambda x: 1 / (1 + np.exp(-x)), "sqrt": np.sqrt,
}  # fmt: skip
# As the head of csrc/vector_math.h says.
ULPS = {
    "float32": {"exp": 1.1, "expm1": 1.8, "log": 0.9, "log1p": 1.6, "tanh": 2.6, "logistic": 2.5, "sin": 0.6,
                "cos": 0.6, "sqrt": 0.51},
    "float64": {"exp": 1.1, "expm1": 2.3, "log": 1.0, "log1p": 1.6, "tanh": 2.7, "logistic": 2.3, "sin": 2.2,
                "cos": 2.0, "sqrt": 0.51},
}  # fmt: skip


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="no longer type to compare with")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@needs_native
def test_errors_in_units_of_the_last_place(isa, dtype, monkeypatch):
    rng = np.random.default_rng(1)
    n, high = 20_000, 85 if dtype == "float32" else 700
    sizes = np.exp(rng.uniform(-60, 5, n))
    quarters = np.arange(1000) * np.pi / 2
    x = np.concatenate(
        [rng.standard_normal(n), rng.uniform(-high, high, n), sizes, quarters]
    ).astype(dtype)
    for name, reference in REFERENCES.items():
        (found,) = Run([node(name, X)], [dtype], [x], "tape", monkeypatch).check(1e-5).results()
        with np.errstate(all="ignore"):
            exact = reference(x.astype(np.longdouble))
            usual = (np.abs(exact) >= np.finfo(dtype).tiny) & (np.abs(exact) <= np.finfo(dtype).max)
        error = np.abs(found[usual] - exact[usual]) / np.spacing(np.abs(exact[usual]).astype(dtype))
        assert error.max() <= ULPS[dtype][name], name


# -- layouts and dtypes -------------------------------------------------------------------------

LAYOUTS = [
    [(5,), (5,)],
    [(1,), ()],
    [(3000,), ()],
    [(64, 10), (10,)],
    [(64, 10), (64, 1)],
    [(2, 3, 5, 7), (1, 3, 1, 1)],
    [(2, 3, 30, 70), (1, 3, 1, 1)],
    [(3, 1500), (1500,)],
    [(3, 1501), (3, 1)],
    [(4, 1), (1, 5)],
    [(3, 1, 5), (1, 4, 1)],
    [(2, 1, 3, 1, 2, 1), (1, 2, 1, 3, 1, 2)],
    [(2, 1, 700), (1, 5, 1)],
    [(1, 17), (300, 1)],
]


@pytest.mark.parametrize("shapes", LAYOUTS, ids=str)
@needs_native
def test_broadcasting(isa, shapes, monkeypatch):
    rng = np.random.default_rng(0)
    arrays = [rng.integers(-9, 9, s).astype("float32") for s in shapes]
    # a scalar part, a part that is one number a row, and both orders
    mixed = [(X - Y) * (Y * Y + 2) + 1, m.maximum(X, Y * 0.5)]
    run = Run(mixed, ["float32"] * 2, arrays, "tape", monkeypatch).check()
    run.check_splits()
    for e in (X + Y, X - Y, m.tanh(X + Y)):
        run = Run([e], ["float32"], arrays, "precompiled", monkeypatch).check(1e-5)
        if run.instruction.provider == "native":
            run.check_splits()


@pytest.mark.parametrize(
    "shapes", [[(3000,), ()], [(2, 3, 5, 7), (1, 3, 1, 1)], [(4, 1), (1, 5)]], ids=str
)
def test_broadcasting_with_numba(shapes, monkeypatch):
    rng = np.random.default_rng(0)
    arrays = [rng.integers(-9, 9, s).astype("float32") for s in shapes]
    Run([(X - Y) * (Y * Y + 2) + 1], ["float32"], arrays, "numba", monkeypatch).check()


@needs_native
def test_precompiled_loops_cover_rows_and_scalars(monkeypatch):
    x = np.ones((4, 65), "float32")
    for other in (np.ones((1, 65)), np.ones((4, 1)), np.ones(()), x):
        run = Run(
            [X + Y], ["float32"], [x, other.astype("float32")], "precompiled", monkeypatch
        ).check()
        assert run.instruction.provider == "native"


NUMBERS = ["bool", "uint8", "int32", "int64", "uint64", "float32", "float64"]


@pytest.mark.parametrize("count", [3, 600])
@needs_native
def test_conversions(isa, count, monkeypatch):
    rng = np.random.default_rng(0)
    for given_ in NUMBERS:
        x = rng.integers(0, 2 if given_ == "bool" else 100, count).astype(given_)
        for wanted in NUMBERS:
            Run([X], [wanted], [x], "tape", monkeypatch).check()


@needs_native
def test_truncation_and_large_integers(isa, monkeypatch):
    x = np.array([-2.7, -0.5, 0.0, 0.9, 2.7, 1e6, -1e6] * 9, "float64")
    Run([X, X, X], ["int32", "int64", "bool"], [x], "tape", monkeypatch).check()
    n = np.array([2**62, -(2**62), 2**53 + 1, -5, 0, 7] * 7, "int64")
    expressions = [X - 2**53, -X, abs(X), X > 2**53, m.sign(X)]
    run = Run(expressions, ["int64"] * 3 + ["bool", "int64"], [n], "tape", monkeypatch).check()
    assert run.instruction.target == "tape_i64"


# Operations whose results on small whole numbers are exact: any two ways to compute must agree to the last bit.
ARITHMETIC = ["add", "sub", "mul", "neg", "abs", "sign", "maximum", "minimum", "floor"]
COMPARISONS = ["gt", "ge", "lt", "le", "eq", "ne"]


@st.composite
def exact_expressions(draw, inputs: int):
    numbers: list[Expression] = [symbol(i) for i in range(inputs)]
    truths: list[Expression] = []
    for _ in range(draw(st.integers(1, 14))):
        pick = st.sampled_from(numbers[-6:])
        kind = draw(st.integers(0, 9))
        if kind < 5:
            op = draw(st.sampled_from(ARITHMETIC))
            e = node(op, *(draw(pick) for _ in scalars()[op].partials))
            numbers.append(
                m.maximum(m.minimum(e, 50), -50)
            )  # or products of products grow out of the exact range
        elif kind < 6:
            numbers.append(draw(pick) + draw(st.integers(-3, 3)))
        elif kind < 8 or not truths:
            e = node(draw(st.sampled_from(COMPARISONS)), draw(pick), draw(pick))
            truths.append(e)
        elif kind < 9:
            op = draw(st.sampled_from(["and", "or", "not"]))
            e = node(op, *(draw(st.sampled_from(truths)) for _ in scalars()[op].partials))
            truths.append(e)
        else:
            numbers.append(m.where(draw(st.sampled_from(truths)), draw(pick), draw(pick)))
        truths = [t for t in truths if t.op != "constant"]
    count = draw(st.integers(1, 3))
    return [draw(st.sampled_from([*numbers[-5:], *truths[-2:]])) for _ in range(count)]


@settings(max_examples=250)
@given(st.data())
@needs_native
def test_random_expressions(data):
    shape = data.draw(st.sampled_from([(1,), (5,), (700,), (3, 4), (2, 3, 4), (2, 600)]))
    count = data.draw(st.integers(1, 3))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    arrays = []
    for _ in range(count):
        dtype = data.draw(st.sampled_from(["uint8", "int32", "int64", "float32", "float64"]))
        cut = tuple(data.draw(st.sampled_from([1, n])) for n in shape)
        arrays.append(rng.integers(0 if dtype == "uint8" else -4, 5, cut).astype(dtype))
    expressions = data.draw(exact_expressions(count))
    real = any(a.dtype.kind == "f" for a in arrays)
    outs = ["bool" if e.is_bool else data.draw(st.sampled_from(["float32", "float64"] if real else ["int64", "int32"]))
            for e in expressions]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        run = Run(expressions, outs, arrays, "tape", patch, shape=shape).check()
        assert run.instruction.provider == "native tape"
        run.check_splits()


# -- results over operands ----------------------------------------------------------------------


@pytest.mark.parametrize("way", ["tape", "numba"])
@pytest.mark.parametrize("count", [13, 2600])
def test_results_over_operands(way, count, monkeypatch):
    a, b = np.random.default_rng(0).integers(-9, 9, (2, count)).astype("float32")
    Run([X * Y + X, X - Y], ["float32"] * 2, [a, b], way, monkeypatch, over=(0, 1)).check()
    if way == "tape" and native() is not None:
        run = Run(
            [Y, X], ["float32"] * 2, [a, b], way, monkeypatch, over=(0, 1)
        ).check()  # they swap
        run.check_splits()
        run = Run([Y * X - Y, X], ["float32"] * 2, [a, b], way, monkeypatch, over=(0, 1)).check()
        run.check_splits()


@needs_native
def test_a_precompiled_result_over_its_operand(isa, monkeypatch):
    a, b = np.random.default_rng(0).standard_normal((2, 1003)).astype("float32")
    run = Run([X - 0.1 * Y], ["float32"], [a, b], "precompiled", monkeypatch, over=(0,)).check(
        1e-6, 1e-6
    )
    assert run.instruction.provider == "native"
    run.check_splits()


def test_a_result_does_not_go_over_memory_that_is_read_in_another_shape(monkeypatch):
    monkeypatch.delenv("CORTEX_MAPS", raising=False)
    p = Program()
    x = p.input("x", (1000, 4))
    turned = p.apply(Transpose((1, 0)), x)
    p.output(
        "sum", turned * 0.5 + p.apply(Slice((0, 0), (1, 1000)), turned)
    )  # the first row, in every row
    executable = get_backend("cpu").compile(p)
    given_ = np.arange(4000.0).reshape(1000, 4)
    executable.write("x", given_)
    executable.run()
    np.testing.assert_array_equal(executable.read("sum"), given_.T * 0.5 + given_.T[:1])


# -- loops compiled with the engine -------------------------------------------------------------


def generator():
    spec = importlib.util.spec_from_file_location(
        "generate_maps", ROOT / "scripts" / "generate_maps.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_generated_loops_are_up_to_date():
    made = generator()
    text = made.TARGET.read_text()
    assert text == made.generated(), "run `python -P scripts/generate_maps.py` and build the engine"
    assert len(text.splitlines()) < 420


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@needs_native
def test_every_generated_loop(isa, dtype, monkeypatch):
    rng = np.random.default_rng(0)
    from cortex.compute.expression import substitute

    for name, p in generator().maps():
        by_row = "v" in {k for _, k in p.inputs} and "s" in {k for _, k in p.inputs}
        numbers = rng.uniform(0.1, 0.9, len(p.constants))
        table = [symbol(i) for i in range(len(p.inputs))] + [constant(float(c)) for c in numbers]
        expressions = [substitute(e, table) for e in p.expressions]
        for shape in ((5, 131), (3, 64)) if by_row else ((3,), (67,), (5, 131)):
            arrays = []
            for kind, move in p.inputs:
                cut = shape[:-1] + (1,) if move == "s" else shape
                values = rng.integers(0, 255, cut) if kind == "uint8" else rng.uniform(0.05, 2, cut)
                arrays.append(values.astype("uint8" if kind == "uint8" else dtype))
            outs = [dtype] * len(expressions)
            run = Run(expressions, outs, arrays, "precompiled", monkeypatch).check(
                *[10 * RELATIVE[dtype]] * 2
            )
            assert run.instruction.provider == "native", name
            run.check_splits()


def test_the_form_of_a_map_does_not_depend_on_its_numbers():
    def key(*expressions, kinds="vvv"):
        return precompiled.pattern(expressions, [("real", k) for k in kinds])

    a, b = key(X * 0.5 + Y), key(Z * 0.25 + X)
    assert a.key == b.key and a.constants == (0.5,) and b.constants == (0.25,)
    assert a.order == (0, 1) and b.order == (2, 0)
    assert key(X * 0.5 + 0.25).key == key(X * 0.5 + 0.5).key
    assert key(X * 0.5 + Y).key != key(X * 0.5 - Y).key
    assert key(X + Y, kinds="vs").key != key(X + Y, kinds="vv").key
    assert key(X * X).key != key(X * Y).key
    assert key(X + Y, X).key != key(X + Y, Y).key


# -- the choice ---------------------------------------------------------------------------------


def provider(e, size, monkeypatch, dtype="float32", way=""):
    arrays = [np.ones(size, dtype) for _ in range(max(e.symbols) + 1)]
    return Run([e], [dtype], arrays, way, monkeypatch).instruction.provider


UNKNOWN = (X * 0.7 + Y) * (X - Y)


@needs_native
def test_the_fastest_way_is_chosen(monkeypatch):
    assert provider(m.maximum(X, 0), 100_000, monkeypatch) == "native"
    assert provider(m.maximum(X, 0), 10, monkeypatch) == "native"
    assert provider(UNKNOWN, 1000, monkeypatch) == "native tape"
    assert provider(UNKNOWN, 100_000, monkeypatch) == "numba"
    assert provider(m.tanh(UNKNOWN), 100_000, monkeypatch) == "native tape"
    assert provider(m.maximum(X, 0), 10, monkeypatch, way="tape") == "native tape"


@needs_native
def test_without_numba_tapes_run_everything(monkeypatch):
    from cortex.compute.cpu.providers import maps

    monkeypatch.setattr(maps, "find_spec", lambda name: None)
    assert provider(UNKNOWN, 100_000, monkeypatch) == "native tape"


def test_an_unknown_way_is_refused(monkeypatch):
    with pytest.raises(
        BackendError,
        match="CORTEX_MAPS is 'tapes', expected one of precompiled, tape, numba; did you",
    ):
        provider(X + Y, 10, monkeypatch, way="tapes")


# -- Numba --------------------------------------------------------------------------------------


def form(e: Expression, size: int = 100) -> Form:
    count = max(e.symbols) + 1
    layout = collapse((size,), [(size,)] * (1 + count))
    return Form((e,), ("float32",) * count, ("float32",), "float32", layout.classes, 1, (-1,))


def test_machine_code_is_kept_for_the_next_process(tmp_path, monkeypatch):
    monkeypatch.setenv("CORTEX_CACHE_DIR", str(tmp_path / "a"))
    one = form(UNKNOWN + 0.123)
    assert compiled.__wrapped__(one).cache_hits == 0
    assert compiled.__wrapped__(one).cache_hits == 1


def test_a_folder_that_cannot_be_written_is_no_harm(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CORTEX_CACHE_DIR", str(tmp_path / "file" / "maps"))
    assert cache.stored("x = 1") is None
    assert compiled.__wrapped__(form(UNKNOWN + 0.321)).address


def test_the_cache_is_in_the_users_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("CORTEX_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.stored("x = 1").parent == tmp_path / "cortex" / "maps"
    assert (
        cache.stored("x = 1") == cache.stored("x = 1") != cache.stored("x = 1", "another version")
    )


SCRIPT = """
import numpy as np
from cortex.compute import Program, get_backend, math as m
p = Program()
x = p.persistent("x", (999,))
for k in range(2):
    p.output(f"y{k}", p.map(lambda x: (x * 0.7 + k) * (x - 0.5 - k) + x, x))
e = get_backend("cpu").compile(p)
e.write("x", np.arange(999.0)); e.run()
print(*(repr(float(e.read(f"y{k}").sum())) for k in range(2)), e.report.providers())
"""


def test_processes_share_the_cache(tmp_path):
    environment = {**os.environ, "CORTEX_CACHE_DIR": str(tmp_path), "CORTEX_MAPS": "numba"}
    command = [sys.executable, "-W", "error", "-c", SCRIPT]

    def start():
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    both = [start(), start()]
    done = [p.communicate() for p in both] + [start().communicate()]
    assert len({out for out, _ in done}) == 1 and "numba" in done[0][0], done
    assert len(list(tmp_path.glob("*.py"))) == 2 and not list(tmp_path.glob("*.tmp"))


def test_loops_of_numba_are_vectorised(tmp_path, monkeypatch):
    from llvmlite.binding import get_host_cpu_features

    wide = "zmm" if get_host_cpu_features().get("avx512f") else "ymm"
    if not get_host_cpu_features().get("avx2"):
        pytest.skip("no vectors of 32 bytes")
    text = compiled.__wrapped__(form(m.maximum(UNKNOWN, 0.1 * X) + 0.3))._library.get_asm_str()
    assert "ymm" in text or wide in text
