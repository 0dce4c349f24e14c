"""How many threads a program runs on, and who said so.

One pool serves all executables of the process. Its size is, in this order: what `set_num_threads` asked for, the
environment variable CORTEX_NUM_THREADS, the first number in OMP_NUM_THREADS, the processors this process may use.
"""

from __future__ import annotations

import os
from types import ModuleType

VARIABLES = ("CORTEX_NUM_THREADS", "OMP_NUM_THREADS")
DEFAULT = "the cores this process may use"


def get_num_threads() -> int:
    """Return the number of threads of the CPU backend; 1 without the native engine.

    Raises:
        ValueError: CORTEX_NUM_THREADS is no number of threads.
    """
    module = _native()
    if module is not None:
        return int(module.get_num_threads())
    text = os.environ.get(VARIABLES[0], "")
    if text and not (text.isdecimal() and int(text) >= 1):
        raise ValueError(
            f'{VARIABLES[0]} must be a number of threads, not "{text}"; correct or unset it'
        )
    return 1


def set_num_threads(count: int) -> None:
    """Let programs run on `count` threads from their next run on, those compiled before included.

    Results do not depend on the number. Without the native engine this changes nothing: programs run on one thread,
    and the threads of NumPy's matrix products are those that its BLAS was told (OPENBLAS_NUM_THREADS, for one).

    Raises:
        ValueError: the count is below 1 or above what the engine allows.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"set_num_threads: expected an integer >= 1, given {count!r}")
    module = _native()
    if module is not None:
        module.set_num_threads(count)


def source() -> str:
    """Return where the number of threads comes from, in words.

    Raises:
        ValueError: CORTEX_NUM_THREADS is no number of threads.
    """
    module = _native()
    if module is None:
        return "no native engine: one thread, but for NumPy's BLAS"
    count = get_num_threads()
    for name in VARIABLES:
        if os.environ.get(name, "").split(",")[0].strip() == str(count):
            return name
    is_default = count == int(module.available_cores())
    return DEFAULT if is_default else "set_num_threads"


def _native() -> ModuleType | None:
    from .cpu.native import native

    return native()
