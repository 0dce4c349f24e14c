"""Backends by name: availability, messages, the default."""

from __future__ import annotations

import pytest

from cortex.compute import BackendError, availability, get_backend, registry, use_backend
from cortex.compute.numpy_backend import NumpyBackend


def test_numpy_always_works() -> None:
    state = availability("numpy")
    assert state.works and "NumPy" in state.reason
    assert get_backend("numpy").name == "numpy"
    assert get_backend("numpy") is get_backend("numpy")


def test_a_backend_object_is_taken_as_it_is() -> None:
    mine = NumpyBackend()
    assert get_backend(mine) is mine


def test_a_typo_is_met_with_the_nearest_name() -> None:
    for function in (availability, get_backend):
        with pytest.raises(
            BackendError, match=r"no backend is named 'nunpy'; did you mean 'numpy'\?"
        ):
            function("nunpy")
    with pytest.raises(BackendError, match="no backend is named 'xyz'; known: .*numpy"):
        get_backend("xyz")


def test_auto_takes_the_first_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    order = registry.names()
    assert order[-2:] == ("numpy", "cuda-emulated") and "cpu" in order
    first = next(n for n in order if availability(n).works)
    assert get_backend("auto").name == get_backend(None).name == first
    monkeypatch.setattr(registry, "names", lambda: ("broken", "numpy"))
    monkeypatch.setitem(registry.BUILT_IN, "broken", "no_such_module_at_all:Backend")
    assert get_backend("auto").name == "numpy"


def test_a_broken_backend_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.BUILT_IN, "broken", "no_such_module_at_all:Backend")
    state = availability("broken")
    assert not state.works and "ModuleNotFoundError" in state.reason
    with pytest.raises(
        BackendError, match=r"'broken' is not available: ModuleNotFoundError.*`cortex info`"
    ):
        get_backend("broken")


def test_use_backend_restores_the_default() -> None:
    before = get_backend().name
    with use_backend("numpy") as backend:
        assert get_backend() is backend and backend.name == "numpy"
    assert get_backend().name == before
    with pytest.raises(BackendError), use_backend("xyz"):
        raise AssertionError("never reached")
    assert get_backend().name == before


def test_a_default_may_carry_options() -> None:
    with use_backend("cpu:exact") as backend:
        assert get_backend() is backend is get_backend("cpu", exact=True)
        assert get_backend().name == "cpu:exact"
    with use_backend("cpu"):
        assert get_backend(exact=True).name == "cpu:exact"


def test_an_error_inside_the_block_restores_too() -> None:
    before = registry._default.get()
    with pytest.raises(RuntimeError, match="inside"), use_backend("numpy"):
        raise RuntimeError("inside")
    assert registry._default.get() == before
