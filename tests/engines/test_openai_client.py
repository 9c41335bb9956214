"""Event streams, however the network cuts them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, cast

import aiohttp
import pytest

from antiphon.engines.openai_client import LONGEST_LINE, StreamFailure, events

STREAM = (
    ': a comment\r\nevent: message\r\ndata: {"n": 1, "text": "Grüße"}\r\n\r\n'
    '\n\ndata:{"n":\ndata: 2}\n\nid: 7\ndata: {"n": 3}\n\ndata: [DONE]\n\n'
).encode()


class Content:
    """An answer's body in ``pieces``."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces
        self.read_to_its_end = False

    async def iter_any(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece

    def at_eof(self) -> bool:
        return False

    async def read(self) -> bytes:
        self.read_to_its_end = True
        return b""


@dataclass
class Answer:
    content: Content


def stream_of(content: Content) -> AsyncIterator[dict[str, Any]]:
    return events(cast(aiohttp.ClientResponse, Answer(content)))


async def told(content: Content) -> list[dict[str, Any]]:
    return [event async for event in stream_of(content)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_events_are_the_same_however_they_are_cut(size: int) -> None:
    content = Content(*(STREAM[at : at + size] for at in range(0, len(STREAM), size)))
    assert await told(content) == [{"n": 1, "text": "Grüße"}, {"n": 2}, {"n": 3}]
    assert content.read_to_its_end


@pytest.mark.parametrize("end", [b"", b"\n"])
async def test_the_last_event_needs_no_end(end: bytes) -> None:
    assert await told(Content(b'data: {"n": 1}\n\ndata: {"n', b'": 2}' + end)) == [{"n": 1}, {"n": 2}]
    assert await told(Content(b'data: {"n": 1}\n\ndata: [DONE]' + end)) == [{"n": 1}]


async def test_what_came_before_a_failure_was_told() -> None:
    stream = stream_of(Content(b'data: {"n": 1}\n\ndata: {"error": "busy"}\n\n'))
    assert await anext(stream) == {"n": 1}
    with pytest.raises(StreamFailure):
        await anext(stream)


async def test_a_line_without_an_end_is_an_error() -> None:
    with pytest.raises(ValueError, match="without an end"):
        await told(Content(*[b"data: " + bytes(LONGEST_LINE // 2)] * 3))
