"""A real HTTP server with the three OpenAI endpoints that Antiphon asks, its answers given by the test."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse


@dataclass
class Script:
    """How the server answers, until the test says otherwise."""

    text: str = "hello there"
    tokens: Sequence[str] = ("Hello", " there", ".")
    usage: dict[str, Any] | None = field(
        default_factory=lambda: {
            "prompt_tokens": 12,
            "completion_tokens": 3,
            "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 8},
        }
    )
    pcm: bytes = bytes(range(256)) * 20
    chunk: int = 1000
    """Bytes of one chunk of speech; odd ones cut samples in two."""
    content_type: str = "application/octet-stream"
    status: int = 200
    """Anything else is answered at once, with a body that quotes the key."""
    refuses: str = ""
    """The path that alone answers with ``status``; all where it is empty."""
    refusal: dict[str, Any] | None = None
    """The body of such an answer."""
    hangs: str = ""
    """A path that never answers."""
    body: bytes | None = None
    """Instead of what an endpoint should answer."""
    hang_before: bool = False
    """Never answer."""
    hang_after: int | None = None
    """Stop for ever after so many tokens or chunks."""
    truncate_after: int | None = None
    """Drop the connection after so many tokens or chunks."""
    end_after: int | None = None
    """End the stream in good order after so many tokens, without a finish reason."""
    refuses_stream_options: bool = False
    refuses_language: bool = False
    deltas: Sequence[dict[str, Any]] = ()
    """Further deltas after the tokens, such as pieces of tool calls."""
    finish: str = "stop"
    refuses_tools: str | None = None
    """What a request with ``tools`` is told."""


@dataclass(frozen=True)
class Recorded:
    """One request."""

    path: str
    headers: dict[str, str]
    json: dict[str, Any]
    form: dict[str, str]
    file: bytes
    client: tuple[str, int]


class OpenAIServer:
    """Runs in a thread on a free port of 127.0.0.1. Use as a context manager."""

    def __init__(self) -> None:
        self.script = Script()
        self.requests: list[Recorded] = []
        self.disconnected = threading.Event()
        """Set when a client has gone before its answer was whole."""
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(self._app(), log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def base_url(self) -> str:
        """What goes into the settings."""
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> OpenAIServer:
        self._socket.listen(128)  # from here on clients wait for the server rather than being refused
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(timeout=10)

    def _serve(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))

    def _app(self) -> FastAPI:
        app = FastAPI()
        app.add_api_route("/v1/audio/transcriptions", self._transcriptions, methods=["POST"])
        app.add_api_route("/v1/chat/completions", self._completions, methods=["POST"])
        app.add_api_route("/v1/audio/speech", self._speech, methods=["POST"])
        return app

    async def _transcriptions(self, request: Request) -> Response:
        parts = _multipart(request.headers["content-type"], await request.body())
        file = parts.pop("file")
        recorded = self._record(request, form={name: part.decode() for name, part in parts.items()}, file=file)
        if self.script.refuses_language and "language" in recorded.form:
            return JSONResponse({"error": {"message": "Invalid language 'xx'"}}, 400)
        refusal = await self._refusal(request, recorded)
        return refusal or JSONResponse({"text": self.script.text})

    async def _completions(self, request: Request) -> Response:
        recorded = self._record(request, json_body=await request.json())
        if self.script.refuses_stream_options and "stream_options" in recorded.json:
            return JSONResponse({"error": {"message": "stream_options: extra fields not permitted"}}, 400)
        if self.script.refuses_tools is not None and "tools" in recorded.json:
            return JSONResponse({"error": {"message": self.script.refuses_tools}}, 400)
        refusal = await self._refusal(request, recorded)
        return refusal or StreamingResponse(self._pieces(request, self._events()), media_type="text/event-stream")

    async def _speech(self, request: Request) -> Response:
        recorded = self._record(request, json_body=await request.json())
        refusal = await self._refusal(request, recorded)
        pcm, chunk = self.script.pcm, self.script.chunk
        pieces = [pcm[start : start + chunk] for start in range(0, len(pcm), chunk)]
        return refusal or StreamingResponse(self._pieces(request, pieces), media_type=self.script.content_type)

    def _record(
        self,
        request: Request,
        *,
        json_body: dict[str, Any] | None = None,
        form: dict[str, str] | None = None,
        file: bytes = b"",
    ) -> Recorded:
        assert request.client is not None
        client = (request.client.host, request.client.port)
        recorded = Recorded(request.url.path, dict(request.headers), json_body or {}, form or {}, file, client)
        self.requests.append(recorded)
        return recorded

    async def _refusal(self, request: Request, recorded: Recorded) -> Response | None:
        if self.script.hang_before or self.script.hangs == recorded.path:
            await self._until_gone(request)
        if self.script.status != 200 and self.script.refuses in ("", recorded.path):
            quoted = {"error": {"message": f"wrong: {recorded.headers.get('authorization')}"}}
            return JSONResponse(self.script.refusal or quoted, self.script.status)
        if self.script.body is not None:
            return PlainTextResponse(self.script.body)
        return None

    async def _until_gone(self, request: Request) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self.disconnected.set()

    def _events(self) -> list[bytes]:
        events = [self._event({"content": token}) for token in self.script.tokens]
        events += [self._event(delta) for delta in self.script.deltas]
        if self.script.end_after is not None:
            return events[: self.script.end_after]
        events.append(self._event({}, finish=self.script.finish))
        if self.script.usage is not None:
            events.append(self._event(None, usage=self.script.usage))
        return [*events, b"data: [DONE]\n\n"]

    @staticmethod
    def _event(
        delta: dict[str, Any] | None, *, finish: str | None = None, usage: dict[str, Any] | None = None
    ) -> bytes:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}
        return b"data: " + json.dumps({**chunk, "usage": usage}).encode() + b"\n\n"

    async def _pieces(self, request: Request, pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
        # Starlette cancels this when the client goes; the stream then was not whole.
        whole = False
        try:
            for number, piece in enumerate(pieces):
                if number == self.script.truncate_after:
                    raise ConnectionAbortedError
                if number == self.script.hang_after:
                    await asyncio.Event().wait()
                yield piece
            whole = True
        finally:
            if not whole:
                self.disconnected.set()


def _multipart(content_type: str, body: bytes) -> dict[str, bytes]:
    """The parts of a ``multipart/form-data`` body by name."""
    boundary = content_type.partition("boundary=")[2].strip('"').encode()
    parts = {}
    for part in body.split(b"--" + boundary):
        head, found, content = part.partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]*)"', head)
        if found and name:
            parts[name[1].decode()] = content.removesuffix(b"\r\n")
    return parts
