"""What `cortex info` collects, and what it says when something is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortex import info
from cortex.compute import registry


def asked(**environment: str) -> dict[str, Any]:
    """`collect()` in a fresh process, where nothing has chosen threads or engine yet."""
    variables = {k: v for k, v in os.environ.items() if k not in info.VARIABLES}
    code = "import json; from cortex import info; print(json.dumps(info.collect()))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**variables, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_registered_backend_is_there_with_its_reason() -> None:
    found = {b["name"]: b for b in info.backends()}
    assert set(registry.names()) <= set(found)
    for name in registry.names():
        state = registry.availability(name)
        assert (found[name]["works"], found[name]["reason"]) == (state.works, state.reason)
    assert [b["name"] for b in found.values() if b["default"]] == [
        registry.get_backend("auto").name
    ]


def test_a_backend_that_cannot_be_imported_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.BUILT_IN, "broken", "no_such_module:Backend")
    found = {b["name"]: b for b in info.backends()}["broken"]
    assert not found["works"] and "No module named 'no_such_module'" in found["reason"]


def test_an_expected_backend_that_nothing_brings_is_named() -> None:
    found = {b["name"]: b for b in info.backends()}
    assert set(registry.PREFERENCE) <= set(found)
    for name in set(registry.PREFERENCE) - set(registry.names()):
        assert found[name]["reason"] == "no package that is installed here brings this backend"


def test_without_the_native_engine_the_reason_is_given() -> None:
    found = asked(CORTEX_NATIVE="0")
    assert found["engine"]["native"] is False
    assert found["engine"]["name"] == "fallback: switched off by CORTEX_NATIVE=0"
    assert found["environment"] == {"CORTEX_NATIVE": "0"}
    assert "fallback: switched off" in info.text(found)


@pytest.mark.parametrize(
    ("variables", "count", "source"),
    [
        ({"CORTEX_NUM_THREADS": "3", "OMP_NUM_THREADS": "2"}, 3, "CORTEX_NUM_THREADS"),
        ({"OMP_NUM_THREADS": "2,1"}, 2, "OMP_NUM_THREADS"),
        ({}, None, "the cores this process may use"),
    ],
)
def test_threads_say_where_the_number_comes_from(
    variables: dict[str, str], count: int | None, source: str
) -> None:
    found = asked(**variables)
    if not found["engine"]["native"]:
        pytest.skip("the native engine is not built")
    assert found["threads"]["source"] == source
    assert found["threads"]["count"] == (count or found["machine"]["cores_usable"])


def test_nonsense_in_the_environment_is_said_not_raised() -> None:
    found = asked(CORTEX_ISA="sse", CORTEX_NUM_THREADS="many")
    if not found["engine"]["native"]:
        pytest.skip("the native engine is not built")
    assert "CORTEX_ISA must be" in found["engine"]["name"]
    assert (
        found["threads"]["count"] is None
        and "CORTEX_NUM_THREADS must be" in found["threads"]["source"]
    )


def test_the_cache_is_where_the_environment_says() -> None:
    found = asked(CORTEX_CACHE_DIR="elsewhere")
    assert Path(found["cache"]).parts == ("elsewhere", "maps") and "elsewhere" in info.text(found)


def test_a_lower_instruction_set_is_reported() -> None:
    found = asked(CORTEX_ISA="base")
    if not found["engine"]["native"]:
        pytest.skip("the native engine is not built")
    assert found["engine"]["instruction_set"] == "base" and found["engine"]["name"] == "native:base"
    assert "base" in found["engine"]["available"] and found["engine"]["compiler"]


def test_versions_are_those_of_the_packages() -> None:
    found = info.versions()
    assert found["numpy"] == np.__version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert set(info.PACKAGES) < set(found)


def test_versions_import_nothing_heavy() -> None:
    code = "import sys; from cortex import info; info.collect(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert not {"numba", "h5py", "matplotlib", "sklearn", "rich"} & set(done.stdout.split())


def test_the_text_says_everything() -> None:
    found = info.collect()
    text = info.text(found)
    json.dumps(found)
    for word in (
        found["engine"]["name"],
        found["blas"],
        found["machine"]["system"],
        found["threads"]["source"],
    ):
        assert word in text
    for backend in found["backends"]:
        assert backend["reason"] in text


def test_missing_facts_are_unknown_not_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    found = info.collect()
    found["machine"] |= {"memory": None, "processor": None}
    found["versions"]["numba"] = None
    text = info.text(found)
    assert text.count("unknown") >= 2 and "not installed" in text
    monkeypatch.setattr(np, "show_config", lambda mode: {})
    assert info.blas() == "unknown"


def test_peak_memory_is_at_least_what_is_held() -> None:
    before = info.peak_memory()
    if before is None:
        pytest.skip("the system does not say")
    held = np.ones(64 << 20, np.uint8)
    after = info.peak_memory()
    assert after is not None and after >= held.nbytes
