"""A network as a table: nodes, shapes, parameters, and the exact bytes of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cortex.compute.backend import Backend, PlanReport
    from cortex.protocols import Optimiser

    from .network import Network

WIDEST = 60  # characters of a column that grows with what people write


def summary(
    network: Network,
    batch_size: int | None = None,
    optimiser: Optimiser | None = None,
    loss: Any = None,
    backend: str | Backend | None = None,
) -> str:
    """Return a table of the nodes: what they read, the shape of one example of their output, their parameters.

    With a batch size, also the exact bytes by kind that a training step (None as optimiser: Adam's defaults; None as
    loss: the default of each output) and an inference occupy on a backend, as planned by it.
    """
    rows = [("name", "layer", "reads", "output", "parameters", "")]
    for n in network.nodes:
        own = {
            p: network.shapes.owned[full]
            for p in network.shapes.asked[n.name]
            if (full := f"{n.name}.{p}") in network.shapes.owned
        }
        count = sum(_size(p.shape) for p in own.values() if p.trainable)
        outputs = ", ".join(
            f"{'x'.join(map(str, s.shape)) or '1'}{'' if s.is_float else f' {s.dtype}'}"
            for s in network.shapes.outputs[n.name]
        )
        reads = ", ".join(
            a if isinstance(a, str) else type(a).__name__.lower() for a in n.parents or ()
        )
        rows.append(
            (
                n.name,
                _cut(str(n.layer)),
                _cut(reads),
                outputs,
                f"{count:,}" if own else "",
                _notes(network, n.name),
            )
        )
    lines = _table(rows, right={4})
    frozen = sum(
        _size(p.shape)
        for name, p in network.shapes.owned.items()
        if p.trainable and network.attributes(name).frozen
    )
    statistics = sum(_size(network.shapes.owned[name].shape) for name in network.statistics)
    total = f"{network.parameter_count:,} parameters ({network.dtype})"
    total += f", {frozen:,} of them frozen" if frozen else ""
    total += f", {statistics:,} statistics" if statistics else ""
    lines += ["", f"outputs: {', '.join(network.outputs)}", total]
    if batch_size is not None:
        lines += ["", *_memory(network, batch_size, optimiser, loss, backend)]
    return "\n".join(lines)


def _memory(
    network: Network,
    batch_size: int,
    optimiser: Optimiser | None,
    loss: Any,
    backend: str | Backend | None,
) -> list[str]:
    from cortex.executables import inference, training_step
    from cortex.objectives import target_columns
    from cortex.optimise.optimisers import Adam

    reports: dict[str, PlanReport] = {}
    if any(
        p.trainable and not network.attributes(name).frozen
        for name, p in network.shapes.owned.items()
    ):
        reports["training step"] = training_step(
            network,
            optimiser=optimiser or Adam(),
            batch_size=batch_size,
            loss=loss,
            target=target_columns(network, loss),
            backend=backend,
        ).report
    reports["inference"] = inference(network, batch_size=batch_size, backend=backend).report
    kinds = list(dict.fromkeys(k for r in reports.values() for k in r.bytes))
    name = next(iter(reports.values())).backend
    rows = [(f"bytes, batch {batch_size}, {name}", *reports)]
    rows += [(kind, *(f"{r.bytes.get(kind, 0):,}" for r in reports.values())) for kind in kinds]
    rows.append(("total", *(f"{r.total:,}" for r in reports.values())))
    return _table(rows, right=set(range(1, len(rows[0]))))


def _notes(network: Network, name: str) -> str:
    n = network[name]
    notes = [
        f"{p} = {a if isinstance(a, str) else type(a).__name__.lower()}"
        for p, a in n.bindings.items()
    ]
    if network.is_frozen(name):
        notes.append("frozen")
    for where, attributes in (
        ("", n.attributes),
        *((f"{p} ", a) for p, a in n.parameter_attributes.items()),
    ):
        for word in ("learning_rate_factor", "l1", "l2", "max_norm"):
            value = getattr(attributes, word)
            if value is not None:
                notes.append(f"{where}{word} {value:g}")
    return ", ".join(notes)


def _table(rows: Sequence[Sequence[str]], right: set[int]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            c.rjust(w) if i in right else c.ljust(w)
            for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * w for w in widths if w))
    return lines


def _size(shape: tuple[int, ...]) -> int:
    from math import prod

    return prod(shape)


def _cut(text: str) -> str:
    return text if len(text) <= WIDEST else text[: WIDEST - 3] + "..."
