"""How busy and how late this process is, and whether one more call would be too much for those it serves.

A call that is let in must not hurt those that live. Two things tell in time: the share of its time that the event
loop works (a loop at 100 % is late from then on, by more and more), and how late it woke when it had asked to be woken.
A call that is let in costs nothing yet; what it is going to cost is foreseen from what the live ones cost.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from antiphon.errors import Overloaded

BUSY_SPAN_S = 3.0
"""The work of about so long is averaged."""

LATE_SPAN_S = 5.0
"""Lateness of so long is remembered."""

SETTLING_S = 5.0
"""A call that began within this time does not cost yet what it is going to cost."""

AWAKE = 0.1
"""Share that any live call costs by keeping the process awake; one more does not cost it again."""

CALLS_TO_LEARN_FROM = 5
"""Live calls from which on their own cost is taken for that of the next one."""


@dataclass(frozen=True, slots=True)
class LoadLimits:
    """What the process may bear.

    ``busy``: share of the time of what is narrowest, the event loop or the processor, 0 to 1. ``late_s``: how late the
    loop may be woken once in a hundred times. ``call_cost``: share that a call takes, as long as there are too few to
    learn from (measured: docs/performance.md).
    """

    busy: float = 0.8
    late_s: float = 0.04
    call_cost: float = 0.005

    def refusal(self, reading: Reading, expected: int) -> str | None:
        """Why one more call would be too much for a process; ``None``: there is room.

        ``expected``: calls that were let in, have not begun, and are likely to begin there.
        """
        if not reading.live and not expected:
            return None  # nobody would be hurt
        settled = reading.live - reading.settling
        cost = self.call_cost
        if settled >= CALLS_TO_LEARN_FROM:
            cost = max(cost / 2, (reading.busy - AWAKE) / settled)
        if reading.busy + cost * (reading.settling + expected + 1) > self.busy:
            return f"the server is at {reading.busy:.0%} of what it can do for {reading.live} calls"
        if reading.late_s > self.late_s:
            return f"the server is late by {reading.late_s * 1000:.0f} ms"
        return None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a process carries at a moment, and what it makes of it.

    ``live``: calls being served, ``settling`` of them not for long; ``expected``: calls that were let in there and
    have not begun. ``busy``: see :class:`LoadLimits`; ``late_s``: how late that is, once in a hundred times.
    """

    live: int
    settling: int
    expected: int
    busy: float
    late_s: float


class Load:
    """Fed by whoever wakes regularly; asked before a call is let in. All times are seconds on one clock."""

    def __init__(self, limits: LoadLimits | None = None) -> None:
        self.limits = limits or LoadLimits()
        self._busy = 0.0
        self._sampled: tuple[float, float] | None = None
        self._late: deque[tuple[float, float]] = deque()
        self._began: deque[float] = deque()

    @property
    def busy(self) -> float:
        """Share of the time that it works, of late: of the event loop, or of the processor where that is more."""
        return self._busy

    def sample(self, now: float, worked_s: float, late_s: float) -> None:
        """The loop woke at ``now``, ``late_s`` after it wanted to, having worked for ``worked_s`` in all its life."""
        if self._sampled is not None and now > self._sampled[0]:
            past_s = now - self._sampled[0]
            share = min(1.0, (worked_s - self._sampled[1]) / past_s)
            weight = min(1.0, past_s / BUSY_SPAN_S)
            self._busy += (share - self._busy) * weight
        self._sampled = now, worked_s
        self._late.append((now, late_s))
        while self._late and self._late[0][0] < now - LATE_SPAN_S:
            self._late.popleft()

    def call_began(self, now: float) -> None:
        """One more call is served."""
        self._began.append(now)

    def late_s(self) -> float:
        """How late the loop was once in a hundred times, of late; 0 while there is too little to say."""
        if len(self._late) < 20:
            return 0.0
        lates = sorted(late for _, late in self._late)
        return lates[-1 - max(1, len(lates) // 100)]

    def reading(self, now: float, live: int, expected: int) -> Reading:
        """All of it at this moment; for ``live`` and ``expected`` see :class:`Reading`."""
        while self._began and self._began[0] < now - SETTLING_S:
            self._began.popleft()
        return Reading(live, len(self._began), expected, self._busy, self.late_s())

    def refusal(self, now: float, live: int, expected: int) -> str | None:
        """Why one more call would be too much for this process; ``None``: there is room."""
        return self.limits.refusal(self.reading(now, live, expected), expected)


class Admission:
    """Decides whether one more call is let in. ``most``: live calls of the whole server, whatever they cost."""

    def __init__(self, most: int, load: Load | None = None) -> None:
        self._most = most
        self.load = load or Load()
        self.closed = False
        """The server is stopping."""
        self.peers: tuple[Reading, ...] = ()
        """The other processes that share this server's work and are ready for calls, as they were a moment ago."""

    def check_place(self, live: int) -> None:
        """A call that was let in wants to begin. Raises :class:`Overloaded`."""
        if self.closed:
            raise Overloaded("the server is stopping")
        if live + sum(peer.live for peer in self.peers) >= self._most:
            raise Overloaded(f"all {self._most} places for calls are taken")

    def check(self, now: float, live: int, expected: int) -> None:
        """A new call is wanted; for ``live`` and ``expected`` see :class:`Reading`.

        Raises:
            Overloaded: it would be too much, for every process of the server.

        """
        self.check_place(live)
        # Nobody knows yet which process the calls that are expected will be joined at.
        expected += sum(peer.expected for peer in self.peers)
        share = math.ceil(expected / (1 + len(self.peers)))
        why = self.load.limits.refusal(self.load.reading(now, live, share), share)
        if why is not None and all(self.load.limits.refusal(peer, share) for peer in self.peers):
            raise Overloaded(f"{why}; a new call would harm them")
