"""The client in memory is a medium like any other, and its keys become what the caller wrote."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

from antiphon.audio.pcm import Samples
from antiphon.testing import Conversation, ReferenceMedium
from tests.media.suite import FarEnd, MediumSuite


class Client:
    """The far end of a reference medium."""

    def __init__(self) -> None:
        self.medium = ReferenceMedium()

    def speak(self, data: bytes) -> None:
        self.medium.hear(data)

    def write(self, text: str) -> None:
        self.medium.say(text)

    def leave(self, *, clean: bool) -> None:
        self.medium.leave(clean=clean)

    def stall(self) -> None:
        self.medium.stall()

    def resume(self) -> None:
        self.medium.resume()

    async def got(self, count: int) -> list[Samples | dict[str, Any]]:
        assert len(self.medium.received) >= count, "what is sent is there at once"
        return [sent.audio if sent.audio is not None else sent.message or {} for sent in self.medium.received]

    async def closed(self) -> None:
        assert self.medium.closed is not None


class TestReferenceMedium(MediumSuite):
    @asynccontextmanager
    async def pair(self) -> AsyncIterator[FarEnd]:
        yield Client()


def test_keys_that_are_pressed_become_what_the_caller_wrote() -> None:
    async def caller(client: ReferenceMedium) -> None:
        client.press("42#")
        await client.speak("." * 60)

    talk = Conversation().run(caller)
    written = [message for message in talk.client.messages("transcript") if message["role"] == "user"]
    assert [(message["medium"], message["text"]) for message in written] == [("text", "42#")]
    assert np.any(talk.client.heard_samples())
