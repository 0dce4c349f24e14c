"""The numbers of a network's parameters: given, or drawn from a seed and the parameter's own name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cortex.compute.errors import DescriptionError, near
from cortex.compute.spec import Shape
from cortex.initialisers import resolve
from cortex.protocols import Initialiser, Layer

from .node import Node
from .references import parse
from .shapes import Shapes


@dataclass(frozen=True)
class Drawn:
    """Numbers not drawn yet; they depend on nothing but what stands here, so other layers do not change them."""

    initialiser: Initialiser
    seed: int
    name: str
    shape: Shape

    def array(self, dtype: str) -> np.ndarray:
        """Draw them: Philox keyed by a digest of seed and name.

        Raises:
            DescriptionError: the initialiser gives another shape, or numbers that are not finite.
        """
        key = hashlib.blake2b(f"{self.seed}/{self.name}".encode(), digest_size=16).digest()
        generator = np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))
        numbers = np.asarray(self.initialiser(generator, self.shape))
        ends = (
            (numbers.min(), numbers.max()) if numbers.size else ()
        )  # no mask of a byte per number
        if numbers.shape != self.shape or not np.isfinite(ends).all():
            raise DescriptionError(
                self.name,
                [
                    f"{self.initialiser} must give finite numbers of shape {self.shape}, given {numbers.shape}"
                ],
            )
        return frozen(numbers.astype(dtype))


Source = Drawn | np.ndarray


def frozen(array: np.ndarray) -> np.ndarray:
    """Return the array after making it read-only."""
    array.setflags(write=False)
    return array


def sources(
    nodes: Mapping[str, Node], shapes: Shapes, seed: int, kept: Mapping[str, Source]
) -> dict[str, Source]:
    """Return where each parameter comes from: what is kept, if the shape is right, else a draw of its own."""
    found: dict[str, Source] = {}
    for name, parameter in shapes.owned.items():
        old = kept.get(name)
        if old is not None and old.shape == parameter.shape:
            found[name] = old
            continue
        at = parse(name)
        said = nodes[at.node].attributes_of(at.parameter or "", len(parameter.shape)).initialiser
        chosen = resolve(said if said is not None else parameter.initialiser, after(nodes, at.node))
        found[name] = Drawn(chosen, seed, name, parameter.shape)
    return found


def after(nodes: Mapping[str, Node], name: str) -> Iterator[Layer]:
    """Yield the layers that follow a node, along the first of its children each time."""
    while True:
        children = (
            c
            for c in nodes.values()
            if any(isinstance(a, str) and _reads(a, name) for a in c.parents or ())
        )
        child = next(children, None)
        if child is None:
            return
        yield child.layer
        name = child.name


def checked(shapes: Shapes, given: Mapping[str, Any], dtype: str) -> dict[str, np.ndarray]:
    """Return read-only copies of arrays for parameters, in the dtype of the network.

    Raises:
        DescriptionError: unknown names, wrong shapes, or numbers that are not numbers; all at once.
    """
    problems, arrays = [], {}
    for name, thing in given.items():
        if name not in shapes.owned:
            problems.append(f"no parameter is named {name!r}{near(str(name), shapes.owned)}")
            continue
        array, shape = np.asarray(thing), shapes.owned[name].shape
        if array.shape != shape:
            problems.append(f"{name}: expected shape {shape}, given {array.shape}")
        elif array.dtype.kind not in "fiub":
            problems.append(f"{name}: expected numbers, given {array.dtype}")
        else:
            arrays[name] = frozen(np.array(array, dtype))
    if problems:
        raise DescriptionError("with_parameters", problems)
    return arrays


def _reads(argument: str, name: str) -> bool:
    at = parse(argument)
    return at.node == name and at.parameter is None
