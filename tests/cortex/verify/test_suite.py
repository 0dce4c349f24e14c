"""The suite of networks passes on every backend that works here; nothing registered is left out of it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from cortex import layers, losses, verify
from cortex.compute import verify as compute
from cortex.optimise.optimisers import OPTIMISERS
from cortex.verify import layers as of_layers
from cortex.verify import losses as of_losses
from cortex.verify import optimisers as of_optimisers
from cortex.verify import rows

EVERY = verify.checks()
QUICK = verify.checks(quick=True)
MINUTES = [c for c in EVERY if "slow" in c.tags]


def _run(check: verify.Check, backend: Any) -> None:
    reason = check.missing(backend)
    if check in MINUTES and backend.name == "numpy":
        reason = "the reference takes a third of an hour for all of MNIST"
    if reason:
        pytest.skip(reason)
    check(backend)


@pytest.mark.parametrize("check", QUICK, ids=str)
def test_quick(cortex_backend: Any, check: verify.Check) -> None:
    _run(check, cortex_backend)


@pytest.mark.slow
@pytest.mark.parametrize("check", [c for c in EVERY if "quick" not in c.tags], ids=str)
def test_full(cortex_backend: Any, check: verify.Check) -> None:
    _run(check, cortex_backend)


def test_names_differ_and_the_quick_suite_is_a_part() -> None:
    names = [c.name for c in [*compute.checks(), *EVERY]]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z ]+/.+", n) for n in names)
    assert len(QUICK) < len(EVERY)
    assert [c.name for c in MINUTES] == ["digits/lenet of all"]
    assert not any("quick" in c.tags for c in MINUTES)


@pytest.mark.parametrize("module", [of_layers, of_losses, of_optimisers], ids=lambda m: m.__name__)
def test_everything_registered_has_a_row(module: Any) -> None:
    assert module.uncovered() == []


@pytest.mark.parametrize(
    ("module", "types", "name"),
    [
        (of_layers, layers.TYPES, "Linear"),
        (of_losses, losses.LOSSES.types, "Huber"),
        (of_optimisers, OPTIMISERS.types, "Adam"),
    ],
)
def test_a_type_without_a_row_is_found(
    module: Any, types: dict[str, type], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        types, "Unheard", type("Unheard", (), {"__module__": types[name].__module__})
    )
    assert module.uncovered() == ["Unheard"]
    monkeypatch.delitem(types, "Unheard")
    monkeypatch.setattr(
        module,
        "ROWS",
        [r for r in module.ROWS if name not in str(getattr(r, "layer", getattr(r, "loss", r)))],
    )
    assert name in module.uncovered()


def test_each_layer_has_all_its_checks() -> None:
    """Five kinds of checks a row; only a column of bytes has nothing to differentiate."""
    kinds = (
        "data and shapes",
        "float32",
        "float64",
        "gradient",
        "step in float32",
        "step in float64",
    )
    names = {c.name for c in EVERY}
    for row in rows.ROWS:
        lacks = [k for k in kinds if f"layer/{row.name}/{k}" not in names]
        bytes_ = isinstance(row.layer, layers.Input) and row.dtype != "float32"
        assert lacks == (["gradient"] if bytes_ else []), row.name


def test_run_joins_both_suites() -> None:
    seen = []
    results = verify.run(
        "numpy", quick=True, filter="update/", progress=lambda r, k, n: seen.append((k, n))
    )
    results += verify.run("numpy", filter="golden optimiser/")
    assert all(r.passed for r in results) and seen[-1][0] == seen[-1][1]
    assert {r.name.split("/")[0] for r in results} == {"update", "golden optimiser"}
    with pytest.raises(ValueError, match="no check's name contains 'layr/'; did you mean 'layer'"):
        verify.checks(filter="layr/")


def test_rows_of_your_own() -> None:
    """A third party's layer, loss and optimiser are proved by the same checks."""
    mine = [
        *of_layers.checks_of([rows.Row(layers.Linear(2, bias=False), ((3,),))]),
        *of_losses.checks_of([of_losses.Row(losses.Huber(2.0), (2,))]),
        *of_optimisers.checks_of([of_optimisers.Sgd(0.01)]),
    ]
    results = compute.run("numpy", checks=mine)
    assert len(results) == 6 + 4 + 2 and all(r.passed for r in results)
