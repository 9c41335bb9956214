"""Servers for the tests that need one: `antiphon serve` as a process, started as a user would."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from antiphon.config.config import load_config
from antiphon.demo.server_process import free_port, server_process
from antiphon.engines.weights import DEFAULT_MODELS, State, state

pytest_plugins = ["tests.support.server_fixtures"]

SCRIPTED = """
voice_activity = { engine = "scripted" }
end_of_turn = { engine = "scripted" }
transcriber = { engine = "scripted", texts = ["Hello, can you hear me?"] }
models.scripted = { engine = "scripted", replies = ["Hello! I can hear you. How can I help?"] }
voices.Mark = { engine = "scripted", character_ms = 20 }
"""

PATIENT = "limits = { max_loop_share = 1.0, max_lateness_ms = 60000.0 }"
"""A machine that runs tests is late for reasons of its own; who tests admission leaves this away."""


AT_ONCE = "shutdown = { drain_s = 0 }"
"""Nobody waits for the calls that a test leaves behind."""


@dataclass(frozen=True, slots=True)
class RealServer:
    """A server in another process: its address, a good key, its data folder and what it wrote."""

    url: str
    key: str
    data_dir: Path
    log: Path


@asynccontextmanager
async def running_server(folder: Path, config: str) -> AsyncIterator[RealServer]:
    file, data, log = folder / "antiphon.toml", folder / "data", folder / "server.log"
    limits = "" if "limits" in config else f"{PATIENT}\n"
    file.write_text(f"{AT_ONCE}\n{limits}{config}", encoding="utf-8")
    arguments = ["--config", str(file), "--data-dir", str(data)]
    making = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "antiphon.cli", "keys", "create", "tests", *arguments), stdout=asyncio.subprocess.PIPE
    )
    key = (await making.communicate())[0].decode().strip()
    async with server_process(free_port(), log, arguments) as url:
        yield RealServer(url, key, data, log)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def real_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealServer]:
    """`antiphon serve` with scripted engines: ready in a second, answers anything loud."""
    async with running_server(tmp_path_factory.mktemp("scripted"), SCRIPTED) as server:
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def embedded_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealServer]:
    """`antiphon serve` as it comes, with its own models; mark tests that use it with ``models``."""
    folder = load_config().models_dir
    missing = [name for name in DEFAULT_MODELS if state(name, folder) is not State.READY]
    assert not missing, f"fetch {', '.join(missing)} first: make models"
    async with running_server(tmp_path_factory.mktemp("embedded"), "") as server:
        yield server
