"""The serverWebSocket medium does what every medium has to do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

from antiphon.audio.pcm import Samples
from antiphon.media.protocol import Medium, MediumSettings
from antiphon.media.websocket.medium import KIND, JoinedSocket, WebSocketMedium
from tests.media.suite import PATIENCE_S, FarEnd, MediumSuite


class Socket:
    """An ASGI WebSocket in memory, and the client at its other end."""

    medium: Medium

    def __init__(self) -> None:
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._came: list[dict[str, Any]] = []
        self._news = asyncio.Condition()
        self._open = asyncio.Event()
        self._open.set()

    async def receive(self) -> dict[str, Any]:
        return await self._incoming.get()

    async def send(self, message: dict[str, Any]) -> None:
        await self._open.wait()
        async with self._news:
            self._came.append(message)
            self._news.notify_all()

    def speak(self, data: bytes) -> None:
        self._incoming.put_nowait({"type": "websocket.receive", "bytes": data})

    def write(self, text: str) -> None:
        self._incoming.put_nowait({"type": "websocket.receive", "text": text})

    def leave(self, *, clean: bool) -> None:
        self._incoming.put_nowait({"type": "websocket.disconnect", "code": 1000 if clean else 1006})

    def stall(self) -> None:
        self._open.clear()

    def resume(self) -> None:
        self._open.set()

    async def got(self, count: int) -> list[Samples | dict[str, Any]]:
        await self._until(lambda: len(self._things()) >= count)
        return self._things()

    async def closed(self) -> None:
        await self._until(lambda: any(message["type"] == "websocket.close" for message in self._came))

    def _things(self) -> list[Samples | dict[str, Any]]:
        sent = [message for message in self._came if message["type"] == "websocket.send"]
        return [np.frombuffer(m["bytes"], "<i2") if "bytes" in m else json.loads(m["text"]) for m in sent]

    async def _until(self, true: Any) -> None:
        async with asyncio.timeout(PATIENCE_S), self._news:
            await self._news.wait_for(true)


class TestWebSocketMedium(MediumSuite):
    @asynccontextmanager
    async def pair(self) -> AsyncIterator[FarEnd]:
        socket = Socket()
        async with WebSocketMedium(MediumSettings(KIND, 16_000, 24_000), JoinedSocket(socket)) as medium:
            socket.medium = medium
            yield socket
