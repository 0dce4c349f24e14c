"""Layers made of layers: they nest; parameters are named `linear1.weights`, and so on."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Series
from dataclasses import dataclass, replace
from typing import ClassVar

from cortex.build import Build
from cortex.compute import ops
from cortex.compute.errors import ShapeError
from cortex.compute.ops.reduce import mean
from cortex.compute.program import Value
from cortex.compute.spec import Spec
from cortex.initialisers import resolve
from cortex.layers.base import LAYER, Base, numbered, output_specs, outputs_of, register
from cortex.protocols import Layer, Parameter
from cortex.rules import NONE, NOT_NEGATIVE, check, either, tuple_of

Parameters = Mapping[str, Parameter]
LAYERS = tuple_of(LAYER, least=1)


@register
@dataclass(frozen=True)
class Sequence(Base):
    """Layers one after the other, as one; several outputs of one are the inputs of the next."""

    layers: Series[Layer]
    several: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check(self, layers=LAYERS)

    @property
    def rectifies(self) -> bool | None:  # type: ignore[override]
        """What the first layer says that has a say."""
        said = (getattr(layer, "rectifies", None) for layer in self.layers)
        return next((r for r in said if r is not None), None)

    def parameters(self, *inputs: Spec) -> Parameters:
        """Those of the layers; an open choice of initialiser is made where a layer decides it."""
        found: dict[str, Parameter] = {}
        specs: tuple[Spec, ...] = inputs
        for place, (name, layer) in enumerate(zip(numbered(self.layers), self.layers, strict=True)):
            own = layer.parameters(*specs)
            behind = self.layers[place + 1 :]
            decided = any(getattr(b, "rectifies", None) is not None for b in behind)
            for word, p in own.items():
                chosen = resolve(p.initialiser, behind) if decided else p.initialiser
                found[f"{name}.{word}"] = replace(p, initialiser=chosen)
            if behind:
                specs = output_specs(layer, specs, own)
        return found

    def forward(
        self, build: Build, *inputs: Value, **parameters: Value
    ) -> Value | tuple[Value, ...]:
        """The output or outputs of the last layer."""
        values = inputs
        for name, layer in zip(numbered(self.layers), self.layers, strict=True):
            values = outputs_of(run_inside(build, name, layer, values, parameters))
        return values if len(values) > 1 else values[0]


@register
@dataclass(frozen=True)
class Branches(Base):
    """Layers beside each other: each gets the inputs; the outputs of all come in their order."""

    layers: Series[Layer]
    several: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check(self, layers=LAYERS)

    def parameters(self, *inputs: Spec) -> Parameters:
        """Those of the layers."""
        pairs = zip(numbered(self.layers), self.layers, strict=True)
        return {f"{n}.{w}": p for n, b in pairs for w, p in b.parameters(*inputs).items()}

    def forward(self, build: Build, *inputs: Value, **parameters: Value) -> tuple[Value, ...]:
        """One output for each layer."""
        outputs: list[Value] = []
        for name, layer in zip(numbered(self.layers), self.layers, strict=True):
            outputs += outputs_of(run_inside(build, name, layer, inputs, parameters))
        return tuple(outputs)


@register
@dataclass(frozen=True)
class Residual(Base):
    """y = shortcut(x) + the layers of x one after the other; without a shortcut, x itself is added.

    He et al. 2016, equations 1 and 2. Parameters: `body.<layer>.<name>` and `shortcut.<name>`.
    """

    layers: Series[Layer]
    shortcut: Layer | None = None

    def __post_init__(self) -> None:
        check(self, layers=LAYERS, shortcut=either(LAYER, NONE))

    @property
    def rectifies(self) -> bool | None:  # type: ignore[override]
        """What the first layer says that has a say."""
        return Sequence(self.layers).rectifies

    def parameters(self, *inputs: Spec) -> Parameters:
        """Those of the layers and of the shortcut."""
        x = self.one(inputs)
        found = {f"body.{n}": p for n, p in Sequence(self.layers).parameters(x).items()}
        if self.shortcut is not None:
            found |= {f"shortcut.{n}": p for n, p in self.shortcut.parameters(x).items()}
        return found

    def forward(self, build: Build, x: Value, **parameters: Value) -> Value:
        """The shape that layers and shortcut have in common."""
        body = run_inside(build, "body", Sequence(self.layers), (x,), parameters)
        past = x
        if self.shortcut is not None:
            (past,) = outputs_of(run_inside(build, "shortcut", self.shortcut, (x,), parameters))
        if isinstance(body, tuple) or body.spec != past.spec:
            given = ", ".join(str(v.spec) for v in outputs_of(body))
            raise ShapeError(
                f"Residual: the layers give {given}, the shortcut {past.spec}, expected the same; "
                "give a shortcut that changes the shape, such as a Convolution with kernel 1"
            )
        return past + body


@register
@dataclass(frozen=True)
class Autoencoder(Base):
    """y = up(x); training adds the penalty `factor` times the mean of (down(y) - x)^2.

    The reconstruction gradient is added to that from above and reaches x through `up` alone: as
    the target, x is a constant. Parameters: `up.<name>` and `down.<name>`. Bengio et al. 2007,
    section 2.3.
    """

    up: Layer
    down: Layer
    factor: float = 1.0

    def __post_init__(self) -> None:
        check(self, up=LAYER, down=LAYER, factor=NOT_NEGATIVE)

    @property
    def rectifies(self) -> bool | None:  # type: ignore[override]
        """What `up` says."""
        return getattr(self.up, "rectifies", None)

    def parameters(self, *inputs: Spec) -> Parameters:
        """Those of `up` and of `down`; raise `ShapeError` where down(up(x)) is not like x."""
        x = self.one(inputs)
        up = self.up.parameters(x)
        code = output_specs(self.up, (x,), up)
        down = self.down.parameters(*code)
        back = output_specs(self.down, code, down)
        if back != (x,):
            given = ", ".join(map(str, back))
            raise ShapeError(f"Autoencoder: `down` must give back the input {x}, given {given}")
        pairs = (("up", up), ("down", down))
        return {f"{name}.{word}": p for name, own in pairs for word, p in own.items()}

    def forward(self, build: Build, x: Value, **parameters: Value) -> Value | tuple[Value, ...]:
        """What `up` gives."""
        code = run_inside(build, "up", self.up, (x,), parameters)
        if build.training and self.factor:
            (back,) = outputs_of(run_inside(build, "down", self.down, outputs_of(code), parameters))
            target = build.apply(ops.StopGradient(), x)
            error = build.map(lambda r, t: self.factor * ((r - t) * (r - t)), back, target)
            build.penalty(mean(build.program, error))
        return code


def run_inside(
    build: Build, name: str, layer: Layer, inputs: Series[Value], parameters: Mapping[str, Value]
) -> Value | tuple[Value, ...]:
    """Record the layer `name` inside another, with the parameters that begin with its name."""
    start = f"{name}."
    own = {n.removeprefix(start): v for n, v in parameters.items() if n.startswith(start)}
    with build.program.scope(name):
        return layer.forward(build, *inputs, **own)
