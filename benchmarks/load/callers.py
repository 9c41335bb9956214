"""Virtual callers: they speak by the timetable, on an absolute schedule, and keep account of what they hear."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic

import numpy as np

from load.clips import PACKET, PACKET_S, RATE
from load.players import BUFFERS_S, Player
from load.speech import FRAMES_A_REPLY, REPLIES_A_CALL, Account, Reader
from load.timetable import Utterance, pipecat_message
from load.websocket import BINARY, Socket

CLEAR = b'"playback_clear_buffer"'
_PIPECAT_INTERRUPTION = 5
WORTH_CUTTING = 25
"""Frames of a reply still to come; with fewer it may rightly come to its end."""
SLACK_S = 0.0005
"""What is due within this is sent with what is due now: timers have a resolution of a millisecond."""


@dataclass(slots=True)
class Heard:
    """What became of an utterance; times are ``monotonic``. ``over``: the agent was heard when it began."""

    utterance: Utterance
    over: bool = False
    began_at: float = 0.0
    cleared_at: float | None = None
    answered_at: float | None = None


@dataclass(slots=True)
class Replies:
    """When each reply was first heard."""

    first: list[tuple[int, float]] = field(default_factory=list)
    last_frame_at: float = 0.0
    clears: list[float] = field(default_factory=list)


class Caller:
    """One call. ``kind``: whose messages it understands, "antiphon", "pipecat" or "echo"."""

    def __init__(self, number: int, kind: str, packets: Sequence[bytes], utterances: Sequence[Utterance]) -> None:
        self.number = number
        self.packets = packets
        self.heard = [Heard(utterance) for utterance in utterances]
        self.account = Account(number)
        self.reader = Reader()
        self.players = [Player(buffer_s) for buffer_s in BUFFERS_S]
        self.replies = Replies()
        self.socket: Socket | None = None
        self.call = ""
        """The call's id, by which REST knows it."""
        self.started = 0.0
        """The time of the first sample that it sends."""
        self.broke_off: str | None = None
        """Why the call ended before its time."""
        self._message = {"antiphon": self._antiphon, "pipecat": self._pipecat, "echo": self._echo}[kind]
        self._onsets = [(u.start * PACKET + u.clip.onset) // PACKET for u in utterances]
        self._next = 0
        self._speaks_until = 0.0

    async def join(self, url: str) -> None:
        """Open the connection. Raises :class:`ConnectionError` or :class:`TimeoutError`."""
        self.call = url.partition("/api/calls/")[2].partition("/")[0]
        self.socket = Socket(url, self._message)
        await self.socket.open()

    def send(self, number: int) -> None:
        """Send one packet."""
        assert self.socket is not None
        if self.socket.closed is None:
            self.socket.send(self.packets[number])
        if self._next < len(self._onsets) and number >= self._onsets[self._next]:
            self._speaks(self.heard[self._next])
            self._next += 1

    def due(self, number: int) -> float:
        """When a packet is to be sent: when its last sample is spoken."""
        return self.started + (number + 1) * PACKET_S

    def _speaks(self, heard: Heard) -> None:
        """The first loud sample of an utterance is on its way."""
        utterance = heard.utterance
        heard.began_at = self.started + (utterance.start * PACKET + utterance.clip.onset) / RATE
        left = FRAMES_A_REPLY - self.account.next_position
        heard.over = left > WORTH_CUTTING and self.players[1].playing(heard.began_at)
        self.account.excuse()
        self._speaks_until = self.due(utterance.end)

    def _antiphon(self, opcode: int, payload: bytes, at: float) -> None:
        if opcode == BINARY:
            self._audio(payload, at)
        elif CLEAR in payload:
            self._clear(at)

    def _pipecat(self, _opcode: int, payload: bytes, at: float) -> None:
        kind, pcm = pipecat_message(payload)
        if pcm:
            self._audio(pcm, at)
        elif kind == _PIPECAT_INTERRUPTION:
            self._clear(at)

    def _echo(self, _opcode: int, _payload: bytes, _at: float) -> None:
        self.account.frames += 1

    def _audio(self, pcm: bytes, at: float) -> None:
        for reply, position in self.reader.feed(pcm):
            begins = self.account.take(reply, position)
            if begins:
                self.replies.first.append((reply % REPLIES_A_CALL, at))
                if at < self._speaks_until:  # it came too late, and need not go on
                    self.account.excuse()
            self.replies.last_frame_at = at
            for player in self.players:
                player.push(at, begins)

    def _clear(self, at: float) -> None:
        self.replies.clears.append(at)
        self.account.cut()
        self.reader.forget()
        for player in self.players:
            player.clear()

    def settle(self, at: float) -> None:
        """The call is over: put down what came of every utterance."""
        self.broke_off = self.socket.closed if self.socket is not None else "never joined"
        self.account.finish(still_coming=at - self.replies.last_frame_at < 1.0)
        ends = [self.due(heard.utterance.end - 1) for heard in self.heard]
        for number, heard in enumerate(self.heard):
            following = self.heard[number + 1].began_at if number + 1 < len(self.heard) else at
            answers = [first for _, first in self.replies.first if ends[number] < first < (following or at)]
            heard.answered_at = answers[0] if answers else None
            if heard.over:
                clears = [clear for clear in self.replies.clears if heard.began_at < clear < ends[number] + 1.0]
                heard.cleared_at = clears[0] if clears else None


class Schedule:
    """Sends every caller's packets when they are due, all from one timer, and knows how late it was."""

    def __init__(self, callers: Sequence[Caller], packets: int) -> None:
        self._callers = callers
        self._packets = packets
        self._loop = asyncio.get_running_loop()
        self._done = self._loop.create_future()
        self._at = 0
        self.late_s = np.zeros(len(callers) * packets, np.float32)

    async def run(self, started: float) -> None:
        """Callers speak at equal distances within 20 ms, the first at ``started``; returns after the last packet."""
        for number, caller in enumerate(self._callers):
            caller.started = started + PACKET_S * number / len(self._callers)
        self._loop.call_later(self._callers[0].due(0) - monotonic(), self._tick)
        await self._done

    def _tick(self) -> None:
        calls = len(self._callers)
        while True:
            packet, number = divmod(self._at, calls)
            if packet == self._packets:
                self._done.set_result(None)
                return
            caller = self._callers[number]
            due, now = caller.due(packet), monotonic()
            if due > now + SLACK_S:
                self._loop.call_later(due - now, self._tick)
                return
            caller.send(packet)
            self.late_s[self._at] = now - due
            self._at += 1
