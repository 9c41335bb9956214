"""An event loop whose time jumps to the next due moment, so that an hour of call takes a second.

For code that waits by the loop alone. A thread is waited for in real time when nothing else is due.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

LONGEST_THREAD_S = 5.0


class _JumpingSelector(selectors.SelectSelector):
    """Never waits: what the loop wanted to wait for is added to its clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:  # nothing is due: only a thread can still bring something
            if not (ready := super().select(LONGEST_THREAD_S)):
                raise AssertionError("everything waits and nothing is due: the call hangs")
            return ready
        self.now += max(timeout, 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Begins at time 0."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the virtual time, in seconds."""
        return self._jumping.now


def run_virtual(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` to its end on a loop of virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
