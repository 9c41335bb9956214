"""Long work on the event loop, with room for live calls in between."""

from __future__ import annotations

import asyncio
from time import perf_counter

LONGEST_S = 0.002
"""At a stretch: a call's audio is due every 20 ms, and a hundred other calls' in between."""


class Pause:
    """Counts how long its task has worked since it last let others have their turn.

    A thread would not do: it holds the interpreter's lock for 5 ms at a time, and throughout whatever is written in C.
    """

    def __init__(self) -> None:
        self._since = perf_counter()

    async def when_due(self) -> None:
        """Let others have their turn, where it is time."""
        if perf_counter() - self._since > LONGEST_S:
            await asyncio.sleep(0)
            self._since = perf_counter()
