"""A map as a program of its own, run in a chosen way and compared with the definition."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from cortex.compute import Program, get_backend
from cortex.compute.cpu.native import native
from cortex.compute.expression import symbol
from cortex.compute.ops import Map
from cortex.compute.reference import map_

needs_native = pytest.mark.skipif(native() is None, reason="the native engine is not built")
RELATIVE = {"float32": 2e-6, "float64": 1e-14}
X, Y, Z = symbol(0), symbol(1), symbol(2)


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
