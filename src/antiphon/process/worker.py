"""One of several processes that share a server's work: it serves the connections that the front hands to it.

Started by ``supervisor.py``, as ``python -m antiphon.process.worker DESCRIPTOR``, with its :class:`Orders` on
standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import socket
import sys
import traceback
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

import structlog
import uvloop
from starlette.types import ASGIApp
from uvicorn.config import Config as UvicornConfig

from antiphon.api.app import create_app
from antiphon.api.forwarding import Forwarded, WorkerForwarding
from antiphon.config import logs
from antiphon.engines.threads import leave
from antiphon.errors import SetupError, StoreError
from antiphon.process.ipc import (
    Buried,
    Bury,
    Channel,
    Connected,
    Deleted,
    Failed,
    Joined,
    Loaded,
    Orders,
    Peers,
    Report,
    Serving,
    Stop,
)
from antiphon.process.server import Parts, Server, built, until_stopped, uvicorn_config
from antiphon.process.signals import Signals
from antiphon.process.stopping import Stopping

REPORT_EVERY_S = 0.25
LOOK_EVERY_S = 0.05
"""What has changed is reported within this time."""

BURY_AGAIN_S = 1.0

KEYS_REPORTED = 100
"""API keys with the most waiting calls that the other workers hear of; the others are far from their limit."""

_log = structlog.get_logger(__name__)


def main() -> None:
    """Serve until the front says that it is enough, or is gone."""
    orders: Orders = pickle.load(sys.stdin.buffer)
    sock = socket.socket(fileno=int(sys.argv[1]))
    logs.configure(orders.config.log)
    structlog.contextvars.bind_contextvars(worker=orders.number)
    worker = Worker(orders, sock)
    status = 0
    try:
        with Signals() as signals:
            uvloop.run(worker.run(signals))
    except (SetupError, StoreError) as error:
        worker.channel.send(Failed(" ".join(str(error).split())))
        status = 2
    except BaseException:
        traceback.print_exc()
        status = 1
    leave(status)
    sys.exit(status)


class Worker:
    """Between the front and the server in this process."""

    def __init__(self, orders: Orders, sock: socket.socket) -> None:
        self._orders = orders
        self._parts: Parts | None = None
        self._server: WorkerServer | None = None
        self._stopping: Stopping | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.channel = Channel(sock, self._told, lambda: self._stop(at_once=True))

    async def run(self, signals: Signals) -> None:
        """Serve. Raises :class:`SetupError` and :class:`StoreError`."""
        orders, config = self._orders, self._orders.config
        async with built(config, orders.number, first=orders.first) as parts:
            forwarding = WorkerForwarding(orders.folder, orders.number, parts.store.calls)
            app = create_app(
                config,
                parts.store,
                parts.engines,
                parts.manager,
                keys=parts.keys,
                readiness=parts.readiness,
                forwarding=forwarding,
            )
            self._parts = parts
            self._server = WorkerServer(app, parts, forwarding)
            join_tokens = parts.manager.join_tokens
            join_tokens.on_used = lambda call_id: self._tell(Joined(call_id))
            join_tokens.on_deleted = lambda call_id: self._tell(Deleted(call_id))
            with contextlib.closing(forwarding):
                self._stopping = parts.stopping(self._server, alone=False)
                beside = self._report(parts)
                await until_stopped(self._server, parts, self._stopping, signals, [], self._loaded, beside)

    def _tell(self, message: Joined | Deleted | Buried) -> None:
        self.channel.send(message)

    def _told(self, message: object, connection: socket.socket | None) -> None:
        assert self._parts is not None
        assert self._server is not None
        match message:
            case Connected() if connection is not None:
                self._spawn(self._server.take(connection))
            case Peers(readings, engines):
                self._parts.admission.peers = readings
                self._parts.readiness.peers = engines
            case Joined(call_id):
                self._parts.manager.join_tokens.used_elsewhere(call_id)
            case Deleted(call_id):
                self._parts.manager.join_tokens.forget(call_id)
            case Bury(worker):
                self._spawn(self._bury(self._parts, worker))
            case Stop(at_once):
                self._stop(at_once=at_once)

    def _stop(self, *, at_once: bool) -> None:
        """Stop with the whole server: at once where the front is gone, and nobody brings us connections any more."""
        if self._stopping is not None:
            self._stopping.begin(everywhere=True)
            if at_once:
                self._stopping.close_calls()

    async def _loaded(self) -> None:
        if self._orders.makes_key:
            assert self._parts is not None
            self.channel.send(Loaded(await self._parts.keys.first_key(datetime.now(UTC))))

    async def _report(self, parts: Parts) -> None:
        """Open for connections as soon as the server is, and say how it goes, for good."""
        assert self._server is not None
        loop = asyncio.get_running_loop()
        await self._server.opened.wait()
        self.channel.open()
        self.channel.send(Serving())
        said, said_at = (False, 0, 0), 0.0
        while True:
            join_tokens = parts.manager.join_tokens
            taken, waiting = parts.manager.taken, len(join_tokens)
            now = loop.time()
            if (parts.readiness.ready, taken, waiting) != said or now - said_at >= REPORT_EVERY_S:
                said, said_at = (parts.readiness.ready, taken, waiting), now
                load = parts.admission.load
                full = load.refusal(now, taken, 0) is not None
                by_key = dict(join_tokens.by_key.most_common(KEYS_REPORTED))
                reading = load.reading(now, taken, join_tokens.expected(), by_key)
                self.channel.send(Report(said[0], full, reading, parts.readiness.conditions.states()))
            await asyncio.sleep(LOOK_EVERY_S)

    async def _bury(self, parts: Parts, worker: int) -> None:
        while True:
            try:
                await parts.manager.bury(worker)
            except StoreError as error:
                _log.error("burying_failed", gone=worker, error=type(error).__name__)
                await asyncio.sleep(BURY_AGAIN_S)
            else:
                self._tell(Buried(worker))
                return

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("background_work_failed", exc_info=(type(error), error, error.__traceback__))


class WorkerServer(Server):
    """uvicorn without a port: connections are given to it, by the front and by the other workers."""

    def __init__(self, app: ASGIApp, parts: Parts, forwarding: WorkerForwarding) -> None:
        super().__init__(app, parts.config, parts.manager, parts.readiness)
        self.opened = asyncio.Event()
        self._forwarding = forwarding
        self._inner = uvicorn_config(Forwarded(app), parts.config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen for the other workers alone."""
        await super().startup(sockets)
        self._inner.load()
        listening = await asyncio.get_running_loop().create_unix_server(
            lambda: self._protocol(self._inner), self._forwarding.own_socket
        )
        self.servers.append(listening)
        self.opened.set()

    async def take(self, connection: socket.socket) -> None:
        """Serve a connection that somebody else has accepted."""
        try:
            connection.setblocking(False)
            await asyncio.get_running_loop().connect_accepted_socket(lambda: self._protocol(self.config), connection)
        except OSError:  # the client is gone already
            connection.close()

    def _protocol(self, config: UvicornConfig) -> asyncio.Protocol:
        make: Any = config.http_protocol_class
        protocol: asyncio.Protocol = make(config=config, server_state=self.server_state, app_state=self.lifespan.state)
        return protocol


if __name__ == "__main__":
    main()
