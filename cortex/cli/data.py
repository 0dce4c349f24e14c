"""Data sets by name or path, held against a network before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cortex.compute.errors import DescriptionError
from cortex.datasets import CATALOGUE, Dataset, class_labels, find_non_finite, load
from cortex.training.columns import Columns, match

if TYPE_CHECKING:
    from cortex.network import Network


def open_data(
    source: str, split: str | None = None, data_dir: str | None = None, limit: int | None = None
) -> Dataset:
    """Return the data set that ships under the name `source`, or that of a .npz or .csv file.

    `split` is used where the data set has splits; `limit` keeps the first so many rows.

    Raises:
        DataError: no such data set or file, or a damaged one.
        DescriptionError: `data_dir` is given for a file, or no row is left.
    """
    options: dict[str, Any] = {}
    if source in CATALOGUE and CATALOGUE[source].splits:
        options = {"split": split or "train", **({"data_dir": data_dir} if data_dir else {})}
    elif data_dir:
        problem = f"data_dir says where the files of a data set that ships lie; {source} is none"
        raise DescriptionError("data", [problem])
    data = load(source, **options)
    if limit is not None and limit < len(data):
        data = data[:limit]
    if len(data) == 0:
        raise DescriptionError(source, ["there are no rows in it; expected at least one"])
    return data


def held_out(source: str) -> str | None:
    """Return the data set to test on where none is named: that of the test split, if there is one."""
    return source if source in CATALOGUE and "test" in CATALOGUE[source].splits else None


def fitting(
    network: Network, data: Dataset, what: str, target: Any = None, needs_target: bool = True
) -> tuple[Columns, list[str]]:
    """Return which column goes where, and remarks, after holding shapes, dtypes and values to the network.

    NaN and infinity are faults in inputs; a target that is NaN counts as missing, which is remarked.

    Raises:
        DescriptionError: lists every column that does not fit.
    """
    try:
        columns = match(tuple(network.inputs), tuple(data.columns), target, needs_target)
    except DescriptionError as error:
        has = f"the columns are {', '.join(data.columns)}"
        raise DescriptionError(what, [*error.problems, has]) from None
    problems: list[str] = []
    for name, column in columns.inputs.items():
        expected, given = network.inputs[name], data.columns[column]
        if given.shape != expected.shape:
            problems.append(
                f"column {column!r}: the input {name!r} expects {list(expected.shape)} per example, "
                f"given {list(given.shape)}"
            )
        if given.dtype.kind not in "biuf" or (given.dtype.kind == "f" and not expected.is_float):
            wanted = "numbers" if expected.is_float else expected.dtype
            problems.append(
                f"column {column!r}: the input {name!r} expects {wanted}, given {given.dtype}"
            )
    remarks: list[str] = []
    if not problems:
        problems += _values(data, columns, remarks)
        problems += _labels(network, data, columns, target)
    if problems:
        raise DescriptionError(what, problems)
    return columns, remarks


def _values(data: Dataset, columns: Columns, remarks: list[str]) -> list[str]:
    known = [c for c in columns.targets if c in data.columns]
    weight = [columns.weight] if columns.weight else []
    problems = []
    for found in find_non_finite(data, [*columns.inputs.values(), *known, *weight]):
        if found.column not in known:
            problems.append(f"{found}; replace or drop these rows")
        elif found.infinite:
            problems.append(f"{found}; a missing target is written as NaN")
        else:
            remarks.append(f"{found}: counted as missing targets")
    return problems


def _labels(network: Network, data: Dataset, columns: Columns, target: Any) -> list[str]:
    """Labels beyond the classes of the output, the common slip of counting from 1."""
    if len(network.outputs) != 1 or isinstance(target, Mapping) or not columns.targets:
        return []
    spec, column = network.specs[network.outputs[0]], columns.targets[0]
    given = data.columns.get(column)
    if (
        given is None
        or given.dtype.kind not in "iu"
        or given.shape
        or spec.rank != 1
        or spec.shape[0] < 2
    ):
        return []
    labels = class_labels(data, column)
    wrong = np.flatnonzero(labels.astype(np.int64) >= spec.shape[0])
    if not wrong.size:
        return []
    return [
        f"column {column!r}: the output {network.outputs[0]!r} has {spec.shape[0]} classes, "
        f"0 .. {spec.shape[0] - 1}, given {labels[wrong[0]]} in row {wrong[0]}"
    ]
