"""Settings of every test run."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import settings

if importlib.util.find_spec("cortex") is None:  # a checkout that was never installed
    root = str(Path(__file__).resolve().parent.parent)
    sys.path.append(root)
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [os.environ.get("PYTHONPATH"), root])
    )  # for the processes that tests start

# An installed cortex announces this plugin itself, under the same name; pytest loads it once.
if importlib.util.find_spec("cortex.compute.verify.plugin"):
    pytest_plugins = ["cortex.compute.verify.plugin"]

# A shell starts what runs in its background deaf to Ctrl-C, and the processes that tests interrupt would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Properties are checked on the same examples every time.
settings.register_profile("cortex", derandomize=True, deadline=None, database=None)
settings.load_profile("cortex")


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    """What Numba compiles in tests is not kept in the user's folder."""
    with pytest.MonkeyPatch.context() as patch:
        if "CORTEX_CACHE_DIR" not in os.environ:
            patch.setenv("CORTEX_CACHE_DIR", str(tmp_path_factory.mktemp("maps")))
        yield
