"""One message and an exit code in place of a traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130


def reported(command: F) -> F:
    """Turn the errors that people can do something about into one message on standard error.

    Those are cortex's own, those of data sets, and those of the file system; any other is a fault of
    ours and keeps its traceback. The command has a parameter `debug`, which shows it for all.
    """

    @wraps(command)
    def run(*args: Any, debug: bool = False, **options: Any) -> Any:
        from typer import Exit

        from cortex.compute.errors import CortexError
        from cortex.datasets import DataError

        try:
            return command(*args, debug=debug, **options)
        except KeyboardInterrupt:
            say("interrupted")
            raise Exit(INTERRUPTED) from None
        except BrokenPipeError:  # `cortex info | head`: nobody reads on
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise Exit(FAILED) from None
        except (CortexError, DataError, OSError, MemoryError) as error:
            if debug:
                raise
            say(f"cortex {command.__name__}: {words(error)}")
            raise Exit(BAD_INPUT) from None

    return run  # type: ignore[return-value]


def words(error: BaseException) -> str:
    """Return the message of an error, for files with the name of the file."""
    if isinstance(error, MemoryError):
        return f"not enough memory: {error}" if str(error) else "not enough memory"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


_muted = False


def mute() -> None:
    """Say nothing any more: another process speaks for this one."""
    global _muted
    _muted = True


def say(text: str) -> None:
    """Write a line to standard error."""
    if not _muted:
        print(text, file=sys.stderr, flush=True)
