"""SIGINT and SIGTERM, from before the event loop begins until the process has ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_KILLS = 3
"""The signal that kills, counted from 1."""


class Signals:
    """Counts the signals of a process, whichever of the two they are. The third ends it at once, by itself.

    The handlers are Python's own and not the event loop's: those are gone when the loop is closed, and the second
    signal of an impatient user would then end in a status of -15 what was stopped in order. Use it as a context, in
    the main thread.
    """

    def __init__(self) -> None:
        self._count = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._take: Callable[[int], None] | None = None
        self._before: dict[signal.Signals, Any] = {}
        self.on_kill: Callable[[], None] = lambda: None
        """Called before the third signal kills this process."""

    def tell(self, take: Callable[[int], None]) -> None:
        """Call ``take(1)`` for the first signal and ``take(2)`` for the second, on the running event loop.

        Signals that came before are told at once.
        """
        self._loop, self._take = asyncio.get_running_loop(), take
        for number in range(1, self._count + 1):
            take(number)

    def __enter__(self) -> Self:
        for signum in _SIGNALS:
            self._before[signum] = signal.signal(signum, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for signum, before in self._before.items():
            # Whoever is being stopped has nothing left to do for a further signal but to end.
            signal.signal(signum, signal.SIG_IGN if self._count else before)

    def _handle(self, signum: int, _frame: FrameType | None) -> None:
        self._count += 1
        if self._count >= _KILLS:
            self.on_kill()
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        elif self._loop is not None and self._take is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._take, self._count)
