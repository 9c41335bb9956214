"""The tasks that serve calls, until the ends of those calls are on record."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import structlog

from antiphon.call.ends import EndReason
from antiphon.call.messages import CallEvent, Severity
from antiphon.lifecycle.joins import Joins
from antiphon.session.session import Session
from antiphon.store.records import SERVER_STOPPED

END_PATIENCE_S = 10.0
"""For live calls to end: their last words (`turns.last_words_patience_s`, 3 s), and their record (5 s)."""

CANCEL_PATIENCE_S = 5.0
LOOK_AGAIN_S = 1.0
JOIN_LOOK_S = 0.02

_log = structlog.get_logger(__name__)


class Serving:
    """What a server that stops waits for. ``joins``: calls that are going to be served."""

    def __init__(self, joins: Joins) -> None:
        self._joins = joins
        self._tasks: set[asyncio.Task[Any]] = set()

    @contextlib.contextmanager
    def call(self) -> Iterator[None]:
        """Mark the current task as one that serves a call, for as long as the block lasts."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            yield
        finally:
            self._tasks.discard(task)

    async def over(self) -> None:
        """Return when no call is joined or served any more, and the ends of all are on record."""
        while self._tasks or self._joins.any:
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=LOOK_AGAIN_S)
            else:
                await asyncio.sleep(JOIN_LOOK_S)

    async def end(self) -> None:
        """Wait for calls that were told to end; those that do not are cancelled, which ends them on record, too."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.over(), END_PATIENCE_S)
        if self._tasks:
            _log.error("calls_do_not_end", calls=len(self._tasks))
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks, timeout=CANCEL_PATIENCE_S)


def stop(session: Session) -> None:
    """End the session's call because the server stops."""
    note = CallEvent(Severity.ERROR, SERVER_STOPPED, "The server stopped before the call ended.")
    session.end(EndReason.SYSTEM_ERROR, 1012, "the server is stopping", note)
