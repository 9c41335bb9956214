"""A server of several processes, started as a user would, and what a test wants to know of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import text
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from antiphon.demo.server_process import free_port
from antiphon.store.database import Database

KEY = "testtest.0123456789abcdef0123456789abcdef"
START_TIMEOUT_S = 90.0
POLL_S = 0.05

SCRIPTED = """
limits = {{ max_loop_share = 1.0, max_lateness_ms = 60000.0, max_calls = {max_calls}, max_waiting = {max_waiting} }}
log = {{ format = "json" }}
shutdown = {{ drain_s = {drain_s} }}
api_key = "{key}"
voice_activity = {{ engine = "scripted" }}
end_of_turn = {{ engine = "scripted" }}
transcriber = {{ engine = "scripted", texts = ["Hello, can you hear me?"] }}
models.scripted = {{ engine = "scripted", replies = ["{reply}"] }}
voices.Mark = {{ engine = "scripted", character_ms = 20 }}
"""

CALL: dict[str, Any] = {
    "model": "scripted",
    "medium": {"serverWebSocket": {"inputSampleRate": 16000}},
    "firstSpeakerSettings": {"user": {}},
}
WRITING = {**CALL, "initialOutputMedium": "MESSAGE_MEDIUM_TEXT"}


@dataclass
class Crew:
    """The running server. ``client`` keeps its connection, and so stays with one worker."""

    url: str
    data_dir: Path
    log: Path
    database_url: str
    process: asyncio.subprocess.Process
    client: httpx.AsyncClient

    @asynccontextmanager
    async def other_client(self) -> AsyncIterator[httpx.AsyncClient]:
        """One with a connection of its own, wherever that leads."""
        async with httpx.AsyncClient(
            base_url=self.url, headers={"X-API-Key": KEY}, trust_env=False, timeout=30
        ) as other:
            yield other

    async def create(self, **fields: Any) -> dict[str, Any]:
        response = await self.client.post("/api/calls", json={**CALL, **fields})
        assert response.status_code == 201, response.text
        call: dict[str, Any] = response.json()
        return call

    async def call(self, call_id: str) -> dict[str, Any]:
        """The call as any worker shows it."""
        async with self.other_client() as client:
            call: dict[str, Any] = (await client.get(f"/api/calls/{call_id}")).json()
            return call

    async def owners(self) -> dict[str, str]:
        """Each call's server id, from the database; what stands behind ``-w`` is the worker."""
        database = await Database.open(self.database_url)
        try:
            async with database.read() as connection:
                rows = (await connection.execute(text("SELECT call_id, server_id FROM calls"))).all()
        finally:
            await database.close()
        return {row[0]: row[1].rpartition("-")[2] for row in rows}

    def pids(self) -> dict[str, int]:
        """The workers that listen for the others, as ``owners`` names them, and their processes."""
        found = {}
        for path in (self.data_dir / "workers").glob("*.sock"):
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(str(path))
                except ConnectionRefusedError:
                    continue
                credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
                found[f"w{path.stem}"] = struct.unpack("3i", credentials)[0]
        return found

    def running(self, pids: Iterable[int]) -> list[int]:
        """Those of the processes that there still are."""
        return [pid for pid in pids if Path(f"/proc/{pid}").exists()]

    async def ready(self, workers: int) -> None:
        """Wait until so many of them can serve calls."""
        await until(lambda: self.log.read_text().count('"event": "ready"') >= workers)

    def troubles(self) -> list[dict[str, Any]]:
        """What it logged as an error."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["level"] in ("error", "critical")]


@asynccontextmanager
async def crew(
    folder: Path,
    workers: int = 2,
    *,
    reply: str = "Hello!",
    max_calls: int = 200,
    max_waiting: int = 5000,
    database_url: str | None = None,
    drain_s: float = 0,
) -> AsyncIterator[Crew]:
    """A server with scripted engines; the block begins when all its workers are ready."""
    file, data, log = folder / "antiphon.toml", folder / "data", folder / "server.log"
    values = {"max_calls": max_calls, "max_waiting": max_waiting, "drain_s": drain_s}
    config = SCRIPTED.format(key=KEY, reply=reply, **values)
    file.write_text(config + (f'database_url = "{database_url}"\n' if database_url else ""))
    port = free_port()
    arguments = ("--config", str(file), "--data-dir", str(data), "--port", str(port), "--workers", str(workers))
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "antiphon.cli", "serve", *arguments),
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient(base_url=url, headers={"X-API-Key": KEY}, trust_env=False, timeout=30) as client:
            found = Crew(url, data, log, database_url or f"sqlite:///{data / 'antiphon.db'}", process, client)
            await found.ready(workers)
            yield found
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), 30)


async def until(true: Callable[[], bool], within_s: float = START_TIMEOUT_S) -> None:
    """Wait for it."""
    async with asyncio.timeout(within_s):
        while True:
            if true():
                return
            await asyncio.sleep(POLL_S)


@dataclass
class Caller:
    """Somebody in a call: what came, and when. ``closed`` is the close code in the end."""

    socket: ClientConnection
    messages: list[dict[str, Any]] = field(default_factory=list)
    audio: list[tuple[float, int]] = field(default_factory=list)
    closed: int | None = None

    async def listen(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for data in self.socket:
                if isinstance(data, bytes):
                    self.audio.append((time.monotonic(), len(data)))
                else:
                    self.messages.append(json.loads(data))
        self.closed = self.socket.close_code

    async def heard(self, kind: str, within_s: float = 30.0, **fields: Any) -> None:
        """Wait for a message of this kind with these fields."""
        wanted = {"type": kind, **fields}
        await until(lambda: any(wanted.items() <= message.items() for message in self.messages), within_s)

    async def over(self) -> None:
        """Wait for the end of the connection."""
        await until(lambda: self.closed is not None, 30)


@asynccontextmanager
async def joined(call: dict[str, Any]) -> AsyncIterator[Caller]:
    """Join the call, and listen for as long as the block lasts."""
    async with connect(call["joinUrl"], proxy=None) as socket:
        caller = Caller(socket)
        listening = asyncio.create_task(caller.listen())
        await caller.heard("call_started")
        yield caller
    listening.cancel()
    await asyncio.wait([listening])
