"""A medium that the server never heard of carries a whole call: its own framing, its own verb, playout by marks."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
from websockets.asyncio.client import connect

from antiphon.audio.pcm import Samples, bytes_from_samples
from antiphon.audio.playout import Cleared
from antiphon.media.protocol import Audio, Incoming, Left, MediumSettings
from antiphon.media.websocket.medium import JoinedSocket
from tests.support.server_fixtures import House

RATE = 8_000


class MarkedPlayout:
    """Sends all at once; what was heard is what the client has marked as played."""

    rate, held, underruns = RATE, 0, 0

    def begin(self, reply_number: int) -> None:
        self.waiting: list[bytes] = []
        self.sent = self.heard = 0
        self.finished = self.cleared = False

    def push(self, samples: Samples) -> None:
        self.waiting.append(bytes_from_samples(samples))

    def finish(self) -> None:
        self.finished = True

    def due(self, now: float) -> list[bytes]:
        frames, self.waiting = self.waiting, []
        self.sent += sum(map(len, frames)) // 2
        return [] if self.cleared else frames

    def position(self, now: float) -> int:
        return self.heard

    def done(self, now: float) -> bool:
        return self.finished and not self.waiting and not self.cleared and self.heard == self.sent

    def clear(self, now: float) -> Cleared:
        self.cleared = True
        return Cleared(self.heard, self.sent - self.heard, 0)


class MarkedMedium:
    input_rate = output_rate = RATE
    backed_up = False

    def __init__(self, joined: JoinedSocket) -> None:
        self._socket = joined.websocket
        self._out: asyncio.Queue[dict[str, object]] = asyncio.Queue()
        self.playout = MarkedPlayout()
        self.playout.begin(0)

    async def receive(self) -> Incoming:
        while (got := await self._socket.receive())["type"] != "websocket.disconnect":
            message = json.loads(got["text"])
            if message["event"] == "media":
                return Audio(base64.b64decode(message["payload"]))
            self.playout.heard += message["samples"]
        return Left(got["code"], clean=got["code"] == 1000)

    def send_audio(self, data: bytes) -> None:
        self._out.put_nowait({"event": "media", "payload": base64.b64encode(data).decode()})

    def send_message(self, message: dict[str, object]) -> None:
        self._out.put_nowait({"event": "data", "data": message})

    def interrupt(self, unplayed: int | None) -> None:
        self._out.put_nowait({"event": "clear"})

    async def close(self, code: int, reason: str) -> None:
        with contextlib.suppress(Exception):  # the client may be gone
            await self._socket.send({"type": "websocket.close", "code": code, "reason": reason})

    async def send_all(self) -> None:
        with contextlib.suppress(Exception):  # the client has gone: ``receive`` says so
            while True:
                await self._socket.send({"type": "websocket.send", "text": json.dumps(await self._out.get())})


@asynccontextmanager
async def open_marked(_: MediumSettings, joined: JoinedSocket) -> AsyncIterator[MarkedMedium]:
    medium = MarkedMedium(joined)
    sending = asyncio.create_task(medium.send_all())
    yield medium
    sending.cancel()
    await asyncio.wait([sending])


async def test_a_new_medium_carries_a_call(served: House) -> None:
    served.manager.media.register("exotel", open_marked)
    body = {"medium": {"exotel": {}}, "firstSpeakerSettings": {"agent": {"text": (said := "Hello. " * 20)}}}
    call = (await served.client.post("/api/calls", json=body)).json()
    seen, heard = [""], 0
    speech = base64.b64encode(np.full(RATE // 5, 8_000, "<i2").tobytes()).decode()
    async with asyncio.timeout(20), connect(call["joinUrl"], proxy=None) as socket:
        async for got in socket:
            seen.append((message := json.loads(got))["event"])
            if seen[-1] == "media" and heard < RATE:  # the client hears a second of it, and speaks over the rest
                heard += (samples := len(base64.b64decode(message["payload"])) // 2)
                await socket.send(json.dumps({"event": "mark", "samples": samples}))
            elif seen[-1] == "media":
                await socket.send(json.dumps({"event": "media", "payload": speech}))
            elif seen[-1] == "data" and message["data"]["type"] == "transcript" and message["data"]["final"]:
                break
    assert seen.count("clear") == 1
    assert "Hello." in message["data"]["text"]
    assert len(message["data"]["text"]) < len(said) / 2
