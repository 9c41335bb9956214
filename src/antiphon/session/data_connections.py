"""The data connections of a server's calls: what each is to be, and where all of them may reach."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from antiphon.media.data_connection import backoff
from antiphon.media.dialling import Find, Target, Unreachable
from antiphon.tools import reach
from antiphon.tools.reach import NameService, Reach, Resolve
from antiphon.wire.call_parts import DataConnectionAudio
from antiphon.wire.call_request import CallRequest
from antiphon.wire.outgoing import DATA_CONNECTION_DEFAULTS, EnabledDataMessages


@dataclass(frozen=True, slots=True)
class CallDataConnection:
    """The data connection of one call, and what keeping it takes.

    ``spawn`` starts work that may outlive the call a little: the last messages are sent, but nobody waits for that.
    """

    target: Target
    enabled: EnabledDataMessages
    audio: DataConnectionAudio | None
    find: Find
    tls: ssl.SSLContext
    spawn: Callable[[Coroutine[Any, Any, None]], object]
    delay: Callable[[int], float] = backoff


class DataConnections:
    """Makes them. One for the whole server; ``close`` it."""

    def __init__(
        self,
        allowed: Reach | None = None,
        *,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
        delay: Callable[[int], float] = backoff,
    ) -> None:
        # Threads of their own: a name that takes for ever is asked for again and again, and tools are not to wait.
        self._names = NameService()
        self._reach = allowed or Reach()
        self._resolve = resolve or self._names
        self._tls = tls or reach.trusted_tls()
        self._delay = delay

    def of(
        self, request: CallRequest, call_id: str, spawn: Callable[[Coroutine[Any, Any, None]], object]
    ) -> CallDataConnection | None:
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
            spawn,
            self._delay,
        )

    def close(self) -> None:
        """Ask for no more names."""
        self._names.close()

    async def _find(self, host: str, port: int) -> Sequence[str]:
        try:
            return await reach.find(self._reach, self._resolve, host, port)
        except reach.Refused as refused:
            raise Unreachable(str(refused)) from None
