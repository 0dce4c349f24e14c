"""What the machine allows: its measured peak of multiply-adds and bandwidth, and the least seconds of a program.

A program is counted as the matrix products it consists of: products and convolutions with their gradients, a
multiply-add as two operations. All else (activations, pooling, normalisation, the optimiser) counts nothing, so the
bound cannot be reached, only approached; fast algorithms such as Winograd's do fewer multiplications and may pass it.
Weights that a product reads count as bytes: at batch 1 they are what a linear layer waits for.
"""

from __future__ import annotations

import ctypes
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from cortex.compute import ops
from cortex.compute.passes import decompose, simplify
from cortex.compute.program import Program, Step

ACCUMULATORS = 12  # independent chains: four cycles of latency times two units, and some to spare
TYPES = {"float32": ("f32", 4), "float64": ("f64", 8)}  # in LLVM, and bytes
FEWEST_BYTES = 1 << 18  # of a read that is measured


@dataclass(frozen=True)
class Product:
    """`count` matrix products [m, k] x [k, n]; `weights` are the bytes of an operand that outlives a run."""

    m: int
    k: int
    n: int
    count: int = 1
    weights: int = 0

    @property
    def flops(self) -> int:
        """Operations, a multiply-add as two."""
        return 2 * self.m * self.k * self.n * self.count


def products(program: Program) -> list[Product]:
    """Return the matrix products that a program consists of, convolutions as those over their windows."""
    program = simplify(decompose(program))
    fixed = {*program.state.values(), *program.constants}
    found = []
    for step in program.steps:
        if (shape := _shape(step)) is not None:
            kept = sum(v.spec.bytes for v in step.inputs if v in fixed)
            found.append(Product(*shape, weights=kept))
        elif all(v in fixed for v in step.inputs):
            fixed.update(step.outputs)  # a slice of the flat parameters
    return found


def _shape(step: Step) -> tuple[int, int, int, int] | None:
    """Return m, k, n and count of a step; None where it is no product."""
    op = step.op
    if isinstance(op, ops.MatMul):
        *batch, m, n = step.outputs[0].shape
        a = step.inputs[0].shape
        return m, a[-2 if op.transpose_a else -1], n, math.prod(batch)
    if isinstance(op, ops.Convolution | ops.ConvolutionInputGradient):
        w = step.inputs[1].spec
        y = step.outputs[0] if isinstance(op, ops.Convolution) else step.inputs[0]
        n = y.spec.size // w.shape[0]
        return w.shape[0] // op.groups, w.size // w.shape[0], n, op.groups
    if isinstance(op, ops.ConvolutionKernelGradient):
        w, dy = step.outputs[0].spec, step.inputs[1].spec
        n = dy.size // w.shape[0]
        return w.shape[0] // op.groups, n, w.size // w.shape[0], op.groups
    return None


def flops(program: Program) -> int:
    """Return the operations of a program's products."""
    return sum(p.flops for p in products(program))


def bound(program: Program, threads: int) -> float:
    """Return the least seconds of a program: of each product, the longer of computing and of reading its weights."""
    found = products(program)
    held = sum(p.weights for p in found)
    fast, reads = peak(threads), bandwidth(rounded(held), threads) if held else math.inf
    return sum(max(p.flops / fast, p.weights / reads) for p in found)


def rounded(size: int) -> int:
    """Return the next power of two, so that programs of about one size share a measurement."""
    return max(FEWEST_BYTES, 1 << (size - 1).bit_length())


@cache
def peak(threads: int, dtype: str = "float32") -> float:
    """Return the measured operations a second of multiply-adds in registers, `threads` at once."""
    return max(rate(threads, dtype) for _ in range(14))


def rate(threads: int, dtype: str = "float32") -> float:
    """Return the operations a second of multiply-adds now, the best of three bursts of a few milliseconds."""
    run, engine = _multiply_adds(dtype)
    del engine  # kept by the cache of `_multiply_adds`
    times = 1 << 20
    operations = 2 * ACCUMULATORS * _lanes(dtype) * times * threads
    return max(operations / _together(threads, lambda k: run(times)) for _ in range(3))


@cache
def bandwidth(size: int, threads: int, update: bool = False) -> float:
    """Return the bytes a second at which an array of `size` bytes is read, `threads` sharing it.

    With `update` it is changed in place, and what is read and what is written count.
    """
    import numba

    @numba.njit(nogil=True, fastmath=True)
    def total(x: Any) -> float:
        s = np.float32(0)
        for i in range(len(x)):
            s += x[i]
        return s

    @numba.njit(nogil=True, fastmath=True)
    def scale(x: Any) -> None:
        for i in range(len(x)):
            x[i] *= np.float32(0.999)

    work = scale if update else total
    parts = np.array_split(np.ones(size // 4, np.float32), threads)
    work(parts[0])
    times = max(1, (1 << 28) // size)  # long enough for a clock

    def run(k: int) -> None:
        for _ in range(times):
            work(parts[k])

    return max((1 + update) * size * times / _together(threads, run) for _ in range(12))


def _together(threads: int, work: Callable[[int], object]) -> float:
    """Return the seconds until `work(k)` is done on every thread; CPU seconds where there is one."""
    if threads == 1:
        begin = time.thread_time()
        work(0)
        return time.thread_time() - begin
    others = [threading.Thread(target=work, args=(k,)) for k in range(1, threads)]
    begin = time.perf_counter()
    for t in others:
        t.start()
    work(0)
    for t in others:
        t.join()
    return time.perf_counter() - begin


def _lanes(dtype: str) -> int:
    from llvmlite import binding

    found = binding.get_host_cpu_features()
    return (64 if found.get("avx512f") else 32 if found.get("fma") else 16) // TYPES[dtype][1]


@cache
def _multiply_adds(dtype: str) -> tuple[Any, Any]:
    """Return a function (times) of machine code that does nothing but multiply-adds, and what keeps it alive."""
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    short, size = TYPES[dtype]
    name = "float" if size == 4 else "double"
    v = f"<{_lanes(dtype)} x {name}>"
    names = range(ACCUMULATORS)
    phis = [f"  %a{i} = phi {v} [zeroinitializer, %entry], [%b{i}, %loop]" for i in names]
    fma = f"@llvm.fma.v{_lanes(dtype)}{short}"
    steps = [f"  %b{i} = call fast {v} {fma}({v} %x, {v} %x, {v} %a{i})" for i in names]
    sums = [f"  %s{i} = fadd {v} %{'b0' if i == 1 else f's{i - 1}'}, %b{i}" for i in names][1:]
    text = f"""
declare {v} {fma}({v}, {v}, {v})
define void @spin(i64 %times, {v}* %memory) {{
entry:
  %x = load {v}, {v}* %memory
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%next, %loop]
{chr(10).join(phis)}
{chr(10).join(steps)}
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %times
  br i1 %more, label %loop, label %end
end:
{chr(10).join(sums)}
  store {v} %s{ACCUMULATORS - 1}, {v}* %memory
  ret void
}}
"""
    target = binding.Target.from_default_triple()
    features = binding.get_host_cpu_features().flatten()
    machine = target.create_target_machine(binding.get_host_cpu_name(), features, opt=1)
    engine = binding.create_mcjit_compiler(binding.parse_assembly(text), machine)
    engine.finalize_object()
    spin = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p)(
        engine.get_function_address("spin")
    )
    number = ctypes.c_float if size == 4 else ctypes.c_double

    def run(times: int) -> None:
        memory = (number * 32)(*[0.5] * 32)
        start = ctypes.addressof(memory)
        spin(times, start + -start % 64)  # ctypes releases the interpreter's lock

    return run, engine
