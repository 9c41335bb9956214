"""Stand-ins for the three engines, in one process: OpenAI's endpoints with fixed delays and no thinking.

    python -m load.standins --port 9000

``/v1/audio/transcriptions`` answers a fixed text. ``/v1/chat/completions`` streams a reply (`speech.py`) to the
caller whom the request's prompt names ("caller 17."). ``/v1/audio/speech`` streams the sound of the words it is
given, 24 kHz s16le. ``GET /stats`` tells how late it was with its own timers since it was last asked.

Written on httptools and asyncio's protocols, as it shares its core with the callers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from collections import defaultdict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeAlias, cast

import httptools
import numpy as np
import uvloop

from load.speech import RATE, REPLIES_A_CALL, SENTENCES, spoken, tokens

TEXT = "Could you tell me about the opening hours on Thursday please"
_CALLER = re.compile(rb"caller (\d+)\.")
_HEADERS = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\n"
_STREAM = _HEADERS + b"Transfer-Encoding: chunked\r\n\r\n"
_WHOLE = _HEADERS + b"Content-Length: %d\r\n\r\n%s"
_LAST_CHUNK = b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Delays:
    """How long the engines take, seconds.

    ``speech_chunk_s`` of sound come every ``speech_chunk_s / speech_speed``, the first after ``speech_s``.
    """

    transcript_s: float = 0.12
    first_token_s: float = 0.2
    token_s: float = 0.015
    speech_s: float = 0.12
    speech_chunk_s: float = 0.2
    speech_speed: float = 5.0

    @property
    def model_s(self) -> float:
        """Until the first sentence, and the word that shows that it is over, have come."""
        return self.first_token_s + SENTENCES[0] * self.token_s

    @property
    def engines_s(self) -> float:
        """From the end of what is transcribed to the first sound, with nothing in between."""
        return self.transcript_s + self.model_s + self.speech_s


class _Connection(asyncio.Protocol):
    """One kept-alive connection; requests are answered one after the other."""

    def __init__(self, standins: StandIns) -> None:
        self._standins = standins
        self._parser: Any = httptools.HttpRequestParser(self)
        self._url = b""
        self._body: list[bytes] = []
        self._answer: asyncio.Task[None] | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class

    def connection_lost(self, _error: Exception | None) -> None:
        if self._answer is not None:
            self._answer.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.close()

    def on_message_begin(self) -> None:
        self._url, self._body = b"", []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"expect":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        answer = self._standins.answer(self._url.split(b"?")[0], b"".join(self._body), self.transport)
        self._answer = asyncio.ensure_future(answer)


Answer: TypeAlias = Callable[[bytes, asyncio.Transport], Coroutine[Any, Any, None]]


class StandIns:
    """The endpoints."""

    def __init__(self, delays: Delays) -> None:
        self._delays = delays
        self._replies: defaultdict[int, int] = defaultdict(int)
        self._late_s: list[float] = []
        self._counts: defaultdict[str, int] = defaultdict(int)
        self._answers: dict[bytes, Answer] = {
            b"/v1/audio/transcriptions": self._transcribe,
            b"/v1/chat/completions": self._complete,
            b"/v1/audio/speech": self._speak,
            b"/stats": self._stats,
        }

    def connection(self) -> _Connection:
        """A protocol for ``create_server``."""
        return _Connection(self)

    async def answer(self, path: bytes, body: bytes, out: asyncio.Transport) -> None:
        """Answer one request."""
        answer = self._answers.get(path)
        if answer is None:
            out.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        self._counts[path.decode()] += 1
        await answer(body, out)

    async def _until(self, due: float) -> None:
        now = monotonic()
        if due > now:
            await asyncio.sleep(due - now)
        self._late_s.append(monotonic() - due)

    async def _transcribe(self, _body: bytes, out: asyncio.Transport) -> None:
        await self._until(monotonic() + self._delays.transcript_s)
        text = json.dumps({"text": TEXT}).encode()
        out.write(_WHOLE % (b"application/json", len(text), text))

    async def _complete(self, body: bytes, out: asyncio.Transport) -> None:
        began = monotonic()
        named = _CALLER.search(body)
        caller = int(named[1]) if named else 0
        self._replies[caller] += 1
        reply = caller * REPLIES_A_CALL + self._replies[caller]
        for number, token in enumerate(tokens(reply)):
            await self._until(began + self._delays.first_token_s + number * self._delays.token_s)
            if number == 0:
                out.write(_STREAM % b"text/event-stream")
            out.write(_chunk(_event({"content": token} if number else {"role": "assistant", "content": token})))
        out.write(_chunk(_event({}, finish="stop") + _usage() + b"data: [DONE]\n\n") + _LAST_CHUNK)

    async def _speak(self, body: bytes, out: asyncio.Transport) -> None:
        began = monotonic()
        delays = self._delays
        pcm = spoken(json.loads(body)["input"])
        size = round(delays.speech_chunk_s * RATE) * 2
        for number, start in enumerate(range(0, len(pcm), size)):
            await self._until(began + delays.speech_s + number * delays.speech_chunk_s / delays.speech_speed)
            if number == 0:
                out.write(_STREAM % b"audio/pcm")
            out.write(_chunk(pcm[start : start + size]))
        out.write(_LAST_CHUNK if pcm else _WHOLE % (b"audio/pcm", 0, b""))

    async def _stats(self, _body: bytes, out: asyncio.Transport) -> None:
        late = np.percentile(self._late_s, [50, 99, 100]).tolist() if self._late_s else [0.0, 0.0, 0.0]
        text = json.dumps({"late_s": late, "requests": dict(self._counts)}).encode()
        self._late_s.clear()
        self._counts.clear()
        out.write(_WHOLE % (b"application/json", len(text), text))


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return b"data: " + json.dumps({**_EVENT, "choices": choices}).encode() + b"\n\n"


def _usage() -> bytes:
    usage = {"prompt_tokens": 60, "completion_tokens": sum(SENTENCES), "total_tokens": 60 + sum(SENTENCES)}
    return b"data: " + json.dumps({**_EVENT, "choices": [], "usage": usage}).encode() + b"\n\n"


_EVENT = {"id": "chatcmpl-stand-in", "object": "chat.completion.chunk", "created": 1, "model": "stand-in"}


async def serve(port: int, delays: Delays) -> None:
    """Serve on 127.0.0.1 until ended."""
    server = await asyncio.get_running_loop().create_server(StandIns(delays).connection, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, required=True)
    for name, default in Delays.__dataclass_fields__.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=default.default)
    options = vars(parser.parse_args())
    uvloop.run(serve(options.pop("port"), Delays(**options)))


if __name__ == "__main__":
    main()
