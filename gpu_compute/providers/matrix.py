"""Matrix products: cuBLASLt where it has an algorithm, bias and activation as its epilogue; else our plain kernel."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from cortex.compute.expression import Expression, node, symbol
from cortex.compute.ops import MatMul
from cortex.compute.ops.fused import Fused
from cortex.compute.passes.memory import ALIGNMENT
from cortex.compute.plan.storage import Operand
from cortex.compute.program import Step, Value

from ..device import Libraries, LibraryCall
from ..instruction import Instruction
from ..kernels.geometry import matrices
from ..lowering import Lowering
from .launch import NULL, launch
from .movement import fill
from .reduction import summed

if TYPE_CHECKING:
    from ..libraries.products import Epilogue, ProductArguments

WORKSPACE = 256  # bytes that a library's workspace is aligned to


def matmul(low: Lowering, step: Step) -> list[Instruction] | None:
    """One product of a library."""
    op = step.op
    if not isinstance(op, MatMul):
        return None
    a, b = low.operands(step.inputs)
    return product(low, op, low.operand(step.outputs[0]), a, b)


def fused(low: Lowering, step: Step) -> list[Instruction] | None:
    """A product of a library that adds its bias and applies its activation."""
    op = step.op
    if not isinstance(op, Fused) or not isinstance(op.op, MatMul):
        return None
    epilogue = epilogue_of(op.expression)
    inputs = low.operands(step.inputs)
    bias = inputs[2] if len(inputs) > 2 else None
    return product(low, op.op, low.operand(step.outputs[0]), inputs[0], inputs[1], bias, epilogue)


def product(
    low: Lowering,
    op: MatMul,
    d: Operand,
    a: Operand,
    b: Operand,
    bias: Operand | None = None,
    epilogue: Epilogue | None = "none",
) -> list[Instruction] | None:
    """Return D = epilogue(A B) by the device's library, or None where it has no algorithm."""
    if low.libraries.products is None or epilogue is None:
        return None
    if a.spec.shape[-2 if op.transpose_a else -1] == 0:
        return [fill(d, 0)] if epilogue == "none" else None
    from ..libraries.errors import Unsupported
    from ..libraries.products import Alignments, cublas_arguments

    try:
        arguments = cublas_arguments(
            op, a.spec.shape, b.spec.shape, a.spec.dtype,
            out_dtype=d.spec.dtype, tf32=low.options.precision == "tf32", epilogue=epilogue,
        )  # fmt: skip
        named = {"a": a, "b": b, "c": d, "d": d} | ({"bias": bias} if bias is not None else {})
        alignments = Alignments.of(**{n: o.alignment for n, o in named.items()})
        plan = low.libraries.products.plan(arguments, alignments=alignments)
    except Unsupported as error:
        if epilogue == "none":
            say_once(error)
        return None

    def run(addresses: Sequence[int], stream: int) -> None:
        given = dict(zip(("a", "b", "d", *rest), addresses, strict=True))
        workspace = -(-given.pop("workspace", 0) // WORKSPACE) * WORKSPACE
        plan.run(**given, workspace=workspace, stream=stream)

    rest = (("bias",) if bias is not None else ()) + (("workspace",) if plan.workspace else ())
    operands = [a, b, d] + ([bias] if bias is not None else [])
    if plan.workspace:
        operands.append(low.temporary((plan.workspace + WORKSPACE - ALIGNMENT,), "uint8"))
    call = LibraryCall(_describe(arguments), run)
    writes = (d, bias) if bias is not None and arguments.writes_bias else (d,)
    return [Instruction(call, tuple(operands), writes, provider=_provider(epilogue, low))]


def with_sum(low: Lowering, step: Step) -> list[Instruction] | None:
    """A product that writes the sum over its left operand too; where the library cannot, both for themselves."""
    (a, b), (d, total) = low.operands(step.inputs), low.operands(step.outputs)
    op = MatMul(transpose_a=True)
    joined = product(low, op, d, a, b, total, "bgrad_left")
    if joined is not None:
        return joined
    alone = product(low, op, d, a, b) or [_plain(op, d, a, b)]
    return [*alone, *summed(low, total, a, (1, a.spec.shape[0], a.spec.shape[1]))]


def plain(low: Lowering, step: Step) -> list[Instruction] | None:
    """Our own kernel: any orientation, the batch broadcast by strides of 0."""
    op = step.op
    if not isinstance(op, MatMul):
        return None
    a, b = low.operands(step.inputs)
    return [_plain(op, low.operand(step.outputs[0]), a, b)]


def _plain(op: MatMul, y: Operand, a: Operand, b: Operand) -> Instruction:
    numbers = matrices(a.spec.shape, b.spec.shape, op.transpose_a, op.transpose_b)
    name = "matmul" if y.spec.dtype == a.spec.dtype else "matmul_whole"
    return launch(name, a.spec.dtype, (y, a, b, NULL, numbers), (y,))


def accepts_product(op: Fused, inputs: Sequence[Value], libraries: Libraries) -> bool:
    """Whether a library can do the work of a product and what follows it."""
    if libraries.products is None or not isinstance(op.op, MatMul):
        return False
    epilogue, count = epilogue_of(op.expression), len(inputs) - op.arity
    if epilogue is None or any(v.spec.rank != 2 or 0 in v.shape for v in inputs[:2]):
        return False
    if "bias" not in epilogue:
        return count == 0
    out = op.infer(*(v.spec for v in inputs))[0]
    return count == 1 and inputs[-1].dtype == out.dtype and is_row(inputs[-1].shape, out.shape)


def is_row(bias: tuple[int, ...], out: tuple[int, ...]) -> bool:
    """Whether a bias is one number per element of the last axis of the result."""
    full = (1,) * (len(out) - len(bias)) + bias
    return full == (1,) * (len(out) - 1) + out[-1:]


def epilogue_of(e: Expression) -> Epilogue | None:
    """Return the epilogue that an expression of a product (symbol 0) and a bias (symbol 1) is, else None."""
    x, b = symbol(0), symbol(1)
    for inner, name in ((x, "relu"), (x + b, "relu_bias"), (b + x, "relu_bias")):
        if e is inner:
            return "bias" if inner is not x else None
        if e is node("maximum", inner, 0) or e is node("maximum", inner, 0.0):
            return "relu" if name == "relu" else "relu_bias"
    return None


@cache
def _say(text: str) -> None:
    logging.getLogger("cortex").warning("%s; our plain kernel stands in, many times slower", text)


def say_once(error: Exception) -> None:
    """Log that a library refused something: a step that is slow for this reason shall not be a riddle."""
    _say(" ".join(str(error).split()))


def _provider(epilogue: str, low: Lowering) -> str:
    return f"cublasLt {low.options.precision}" + (f" {epilogue}" if epilogue != "none" else "")


def _describe(g: ProductArguments) -> str:
    return f"product {g.n}x{g.m}x{g.k} batch {g.batch} {g.dtype} {g.epilogue}"
