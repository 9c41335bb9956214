"""Closing engines, all together and in a fixed order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import structlog

from antiphon.engines.threads import JOIN_PATIENCE_S, in_thread

CLOSE_PATIENCE_S = JOIN_PATIENCE_S + 2.0

_log = structlog.get_logger(__name__)


@runtime_checkable
class Stoppable(Protocol):
    """An engine with threads that can be told to end before they are waited for."""

    def stop(self) -> None:
        """Take no more work, and drop what has not begun. Does not block."""


@runtime_checkable
class Closable(Protocol):
    """An engine with something to close, which may take its time."""

    def close(self) -> None:
        """End threads and free models. Blocking; safe to call twice."""


@runtime_checkable
class AsyncClosable(Protocol):
    """An engine that is closed on the event loop."""

    async def aclose(self) -> None:
        """Close connections. Safe to call twice."""


async def close_all(engines: Sequence[tuple[str, object]], patience_s: float = CLOSE_PATIENCE_S) -> None:
    """Stop all ``engines``, by name, and then close one after the other.

    An engine that fails, or is not closed after ``patience_s`` in all, is left behind with a line in the log:
    :func:`antiphon.engines.threads.leave` ends the process nevertheless.
    """
    for _name, engine in engines:
        if isinstance(engine, Stoppable):
            engine.stop()
    until = asyncio.get_running_loop().time() + patience_s
    for name, engine in engines:
        try:
            async with asyncio.timeout_at(until):
                if isinstance(engine, AsyncClosable):
                    await engine.aclose()
                elif isinstance(engine, Closable):
                    await in_thread(f"close {name}", engine.close)
        except Exception as error:
            why = "it is still at work" if isinstance(error, TimeoutError) else type(error).__name__
            _log.warning("engine_not_closed", engine=name, why=why)
