"""One call being served: the medium, the engines and the pure core brought together in one task group."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TypeAlias

import structlog

from antiphon.call import actions as act
from antiphon.call.ends import EndReason
from antiphon.call.messages import CallEvent
from antiphon.call.settings import CallSettings
from antiphon.media.protocol import Medium
from antiphon.session.live_call import LiveCall
from antiphon.session.pacer import Pacer
from antiphon.session.parts import CallEngines, SessionParts
from antiphon.wire.incoming import Incoming

Request: TypeAlias = Callable[[LiveCall], None]
"""Something that somebody outside wants of the call."""

_log = structlog.get_logger(__name__)


class Session:
    """Serves one joined call from ``run`` to the end."""

    def __init__(
        self, settings: CallSettings, engines: CallEngines, medium: Medium, parts: SessionParts, pacer: Pacer
    ) -> None:
        self._settings = settings
        self._engines = engines
        self._medium = medium
        self._parts = parts
        self._pacer = pacer
        self._early: list[Request] = []
        self._ask: Callable[[Request], None] = self._early.append

    async def run(self) -> act.End:
        """Serve the call; return how it ended, with the medium closed."""
        end = act.End(EndReason.SYSTEM_ERROR, 1011, "the server failed")
        try:
            with contextlib.ExitStack() as closing:
                async with asyncio.TaskGroup() as tasks:
                    live = LiveCall(self._settings, self._engines, self._medium, self._parts, self._pacer, tasks)
                    closing.callback(live.close)
                    end = await self._serve(live, tasks)
                    raise _CallOver
        except* _CallOver:
            pass
        except* Exception as broken:
            _log.exception("session_broke", call_id=self._settings.call_id)
            error = broken.exceptions[0]
            self._ask(lambda live: live.note_fault(error))
        await self._medium.close(end.close_code, end.text)
        return end

    def receive(self, message: Incoming) -> None:
        """Take a data message that came another way than through the medium, maybe before the call has begun."""
        self._ask(lambda live: live.receive(message))

    def end(self, reason: EndReason, close_code: int, text: str, note: CallEvent | None = None) -> None:
        """End the call from outside, maybe before it has begun. ``note``: what its events say then."""
        self._ask(lambda live: live.end(reason, close_code, text, note))

    async def _serve(self, live: LiveCall, tasks: asyncio.TaskGroup) -> act.End:
        live.begin()
        self._ask = lambda request: request(live)
        for request in self._early:
            request(live)
        reader = tasks.create_task(live.inbound.read())
        try:
            end = await asyncio.shield(live.driver.ended)
        except asyncio.CancelledError:
            # The server stops, or a task of the call broke: what the caller has heard by now is put on record.
            live.ask_no_more()
            live.end(EndReason.SYSTEM_ERROR, 1011, "the server failed")
            raise
        reader.cancel()
        return end


class _CallOver(Exception):
    """Leaves the task group: cancels whatever still runs for the call."""
