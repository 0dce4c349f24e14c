"""What a machine can do: ops, programs, passes, backends and the verification suite.

| module | what lives there |
|---|---|
| `spec` | `Spec`: shape and dtype |
| `math`, `expression`, `scalars` | mathematics written once: functions of arrays, symbols and values |
| `program`, `ops`, `autodiff` | programs, the ops they are made of, their gradients |
| `passes` | rewriting: decompose, fold constants, remove dead code, fuse, plan memory |
| `backend`, `registry`, `options` | what a backend is, which there are, and what they can be told |
| `reference`, `numpy_backend` | the executable specification |
| `cpu` | the CPU backend: native kernels, Numba, NumPy |
| `threads` | how many threads programs run on |
| `philox` | counter-based random numbers |
| `verify` | the suite that proves a backend |
"""

from __future__ import annotations

from .autodiff import gradients
from .backend import Backend, Capabilities, Executable, Memory, PlanReport
from .errors import BackendError, CortexError, DescriptionError, NotDifferentiable, ShapeError
from .program import Op, Program, Value
from .registry import availability, get_backend, use_backend
from .spec import Spec
from .threads import get_num_threads, set_num_threads

__all__ = [
    "Backend", "BackendError", "Capabilities", "CortexError", "DescriptionError", "Executable", "Memory",
    "NotDifferentiable", "Op", "PlanReport", "Program", "ShapeError", "Spec", "Value", "availability", "get_backend",
    "get_num_threads", "gradients", "set_num_threads", "use_backend",
]  # fmt: skip
