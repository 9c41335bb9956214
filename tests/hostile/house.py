"""`antiphon serve` as a process of its own whose insides can be looked at: memory, metrics, the log, its end."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from antiphon.client.caller import Caller, join
from antiphon.client.voice import Voice
from antiphon.client.wav import Samples
from antiphon.demo.server_process import free_port
from tests.hostile.sound import RATE

KEY = "hostile0.0123456789abcdef0123456789abcdef"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0

ENGINES = """
api_key = "hostile0.0123456789abcdef0123456789abcdef"
voice_activity = { engine = "scripted" }
end_of_turn = { engine = "scripted" }
transcriber = { engine = "scripted", texts = ["Hello, can you hear me?"] }
voices.Mark = { engine = "scripted", character_ms = 20 }

[models.short]
engine = "scripted"
replies = ["Hello! I can hear you."]

[models.witness]
engine = "scripted"
replies = ["I can hear you well, and I go on for a while, so that a hole in what you hear from me would be noticed."]

[models.long]
engine = "scripted"
replies = ["LONG"]
""".replace("LONG", "There is much to say about this and it takes me a minute to say it all. " * 50)
"""No models, no waiting. The long reply takes 72 s to hear."""

LIMITS = """
[shutdown]
drain_s = 0

[turns]
farewell_patience_s = 3.0

[limits]
max_loop_share = 1.0
max_lateness_ms = 60000.0
"""

CALL: dict[str, Any] = {
    "model": "short",
    "firstSpeakerSettings": {"user": {}},
    "medium": {"serverWebSocket": {"inputSampleRate": RATE, "dataMessages": {"debug": True, "callEvent": True}}},
}


@dataclass(frozen=True, slots=True)
class House:
    """A running server."""

    url: str
    data_dir: Path
    log: Path
    process: subprocess.Popen[bytes]

    def client(self, key: str = KEY) -> httpx.AsyncClient:
        """For REST; nothing is raised for statuses."""
        return httpx.AsyncClient(base_url=self.url, headers={"X-API-Key": key}, timeout=30, trust_env=False)

    def memory_bytes(self) -> int:
        """Resident."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    def holds(self, port: int) -> bool:
        """Whether the server still has its end of the connection with a client's ``port`` open."""
        here = int(self.url.rpartition(":")[2])
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        ends = [(row[1].endswith(f":{here:04X}"), row[2].endswith(f":{port:04X}"), row[9]) for row in rows]
        return any(mine and theirs and inode != "0" for mine, theirs, inode in ends)

    async def metric(self, name: str) -> float:
        """The sum of what `/metrics` has under ``name``, whatever the labels."""
        async with self.client() as client:
            lines = (await client.get("/metrics")).text.splitlines()
        values = [line.split() for line in lines if not line.startswith("#")]
        return sum(float(value) for label, value in values if label.partition("{")[0] == name)

    async def create(self, **fields: Any) -> dict[str, Any]:
        """A new call. ``fields`` replace those of :data:`CALL`."""
        async with self.client() as client:
            response = await client.post("/api/calls", json={**CALL, **fields})
        assert response.status_code == 201, response.text
        call: dict[str, Any] = response.json()
        return call

    async def get(self, call: dict[str, Any], more: str = "") -> Any:
        """What REST says of the call, or of something of it."""
        async with self.client() as client:
            response = await client.get(f"/api/calls/{call['callId']}{more}")
        assert response.status_code == 200, response.text
        return response.json()

    async def messages(self, call: dict[str, Any]) -> list[dict[str, Any]]:
        """The call's messages (their first page)."""
        messages: list[dict[str, Any]] = (await self.get(call, "/messages?pageSize=100"))["results"]
        return messages

    async def events(self, call: dict[str, Any]) -> list[str]:
        """The types of the call's events (their first page)."""
        return [event["type"] for event in (await self.get(call, "/events?pageSize=100"))["results"]]

    async def ended(self, call: dict[str, Any], timeout_s: float = 10.0) -> dict[str, Any]:
        """The call, once it has ended; :class:`TimeoutError` where it does not."""
        deadline = time.monotonic() + timeout_s
        async with self.client() as client:
            while True:
                found: dict[str, Any] = (await client.get(f"/api/calls/{call['callId']}")).json()
                if found["ended"]:
                    return found
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the call did not end within {timeout_s} s")


@asynccontextmanager
async def talking(call: dict[str, Any], rate: int = RATE) -> AsyncIterator[Caller]:
    """A well-behaved client in ``call``."""
    medium = call["medium"]["serverWebSocket"]
    output = medium.get("outputSampleRate", rate)
    async with join(call["joinUrl"], Voice(rate), input_rate=rate, output_rate=output) as caller:
        yield caller


async def take_turn(caller: Caller, words: Samples) -> str:
    """Say something and hear the answer to its end; the answer's words."""
    since = caller.now
    await caller.say(words)
    await caller.until_message(lambda m: m.body.get("state") == "speaking", after_s=since, timeout_s=20)
    final = await caller.until_message(
        lambda m: m.type == "transcript" and m.body["role"] == "agent" and m.body["final"], after_s=since, timeout_s=20
    )
    await caller.until_message(lambda m: m.body.get("state") == "listening", after_s=final.at, timeout_s=20)
    return str(final.body["text"])


@contextmanager
def running(folder: Path, limits: str = "", *, port: int | None = None) -> Iterator[House]:
    """A server on ``folder``, which it finds as the last one left it. Whatever still runs at the end is killed."""
    port = port or free_port()
    file, data, log = folder / "antiphon.toml", folder / "data", folder / "server.log"
    file.write_text(ENGINES + LIMITS + limits, encoding="utf-8")
    arguments = ["--host", "127.0.0.1", "--port", str(port), "--config", str(file), "--data-dir", str(data)]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "antiphon.cli", "serve", *arguments], stdout=output, stderr=subprocess.STDOUT
        )
    house = House(f"http://127.0.0.1:{port}", data, log, process)
    try:
        _until_ready(house)
        yield house
    finally:
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_TIMEOUT_S)
        if process.poll() is None:
            process.kill()
            process.wait()


def _until_ready(house: House) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    with httpx.Client(base_url=house.url, trust_env=False, timeout=5) as client:
        while time.monotonic() < deadline:
            assert house.process.poll() is None, house.log.read_text()
            with contextlib.suppress(httpx.TransportError):
                if client.get("/readyz").status_code == 200:
                    return
            time.sleep(0.05)
    raise TimeoutError(house.log.read_text())
