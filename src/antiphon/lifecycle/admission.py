"""Whether one more call would be too much for those that this process serves.

A call that is let in must not hurt those that live. Two things tell: how much of their sound came and went late, and
the share of its time that the event loop works (a loop at 100 % is late from then on, by more and more). What a new
call is going to cost is foreseen from what the live ones cost. Where no call is live none can suffer: then a machine
that other programs keep busy, or a server that has just loaded its models, takes calls like any other.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from antiphon.errors import Overloaded, ServerStopping, TooManyWaiting

BUSY_SPAN_S = 3.0
"""The work of about so long is averaged."""

LATE_SPAN_S = 5.0
"""Late sound of so long is remembered."""

LATE_SHARE = 0.05
"""Share of the sound that may be late. Less is a hiccup: one stall of a quarter of a second in five seconds."""

AWAKE = 0.1
"""Share that any live call costs by keeping the process awake; one more does not cost it again."""

CALLS_ASSUMED = 3
"""So many calls of ``LoadLimits.call_cost`` are averaged with the live ones: few calls teach little."""

START_S = 0.01
"""Work to create and join a call and to greet, once (13 to 20 ms were measured): it shows in ``busy``, too."""

ADMITTED_PER_CORE = 2
"""Default of ``LoadLimits.always_admit``."""


@dataclass(frozen=True, slots=True)
class LoadLimits:
    """What the process may bear.

    ``busy``: share of the time of what is narrowest, the event loop or the processor, 0 to 1; at 1 calls are never
    refused for it. ``late_s``: how late sound may be before it counts as late. ``call_cost``: share that a call takes,
    as long as there are none to learn from (measured: docs/performance.md).
    """

    busy: float = 0.8
    late_s: float = 0.04
    call_cost: float = 0.005

    def refusal(self, reading: Reading, expected: float) -> str | None:
        """Why one more call would be too much for a process; ``None``: there is room.

        ``expected``: joins that are likely to come there soon.
        """
        if reading.live and reading.late_share > LATE_SHARE:
            return (
                f"{reading.late_share:.0%} of the sound of {_calls(reading.live)} was over {self.late_s * 1000:.0f} ms "
                "late in the last seconds, as this machine is too slow or busy with other programs"
            )
        if self.busy < 1 and (foreseen := self.foreseen(reading, expected)) > self.busy:
            soon = f" and {round(expected)} that are about to be joined" if round(expected) else ""
            return (
                f"beside {_calls(reading.live)}{soon}, one more would take this process to {foreseen:.0%} of what it "
                f"can do, and {self.busy:.0%} is the most"
            )
        return None

    def foreseen(self, reading: Reading, expected: float) -> float:
        """Return how busy the process is going to be with what it has, what is expected, and one more call."""
        if not reading.live:
            return self.call_cost * (expected + 1)
        unseen = AWAKE * (1 - _visible_share(reading))
        return reading.busy + unseen + self._cost(reading) * (reading.unseen + expected + 1)

    def breaks(self, reading: Reading) -> bool:
        """Whether the process could not serve one more call that was created already.

        Its creator was told that there is room, so only what is certain counts. Of many joins at once all cost the work
        of their beginning at that moment, which must not be taken for the cost of a call.
        """
        if self.busy >= 1:
            return False
        most = (1 + self.busy) / 2
        if reading.late_share > LATE_SHARE and reading.busy > most:
            return True
        return AWAKE + min(self.call_cost, self._cost(reading, start_s=0.0)) * (reading.live + 1) > most

    def _cost(self, reading: Reading, start_s: float = START_S) -> float:
        """Share that a call takes, as learned from ``busy`` without ``start_s`` of work for each that begins."""
        awake = AWAKE * _visible_share(reading)
        beginning = start_s / BUSY_SPAN_S * max(0.0, reading.unseen)
        learned = self.call_cost * CALLS_ASSUMED + max(0.0, reading.busy - awake - beginning)
        visible = max(0.0, reading.live - reading.unseen)
        return max(self.call_cost / 2, learned / (CALLS_ASSUMED + visible))


@dataclass(frozen=True, slots=True)
class Reading:
    """What a process carries at a moment, and what it makes of it.

    ``live``: calls being served. ``unseen``: so many of them are too new to show in ``busy``, or, less than 0, so many
    show that have ended. ``expected``: joins likely to come soon of calls created there. ``late_share``: share of the
    last seconds' sound that was late. ``waiting``: calls that wait for their join, by the API key that created them.
    """

    live: int
    unseen: float
    expected: float
    busy: float
    late_share: float
    waiting: Mapping[str, int] = field(default_factory=dict)


class Load:
    """Fed by whoever wakes regularly; asked before a call is let in. All times are seconds on one clock."""

    def __init__(self, limits: LoadLimits | None = None) -> None:
        self.limits = limits or LoadLimits()
        self._busy = 0.0
        self._sampled: tuple[float, float] | None = None
        self._late: deque[tuple[float, float]] = deque()
        self._unseen = 0.0
        self._unseen_at = 0.0

    @property
    def busy(self) -> float:
        """Share of the time that it works, of late: of the event loop, or of the processor where that is more."""
        return self._busy

    def sample(self, now: float, worked_s: float) -> None:
        """The loop woke at ``now``, having worked for ``worked_s`` in all its life."""
        if self._sampled is not None and now > self._sampled[0]:
            past_s = now - self._sampled[0]
            share = min(1.0, (worked_s - self._sampled[1]) / past_s)
            weight = min(1.0, past_s / BUSY_SPAN_S)
            self._busy += (share - self._busy) * weight
        self._sampled = now, worked_s

    def sound_was_late(self, now: float, late_s: float) -> None:
        """The sound of live calls was taken in and sent at ``now``, ``late_s`` after its time."""
        if late_s > self.limits.late_s:
            self._late.append((now, late_s - self.limits.late_s))

    def call_began(self, now: float) -> None:
        """One more call is served."""
        self._unseen = self._unseen_by(now) + 1

    def call_ended(self, now: float) -> None:
        """One call less is served."""
        self._unseen = self._unseen_by(now) - 1

    def late_share(self, now: float) -> float:
        """Share of the sound of the last seconds that was late."""
        while self._late and self._late[0][0] <= now - LATE_SPAN_S:
            self._late.popleft()
        return min(1.0, sum(late_s for _, late_s in self._late) / LATE_SPAN_S)

    def reading(self, now: float, live: int, expected: float, waiting: Mapping[str, int] | None = None) -> Reading:
        """All of it at this moment; for the arguments see :class:`Reading`."""
        return Reading(live, self._unseen_by(now), expected, self._busy, self.late_share(now), waiting or {})

    def refusal(self, now: float, live: int, expected: float) -> str | None:
        """Why one more call would be too much for this process; ``None``: there is room."""
        return self.limits.refusal(self.reading(now, live, expected), expected)

    def _unseen_by(self, now: float) -> float:
        """What a call costs comes into ``busy``, and goes out of it, as fast as that average follows."""
        self._unseen *= math.exp(-max(0.0, now - self._unseen_at) / BUSY_SPAN_S)
        self._unseen_at = now
        return self._unseen


class Admission:
    """Decides whether one more call is let in.

    ``most``: live calls of the whole server, whatever they cost. ``always``: so many, of the whole server, are let in
    however late and busy it is. ``most_waiting``: calls of one API key that wait for their join.
    """

    def __init__(self, most: int, load: Load | None = None, *, always: int = 0, most_waiting: int = 5_000) -> None:
        self._most = most
        self._always = always
        self._most_waiting = most_waiting
        self.load = load or Load()
        self.closed = False
        """The server is stopping."""
        self.peers: tuple[Reading, ...] = ()
        """The other processes that share this server's work and are ready for calls, as they were a moment ago."""

    def check_join(self, now: float, live: int) -> None:
        """A call that was let in wants to begin. Raises :class:`Overloaded`.

        Many calls created at once are all let in, as nobody knows whether they are going to be joined. If they are, the
        last of them find no room: to serve them would break the others.
        """
        total = self._check_place(live)
        if total >= self._always and self.load.limits.breaks(self.load.reading(now, live, 0.0)):
            raise Overloaded(f"the server is full with {_calls(live)}; the join URL stays good, try again soon")

    def check(self, now: float, live: int, expected: float) -> None:
        """A new call is wanted; for ``live`` and ``expected`` see :class:`Reading`.

        Raises:
            Overloaded: it would be too much, for every process of the server.

        """
        total = self._check_place(live)
        # Nobody knows yet which process the calls that are expected will be joined at.
        expected += sum(peer.expected for peer in self.peers)
        if total + expected < self._always:
            return
        share = expected / (1 + len(self.peers))
        why = self.load.refusal(now, live, share)
        if why is not None and all(self.load.limits.refusal(peer, share) for peer in self.peers):
            others = " (and the other workers have no room either)" if self.peers else ""
            raise Overloaded(f"the server is full: {why}{others}; try again when a call has ended")

    def check_waiting(self, key: str, waiting: int) -> None:
        """A new call of an API key of which ``waiting`` calls wait here. Raises :class:`TooManyWaiting`."""
        if waiting + sum(peer.waiting.get(key, 0) for peer in self.peers) >= self._most_waiting:
            raise TooManyWaiting(
                f"{self._most_waiting} calls of this API key wait for their join, which is the most there may be "
                "(limits.max_waiting); join or delete some, or let their joinTimeout pass"
            )

    def _check_place(self, live: int) -> int:
        """Return the live calls of the whole server. Raises :class:`Overloaded` where there may be no more."""
        if self.closed:
            raise ServerStopping
        total = live + sum(peer.live for peer in self.peers)
        if total >= self._most:
            raise Overloaded(f"all {self._most} places for calls are taken (limits.max_calls)")
        return total


def _visible_share(reading: Reading) -> float:
    """Share of the live calls, 0 to 1, that shows in ``busy`` by now."""
    return min(1.0, max(0.0, 1 - reading.unseen / max(1, reading.live)))


def _calls(live: int) -> str:
    return "1 live call" if live == 1 else f"{live} live calls"
