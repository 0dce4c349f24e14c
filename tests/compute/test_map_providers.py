"""Who runs a map: loops compiled with the engine, tapes, Numba and what it keeps on disk."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from elementwise import RELATIVE, Run, X, Y, Z, needs_native

from cortex.compute import BackendError
from cortex.compute import math as m
from cortex.compute.cpu import cache, precompiled
from cortex.compute.cpu.maps import Form, compiled
from cortex.compute.expression import Expression, constant, substitute, symbol
from cortex.compute.plan.geometry import collapse

ROOT = Path(__file__).resolve().parents[2]


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
@pytest.mark.parametrize("mean", [(40, 32, 1, 1, 16), (512, 32, 1, 1)])
def test_the_gradient_of_a_mean_over_an_image_is_a_tape(mean, monkeypatch):
    """Rows of 16 examples or pixels, in lanes and dense: broadcast along an inner axis, and large."""
    shape = (*mean[:2], 6, 5, *mean[4:])
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=n).astype("float32") for n in (mean, shape)]
    made = Run([X * (1 / 30) * m.where(Y > 0, 1, 0)], ["float32"], arrays, "", monkeypatch).check()
    assert made.instruction.provider == "native tape"


@needs_native
def test_a_training_step_waits_for_no_compiler(monkeypatch):
    import cortex
    from cortex import layers
    from cortex.optimise.optimisers import Adam

    monkeypatch.delenv("CORTEX_MAPS", raising=False)
    rectified = [layers.Convolution(20, kernel=5), layers.MaxPooling(2), layers.Relu()]
    dense = [layers.Linear(500), layers.Relu(), layers.Linear(10), layers.Softmax()]
    network = cortex.Network([layers.Input((1, 28, 28)), *rectified, *dense])
    step = cortex.training_step(network, optimiser=Adam(), batch_size=64, backend="cpu")
    by_size = {s.label: s.provider for s in step.report.steps if s.op == "Map"}
    assert set(by_size.values()) <= {"native", "native tape"}
    large = ("relu1", "relu1/gradient", "optimiser")
    assert {by_size[label] for label in large} == {"native"}


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
    done = [p.communicate() for p in both]
    assert len({out for out, _ in done}) == 1 and "numba" in done[0][0], done
    kept = tmp_path / "maps"
    assert len(list(kept.glob("*.py"))) == 2 and not list(kept.glob("*.tmp"))


def test_loops_of_numba_are_vectorised(tmp_path, monkeypatch):
    from llvmlite.binding import get_host_cpu_features

    wide = "zmm" if get_host_cpu_features().get("avx512f") else "ymm"
    if not get_host_cpu_features().get("avx2"):
        pytest.skip("no vectors of 32 bytes")
    text = compiled.__wrapped__(form(m.maximum(UNKNOWN, 0.1 * X) + 0.3))._library.get_asm_str()
    assert "ymm" in text or wide in text
