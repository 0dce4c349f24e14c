"""Scaling of features: values that are fitted once, stored as JSON and applied both ways."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import DataError, report, unknown
from .protocol import Array

Statistic = NDArray[np.float64]
PER = ("element", "channel", "all")
CHUNK = 4096  # rows in hand at a time, so that a memory-mapped column is never read as a whole


class _Scaling(ABC):
    """An affine map of examples, (x - offset) / unit * span + low, and its inverse."""

    name: ClassVar[str]

    @abstractmethod
    def _terms(self) -> tuple[Statistic, Statistic, float, float]:
        """offset, unit (> 0), span, low."""

    def transform(self, values: ArrayLike) -> Array:
        """Scaled examples [n, ...]; float64 stays float64, all else becomes float32."""
        array = self._checked(values)
        offset, unit, span, low = self._terms()
        dtype = np.float64 if array.dtype == np.float64 else np.float32
        return ((array - offset) / unit * span + low).astype(dtype, copy=False)

    def inverse(self, values: ArrayLike) -> Array:
        """The examples [n, ...] whose transform is `values`, in the same dtypes as `transform`."""
        array = self._checked(values)
        offset, unit, span, low = self._terms()
        dtype = np.float64 if array.dtype == np.float64 else np.float32
        return ((array - low) / span * unit + offset).astype(dtype, copy=False)

    def to_data(self) -> dict[str, Any]:
        """The scaling as numbers, lists and strings; `scaling_from_data` gives it back exactly."""
        values = {field.name: getattr(self, field.name) for field in _fields(type(self))}
        return {"type": self.name} | {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in values.items()
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The scaling that `to_data` described; DataError with all that is wrong with `data`."""
        known = [field.name for field in _fields(cls)]
        problems = [] if data.get("type") == cls.name else [f"type is {data.get('type')!r}"]
        problems += [unknown("entry", key, known) for key in data if key not in ("type", *known)]
        problems += [f"entry {key!r} is missing" for key in known if key not in data]
        values: dict[str, Statistic] = {}
        for key in (key for key in known if key in data):
            try:
                values[key] = _frozen(np.asarray(data[key], np.float64))
            except (TypeError, ValueError):
                problems.append(f"entry {key!r} holds no numbers: {data[key]!r}")
                continue
            if not np.isfinite(values[key]).all():
                problems.append(f"entry {key!r} holds NaN or infinity")
        shapes = {key: values[key].shape for key in known[:2] if key in values}
        if len(set(shapes.values())) > 1:
            problems.append(f"entries {' and '.join(shapes)} have different shapes")
        problems += [
            f"entry {key!r} must be one number" for key in known[2:] if np.ndim(values.get(key, 0))
        ]
        if problems:
            raise report(f"from_data of a {cls.name} scaling", problems)
        scalars = {key: float(values[key]) for key in known[2:]}
        return cls(**values | scalars)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Scaling) and self.to_data() == other.to_data()

    def __hash__(self) -> int:
        return hash(repr(self.to_data()))

    def _checked(self, values: ArrayLike) -> Array:
        array, shape = np.asarray(values), self._terms()[0].shape
        if shape and (
            array.ndim != len(shape) + 1
            or any(
                known not in (1, size) for known, size in zip(shape, array.shape[1:], strict=True)
            )
        ):
            raise DataError(
                f"{self.name}: fitted to examples of shape {list(shape)} (1 fits any size), "
                f"given an array of shape {list(array.shape)}"
            )
        return array


@dataclass(frozen=True, eq=False)
class Standardise(_Scaling):
    """To mean 0 and deviation 1: (x - mean) / deviation, the deviation over n - 1 examples.

    A feature that is constant (deviation 0) becomes 0. Fields are float64 of the shape of one
    example, of [c, 1, ...] per channel, or scalars.
    """

    mean: Statistic
    deviation: Statistic
    name: ClassVar[str] = "standardise"

    @classmethod
    def fit(cls, values: ArrayLike | Iterator[Array], per: str = "element") -> Self:
        """Mean and deviation of examples [n, ...], given as an array or an iterator of batches.

        `per` "element" of an example, "channel" (its first axis) or over "all" values. Merging of
        chunks: Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing
        sample variances", 1979. Raises DataError for fewer than 2 values or for NaN or infinity.
        """
        count, first, mean, squares = 0, np.zeros(()), np.zeros(()), np.zeros(())
        for chunk, axes in _chunks("Standardise.fit", values, per):
            if count == 0:
                kept = (slice(1 if axis in axes else None) for axis in range(chunk.ndim))
                first = chunk[tuple(kept)]
            chunk = chunk - first  # of a constant exactly nothing is left, whatever its rounding
            centre = chunk.mean(axes, keepdims=True)
            size = chunk.size // centre.size
            delta = centre - mean
            squares = squares + ((chunk - centre) ** 2).sum(axes, keepdims=True)
            squares = squares + delta**2 * (count * size / (count + size))
            mean = mean + delta * (size / (count + size))
            count += size
        if count < 2:
            raise DataError(f"Standardise.fit needs at least 2 examples (n - 1), got {count}")
        mean, deviation = (first + mean)[0], np.sqrt(squares / (count - 1))[0]
        return cls(_fixed(mean, per), _fixed(deviation, per))

    def _terms(self) -> tuple[Statistic, Statistic, float, float]:
        return self.mean, np.where(self.deviation > 0, self.deviation, 1.0), 1.0, 0.0


@dataclass(frozen=True, eq=False)
class MinMax(_Scaling):
    """To the range low .. high: low + (x - minimum) / (maximum - minimum) * (high - low).

    A feature that is constant becomes `low`. Fields as in `Standardise`; values beyond the fitted
    range go beyond low and high.
    """

    minimum: Statistic
    maximum: Statistic
    low: float = 0.0
    high: float = 1.0
    name: ClassVar[str] = "min-max"

    @classmethod
    def fit(
        cls,
        values: ArrayLike | Iterator[Array],
        low: float = 0.0,
        high: float = 1.0,
        per: str = "element",
    ) -> Self:
        """Least and greatest value of examples [n, ...]; arguments as in `Standardise.fit`.

        Raises DataError for low >= high, for no examples, and for NaN or infinity.
        """
        if not low < high:
            raise DataError(f"MinMax.fit: low must be below high, got {low} and {high}")
        minimum, maximum = np.asarray(np.inf), np.asarray(-np.inf)
        for chunk, axes in _chunks("MinMax.fit", values, per):
            minimum = np.minimum(minimum, chunk.min(axes, keepdims=True)[0])
            maximum = np.maximum(maximum, chunk.max(axes, keepdims=True)[0])
        if not np.isfinite(minimum).all():
            raise DataError("MinMax.fit needs at least 1 example, got 0")
        return cls(_fixed(minimum, per), _fixed(maximum, per), float(low), float(high))

    def _terms(self) -> tuple[Statistic, Statistic, float, float]:
        unit = self.maximum - self.minimum
        return self.minimum, np.where(unit > 0, unit, 1.0), self.high - self.low, self.low


SCALINGS: dict[str, type[Standardise] | type[MinMax]] = {
    kind.name: kind for kind in (Standardise, MinMax)
}


def scaling_from_data(data: Mapping[str, Any]) -> Standardise | MinMax:
    """The scaling that `to_data` described; DataError with all that is wrong with `data`."""
    name = data.get("type")
    if name not in SCALINGS:
        raise DataError(f"scaling_from_data: {unknown('type', name, SCALINGS)}")
    return SCALINGS[name].from_data(data)


def _fields(kind: Any) -> tuple[Field[Any], ...]:
    """The fields of a scaling: two statistics of the same shape, then single numbers."""
    return fields(kind)


def _chunks(
    operation: str, values: ArrayLike | Iterator[Array], per: str
) -> Iterator[tuple[Array, tuple[int, ...]]]:
    """Pieces of the examples as float64, with the axes over which to reduce them."""
    if per not in PER:
        raise DataError(f"{operation}: {unknown('per', per, PER)}")
    if isinstance(values, Iterator):
        pieces: Iterator[Array] = (np.asarray(piece) for piece in values)
    else:
        array = np.asarray(values)
        starts = range(0, len(array) if array.ndim else 0, CHUNK)
        pieces = (array[start : start + CHUNK] for start in starts)
    row = 0
    for piece in pieces:
        if piece.dtype.kind not in "biuf":
            raise DataError(f"{operation} needs real numbers, got {piece.dtype}")
        if per == "channel" and piece.ndim < 2:
            raise DataError(f"{operation}: examples of shape [] have no channel axis")
        chunk = piece.astype(np.float64)
        finite = np.isfinite(chunk)
        if not finite.all():
            first = row + int(np.flatnonzero(~finite.reshape(len(chunk), -1).all(1))[0])
            raise DataError(
                f"{operation}: row {first} holds NaN or infinity; see check_finite for a report"
            )
        row += len(chunk)
        if chunk.size:
            axes = range(chunk.ndim)
            yield chunk, {"element": (0,), "channel": (0, *axes[2:]), "all": tuple(axes)}[per]


def _fixed(statistic: Array, per: str) -> Statistic:
    """A statistic as a read-only array, a scalar for all values together."""
    return _frozen(statistic.reshape(()) if per == "all" else statistic)


def _frozen(array: Array) -> Statistic:
    fixed = np.array(array, np.float64)
    fixed.flags.writeable = False
    return fixed
