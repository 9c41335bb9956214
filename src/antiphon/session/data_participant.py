"""The far end of a call's data connection, as one who takes part: by data messages, and by hearing both sides."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import structlog

from antiphon.audio.duplex import Duplex
from antiphon.audio.pcm import Samples
from antiphon.call.messages import CallEvent, CallStarted, Severity
from antiphon.media.data_connection.connection import DataConnection
from antiphon.media.data_connection.outbox import Outbox
from antiphon.session.data_connections import CallDataConnection
from antiphon.session.inbound import Inbound
from antiphon.session.pacer import Pacer
from antiphon.session.participants import Participant, Participants
from antiphon.wire.outgoing import to_json

_log = structlog.get_logger(__name__)


class DataParticipant:
    """Keeps one call's data connection from ``begin`` to ``end``. Nothing it does can hurt the call.

    ``caller`` and ``agent`` take what either side said and heard, as a recording does. Rates in Hz.
    """

    def __init__(
        self,
        parts: CallDataConnection,
        participants: Participants,
        pacer: Pacer,
        caller_rate: int,
        agent_rate: int,
        now: Callable[[], float],
    ) -> None:
        self._parts = parts
        self._participants = participants
        self._pacer = pacer
        self._rates = caller_rate, agent_rate
        self._now = now
        self._outbox = Outbox(self._dropped)
        self._connection = DataConnection(parts.target, parts.find, parts.tls, self._outbox, self, parts.delay)
        self._participant = Participant(self._send, parts.enabled, is_client=False, withdraw=self._outbox.withdraw)
        self._inbound: Inbound | None = None
        self._audio: Duplex | None = None
        self._ticket: int | None = None
        self._last_refusal = ""
        self._over = False
        participants.add(self._participant)

    @property
    def hears(self) -> bool:
        """Whether it is sent audio."""
        return self._parts.audio is not None

    def begin(self, inbound: Inbound) -> None:
        """The call has been joined."""
        self._inbound = inbound
        if (audio := self._parts.audio) is not None:
            separated = audio.channel_mode == "CHANNEL_MODE_SEPARATED"
            self._audio = Duplex(*self._rates, audio.sample_rate, self._now(), separated=separated)
            self._ticket = self._pacer.add(self._tick, self._audio_broke)
        self._parts.run(self._connection.run())

    def end(self) -> None:
        """The call is over: what waits is sent, if that goes quickly, and nothing is taken any more."""
        self._over = True
        if self._audio is not None:
            for frame in self._audio.rest():
                self._outbox.put_audio(frame)
        self._stop_audio()
        self._connection.finish()

    def caller(self, samples: Samples, now: float) -> None:
        """The caller's next samples."""
        if self._audio is not None:
            self._audio.caller(samples, now)

    def agent(self, samples: Samples, now: float) -> None:
        """The agent's samples that were heard up to ``now``."""
        if self._audio is not None:
            self._audio.agent(samples, now)

    # What becomes of the connection

    def connected(self, tries: int) -> str | None:
        """It stands: the call is told of first, then whatever waits."""
        self._last_refusal = ""
        dropped = {"droppedMessages": self._outbox.dropped_messages, "droppedAudioFrames": self._outbox.dropped_frames}
        extras = {"tries": tries} | {name: count for name, count in dropped.items() if count}
        self._note(Severity.INFO, "data_connection_connected", "The data connection stands.", extras)
        started = CallStarted(self._parts.target.call_id)
        return _encoded(to_json(started)) if self._parts.enabled.allows(started) else None

    async def received(self, data: str | bytes) -> None:
        """A data message, or what should have been one."""
        if self._over or self._inbound is None:
            return
        try:
            if isinstance(data, str):
                await self._inbound.take_text(data, self._participant)
            else:
                self._inbound.reject("binary messages are not taken from a data connection", self._participant)
        except Exception:
            _log.exception("data_connection_message_broke", call_id=self._parts.target.call_id)

    def refused(self, reason: str) -> None:
        """A try failed. What is tried for an hour is noted once, until the reason is another one."""
        if reason != self._last_refusal:
            self._last_refusal = reason
            text = f"The data connection could not be made, and is tried again: {reason}."
            self._note(Severity.WARNING, "data_connection_refused", text)

    def lost(self, reason: str) -> None:
        """It stood, and is gone."""
        text = f"The data connection was lost, and is made again: {reason}."
        self._note(Severity.WARNING, "data_connection_lost", text)

    def _dropped(self, what: str) -> None:
        state = "too slow" if self._connection.stands else "down"
        text = f"The data connection is {state}: {what} for it had to be dropped, the oldest first."
        self._note(Severity.WARNING, "data_connection_dropped", text, {"dropped": what})

    def _note(self, severity: Severity, kind: str, text: str, extras: dict[str, Any] | None = None) -> None:
        if not self._over:  # the record is closed
            self._participants.note(CallEvent(severity, kind, text, extras or {}))

    # What is sent

    def _send(self, message: dict[str, Any]) -> None:
        key = message["invocationId"] if message["type"].endswith("_tool_invocation") else None
        self._outbox.put_message(_encoded(message), key)

    def _tick(self, now: float) -> None:
        if self._audio is not None:
            for frame in self._audio.due(now):
                self._outbox.put_audio(frame)

    def _audio_broke(self) -> None:
        _log.exception("data_connection_audio_broke", call_id=self._parts.target.call_id)
        self._stop_audio()

    def _stop_audio(self) -> None:
        self._audio = None
        if self._ticket is not None:
            self._pacer.remove(self._ticket)
            self._ticket = None


def _encoded(message: dict[str, Any]) -> str:
    """JSON that can be sent whatever a model wrote: halves of characters become question marks."""
    text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="replace").decode()
