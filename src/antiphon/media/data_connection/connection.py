"""The data connection: a WebSocket that the server opens beside a call, and opens again for as long as that lives.

Nothing in the call waits for it. What is sent goes into a bounded :class:`Outbox`; whoever is at the other end may be
slow, silent or gone.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from antiphon.media.data_connection.dialing import Find, Target, Unreachable, dial
from antiphon.media.data_connection.outbox import Outbox

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 15.0

STABLE_S = 5.0
"""A connection that held for so long was a good one: the next delays begin anew."""

SEND_PATIENCE_S = 15.0
"""Longest time that the other end may take nothing while something waits."""

FAREWELL_S = 1.0
"""Longest time that the last messages of a call take."""


class Far(Protocol):
    """Who is told what becomes of the connection. None of these raises."""

    def connected(self, tries: int) -> str | None:
        """It stands, after so many tries. The answer is sent before everything that waits."""

    async def received(self, data: str | bytes) -> None:
        """A text or binary message came; further ones wait meanwhile."""

    def refused(self, reason: str) -> None:
        """One try failed."""

    def lost(self, reason: str) -> None:
        """A connection that stood is gone."""


def backoff(failures: int) -> float:
    """Seconds before the next try: doubled with each, half of it by chance, never more than ``LONGEST_DELAY_S``."""
    longest = min(LONGEST_DELAY_S, FIRST_DELAY_S * (1 << min(failures - 1, 10)))
    return longest * random.uniform(0.5, 1.0)


class DataConnection:
    """``run`` keeps the connection until ``finish``; ``outbox`` is what it sends."""

    def __init__(
        self,
        target: Target,
        find: Find,
        tls: ssl.SSLContext,
        outbox: Outbox,
        far: Far,
        delay: Callable[[int], float] = backoff,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._target = target
        self._find = find
        self._tls = tls
        self._outbox = outbox
        self._far = far
        self._delay = delay
        self._wall_clock = wall_clock
        self._connection: ClientConnection | None = None
        self._stuck = False
        self._finishing = asyncio.Event()

    @property
    def stands(self) -> bool:
        """Somebody is at the other end, as far as is known."""
        return self._connection is not None

    async def run(self) -> None:
        """Connect and connect again; ends soon after ``finish``."""
        keeping = asyncio.create_task(self._keep())
        finishing = asyncio.create_task(self._finishing.wait())
        try:
            await asyncio.wait((keeping, finishing), return_when=asyncio.FIRST_COMPLETED)
            if not keeping.done():
                await self._say_farewell()
        finally:
            finishing.cancel()
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping

    def finish(self) -> None:
        """The call is over: send what waits, as far as that goes quickly, then close."""
        self._finishing.set()

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        failures = tries = 0
        while True:
            tries += 1
            try:
                connection = await dial(self._target, self._find, self._tls, self._wall_clock())
            except Unreachable as error:
                self._far.refused(str(error))
            else:
                since = loop.time()
                reason = await self._converse(connection, tries)
                if self._finishing.is_set():
                    return
                self._far.lost(reason)
                tries = 0
                if loop.time() - since >= STABLE_S:
                    failures = 0
            failures += 1
            await asyncio.sleep(self._delay(failures))

    async def _converse(self, connection: ClientConnection, tries: int) -> str:
        """Send and receive until the connection is gone. Returns why."""
        self._connection = connection
        self._stuck = False
        self._outbox.renew()
        sending = asyncio.create_task(self._send_all(connection, self._far.connected(tries)))
        try:
            while True:
                await self._far.received(await connection.recv())
                await asyncio.sleep(0)  # calls have their turn, however fast this one sends
        except ConnectionClosed as error:
            return f"the other end took nothing for {SEND_PATIENCE_S:g} seconds" if self._stuck else _why(error)
        finally:
            self._connection = None
            connection.transport.abort()
            sending.cancel()
            with suppress(asyncio.CancelledError):
                await sending

    async def _send_all(self, connection: ClientConnection, greeting: str | None) -> None:
        item: str | bytes | None = greeting
        try:
            while True:
                if item is not None:
                    async with asyncio.timeout(SEND_PATIENCE_S):
                        await connection.send(item)
                item = await self._outbox.take()
        except ConnectionClosed:
            return  # whoever receives says why
        except TimeoutError:
            # Keepalive does not see it: its pings wait behind what is not taken.
            self._stuck = True
            connection.transport.abort()

    async def _say_farewell(self) -> None:
        connection = self._connection
        if connection is None:
            return
        await _at_most(FAREWELL_S, self._outbox.emptied())
        await _at_most(FAREWELL_S, connection.close(1000, "the call has ended"))


async def _at_most(seconds: float, work: Awaitable[None]) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(work, seconds)


def _why(error: ConnectionClosed) -> str:
    if error.rcvd is not None and error.rcvd_then_sent is not False:
        return f"the other end closed it with code {error.rcvd.code}"
    if error.sent is not None:
        reasons = {1009: "a message was too long", 1011: "there was no sign of life"}
        return f"it was closed with code {error.sent.code}: {reasons.get(error.sent.code, 'a breach of the protocol')}"
    return "it broke"
