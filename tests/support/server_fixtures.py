"""A whole server but for the sockets: real store, real call manager, scripted engines."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import uvloop
from fastapi import FastAPI

from antiphon.api.app import create_app
from antiphon.api.services import Readiness
from antiphon.config.config import Config
from antiphon.engines import registry
from antiphon.engines.registry import Engines
from antiphon.lifecycle.admission import Admission
from antiphon.lifecycle.manager import CallManager
from antiphon.process.listener import address, listen
from antiphon.process.server import Server
from antiphon.store.database import Database
from antiphon.store.ledger import Ledger
from antiphon.store.repositories import Repositories
from tests.conftest import SCRIPTED as SCRIPTED_FILE
from tests.conftest import RealServer, running_server
from tests.support.line import Play, play_on

KEY = "testtest.0123456789abcdef0123456789abcdef"

SCRIPTED: dict[str, Any] = {
    "voice_activity": {"engine": "scripted"},
    "end_of_turn": {"engine": "scripted"},
    "transcriber": {"engine": "scripted"},
    "models": {"ultravox-v0.7": {"engine": "scripted"}, "other": {"engine": "scripted", "token_delay_s": 0.01}},
    "voices": {
        "Mark": {"engine": "scripted", "description": "Calm.", "language": "en-US"},
        "Anna": {"engine": "scripted", "language": "de-DE"},
    },
}


@dataclass
class House:
    """The server's parts, for tests to look into."""

    app: FastAPI
    config: Config
    engines: Engines
    store: Repositories
    manager: CallManager
    readiness: Readiness
    client: httpx.AsyncClient


def scripted_config(folder: Path, **values: Any) -> Config:
    return Config.model_validate({**SCRIPTED, "data_dir": folder, "models_dir": folder, "api_key": KEY, **values})


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    limits = {"max_calls": 3, "keepalive_s": 0.5, "keepalive_timeout_s": 0.5}
    config = scripted_config(tmp_path, limits=limits)
    engines = registry.build(config, config.models_dir)
    async with AsyncExitStack() as stack:
        database = await Database.open(config.store_url)
        stack.push_async_callback(database.close)
        ledger = await stack.enter_async_context(Ledger(database))
        store = Repositories.of(database)
        turns = config.turns.settings()
        manager = CallManager(engines, store, ledger, config.recordings_dir, turns, Admission(config.limits.max_calls))
        await manager.start()
        stack.push_async_callback(manager.stop)
        readiness = Readiness()
        app = create_app(config, store, engines, manager, readiness=readiness)
        client = await stack.enter_async_context(
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app, raise_app_exceptions=False),
                base_url="http://calls.example",
                headers={"X-API-Key": KEY},
            )
        )
        yield House(app, config, engines, store, manager, readiness, client)


@pytest.fixture
def client(house: House) -> httpx.AsyncClient:
    return house.client


@pytest.fixture
async def served(house: House) -> AsyncIterator[House]:
    """The same behind a real socket, which its client uses."""
    with contextlib.closing(listen("127.0.0.1", 0)) as sock:
        server = Server(house.app, house.config, house.manager, house.readiness)
        serving = asyncio.create_task(server.serve(sockets=[sock]))
        base = address(sock, "127.0.0.1")
        async with httpx.AsyncClient(base_url=base, headers={"X-API-Key": KEY}, trust_env=False) as client:
            yield replace(house, client=client)
        server.should_exit = True
        await serving


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def open_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealServer]:
    """`antiphon serve` with scripted engines, whose calls may reach this machine."""
    config = f"{SCRIPTED_FILE}\ntools.allow_private = true"
    async with running_server(tmp_path_factory.mktemp("open"), config) as server:
        yield server


@pytest.fixture(params=[uvloop.new_event_loop, asyncio.SelectorEventLoop], ids=["uvloop", "asyncio"])
def play(request: pytest.FixtureRequest) -> Play:
    """Plays a scene with gathered sockets, on either loop."""
    return play_on(request.param)
