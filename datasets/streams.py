"""Preparing ahead on a thread."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from contextvars import copy_context
from types import TracebackType
from typing import Generic, TypeVar

from .order import whole

T = TypeVar("T")


class _Channel(Generic[T]):
    """What the thread and its reader share; it does not know the reader, which may be dropped."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.items: deque[T] = deque()
        self.error: BaseException | None = None
        self.ended = self.closed = False
        self.changed = threading.Condition()  # over a re-entrant lock: a finaliser may close

    def fill(self, source: Iterator[T]) -> None:
        """The thread's work: never more than `depth` items wait, the one in hand included."""
        error: BaseException | None = None
        try:
            while self._has_room():
                try:
                    item = next(source)
                except StopIteration:
                    break
                with self.changed:
                    self.items.append(item)
                    self.changed.notify_all()
            close = getattr(source, "close", None)
            if close is not None:
                close()
        except BaseException as caught:  # it is raised again in the reader
            error = caught
        with self.changed:
            self.ended, self.error = True, error
            self.changed.notify_all()
        error = None  # or the error, its traceback and this frame would keep each other alive

    def _has_room(self) -> bool:
        with self.changed:
            self.changed.wait_for(lambda: self.closed or len(self.items) < self.depth)
            return not self.closed

    def close(self) -> None:
        """Tell the thread to end after the item in hand."""
        with self.changed:
            self.closed = True
            self.items.clear()
            self.changed.notify_all()


class Prefetch(Iterator[T]):
    """See `prefetch`; also a context manager that closes."""

    def __init__(self, source: Iterable[T], depth: int) -> None:
        self._channel: _Channel[T] = _Channel(depth)
        # The thread runs in the caller's context: np.errstate and the like hold there too.
        self._thread = threading.Thread(
            target=copy_context().run,
            args=(self._channel.fill, iter(source)),
            name="cortex-prefetch",
            daemon=True,
        )
        self._thread.start()
        weakref.finalize(self, self._channel.close)

    def __iter__(self) -> Prefetch[T]:
        return self

    def __next__(self) -> T:
        channel = self._channel
        with channel.changed:
            channel.changed.wait_for(lambda: channel.items or channel.ended or channel.closed)
            if channel.items:
                item = channel.items.popleft()
                channel.changed.notify_all()
                return item
            error, channel.error = channel.error, None
        try:
            raise error if error is not None and not channel.closed else StopIteration
        finally:
            del error

    def close(self) -> None:
        """End the thread (it finishes the item in hand) and wait for it; what waited is dropped."""
        self._channel.close()
        self._thread.join()

    def __enter__(self) -> Prefetch[T]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def prefetch(source: Iterable[T], depth: int = 2) -> Prefetch[T]:
    """The items of `source` in order, prepared up to `depth` ahead on one thread.

    An exception in the thread is raised in the caller, after the items before it and with its
    traceback. `close()`, leaving a `with` block or dropping the iterator ends the thread.
    Raises DataError for a depth < 1.
    """
    return Prefetch(source, whole("depth", depth, 1))
