"""What waits to be sent to somebody who may be slow or gone: bounded, the oldest audio dropped first."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

MOST_AUDIO_FRAMES = 250
"""5 s of frames of 20 ms."""

MOST_MESSAGES = 2_000
MOST_MESSAGE_CHARACTERS = 1_000_000


@dataclass(frozen=True, slots=True)
class _Message:
    number: int
    text: str
    key: str | None


class Outbox:
    """Messages and audio frames in the order they were put, for one who takes them out.

    ``on_dropped(what)`` is called for the first ``"audio"`` and the first ``"messages"`` that had to be dropped since
    ``renew``. Of messages, too, the oldest go first.
    """

    def __init__(self, on_dropped: Callable[[str], None]) -> None:
        self._on_dropped = on_dropped
        self._messages: deque[_Message] = deque()
        self._characters = 0
        self._audio: deque[tuple[int, bytes]] = deque()
        self._numbers = 0
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._told: set[str] = set()
        self.dropped_messages = 0
        self.dropped_frames = 0

    def put_message(self, text: str, key: str | None = None) -> None:
        """Send ``text``; with a ``key`` it can be withdrawn."""
        self._messages.append(_Message(self._next(), text, key))
        self._characters += len(text)
        dropped = 0
        # The newest stays, however long it is: it is no longer than the server makes its messages.
        while len(self._messages) > MOST_MESSAGES or (
            self._characters > MOST_MESSAGE_CHARACTERS and len(self._messages) > 1
        ):
            self._characters -= len(self._messages.popleft().text)
            dropped += 1
        self._put()
        if dropped:
            self.dropped_messages += dropped
            self._tell("messages")

    def put_audio(self, frame: bytes) -> None:
        """Send one frame of audio."""
        self._audio.append((self._next(), frame))
        self._put()
        if len(self._audio) > MOST_AUDIO_FRAMES:
            self._audio.popleft()
            self.dropped_frames += 1
            self._tell("audio")

    def withdraw(self, key: str) -> bool:
        """Send the message of that key no more; False where it was sent, or dropped, before."""
        for index, message in enumerate(self._messages):
            if message.key == key:
                del self._messages[index]
                self._characters -= len(message.text)
                return True
        return False

    def renew(self) -> None:
        """Somebody new takes things out: what is dropped from now on is worth telling again."""
        self._told.clear()

    async def take(self) -> str | bytes:
        """The next one, once there is one. Whoever asks for another has dealt with the one before."""
        while not self._messages and not self._audio:
            self._empty.set()
            self._wake.clear()
            await self._wake.wait()
        if self._audio and (not self._messages or self._audio[0][0] < self._messages[0].number):
            return self._audio.popleft()[1]
        message = self._messages.popleft()
        self._characters -= len(message.text)
        return message.text

    async def emptied(self) -> None:
        """Everything put so far has been taken and dealt with."""
        await self._empty.wait()

    def _next(self) -> int:
        self._numbers += 1
        return self._numbers

    def _put(self) -> None:
        self._empty.clear()
        self._wake.set()

    def _tell(self, what: str) -> None:
        if what not in self._told:
            self._told.add(what)
            self._on_dropped(what)
