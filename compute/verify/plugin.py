"""The pytest plugin: `--backend=numpy,cpu` and the fixture `cortex_backend`.

An installed cortex announces it to pytest itself, in other projects too: hence the long name of the fixture. A test
that takes it runs once on each backend named by the option, or on every backend that works here. Third parties name a
registered backend (`--backend=mine`) or a class that is not registered (`--backend=package.module:Class`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ..backend import Backend


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option `--backend`."""
    parser.getgroup("cortex").addoption(
        "--backend",
        metavar="NAMES",
        default="",
        help="backends for tests that take the fixture `cortex_backend`, separated by commas: registered "
        "names or package.module:Class (default: every backend that works here, stand-ins left out)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse names that do not work before any test is collected."""
    if option := config.getoption("--backend"):
        backend_names(option)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes `cortex_backend` once on each of them."""
    if "cortex_backend" in metafunc.fixturenames:
        names = backend_names(metafunc.config.getoption("--backend"))
        metafunc.parametrize("cortex_backend", names, indirect=True, scope="session")


@pytest.fixture(scope="session")
def cortex_backend(request: pytest.FixtureRequest) -> Backend:
    """A backend of those that `--backend` names."""
    found: Backend = make(request.param)
    return found


def backend_names(option: str) -> list[str]:
    """Return the names in a comma-separated option, all of which work, or every one that works here.

    Raises:
        pytest.UsageError: a name is unknown, or its backend does not work here; all are listed.
    """
    from ..errors import BackendError
    from ..registry import STAND_INS, availability, names

    if not option.strip():
        return [n for n in names() if n not in STAND_INS and availability(n).works]
    chosen = list(dict.fromkeys(n.strip() for n in option.split(",") if n.strip()))
    problems = []
    for name in chosen:
        try:
            if ":" in name:
                make(name)
            elif not (state := availability(name)).works:
                problems.append(f"backend {name!r} does not work here: {state.reason}")
        except (BackendError, ImportError, AttributeError) as error:
            problems.append(f"{name}: {error}" if ":" in name else str(error))
    if problems:
        raise pytest.UsageError("--backend: " + "; ".join(problems))
    return chosen


def make(name: str) -> Any:
    """Return the backend of a registered name or of `package.module:Class`."""
    from importlib import import_module

    from ..registry import get_backend

    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)() if attribute else get_backend(name)
