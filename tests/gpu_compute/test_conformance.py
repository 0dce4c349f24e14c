"""The verification suite on the emulated device; what is slow, or the same in another dtype, only with -m slow."""

from __future__ import annotations

import pytest

from cortex import verify as networks
from cortex.compute import get_backend, verify

from .conftest import backend

DAILY = ("memory/", "host/", "update/", "report/", "random/", "determinism/", "golden/", "program/")


def is_daily(check: verify.Check) -> bool:
    """Whether a check runs by default: everything about memory and programs, and each op in float32."""
    name = check.name
    return "quick" in check.tags and (
        name.startswith(DAILY) or (name.startswith("op/") and name.endswith("/float32"))
    )


@pytest.mark.parametrize("check", [c for c in verify.checks() if is_daily(c)], ids=str)
def test_daily(check: verify.Check) -> None:
    check(get_backend("cuda-emulated"))


@pytest.mark.slow
@pytest.mark.parametrize("check", [c for c in verify.checks() if not is_daily(c)], ids=str)
def test_all(check: verify.Check) -> None:
    check(get_backend("cuda-emulated"))


@pytest.mark.slow
@pytest.mark.parametrize("check", [c for c in verify.checks() if "quick" in c.tags], ids=str)
def test_all_on_plain_kernels(plain, check: verify.Check) -> None:
    check(plain)


@pytest.fixture(scope="module")
def plain():
    """One emulated device without libraries for all checks."""
    return backend(libraries=False)


@pytest.mark.parametrize("group", ["matmul", "convolution"])
def test_products_and_convolutions_on_plain_kernels(plain, group: str) -> None:
    chosen = [c for c in verify.checks(quick=True, filter="op/") if group in c.name]
    results = verify.run(plain, checks=chosen)
    assert len(results) > 10
    assert not [r for r in results if not r.passed]


@pytest.mark.slow
@pytest.mark.parametrize("check", [c for c in networks.checks() if "slow" not in c.tags], ids=str)
def test_networks(check: verify.Check) -> None:
    check(get_backend("cuda-emulated"))


def test_a_run_allocates_nothing_without_the_stand_ins(plain) -> None:
    (check,) = [c for c in networks.checks() if c.name == "plan/the second run allocates nothing"]
    check(plain)
