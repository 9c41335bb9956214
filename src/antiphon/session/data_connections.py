"""The data connections of a server's calls: what each is to be, and where all of them may reach."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from antiphon.media.data_connection.connection import backoff
from antiphon.media.data_connection.dialing import Find, Target, Unreachable
from antiphon.tools import ssrf_guard
from antiphon.tools.ssrf_guard import NameService, Resolve, SsrfGuard
from antiphon.wire.call_parts import DataConnectionAudio
from antiphon.wire.call_request import CallRequest
from antiphon.wire.outgoing import DATA_CONNECTION_DEFAULTS, EnabledDataMessages

LAST_WORDS_S = 2.5
"""How long a server that stops waits for them."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CallDataConnection:
    """The data connection of one call, and what keeping it takes.

    ``run`` starts work that may outlive the call a little: the last messages are sent, but the call's end does not
    wait for that.
    """

    target: Target
    enabled: EnabledDataMessages
    audio: DataConnectionAudio | None
    find: Find
    tls: ssl.SSLContext
    run: Callable[[Coroutine[Any, Any, None]], None]
    delay: Callable[[int], float] = backoff


class DataConnections:
    """Makes them, and has them run. One for the whole server; ``aclose`` it once its calls are over."""

    def __init__(
        self,
        allowed: SsrfGuard | None = None,
        *,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
        delay: Callable[[int], float] = backoff,
    ) -> None:
        # Threads of their own: a name that takes for ever is asked for again and again, and tools are not to wait.
        self._names = NameService()
        self._ssrf_guard = allowed or SsrfGuard()
        self._resolve = resolve or self._names
        self._tls = tls or ssrf_guard.trusted_tls()
        self._delay = delay
        self._running: set[asyncio.Task[None]] = set()

    def of(self, request: CallRequest, call_id: str) -> CallDataConnection | None:
        """What ``request`` asks for, if it asks for one."""
        wanted = request.data_connection
        if wanted is None:
            return None
        return CallDataConnection(
            Target(wanted.websocket_url, call_id, wanted.headers or {}, tuple(request.shared_secrets)),
            wanted.data_messages.over(DATA_CONNECTION_DEFAULTS),
            wanted.audio_config,
            self._find,
            self._tls,
            self._run,
            self._delay,
        )

    async def aclose(self) -> None:
        """Let those of calls that are over say their last words, for a little while."""
        if self._running:
            await asyncio.wait(self._running, timeout=LAST_WORDS_S)
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._names.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("data_connection_broke", exc_info=(type(error), error, error.__traceback__))

    async def _find(self, host: str, port: int) -> Sequence[str]:
        try:
            return await ssrf_guard.find(self._ssrf_guard, self._resolve, host, port)
        except ssrf_guard.Refused as refused:
            raise Unreachable(str(refused)) from None
