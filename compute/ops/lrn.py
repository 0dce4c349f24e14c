"""Local response normalisation across channels."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import ShapeError
from ..program import Cotangents, Op, Program, Value, Values
from ..spec import Spec
from .checks import need_float
from .pool import Pool, PoolGradient
from .reduce import reshape_to
from .window import Window


@dataclass(frozen=True)
class LocalResponseNormalisation(Op):
    """y = x / (k + alpha / n sum of x^2)^beta, x [N, C, *S], the sum over n = `size` channels.

    The window of channel i begins floor((n - 1) / 2) channels before i; channels outside count as
    0. Krizhevsky, Sutskever and Hinton 2012, section 3.3 (there without the division by n).
    """

    size: int
    k: float
    alpha: float
    beta: float

    def infer(self, x: Spec) -> tuple[Spec, ...]:  # type: ignore[override]
        """The spec stays."""
        name = "LocalResponseNormalisation"
        need_float(name, x)
        if self.size < 1:
            raise ShapeError(f"{name}: the window needs at least 1 channel, given {self.size}")
        if x.rank < 2:
            raise ShapeError(f"{name}: expected x [batch, channels, ...], given {x}")
        return (x,)

    def decompose(self, build: Program, x: Value) -> tuple[Value, ...]:  # type: ignore[override]
        """The mean of squares is an average pool along the channels that counts its padding."""
        return (build.map(lambda x, s: x * s**-self.beta, x, self._base(build, x)),)

    def gradient(
        self, build: Program, inputs: Values, outputs: Values, cotangents: Cotangents
    ) -> Cotangents:
        """dx = c s^-beta - 2 alpha beta / n x times the sum of c y / s.

        With s the base. The sum runs over the windows that see x: the *reversed* window of the
        forward pass; the two differ for an even size.
        """
        x, y, c = inputs[0], outputs[0], cotangents[0]
        if c is None:
            return (None,)
        s = self._base(build, x)
        seen = build.map(lambda c, y, s: c * y / s, c, y, s)
        op = PoolGradient("average", self._window, self._planes(x)[2:], count_padding=True)
        back = build.apply(op, reshape_to(build, seen, self._planes(x)))
        return (
            build.map(
                lambda x, c, s, t: c * s**-self.beta - 2 * self.alpha * self.beta * x * t,
                *(x, c, s, reshape_to(build, back, x.shape)),
            ),
        )

    @property
    def _window(self) -> Window:
        before = (self.size - 1) // 2
        return Window.of((self.size, 1), 1, ((before, self.size - 1 - before), (0, 0)))

    @staticmethod
    def _planes(x: Value) -> tuple[int, int, int, int]:
        return x.shape[0], 1, x.shape[1], math.prod(x.shape[2:])

    def _base(self, build: Program, x: Value) -> Value:
        """Return k + alpha / n times the windowed sum of squares."""
        squares = reshape_to(build, x * x, self._planes(x))
        means = build.apply(Pool("average", self._window, count_padding=True), squares)
        return reshape_to(build, means, x.shape) * self.alpha + self.k
