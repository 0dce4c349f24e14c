"""What this installation is and can do here: backends, engine, threads, versions, processor, memory.

    >>> from cortex import info
    >>> print(info.text(info.collect()))  # what `cortex info` prints

It answers what people ask first: which backends work and why the others do not, whether the C++
engine was built, how many threads run and who said so.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from cortex.compute import registry
from cortex.compute.options import Option

PACKAGES = (
    "numpy", "numba", "llvmlite", "h5py", "safetensors", "rich", "typer", "matplotlib", "scikit-learn",
    "cupy-cuda13x", "nvidia-cudnn-frontend", "nvidia-cuda-nvrtc", "nvidia-cublas", "nvidia-cudnn-cu13",
)  # fmt: skip
VARIABLES = (
    "CORTEX_NUM_THREADS", "OMP_NUM_THREADS", "CORTEX_ISA", "CORTEX_NATIVE", "CORTEX_CACHE_DIR", "NUMBA_CACHE_DIR",
    "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
)  # fmt: skip


def collect() -> dict[str, Any]:
    """Return everything as plain data, fit for JSON; no package is imported but NumPy and our own."""
    import cortex

    return {
        "cortex": {"version": cortex.__version__, "folder": str(Path(cortex.__file__).parent)},
        "backends": backends(),
        "engine": engine(),
        "threads": threads(),
        "machine": machine(),
        "versions": versions(),
        "blas": blas(),
        "cuda": cuda(),
        "cache": cache(),
        "environment": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def backends() -> list[dict[str, Any]]:
    """Return name, whether it works here and why, and options, for each registered backend and those expected.

    The first that works is what `auto` takes; its entry `default` is true. An option is its name, default and meaning.
    """
    found: list[dict[str, Any]] = []
    registered = registry.names()
    for name in dict.fromkeys((*registered, *registry.PREFERENCE)):
        if name in registered:
            state = registry.availability(name)
        else:
            reason = "no package that is installed here brings this backend"
            state = registry.Availability(name, False, reason)
        options = [asdict(o) for o in state.options]
        found.append(
            {"name": name, "works": state.works, "reason": state.reason, "options": options}
        )
    first = next((b["name"] for b in found if b["works"]), None)
    return [{**b, "default": b["name"] == first} for b in found]


def engine() -> dict[str, Any]:
    """Return what runs programs on the CPU: `name` as in results, and the compiled engine's own data."""
    from cortex.compute.cpu import native

    module = native.native()
    try:
        name = native.engine()
    except ValueError as error:  # CORTEX_ISA names none
        name = f"fallback: {error}"
    if module is None:
        return {
            "name": name,
            "native": False,
            "instruction_set": None,
            "available": [],
            "compiler": None,
        }
    return {
        "name": name,
        "native": True,
        "instruction_set": name.partition(":")[2],
        "available": list(module.available_isas()),
        "compiler": module.compiler,
        "version": module.version,
    }


def chosen(name: str | None = None) -> str:
    """Return the name of the backend that `get_backend(name)` gives, with its options.

    Raises:
        BackendError: it is unknown or does not work here.
    """
    return registry.get_backend(name).name


def engine_of(backend: str) -> str:
    """Return what runs the programs of a backend: `native:avx2`, `fallback: ...`, or the backend itself."""
    return str(engine()["name"]) if backend.partition(":")[0] == "cpu" else backend


def peak_memory() -> int | None:
    """Return the most bytes of physical memory this process has held; None where the system does not say."""
    try:
        import resource
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024  # Linux counts in KiB


def threads() -> dict[str, Any]:
    """Return the number of threads a program runs on and where the number comes from."""
    from cortex.compute.cpu import native

    module = native.native()
    if module is None:
        return {"count": 1, "source": "no native engine: one thread, but for NumPy's BLAS"}
    try:
        count = int(module.get_num_threads())
    except ValueError as error:
        return {"count": None, "source": str(error)}
    for name in ("CORTEX_NUM_THREADS", "OMP_NUM_THREADS"):
        if os.environ.get(name, "").split(",")[0].strip() == str(count):
            return {"count": count, "source": name}
    cores = int(module.available_cores())
    said = "the cores this process may use" if count == cores else "set_num_threads"
    return {"count": count, "source": said}


def cache() -> str:
    """Return the folder in which Numba's compiled maps are kept from one process to the next."""
    from cortex.compute.cpu.cache import folder

    try:
        return str(folder())
    except RuntimeError as error:  # there is no home
        return f"none: {error}"


def machine() -> dict[str, Any]:
    """Return processor, cores, memory (bytes) and system; None where the system does not say."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "cores_usable": cores,
        "memory": _memory(),
        "system": platform.platform(),
    }


def versions() -> dict[str, str | None]:
    """Return the versions of Python and of the packages that cortex may use; None where missing."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def cuda() -> list[dict[str, Any]]:
    """Return name, version or None, and where or why not, of each part that the CUDA backend stands on."""
    report = import_module("cortex.gpu_compute.libraries.report")  # by name: rooms import downwards
    return list(report.collect())


def blas() -> str:
    """Return name and version of the BLAS that NumPy was built with."""
    import numpy as np

    try:
        config: Any = np.show_config(mode="dicts")
        library = config["Build Dependencies"]["blas"]
        return f"{library['name']} {library['version']}"
    except (KeyError, TypeError):
        return "unknown"


def _processor() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return platform.processor() or None
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, None) or platform.processor() or platform.machine() or None


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def text(found: Mapping[str, Any]) -> str:
    """Return what `collect` found as lines for people."""
    machine, engine, threads = found["machine"], found["engine"], found["threads"]
    lines = [f"cortex {found['cortex']['version']}  ({found['cortex']['folder']})", "", "backends"]
    width = max(len(b["name"]) for b in found["backends"])
    for b in found["backends"]:
        state = "works         " if b["works"] else "does not work "
        chosen = "; this is what `auto` takes" if b["default"] else ""
        lines.append(f"  {b['name']:<{width}}  {state} {b['reason']}{chosen}")
    lines += ["", "options of backends, written behind the name with commas between them"]
    options = {
        f"{b['name']}:{Option(**o)}": o["meaning"] for b in found["backends"] for o in b["options"]
    }
    lines += _table(options, "  ")
    rows = {
        "engine": engine["name"],
        "compiler": engine["compiler"] or "-",
        "instruction sets": ", ".join(engine["available"]) or "-",
        "threads": f"{threads['count']} ({threads['source']})",
        "processor": machine["processor"] or "unknown",
        "cores": f"{machine['cores_usable']} usable of {machine['cores']}",
        "memory": "unknown"
        if machine["memory"] is None
        else f"{machine['memory'] / 2**30:.1f} GiB",
        "system": machine["system"],
        "cache": found["cache"],
        "python": f"{found['versions']['python']}  ({sys.executable})",
        "NumPy's BLAS": f"{found['blas']} (not used inside a step of the native engine)",
    }
    lines += ["", *_table(rows), "", "versions"]
    lines += _table({n: v or "not installed" for n, v in found["versions"].items()}, "  ")
    lines += ["", "cuda"]
    parts = {row["name"]: (row["version"] or "missing", row["detail"]) for row in found["cuda"]}
    lines += _table(
        {name: f"{version}  ({detail})" for name, (version, detail) in parts.items()}, "  "
    )
    lines += ["", "environment"]
    lines += _table(dict(found["environment"]), "  ") or ["  none of ours is set"]
    return "\n".join(lines)


def _table(rows: Mapping[str, str], indent: str = "") -> list[str]:
    width = max(map(len, rows), default=0)
    return [f"{indent}{name:<{width}}  {value}" for name, value in rows.items()]
