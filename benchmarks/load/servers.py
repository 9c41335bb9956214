"""The servers measured: how each is started, and how a caller comes in."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from antiphon.client.rest import Api
from antiphon.demo.server_process import free_port
from antiphon.errors import RequestError
from antiphon.store.database import WORKER_MARK
from load.processes import POLL_S, START_TIMEOUT_S, running
from load.standins import Delays

KEY = "benchmark-key-of-one-run"
ENDPOINT_S = 0.384
INTERRUPTION_S = 0.09
JOINS_AT_ONCE = 8
PEERS = Path(__file__).parent / "peers"
REQUIREMENTS = Path(__file__).parents[1] / "requirements-pipecat.txt"
_CONFIG = """
api_key = "{key}"
voice_activity = {{ engine = "silero" }}
end_of_turn = {{ engine = "{end_of_turn}" }}
transcriber = {{ engine = "openai", base_url = "{engines}", model = "stand-in" }}
models.stand-in = {{ engine = "openai", base_url = "{engines}", model = "stand-in" }}
voices.Mark = {{ engine = "openai", base_url = "{engines}", model = "stand-in", voice = "alloy", sample_rate = 24000 }}
limits.max_calls = {most}
log.level = "warning"
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where things are: the address of the engines, the server's cores, a folder for logs and data."""

    engines: str
    delays: Delays
    cores: Sequence[int]
    folder: Path
    end_of_turn: bool = False
    serve: tuple[str, ...] = ()
    """Further arguments for ``antiphon serve``."""
    config: str = ""
    """Further lines of its configuration."""


@dataclass(frozen=True, slots=True)
class Server:
    """One that runs. ``kind`` as in :class:`load.callers.Caller`."""

    kind: str
    url: str
    pid: int
    database: Path | None = None

    async def join_tokens(self, callers: Sequence[int]) -> list[str | None]:
        """The WebSocket address of each caller's call; None for one that is refused (503)."""
        if self.kind != "antiphon":
            return [f"{self.url.replace('http', 'ws')}/ws?caller={caller}" for caller in callers]
        medium = {"serverWebSocket": {"inputSampleRate": 16_000, "outputSampleRate": 24_000, "clientBufferSizeMs": 60}}
        urls: list[str | None] = []
        async with Api(self.url, KEY) as api:
            for first in range(0, len(callers), JOINS_AT_ONCE):
                bodies = [
                    {
                        "systemPrompt": f"You are talking to caller {caller}. Answer briefly.",
                        "medium": medium,
                        "firstSpeakerSettings": {"user": {}},
                    }
                    for caller in callers[first : first + JOINS_AT_ONCE]
                ]
                urls += await asyncio.gather(*(_created(api, body) for body in bodies))
        return urls

    def calls_by_worker(self) -> dict[str, int]:
        """How many calls each worker serves, by its number; nothing where there is but one process."""
        if self.database is None:
            return {}
        live = "SELECT server_id, count(*) FROM calls WHERE joined IS NOT NULL AND ended IS NULL GROUP BY server_id"
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            owners = [(str(owner).partition(WORKER_MARK), count) for owner, count in connection.execute(live)]
        return {worker: count for (_, mark, worker), count in sorted(owners) if mark}

    async def metrics(self) -> str:
        """What ``/metrics`` says; nothing where there is none."""
        if self.kind != "antiphon":
            return ""
        async with httpx.AsyncClient(trust_env=False, verify=False) as client:
            return (await client.get(f"{self.url}/metrics")).text


async def _created(api: Api, body: dict[str, Any]) -> str | None:
    try:
        return str((await api.create_call(body))["joinUrl"])
    except RequestError as error:
        if "answered 503" in str(error):
            return None
        raise


@asynccontextmanager
async def antiphon(place: Place) -> AsyncIterator[Server]:
    """``antiphon serve`` with its own voice activity and the stand-ins for everything else."""
    port = free_port()
    folder = place.folder / f"antiphon-{port}"
    folder.mkdir(parents=True)
    end_of_turn = "smart-turn" if place.end_of_turn else "none"
    config = _CONFIG.format(key=KEY, engines=place.engines, end_of_turn=end_of_turn, most=10_000)
    (folder / "antiphon.toml").write_text(config + place.config + "\n")
    command = [sys.executable, "-m", "antiphon.cli", "serve", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--config", str(folder / "antiphon.toml"), "--data-dir", str(folder / "data"), *place.serve]
    url = f"http://127.0.0.1:{port}"
    async with running(command, place.cores, f"{url}/readyz", folder / "log") as pid:
        await _all_serve(folder / "data" / "workers", _workers(place.serve))
        yield Server("antiphon", url, pid, folder / "data" / "antiphon.db")


def _workers(serve: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--workers", type=int, default=1)
    workers: int = parser.parse_known_args(serve)[0].workers
    return workers


async def _all_serve(sockets: Path, workers: int) -> None:
    """The server is ready with its first worker; each has a socket for the others when it serves."""
    async with asyncio.timeout(START_TIMEOUT_S):
        while workers > 1:
            if len(list(sockets.glob("*.sock"))) >= workers:  # noqa: ASYNC240 - a folder of a few names
                return
            await asyncio.sleep(POLL_S)


@asynccontextmanager
async def pipecat(place: Place, python: Path) -> AsyncIterator[Server]:
    """Pipecat in the environment of ``python``."""
    port = free_port()
    command = [str(python), str(PEERS / "pipecat_server.py"), "--port", str(port), "--engines", place.engines]
    command += ["--start-s", str(INTERRUPTION_S), "--stop-s", str(ENDPOINT_S)]
    command += ["--transcript-s", str(place.delays.transcript_s)]
    url = f"http://127.0.0.1:{port}"
    async with running(command, place.cores, f"{url}/readyz", place.folder / f"pipecat-{port}.log") as pid:
        yield Server("pipecat", url, pid)


@asynccontextmanager
async def echo(place: Place, share: float) -> AsyncIterator[Server]:
    """The floor: as many frames in and out, and nothing in between."""
    port = free_port()
    command = [sys.executable, "-m", "load.echo_server", "--port", str(port), "--share", f"{share:.4f}"]
    url = f"http://127.0.0.1:{port}"
    async with running(command, place.cores, f"{url}/readyz", place.folder / f"echo-{port}.log") as pid:
        yield Server("echo", url, pid)


@asynccontextmanager
async def standins(delays: Delays, core: int, folder: Path) -> AsyncIterator[tuple[str, int]]:
    """The engines: their address, up to ``/v1``, and their process."""
    port = free_port()
    command = [sys.executable, "-m", "load.standins", "--port", str(port)]
    for name in Delays.__dataclass_fields__:
        command += [f"--{name.replace('_', '-')}", str(getattr(delays, name))]
    url = f"http://127.0.0.1:{port}"
    async with running(command, [core], f"{url}/stats", folder / "standins.log") as pid:
        yield f"{url}/v1", pid


def pipecat_python(cache: Path) -> Path:
    """The interpreter of Pipecat's own environment, which is made the first time. Raises ``CalledProcessError``."""
    wanted = REQUIREMENTS.read_text()
    version = next(line.partition("==")[2] for line in wanted.splitlines() if line.startswith("pipecat-ai"))
    home = cache / f"pipecat-{version}"
    stamp, python = home / "requirements.txt", home / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != wanted:
        environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", str(REQUIREMENTS)], check=True, env=environment)
        stamp.write_text(wanted)
    return python
