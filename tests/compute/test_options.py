"""Options of backends: written behind a name, given as keywords, and everywhere a name is taken."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.compute import BackendError, availability, get_backend, options, registry
from cortex.compute.numpy_backend import NumpyBackend
from cortex.compute.verify import plugin


@dataclass(frozen=True)
class Options:
    """Those of a backend of somebody else, one of each kind."""

    loud: bool = options.option(False, "say what is done")
    safe: bool = options.option(True, "look twice")
    depth: int = options.option(3, "how deep")
    mode: str = options.option("plain", "in which way")

    def __post_init__(self) -> None:
        if self.mode == "broken":
            raise BackendError("mode: broken is not built yet")


class Theirs(NumpyBackend):
    def __init__(self, **given: Any) -> None:
        self.options = Options(**given)
        self.name = options.full_name("theirs", self.options)


@pytest.fixture(autouse=True)
def theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registered backend whose module declares options."""
    module = ModuleType("their_backend")
    module.Options, module.Theirs = Options, Theirs  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "their_backend", module)
    monkeypatch.setitem(registry.BUILT_IN, "theirs", "their_backend:Theirs")
    monkeypatch.setattr(registry, "_made", {})


@pytest.mark.parametrize(
    ("text", "keywords", "name"),
    [
        ("theirs", {}, "theirs"),
        ("theirs:", {}, "theirs"),
        ("theirs:loud", {}, "theirs:loud"),
        ("theirs: safe = FALSE , loud", {}, "theirs:loud,safe=false"),
        ("theirs:mode=odd,depth=-2,loud=true", {}, "theirs:depth=-2,loud,mode=odd"),
        ("theirs:loud=false,safe,depth=3,mode=plain", {}, "theirs"),
        ("theirs:loud", {"depth": 4}, "theirs:depth=4,loud"),
    ],
)
def test_names_are_normalised_and_made_once(text: str, keywords: dict, name: str) -> None:
    backend = get_backend(text, **keywords)
    assert backend.name == name
    assert backend is get_backend(name) is get_backend(text, **keywords)
    assert (backend is get_backend("theirs")) == (name == "theirs")


@given(st.booleans(), st.booleans(), st.integers(), st.text("abc_.-", min_size=1))
def test_a_name_says_everything(loud: bool, safe: bool, depth: int, mode: str) -> None:
    said = Options(loud, safe, depth, mode)
    name, written = options.split(options.full_name("theirs", said))
    found = options.checked(name, Options, written, {})
    assert name == "theirs" and Options(**found) == said
    assert options.full_name("theirs", found) == options.full_name("theirs", said)


ALL = r" \(options: loud=false, safe=true, depth=3, mode=plain\)$"


@pytest.mark.parametrize(
    ("text", "keywords", "message"),
    [
        ("theirs:lod", {}, "there is no option 'lod'; did you mean 'loud'\\?" + ALL),
        ("theirs", {"lod": 1}, "there is no option 'lod'; did you mean 'loud'\\?" + ALL),
        ("theirs:xyz=1", {}, "there is no option 'xyz'" + ALL),
        ("theirs:loud=yes", {}, "loud: expected true or false, given 'yes'" + ALL),
        ("theirs", {"loud": "true"}, "loud: expected true or false, given 'true'" + ALL),
        ("theirs", {"loud": 1}, "loud: expected true or false, given 1" + ALL),
        ("theirs:depth=2.5", {}, "depth: expected an integer, given '2.5'" + ALL),
        ("theirs:depth", {}, "depth: expected an integer, given True" + ALL),
        ("theirs", {"depth": "4"}, "depth: expected an integer, given '4'" + ALL),
        ("theirs:mode", {}, "mode: expected a word, given True" + ALL),
        ("theirs:loud,loud=false", {}, "the option 'loud' is given twice" + ALL),
        ("theirs:loud", {"loud": True}, "the option 'loud' is given twice" + ALL),
        ("theirs:mode=broken", {}, "mode: broken is not built yet" + ALL),
        ("numpy:exact", {}, r"there is no option 'exact' \(options: none\)$"),
        ("cpu:exat", {}, r"'exat'; did you mean 'exact'\? \(options: exact=false\)$"),
        ("cuda-emulated:precision=tf23", {}, r"'tf23'; did you mean 'tf32'\? \(options: prec.*\)$"),
    ],
)
def test_what_does_not_fit_is_said_with_the_options(
    text: str, keywords: dict, message: str
) -> None:
    with pytest.raises(BackendError, match=f"^backend '{text.partition(':')[0]}': .*{message}"):
        get_backend(text, **keywords)


def test_auto_takes_no_options() -> None:
    for text, keywords in (("auto:exact", {}), ("auto", {"exact": True}), (None, {"exact": True})):
        with pytest.raises(BackendError, match="'auto' takes no options.* such as 'cpu:exact'"):
            get_backend(text, **keywords)


def test_a_backend_that_is_made_takes_no_options() -> None:
    with pytest.raises(BackendError, match="options go with a name; the backend 'numpy' is made"):
        get_backend(NumpyBackend(), exact=True)


def test_options_are_data() -> None:
    found = availability("theirs").options
    assert [(o.name, o.default, o.meaning) for o in found] == [
        ("loud", False, "say what is done"),
        ("safe", True, "look twice"),
        ("depth", 3, "how deep"),
        ("mode", "plain", "in which way"),
    ]
    assert availability("numpy").options == ()
    for name in ("cpu", "cuda", "cuda-emulated"):
        assert availability(name).options and all(o.meaning for o in availability(name).options)


def test_options_are_known_where_the_backend_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """A typo is found on a machine without the device."""
    monkeypatch.setattr(
        sys.modules["their_backend"], "available", lambda: (False, "no device"), raising=False
    )
    with pytest.raises(BackendError, match="did you mean 'loud'"):
        get_backend("theirs:lod")
    with pytest.raises(BackendError, match="'theirs' is not available: no device"):
        get_backend("theirs:loud")


def test_lists_of_the_plugin() -> None:
    names = plugin.backend_names("cpu:exact,theirs:depth=2,loud, numpy,theirs:loud")
    assert names == ["cpu:exact", "theirs:depth=2,loud", "numpy", "theirs:loud"]
    assert [plugin.make(n).name for n in names] == names
    with pytest.raises(pytest.UsageError, match="no option 'nunpy'.*; no backend is named 'nunpy'"):
        plugin.backend_names("cpu:exact,nunpy,numpy,nunpy")
    with pytest.raises(pytest.UsageError, match="cpuu:exact: .*did you mean 'cpu'"):
        plugin.backend_names("cpuu:exact")
