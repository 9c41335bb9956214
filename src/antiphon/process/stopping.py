"""The stop of one process: no new calls, the live ones go on for a while, and then they are closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from antiphon.api.services import Readiness
from antiphon.errors import StoreError
from antiphon.lifecycle.manager import CallManager

_log = structlog.get_logger(__name__)


def waiting_line(live: int, drain_s: float) -> str:
    """Say what a stopping server waits for."""
    calls = "1 live call" if live == 1 else f"{live} live calls"
    verb = "goes" if live == 1 else "go"
    return (
        f"the server is stopping: {calls} {verb} on for {drain_s:g} s at most; "
        "a second signal (Ctrl-C) closes them at once"
    )


class Stopping:
    """Stops the calls of a process, and then calls ``close``, which is to stop the process itself.

    ``drain_s``: for how long live calls go on. ``alone``: this process is the whole server; where there are others,
    those take the calls that wait for their join, unless the stop is theirs, too.
    """

    def __init__(
        self,
        manager: CallManager,
        readiness: Readiness,
        drain_s: float,
        close: Callable[[], None],
        *,
        alone: bool = True,
    ) -> None:
        self._manager = manager
        self._readiness = readiness
        self._drain_s = drain_s
        self._close = close
        self._alone = alone
        self._everywhere = False
        self._hurry = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def signalled(self, number: int) -> None:
        """A signal came: the first lets live calls go on, the second closes them."""
        if number == 1:
            self.begin(everywhere=self._alone, tells=True)
        else:
            self.close_calls()

    def begin(self, *, everywhere: bool, tells: bool = False) -> None:
        """Take no new calls, and close when the live ones have ended. ``everywhere``: the whole server stops.

        ``tells``: one line says what is waited for.
        """
        self._everywhere |= everywhere
        self._readiness.stopping = True
        self._manager.refuse()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._drain(tells))

    def close_calls(self) -> None:
        """Let live calls go on no longer."""
        self._hurry.set()

    async def finish(self) -> None:
        """End on record what still waits for its join, where the whole server stops. To be called last."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._everywhere:
            await self._end_waiting()

    async def _drain(self, tells: bool) -> None:
        try:
            if self._everywhere:
                await self._end_waiting()
            live = self._manager.taken
            if live and self._drain_s and not self._hurry.is_set():
                if tells:
                    _log.warning(waiting_line(live, self._drain_s))
                await self._until_drained()
        finally:
            self._close()

    async def _until_drained(self) -> None:
        waits = [asyncio.ensure_future(self._manager.drained()), asyncio.ensure_future(self._hurry.wait())]
        try:
            await asyncio.wait(waits, timeout=self._drain_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _end_waiting(self) -> None:
        try:
            await self._manager.end_waiting()
        except StoreError as error:  # the next start ends them
            _log.error("waiting_calls_not_ended", error=type(error).__name__)
