"""What a run occupies: exact bytes, as announced, and nothing more at the second run."""

from __future__ import annotations

import tracemalloc

import numpy as np

from cortex.compute.backend import Backend, PlanReport
from cortex.compute.verify import Check, Mismatch, checking, equal
from cortex.executables import NetworkExecutable, inference, training_step
from cortex.losses import CategoricalCrossEntropy
from cortex.models import lenet
from cortex.optimise.optimisers import Adam

CHECKS: list[Check] = []
LINE = 128  # bytes by which a backend may round a buffer up
RUNS = 5
SLACK = (
    4096  # bytes of Python's own objects that a call may make; one activation of LeNet is larger
)


def _step(backend: Backend, batch: int) -> NetworkExecutable:
    return training_step(
        lenet(), optimiser=Adam(), batch_size=batch, loss=CategoricalCrossEntropy(), backend=backend
    )


@checking(CHECKS, "plan/exact bytes")
def exact_bytes(backend: Backend) -> None:
    """Inputs and state to the byte (up to alignment); the total is their sum; inference has less."""
    made = _step(backend, 4)
    program, report = made.program, made.report
    for kind, values in (("inputs", program.inputs), ("state", program.state)):
        least = sum(v.spec.bytes for v in values.values())
        given = report.bytes[kind]
        if not least <= given <= least + LINE * len(values):
            raise Mismatch(f"{kind}: {least} bytes are needed, {given} are reported")
    equal("parameters of LeNet", lenet().parameter_count, 431_080)
    # Adam holds two moments beside each parameter
    least = 3 * 4 * lenet().parameter_count
    if not least <= report.bytes["state"] <= 1.01 * least:
        raise Mismatch(f"state: {report.bytes['state']} bytes, three copies are {least}")
    equal("the total", report.total, sum(report.bytes.values()))
    small = inference(lenet(), batch_size=4, backend=backend).report
    if not small.total < report.total:
        raise Mismatch(f"inference takes {small.total} bytes, a training step {report.total}")


@checking(CHECKS, "plan/announced bytes")
def announced(backend: Backend) -> None:
    """`summary` with a batch size says, kind by kind, what the executables then report."""
    text = lenet().summary(4, Adam(), CategoricalCrossEntropy(), backend)
    reports: tuple[PlanReport, ...] = (
        _step(backend, 4).report,
        inference(lenet(), batch_size=4, backend=backend).report,
    )
    rows = {line.split("  ")[0].strip(): line for line in text.splitlines()}
    for kind in (*reports[0].bytes, "total"):
        sizes = [r.total if kind == "total" else r.bytes.get(kind, 0) for r in reports]
        shown = [int(word.replace(",", "")) for word in rows[kind].split()[-2:]]
        equal(f"summary, {kind}", shown, sizes)


@checking(CHECKS, "plan/the second run allocates nothing")
def allocates_nothing(backend: Backend) -> None:
    """Where activations share planned memory, Python sees no allocation while a step runs again."""
    made = _step(backend, 4)
    engine = backend.capabilities.notes.get("engine", "")
    if not made.report.unplanned_bytes or engine.startswith("fallback"):
        return  # a backend without a plan, such as the reference; in a fallback NumPy allocates what it returns
    for name, value in made.program.inputs.items():
        made.write(name, np.zeros(value.shape, value.dtype))
    made.run()
    tracemalloc.start()
    try:
        made.run()  # what tracing itself allocates
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(RUNS):
            made.run()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    if peak - before > SLACK:
        raise Mismatch(f"{RUNS} runs allocate {peak - before} bytes, expected none (up to {SLACK})")
