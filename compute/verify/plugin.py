"""The pytest plugin: `--backend=numpy,cpu` and the fixture `cortex_backend`.

An installed cortex announces it to pytest itself, in other projects too: hence the long name of the fixture. A test
that takes it runs once on each backend named by the option, or on every backend that works here. Third parties name a
registered backend (`--backend=mine`) or a class that is not registered (`--backend=package.module:Class`). A registered
name may carry options: `--backend=cpu:exact,cuda:deterministic=false,precision=tf32` names two backends.
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
        "names, options behind them as in cpu:exact (`cortex info` lists both), or package.module:Class "
        "(default: every backend that works here, stand-ins left out)",
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
    from ..errors import BackendError, near
    from ..registry import STAND_INS, availability, chosen, names

    if not option.strip():
        return [n for n in names() if n not in STAND_INS and availability(n).works]
    found = list(dict.fromkeys(separate(option)))
    problems = []
    for name in found:
        try:
            if is_class(name):
                make(name)
            else:
                chosen(name)
        except BackendError as error:
            problems.append(str(error))
        except (ImportError, AttributeError) as error:
            problems.append(f"{name}: {error}{near(name.partition(':')[0], names())}")
    if problems:
        raise pytest.UsageError("--backend: " + "; ".join(problems))
    return found


def separate(option: str) -> list[str]:
    """Return the backends in a list, each with its options: what names no backend belongs to the one before it."""
    from ..registry import names

    found: list[str] = []
    for piece in filter(None, map(str.strip, option.split(","))):
        if found and ":" in found[-1] and ":" not in piece and piece not in names():
            found[-1] += f",{piece}"
        else:
            found.append(piece)
    return found


def is_class(name: str) -> bool:
    """Return whether a name is `package.module:Class` and no registered backend with options."""
    from ..registry import names

    before, colon, _ = name.partition(":")
    return bool(colon) and before not in names()


def make(name: str) -> Any:
    """Return the backend of a registered name or of `package.module:Class`."""
    from importlib import import_module

    from ..registry import get_backend

    if not is_class(name):
        return get_backend(name)
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)()
