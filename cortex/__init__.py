"""Neural networks as plain data, trained by planned programs that run on any backend.

`import cortex` loads nothing but this table: each public name is imported on first use.
"""

from __future__ import annotations

import os as _os
from importlib import import_module as _import_module
from typing import Any

__version__ = "0.1.0"

# public name -> the module that defines it
_NAMES = {
    "Clip": "cortex.executables",
    "LossScale": "cortex.executables",
    "Network": "cortex.network",
    "check_gradient": "cortex.gradient_check",
    "column": "cortex.network",
    "constant": "cortex.network",
    "evaluate": "cortex.training",
    "evaluation": "cortex.executables",
    "fit": "cortex.training",
    "gradient_check": "cortex.gradient_check",
    "gradients": "cortex.executables",
    "inference": "cortex.executables",
    "load_checkpoint": "cortex.training",
    "node": "cortex.network",
    "parameters_of": "cortex.executables",
    "predict": "cortex.executables",
    "save_checkpoint": "cortex.training",
    "train": "cortex.training",
    "training_step": "cortex.executables",
    "use_backend": "cortex.compute",
}

# public subpackages and modules, reached as `cortex.layers` without an import of their own
_MODULES = (
    "activations",
    "compute",
    "datasets",
    "distributed",
    "info",
    "initialisers",
    "layers",
    "losses",
    "metrics",
    "models",
    "observers",
    "optimise",
    "stopping",
    "training",
    "verify",
    "visualization",
)

_root = _os.path.dirname(_os.path.dirname(_os.path.abspath(__file__)))
if _os.path.isfile(_os.path.join(_root, "CMakeLists.txt")):
    # A source checkout: the subpackages lie beside this folder, not in it. They come before those
    # of an installed copy, which may be older.
    from pkgutil import extend_path as _extend_path

    __path__ = [__path__[0], _root, *_extend_path(__path__, __name__)[1:]]

__all__ = ["__version__", *_NAMES, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = getattr(_import_module(_NAMES[name]), name)
    elif name in _MODULES:
        value = _import_module(f"cortex.{name}")
    else:
        raise AttributeError(f"module 'cortex' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
