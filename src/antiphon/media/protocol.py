"""The seam between a call and what carries it: what a session is given by a medium, and asks of it.

A medium is built by :class:`antiphon.media.registry.MediaRegistry` from the call's :class:`MediumSettings`. A session
knows this protocol and no medium by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

from antiphon.audio.playout import Playout


@dataclass(frozen=True, slots=True)
class MediumSettings:
    """What a call asks of its medium.

    ``kind`` is the name of the medium in the API, such as ``serverWebSocket``. Rates are in Hz; ``None``
    where they are the medium's to choose. ``client_buffer_ms`` is how much sound the client wants ahead of what it
    plays. ``tells_clear``: the client is sent ``playback_clear_buffer`` when a reply is cut.
    """

    kind: str
    input_rate: int | None = None
    output_rate: int | None = None
    client_buffer_ms: int = 60
    tells_clear: bool = True


@dataclass(frozen=True, slots=True)
class Audio:
    """The caller's sound: s16le mono at the medium's input rate, of any length, odd ones too."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """A data message as the client sent it, not parsed yet."""

    text: str


@dataclass(frozen=True, slots=True)
class Digits:
    """Keys that the caller pressed on a telephone: of ``0`` to ``9``, ``*``, ``#`` and ``A`` to ``D``."""

    digits: str


@dataclass(frozen=True, slots=True)
class Left:
    """The client is gone for good. ``clean``: it said so, else it vanished or broke the protocol."""

    code: int
    clean: bool


Incoming: TypeAlias = Audio | Message | Digits | Left


class Medium(Protocol):
    """One joined client.

    Sending never blocks and never raises: the medium bounds what waits for the client. A medium whose connection can
    break and come back (WebRTC) attaches the new connection by itself; ``receive`` gives ``Left`` only when the client
    will not return.
    """

    input_rate: int
    output_rate: int

    @property
    def playout(self) -> Playout:
        """How the medium knows what the caller has heard.

        :class:`~antiphon.audio.playout.ModelledPlayout` derives it from the clock and the client's buffer. A medium
        with marks, or with a media clock of its own, brings another. It is the same object for the whole call.
        """

    async def receive(self) -> Incoming:
        """Wait for what the client sends next. Is not called again after ``Left``."""

    def send_audio(self, data: bytes) -> None:
        """Queue one frame of sound (s16le mono at ``output_rate``), in order with messages."""

    def send_message(self, message: dict[str, Any]) -> None:
        """Queue one data message, in order with sound."""

    @property
    def backed_up(self) -> bool:
        """True while much waits for the client to take it. Keep sound in the playout, where it can still be dropped."""

    def interrupt(self, unplayed: int | None) -> None:
        """Silence the reply that was cut, at once, by the medium's own verb, and forget its sound that waits.

        Args:
            unplayed: samples that were sent and not heard yet; ``None`` where that is not known.

        """

    async def close(self, code: int, reason: str) -> None:
        """Send what is queued (for at most a second), then close. Safe to call twice.

        Args:
            code: a WebSocket close code; other media translate it.
            reason: why, for people.

        """


@runtime_checkable
class Delivers(Protocol):
    """A medium that hands over sound as it comes, past ``receive``."""

    def deliver(self, on_audio: Callable[[bytes], None]) -> None:
        """Give sound to ``on_audio`` from now on, unless something that came before it waits to be received.

        What is given so does not come out of ``receive``. ``on_audio`` neither waits nor raises.
        """
