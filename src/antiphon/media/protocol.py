"""What carries a call, as the session sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable


@dataclass(frozen=True, slots=True)
class AudioIn:
    """s16le mono bytes at the medium's input rate, any length, odd ones too."""

    data: bytes


@dataclass(frozen=True, slots=True)
class TextIn:
    """One text frame: whatever the client sent, not yet parsed."""

    text: str


@dataclass(frozen=True, slots=True)
class Closed:
    """The client has gone. ``clean`` is True when it said so (a close frame of its own), else it vanished."""

    code: int
    clean: bool


Incoming: TypeAlias = AudioIn | TextIn | Closed


class Medium(Protocol):
    """One joined connection. Sending never blocks the caller: what does not fit is the medium's to bound."""

    input_rate: int
    output_rate: int

    async def receive(self) -> Incoming:
        """The next thing from the client; after ``Closed`` it is not called again."""

    def send_audio(self, data: bytes) -> None:
        """Queue one audio frame (s16le at ``output_rate``), in order with messages."""

    def send_message(self, message: dict[str, Any]) -> None:
        """Queue one data message, in order with audio."""

    @property
    def backed_up(self) -> bool:
        """So much waits for the client to take it that further audio is better kept by whoever has it."""

    def drop_audio(self) -> None:
        """Forget audio that is queued and not sent yet; messages stay."""

    async def close(self, code: int, reason: str) -> None:
        """Send what is queued (for at most a second), then close. Safe to call twice."""


@runtime_checkable
class Delivers(Protocol):
    """A medium that need not be asked for audio."""

    def deliver(self, on_audio: Callable[[bytes], None]) -> None:
        """From now on give audio to ``on_audio`` as it comes, where nothing that came before is still to be received.

        What is given so does not come out of ``receive``. ``on_audio`` neither waits nor raises.
        """
