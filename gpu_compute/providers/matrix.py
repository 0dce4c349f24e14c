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
from cortex.compute.spec import ITEM_BYTES, Spec

from ..device import Libraries, LibraryCall
from ..instruction import Instruction
from ..kernels.geometry import matrices
from ..lowering import Lowering
from ..options import Options
from ..passes.gates import GatedProduct, ProductWithMask
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
    aux: Operand | None = None,
) -> list[Instruction] | None:
    """Return D = epilogue(A B) by the device's library, or None where it has no algorithm."""
    if low.libraries.products is None or epilogue is None:
        return None
    if a.spec.shape[-2 if op.transpose_a else -1] == 0:
        return [fill(d, 0)] if epilogue == "none" else None
    from ..libraries.errors import Unsupported
    from ..libraries.products import Alignments

    others = {n: o for n, o in (("bias", bias), ("aux", aux)) if o is not None}
    try:
        arguments = _arguments(low.options, op, a.spec, b.spec, d.spec.dtype, epilogue)
        named = {"a": a, "b": b, "d": d} | others
        alignments = Alignments.of(c=d.alignment, **{n: o.alignment for n, o in named.items()})
        plan = low.libraries.products.plan(arguments, alignments=alignments)
    except Unsupported as error:
        if epilogue == "none":
            say_once(error)
        return None
    writes = (d, *((bias,) if bias is not None and arguments.writes_bias else ()))
    writes += (aux,) if aux is not None and arguments.writes_aux else ()
    if plan.workspace:
        named["workspace"] = low.temporary((plan.workspace + WORKSPACE - ALIGNMENT,), "uint8")

    def run(addresses: Sequence[int], stream: int) -> None:
        given = dict(zip(named, addresses, strict=True))
        workspace = -(-given.pop("workspace", 0) // WORKSPACE) * WORKSPACE
        plan.run(**given, workspace=workspace, stream=stream)

    call = LibraryCall(_describe(arguments), run)
    return [Instruction(call, tuple(named.values()), writes, provider=_provider(epilogue, low))]


def _arguments(
    options: Options, op: MatMul, a: Spec, b: Spec, out_dtype: str, epilogue: Epilogue
) -> ProductArguments:
    from ..libraries.products import cublas_arguments

    return cublas_arguments(
        op, a.shape, b.shape, a.dtype,
        out_dtype=out_dtype, tf32=options.precision == "tf32", epilogue=epilogue,
    )  # fmt: skip


def with_sum(low: Lowering, step: Step) -> list[Instruction] | None:
    """A product that writes the sum over its left operand too; where the library cannot, both for themselves."""
    (a, b), (d, total) = low.operands(step.inputs), low.operands(step.outputs)
    op = MatMul(transpose_a=True)
    joined = product(low, op, d, a, b, total, "bgrad_left")
    if joined is not None:
        return joined
    alone = product(low, op, d, a, b) or [_plain(op, d, a, b)]
    return [*alone, *summed(low, total, a, (1, a.spec.shape[0], a.spec.shape[1]))]


def with_mask(low: Lowering, step: Step) -> list[Instruction] | None:
    """A product with relu that keeps one bit of each result."""
    op = step.op
    if not isinstance(op, ProductWithMask) or not isinstance(op.product.op, MatMul):
        return None
    a, b, *bias = low.operands(step.inputs)
    d, mask = low.operands(step.outputs)
    return product(low, op.product.op, d, a, b, bias[0] if bias else None, _masking(op), mask)


def gated(low: Lowering, step: Step) -> list[Instruction] | None:
    """A product whose result passes where a mask says so."""
    op = step.op
    if not isinstance(op, GatedProduct):
        return None
    a, b, mask = low.operands(step.inputs)
    return product(low, op.product, low.operand(step.outputs[0]), a, b, None, "drelu", mask)


def _masking(op: ProductWithMask) -> Epilogue | None:
    """Return the epilogue that keeps bits, or None where the product ends in something else than a relu."""
    masking: dict[Epilogue | None, Epilogue] = {"relu": "relu_aux", "relu_bias": "relu_aux_bias"}
    return masking.get(epilogue_of(op.product.expression))


def accepts_gate(
    libraries: Libraries,
    options: Options,
    forward: ProductWithMask,
    inputs: Sequence[Value],
    backward: GatedProduct,
    factors: Sequence[Value],
) -> bool:
    """Whether the library has algorithms for both products."""
    epilogue, op = _masking(forward), forward.product.op
    if epilogue is None or not isinstance(op, MatMul):
        return False
    return _has_plan(libraries, options, op, inputs, epilogue) and _has_plan(
        libraries, options, backward.product, factors, "drelu"
    )


def _has_plan(
    libraries: Libraries, options: Options, op: MatMul, inputs: Sequence[Value], epilogue: Epilogue
) -> bool:
    """Whether the library has an algorithm for a product, whatever its operands will be aligned to.

    Of what is held in 16 bits the result may be so too, or in float32.
    """
    from ..libraries.errors import Unsupported
    from ..libraries.products import Alignments

    if libraries.products is None:
        return False
    dtype = options.held if inputs[0].dtype == "float32" else inputs[0].dtype
    a, b = (Spec(v.shape, dtype) for v in inputs[:2])
    item = ITEM_BYTES[dtype]
    least = Alignments(item, item, item, item, item, aux=ALIGNMENT)
    try:
        for out_dtype in {dtype, inputs[0].dtype}:
            arguments = _arguments(options, op, a, b, out_dtype, epilogue)
            libraries.products.plan(arguments, alignments=least)
    except Unsupported:
        return False
    return True


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


def accepts_product(
    libraries: Libraries, options: Options, op: Fused, inputs: Sequence[Value]
) -> bool:
    """Whether a library can do the work of a product and what follows it."""
    if not isinstance(op.op, MatMul):
        return False
    epilogue, count = epilogue_of(op.expression), len(inputs) - op.arity
    if epilogue is None or any(v.spec.rank != 2 or 0 in v.shape for v in inputs[:2]):
        return False
    if count != ("bias" in epilogue):
        return False
    out = op.infer(*(v.spec for v in inputs))[0]
    if count and not (inputs[-1].dtype == out.dtype and is_row(inputs[-1].shape, out.shape)):
        return False
    return _has_plan(libraries, options, op.op, inputs, epilogue)


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
