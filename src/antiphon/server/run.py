"""``antiphon serve``: everything built, served, and taken down in order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import structlog
import uvicorn
import uvloop
from starlette.types import ASGIApp

from antiphon.engines import registry
from antiphon.engines.registry import Engines
from antiphon.errors import AntiphonError, DataFolderError, SetupError, StoreError
from antiphon.server import logs
from antiphon.server.app import create_app
from antiphon.server.auth import Keyring
from antiphon.server.config import Config
from antiphon.server.errors import where
from antiphon.server.ports import Readiness
from antiphon.server.sockets import CallSocket, address, listen
from antiphon.server.watchdog import watch
from antiphon.session.data_connections import DataConnections
from antiphon.session.load import Admission, Load, LoadLimits
from antiphon.session.switchboard import Switchboard
from antiphon.store.database import Database, read_server_id
from antiphon.store.ledger import Ledger, LedgerTrouble
from antiphon.store.repositories import Repositories
from antiphon.tools.http import HttpCaller
from antiphon.tools.reach import Reach

EXAMPLE_BODY = (
    '{"systemPrompt": "You are a friendly assistant. Answer in one or two short sentences.", '
    '"medium": {"serverWebSocket": {"inputSampleRate": 48000}}}'
)

_log = structlog.get_logger(__name__)


def serve(config: Config) -> None:
    """Serve until SIGINT or SIGTERM. Raises :class:`SetupError`, one plain line with the way out."""
    logs.configure(config.log)
    with contextlib.closing(listen(config.host, config.port)) as sock:
        try:
            uvloop.run(_serve(config, sock))
        except StoreError as error:
            raise SetupError(str(error)) from None


async def _serve(config: Config, sock: socket.socket) -> None:
    prepare_folder(config.data_dir)
    engines = registry.build(config, config.models_dir)
    try:
        async with _database(config) as database, Ledger(database, on_trouble=_tell_trouble) as ledger:
            store = Repositories.of(database)
            turns, limits = config.turns.settings(), config.limits
            load = Load(LoadLimits(limits.max_loop_share, limits.max_lateness_ms / 1000))
            admission = Admission(limits.max_calls, load)
            reach = Reach(config.tools.allow_private, config.tools.allowed)
            http, data_connections = HttpCaller(reach), DataConnections(reach)
            recordings = config.recordings_dir
            threads = config.threads.settings()
            switchboard = Switchboard(
                engines, store, ledger, recordings, turns, admission, http, data_connections, threads
            )
            await switchboard.start()
            try:
                await _serve_calls(config, sock, store, engines, switchboard, load)
            finally:
                await switchboard.stop()
    finally:
        await engines.close()


async def _serve_calls(
    config: Config,
    sock: socket.socket,
    store: Repositories,
    engines: Engines,
    switchboard: Switchboard,
    load: Load,
) -> None:
    configured = config.api_key.get_secret_value() if config.api_key is not None else None
    keys = Keyring(store.keys, configured)
    first_key = await keys.first_key(datetime.now(UTC))
    readiness = Readiness(["models"])
    app = create_app(config, store, engines, switchboard, keys=keys, readiness=readiness)
    server = Server(app, config, switchboard, readiness)
    server.greeting = greeting(address(sock, config.host), first_key)
    await _until_stopped(server, sock, engines, readiness, load)


async def _until_stopped(
    server: Server, sock: socket.socket, engines: Engines, readiness: Readiness, load: Load
) -> None:
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, server.handle_exit, signum, None)
    watching = asyncio.create_task(watch(load))
    loading = asyncio.create_task(_load(engines, readiness, server))
    try:
        await server.serve(sockets=[sock])
        if loading.done() and not loading.cancelled():
            loading.result()
    finally:
        for task in (watching, loading):
            task.cancel()
        await asyncio.wait([watching, loading])


async def _load(engines: Engines, readiness: Readiness, server: Server) -> None:
    """Load the models while the server already answers; where that fails, stop it."""

    def tell(what: str) -> None:
        readiness.missing[:] = [what]
        _log.info("loading", what=what)

    started = asyncio.get_running_loop().time()
    try:
        await engines.load(tell)
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


def prepare_folder(folder: Path) -> None:
    """Make the data folder, for its owner only. Raises :class:`DataFolderError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise DataFolderError(f"cannot write {folder}: {error.strerror}; choose another --data-dir") from None


@contextlib.asynccontextmanager
async def _database(config: Config) -> AsyncIterator[Database]:
    server_id = read_server_id(config.data_dir, socket.gethostname())
    database = await Database.open(config.store_url, server_id=server_id)
    try:
        yield database
    finally:
        await database.close()


def _tell_trouble(trouble: LedgerTrouble) -> None:
    _log.error("record_trouble", kind=trouble.trouble.value, entries=trouble.entries, error=trouble.error)


def greeting(url: str, first_key: str | None) -> str:
    """What a person who started the server needs next."""
    lines = [f"Antiphon listens on {url} and is ready when {url}/readyz answers 200."]
    if first_key is not None:
        lines += ["", f"API key, shown this once: {first_key}"]
    lines += [
        "",
        "Create a call:",
        f"  curl -X POST {url}/api/calls \\",
        f"    -H 'X-API-Key: {first_key}' \\" if first_key else '    -H "X-API-Key: $ANTIPHON_API_KEY" \\',
        "    -H 'Content-Type: application/json' \\",
        f"    -d '{EXAMPLE_BODY}'",
    ]
    return "\n".join(lines)


class Server(uvicorn.Server):
    """uvicorn, ending live calls before it stops, and leaving signals to us."""

    def __init__(self, app: ASGIApp, config: Config, switchboard: Switchboard, readiness: Readiness) -> None:
        super().__init__(uvicorn_config(app, config))
        self.greeting = ""
        self._switchboard = switchboard
        self._readiness = readiness

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        """Leave signals alone: uvicorn raises them again when done, and that would kill us before we are."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        if self.greeting:
            sys.stdout.write(self.greeting + "\n")
            sys.stdout.flush()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End live calls, then connections."""
        self._readiness.missing[:] = ["nothing: the server is stopping"]
        await self._switchboard.stop()
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
        forwarded_allow_ips="127.0.0.1",
        timeout_graceful_shutdown=5,
    )
