"""What comes into a call: the client's audio, and the data messages of whoever takes part."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import Protocol

import structlog

from antiphon import metrics
from antiphon.audio.pcm import Samples
from antiphon.call import events as ev
from antiphon.call.ends import EndReason
from antiphon.call.messages import CallEvent, Debug, Pong, Severity
from antiphon.errors import MessageError
from antiphon.media.protocol import Audio, Delivers, Digits, Left, Medium, Message
from antiphon.media.protocol import Incoming as FromMedium
from antiphon.session.core_driver import CoreDriver
from antiphon.session.listener import Listener
from antiphon.session.participants import Participant, Participants
from antiphon.session.parts import DigitsHandling
from antiphon.session.tool_runner import ToolRunner
from antiphon.wire.events import event_of
from antiphon.wire.incoming import Incoming, Ping, ToolResult, UserTextMessage, parse

MOST_REJECTED_LOGGED = 20
"""Bad messages of one participant that are noted as call events; the rest are only counted."""

HEARD_AT_ONCE_BYTES = 9_600
"""Of one binary frame: 0.1 s at 48 kHz. A frame of a minute must not make other calls wait."""

PARSED_AT_ONCE = 8_192
"""Characters of a text frame that is parsed here; a longer one is parsed in a thread."""

TAKEN_IN_A_ROW = 8
"""Of a client's messages, before other calls have their turn."""

UNSCORED_PATIENCE_S = 0.5
"""Longest wait for scores of the last that a client sent before it left."""

_log = structlog.get_logger(__name__)


class Track(Protocol):
    """Takes both sides of a call as they are said and heard."""

    def caller(self, samples: Samples, now: float) -> None:
        """The caller's next samples, as they came in."""

    def agent(self, samples: Samples, now: float) -> None:
        """The agent's samples that were heard up to ``now``."""


class Inbound:
    """Turns what comes in into events of the core, given to ``driver``.

    Results of tools go to ``tool_runner``, the caller's samples to ``tracks``, too. What fails here where no task would
    notice is told to ``driver``.
    """

    def __init__(
        self,
        medium: Medium,
        listener: Listener,
        participants: Participants,
        driver: CoreDriver,
        now: Callable[[], float],
        tool_runner: ToolRunner,
        tracks: Sequence[Track],
        digits: DigitsHandling,
    ) -> None:
        self._medium = medium
        self._listener = listener
        self._participants = participants
        self._driver = driver
        self._feed = driver.feed
        self._now = now
        self._tool_runner = tool_runner
        self._tracks = tracks
        self._digits = digits
        self._overflowed = False

    async def read(self) -> None:
        """Take in what the client sends, until it leaves."""
        if isinstance(self._medium, Delivers):
            self._medium.deliver(self._take_audio)
        for number in count(1):
            match await self._receive():
                case Audio(data=data):
                    await self._hear_all(data)
                case Message(text=text):
                    await self.take_text(text, self._participants.client)
                case Digits(digits=digits):
                    self._press(digits)
                case Left(code=code, clean=clean):
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._listener.all_scored(), UNSCORED_PATIENCE_S)
                    reason = EndReason.HANGUP if clean else EndReason.CONNECTION_ERROR
                    text = "the client left" if clean else "the connection broke"
                    self._feed(ev.EndRequested(self._now(), reason, code, text))
                    return
            if number % TAKEN_IN_A_ROW == 0:
                await asyncio.sleep(0)  # other calls have their turn, however fast this client sends

    async def take_text(self, text: str, sender: Participant) -> None:
        """A data message as it came, from ``sender``."""
        try:
            message = parse(text) if len(text) <= PARSED_AT_ONCE else await asyncio.to_thread(parse, text)
        except MessageError as error:
            self.reject(str(error), sender)
        else:
            self.take(message, sender)

    def take(self, message: Incoming, sender: Participant) -> None:
        """A data message from ``sender``, who gets the answer where there is one."""
        if isinstance(message, UserTextMessage) and message.by_old_name and not sender.is_client:
            message = replace(message, urgency=ev.Urgency.LATER)  # as the old protocol had it: docs/data-connections.md
        match message:
            case Ping(timestamp=timestamp):
                sender.tell(Pong(timestamp))
            case ToolResult():
                self._tool_runner.result(message)
            case _:
                event = event_of(message, self._now())
                if event is None:
                    self.reject(f"{type(message).__name__} is not supported by this call", sender)
                else:
                    self._feed(event)

    def reject(self, reason: str, sender: Participant) -> None:
        """What ``sender`` sent cannot be taken: tell it, and note the first of many."""
        metrics.MESSAGES_REJECTED.inc()
        sender.rejected += 1
        sender.tell(Debug(reason))
        if sender.rejected <= MOST_REJECTED_LOGGED:
            extras = {} if sender.is_client else {"from": "dataConnection"}
            self._participants.note(CallEvent(Severity.WARNING, "message_rejected", reason, extras))

    async def _receive(self) -> FromMedium:
        try:
            return await self._medium.receive()
        except Exception:
            _log.exception("medium_broke", call_id=self._driver.call_id)
            return Left(1006, clean=False)

    def _press(self, digits: str) -> None:
        """Take pressed keys as what the caller wrote."""
        if self._digits.text is not None:
            text = self._digits.text.replace("{digits}", digits)
            self._feed(ev.UserTextReceived(self._now(), text, self._digits.urgency))

    def _take_audio(self, data: bytes) -> None:
        """Audio that comes straight from the socket, whose fault no mistake of ours may be."""
        try:
            self._hear(data)
        except Exception:
            self._driver.fail()

    async def _hear_all(self, data: bytes) -> None:
        for start in range(0, len(data), HEARD_AT_ONCE_BYTES):
            if start:
                await asyncio.sleep(0)
            self._hear(data[start : start + HEARD_AT_ONCE_BYTES])

    def _hear(self, data: bytes) -> None:
        samples = self._listener.hear(data, self._now() - self._participants.joined_at)
        for track in self._tracks:
            track.caller(samples, self._now())
        if self._listener.samples_dropped and not self._overflowed:
            self._overflowed = True
            text = "Audio comes in faster than real time; what is more than 10 s ahead is dropped."
            self._participants.note(CallEvent(Severity.WARNING, "audio_overflow", text))
