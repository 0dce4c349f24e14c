"""`Input`: where a column of data enters a network."""

from __future__ import annotations

from dataclasses import dataclass

from cortex.build import Build
from cortex.compute.program import Value
from cortex.compute.spec import FLOATS, Shape, Spec
from cortex.layers.base import Base, register
from cortex.rules import COUNT, NUMBER, check, one_of, tuple_of


@register
@dataclass(frozen=True, init=False)
class Input(Base):
    """A column of examples of `shape` (the batch axis is not part of it), held as `dtype`.

    `Input(784)`, `Input(1, 28, 28)`, `Input((1, 28, 28))`; `Input()` is one number per example.
    Floats take the dtype of the network. Bytes and truth values travel as they are and become
    floats on the device; int32 and int64 are labels or indices and stay, unless `scale` or
    `offset` is given. The value is scale x + offset: `Input(1, 28, 28, dtype="uint8", scale=1 /
    255, offset=-0.5)`.
    """

    shape: Shape
    dtype: str = "float32"
    scale: float = 1.0
    offset: float = 0.0

    def __init__(
        self,
        *extents: int | Shape,
        shape: Shape | int = (),
        dtype: str = "float32",
        scale: float = 1.0,
        offset: float = 0.0,
    ) -> None:
        given = extents[0] if len(extents) == 1 and not isinstance(extents[0], int) else extents
        chosen = given if extents else (shape,) if isinstance(shape, int) else shape
        fields = {"shape": chosen, "dtype": dtype, "scale": scale, "offset": offset}
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        dtypes = one_of("float32", "float64", "uint8", "bool", "int32", "int64")
        check(self, shape=tuple_of(COUNT), dtype=dtypes, scale=NUMBER, offset=NUMBER)

    def column(self, batch: int, dtype: str = "float32") -> Spec:
        """Return the spec of the column in a program whose floats are `dtype`."""
        return Spec((batch, *self.shape), dtype if self.dtype in FLOATS else self.dtype)

    def forward(self, build: Build, x: Value) -> Value:
        """[N, *shape] of the column's dtype gives [N, *shape]."""
        plain = self.scale == 1 and self.offset == 0
        if plain and (x.dtype == build.dtype or self.dtype in ("int32", "int64")):
            return x
        return build.map(lambda v: v * self.scale + self.offset, x, dtype=build.dtype)
