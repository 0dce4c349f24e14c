"""What an executable says about itself: bytes, and who runs each step."""

from __future__ import annotations

from .. import math as m
from ..autodiff import gradients
from ..backend import Backend, PlanReport
from ..ops import Linear, Softmax
from ..ops.reduce import reduce_axes
from ..program import Program
from .check import Check, Mismatch, checking

CHECKS: list[Check] = []
LINE = 128  # bytes by which a backend may round a buffer up


def _report(backend: Backend, batch: int) -> tuple[Program, PlanReport]:
    p = Program()
    x, w, b = p.input("x", (batch, 33)), p.persistent("w", (21, 33)), p.persistent("b", (21,))
    with p.scope("layer"):
        y = p.apply(Linear(), x, w, b)
    with p.scope("activation"):
        y = p.apply(Softmax(), m.tanh(y))
    loss = reduce_axes(p, "sum", y * y, None)
    dw, db = gradients(p, loss, [w, b])
    p.update("w", w - 0.1 * dw)
    p.update("b", b - 0.1 * db)
    p.output("loss", loss)
    return p, backend.compile(p).report


@checking(CHECKS, "report/bytes")
def bytes_by_kind(backend: Backend) -> None:
    """Inputs and state are counted exactly, up to alignment; the total is the sum; more batch, more bytes."""
    program, report = _report(backend, 50)
    for kind, values in (("inputs", program.inputs), ("state", program.state)):
        least = sum(v.spec.bytes for v in values.values())
        given = report.bytes.get(kind, -1)
        if not least <= given <= least + LINE * len(values):
            raise Mismatch(
                f"report.bytes[{kind!r}]: {least} bytes are needed, {given} are reported; "
                f"at most {LINE} more per buffer are alignment"
            )
    if any(n < 0 for n in report.bytes.values()) or report.total != sum(report.bytes.values()):
        raise Mismatch(f"report: negative bytes or a wrong total: {dict(report.bytes)}")
    small, large = (_report(backend, n)[1].bytes["activations"] for n in (50, 500))
    if not small < large:
        raise Mismatch(f"report: activations take {small} bytes for batch 50, {large} for 500")


@checking(CHECKS, "report/providers")
def providers(backend: Backend) -> None:
    """Each step names its op, its provider and its label, and text shows them."""
    _, report = _report(backend, 5)
    if report.backend != backend.name:
        raise Mismatch(f"report.backend: expected {backend.name!r}, got {report.backend!r}")
    if not report.steps or any(not s.op or not s.provider for s in report.steps):
        raise Mismatch(f"report: each step needs an op and a provider: {report.steps}")
    if sum(report.providers().values()) != len(report.steps):
        raise Mismatch("report.providers(): the counts do not add up to the number of steps")
    labels = {part for s in report.steps for part in s.label.split("/")}
    if "layer" not in labels:
        raise Mismatch(f"report: no step is labelled 'layer'; labels are {sorted(labels)}")
    text = str(report)
    if f"{report.total:,}" not in text or any(s.provider not in text for s in report.steps):
        raise Mismatch(f"report: its text lacks the total or a provider:\n{text}")
