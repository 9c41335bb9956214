"""``antiphon serve``: everything built, served, and taken down in order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
import uvicorn
import uvloop
from starlette.types import ASGIApp

from antiphon.api.app import create_app
from antiphon.api.auth import Keyring
from antiphon.api.services import Readiness
from antiphon.config import logs
from antiphon.config.config import Config
from antiphon.config.logs import where
from antiphon.engines import registry
from antiphon.engines.registry import Engines
from antiphon.errors import AntiphonError, SetupError, StoreError
from antiphon.lifecycle.admission import ADMITTED_PER_CORE, Admission, Load, LoadLimits
from antiphon.lifecycle.manager import CallManager
from antiphon.media.websocket.socket import CallSocket
from antiphon.process.listener import address, listen
from antiphon.process.loop_monitor import usable_cores, watch
from antiphon.process.signals import Signals
from antiphon.process.startup import data_folder, greeting, say
from antiphon.process.stopping import Stopping
from antiphon.session.data_connections import DataConnections
from antiphon.store.database import Database, read_server_id
from antiphon.store.ledger import Ledger, LedgerTrouble
from antiphon.store.repositories import Repositories
from antiphon.tools.http import HttpCaller
from antiphon.tools.ssrf_guard import SsrfGuard

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a process of the server consists of."""

    config: Config
    engines: Engines
    store: Repositories
    manager: CallManager
    admission: Admission
    keys: Keyring
    readiness: Readiness

    def stopping(self, server: Server, *, alone: bool = True) -> Stopping:
        """What stops this process, and ``server`` last. See :class:`Stopping` for ``alone``."""
        drain_s = self.config.shutdown.drain_s
        return Stopping(self.manager, self.readiness, drain_s, server.exit, alone=alone)


def serve(config: Config) -> None:
    """Serve in this process until SIGINT or SIGTERM, and until live calls have ended.

    Raises :class:`SetupError`, one plain line with the way out.
    """
    logs.configure(config.log)
    with contextlib.closing(listen(config.host, config.port)) as sock, data_folder(config):
        try:
            with Signals() as signals:
                uvloop.run(_serve(config, sock, signals))
        except StoreError as error:
            raise SetupError(str(error)) from None


async def _serve(config: Config, sock: socket.socket, signals: Signals) -> None:
    async with built(config) as parts:

        async def greet() -> None:
            say(greeting(address(sock, config.host), await parts.keys.first_key(datetime.now(UTC))))

        app = create_app(config, parts.store, parts.engines, parts.manager, keys=parts.keys, readiness=parts.readiness)
        server = Server(app, config, parts.manager, parts.readiness)
        _log.info("listening", url=address(sock, config.host))
        await until_stopped(server, parts, parts.stopping(server), signals, [sock], greet)


@contextlib.asynccontextmanager
async def built(config: Config, worker: int | None = None, *, first: bool = True) -> AsyncIterator[Parts]:
    """Everything but the app, taken down in order at the end of the block.

    ``worker``: the number of this process where there are several, and whether it is the ``first`` of them: what a
    former server left behind is then put in order.
    """
    engines = registry.build(config, config.models_dir)
    try:
        async with _database(config, worker) as database, Ledger(database, on_trouble=_tell_trouble) as ledger:
            store = Repositories.of(database)
            turns, limits = config.turns.settings(), config.limits
            load = Load(LoadLimits(limits.max_loop_share, limits.max_lateness_ms / 1000))
            always = ADMITTED_PER_CORE * usable_cores() if limits.always_admit is None else limits.always_admit
            admission = Admission(limits.max_calls, load, always=always, most_waiting=limits.max_waiting)
            ssrf_guard = SsrfGuard(config.tools.allow_private, config.tools.allowed)
            http, data_connections = HttpCaller(ssrf_guard), DataConnections(ssrf_guard)
            recordings = config.recordings_dir
            threads = config.threads.settings()
            manager = CallManager(
                engines, store, ledger, recordings, turns, admission, http, data_connections, threads, worker
            )
            await manager.start(first=first)
            try:
                configured = config.api_key.get_secret_value() if config.api_key is not None else None
                keys = Keyring(store.keys, configured)
                yield Parts(config, engines, store, manager, admission, keys, Readiness(["models"], engines.conditions))
            finally:
                await manager.stop()
    finally:
        await engines.close()


async def until_stopped(
    server: Server,
    parts: Parts,
    stopping: Stopping,
    signals: Signals,
    sockets: list[socket.socket],
    loaded: Callable[[], Awaitable[None]],
    *beside: Coroutine[Any, Any, None],
) -> None:
    """Serve until a signal, or until ``server.should_exit``. ``beside`` runs for as long.

    ``loaded`` is awaited once, when the models are loaded and before the server is ready.
    """
    signals.tell(stopping.signalled)
    loading = asyncio.create_task(_load_and_watch(parts, server, loaded))
    tasks = [loading, *(asyncio.create_task(work) for work in beside)]
    try:
        await server.serve(sockets=sockets)
        if loading.done() and not loading.cancelled():
            loading.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await stopping.finish()


async def _load_and_watch(parts: Parts, server: Server, loaded: Callable[[], Awaitable[None]]) -> None:
    """Load the models, then measure how late and how busy the event loop is."""
    await _load(parts.engines, parts.readiness, server, loaded)
    await watch(parts.admission.load, parts.engines.processor_meter(), parts.engines.memory_meter())


async def _load(engines: Engines, readiness: Readiness, server: Server, loaded: Callable[[], Awaitable[None]]) -> None:
    """Load the models while the server already answers; where that fails, stop it."""

    def tell(what: str) -> None:
        readiness.missing[:] = [what]
        _log.info("loading", what=what)

    started = asyncio.get_running_loop().time()
    try:
        await engines.load(tell)
        await loaded()
    except StoreError:
        server.should_exit = True
        raise
    except AntiphonError as error:
        server.should_exit = True
        raise SetupError(f"the engines cannot be loaded: {error}") from None
    except Exception as error:
        _log.error("loading_broke", error=type(error).__name__, where=where(error))
        server.should_exit = True
        raise SetupError(
            f"the {' '.join(readiness.missing)} cannot be loaded: {type(error).__name__}: {error}"
        ) from None
    settle_memory()
    readiness.missing.clear()
    _log.info("ready", after_s=round(asyncio.get_running_loop().time() - started, 1))


def settle_memory() -> None:
    """What is there by now stays for good: the collector need not look through it again.

    It takes 85 ms for that, in which no call's audio is sent, and is longer than most clients' buffers.
    """
    gc.collect()
    gc.freeze()


@contextlib.asynccontextmanager
async def _database(config: Config, worker: int | None) -> AsyncIterator[Database]:
    server_id = read_server_id(config.data_dir, socket.gethostname())
    database = await Database.open(config.store_url, server_id=server_id, worker=worker)
    try:
        yield database
    finally:
        await database.close()


def _tell_trouble(trouble: LedgerTrouble) -> None:
    _log.error("record_trouble", kind=trouble.trouble.value, entries=trouble.entries, error=trouble.error)


class Server(uvicorn.Server):
    """uvicorn, ending live calls before it stops, and leaving signals to us."""

    def __init__(self, app: ASGIApp, config: Config, manager: CallManager, readiness: Readiness) -> None:
        super().__init__(uvicorn_config(app, config))
        self._manager = manager
        self._readiness = readiness

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        """Leave signals alone: uvicorn raises them again when done, and that would kill us before we are."""
        yield

    def exit(self) -> None:
        """Have ``serve`` return, soon."""
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End live calls, then connections."""
        self._readiness.stopping = True
        await self._manager.stop()
        await super().shutdown(sockets)


def uvicorn_config(app: ASGIApp, config: Config) -> uvicorn.Config:
    """How uvicorn serves us."""
    limits = config.limits
    return uvicorn.Config(
        app,
        http="httptools",
        ws=CallSocket,
        ws_max_size=limits.max_frame_bytes,
        ws_ping_interval=limits.keepalive_s,
        ws_ping_timeout=limits.keepalive_timeout_s,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # see api/forwarded_headers.py
        timeout_graceful_shutdown=5,
    )
