"""One conversation by dice, on the core alone: scripted engines, tools and a client, on a virtual clock.

``python -m tests.support.random_conversation --seed 7 --show`` prints it as a story. Whatever happens is checked by a
``Referee``; a conversation goes on until it must have come to rest, and then ends.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
from collections import Counter
from collections.abc import Callable

from antiphon.call import actions as act
from antiphon.call import events as ev
from antiphon.call.call import Call
from antiphon.call.ends import EndReason
from antiphon.call.messages import AgentState, Modality
from tests.support.random_engines import RandomEngines
from tests.support.random_world import Maker, World
from tests.support.referee import Referee
from tests.support.story import line_of

FRAME_S = 0.032
QUIET_S = 400.0
"""After the last that happens from outside; by then every call is at rest."""

MOST_TICKS_AT_ONCE = 5


class RandomConversation:
    """Drives one call from its seed."""

    def __init__(self, seed: int) -> None:
        self.world = World(seed)
        self.dice = self.world.dice
        self.call = Call(self.world.settings)
        self.referee = Referee(self.world, self.call)
        self.now = 0.0
        self.events = 0
        self.story: list[tuple[float, object]] = []
        self._audio_s = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._inbox: list[ev.Event] = []
        self._busy = False
        self._alarm: float | None = None
        self._ticks = (0.0, 0)
        self._engines = RandomEngines(self.world, self)
        self._counts: Counter[type] = Counter()
        self._upon: dict[tuple[type, int], list[tuple[float, Maker]]] = {}
        self._listens_until = self.world.length_s + 3.0

    def run(self) -> RandomConversation:
        """The whole call, and what comes after it."""
        world = self.world
        for happening in world.happenings:
            if happening.upon is None:
                self.later(happening.at, self.feeding(happening.event))
            else:
                waiting = self._upon.setdefault((happening.upon, happening.count), [])
                waiting.append((happening.after_s, happening.event))
        if self.dice.random() < 0.1:  # before the join nothing counts
            self.feed(ev.OutputMediumSet(0.0, Modality.VOICE))
        self.feed(ev.Joined(0.0))
        self.later(FRAME_S, self._frames)
        self._run_until(world.length_s + QUIET_S)
        if not self.call.ended:
            self.referee.rests(self.now)
            self.feed(ev.EndRequested(self.now, EndReason.HANGUP, 1000, "bye"))
            self._run_until(self.now + 10.0)
        self.referee.over(self.now)
        return self

    def feed(self, event: ev.Event) -> None:
        """Give the core an event, as the session does: what comes in the midst of carrying out waits its turn."""
        if isinstance(event, ev.PlayoutStopped):
            self._inbox.insert(0, event)
        else:
            self._inbox.append(event)
        self._work_off()

    def _work_off(self) -> None:
        if self._busy:
            return
        self._busy = True
        self._carry_out()
        while self._inbox:
            event = self._inbox.pop(0)
            self.events += 1
            self.story.append((self.now, event))
            self.referee.feeds(self.now, event)
            self.call.receive(event)
            self._carry_out()
        self._busy = False
        self.referee.settled(self.now)
        self._set_alarm()

    def _carry_out(self) -> None:
        for action in self.call.actions():
            self.story.append((self.now, action))
            self.referee.takes(self.now, action)
            self._do(action)

    def _set_alarm(self) -> None:
        deadline = self.call.deadline
        if deadline is not None and (self._alarm is None or deadline < self._alarm):
            self._alarm = deadline
            self.later(max(0.0, deadline - self.now), lambda: self._tick(deadline))

    def _tick(self, alarm: float) -> None:
        if self._alarm != alarm:
            return
        self._alarm = None
        at, count = self._ticks
        self._ticks = (self.now, count + 1 if at == self.now else 1)
        self.referee.check(self._ticks[1] <= MOST_TICKS_AT_ONCE, "a deadline that passed is asked for again and again")
        self.call.tick(self.now)
        self._work_off()

    def _run_until(self, until: float) -> None:
        while self._due and self._due[0][0] <= until:
            self.now, _, work = heapq.heappop(self._due)
            work()
        self.now = until

    def later(self, delay: float, work: Callable[[], None]) -> None:
        """Do ``work`` after ``delay`` seconds."""
        heapq.heappush(self._due, (self.now + delay, next(self._order), work))

    def feeding(self, event: Maker) -> Callable[[], None]:
        """Work: to feed an event that is made then."""
        return lambda: self.feed(event(self.now))

    # The caller

    def _frames(self) -> None:
        """The client sends what it has heard since it last did."""
        count = self.world.burst_frames
        for _ in range(count):
            start = self._audio_s
            self._audio_s += FRAME_S
            middle = start + FRAME_S / 2
            speaking = any(begin <= middle < end for begin, end in self.world.speech)
            near = speaking or not self.world.sparse
            near = near or any(begin - 0.5 <= middle < end + 1.2 for begin, end in self.world.speech)
            if near:
                self.feed(ev.SpeechScored(self.now, self._audio_s, 0.9 if speaking else 0.01))
        if self.now < self._listens_until and not self.call.ended:
            self.later(FRAME_S * count, self._frames)

    # Actions

    def _do(self, action: act.Action) -> None:
        kind = type(action)
        self._counts[kind] += 1
        moment = (kind, self._counts[kind])
        if self.now < self.world.length_s:
            for delay, event in self._upon.get(moment, ()):
                if delay:
                    self.later(delay, self.feeding(event))
                else:
                    self._inbox.append(event(self.now))
            if moment in self.world.speaks_upon:
                delay, length = self.world.speaks_upon[moment]
                self.world.speech.append((self._audio_s + delay, self._audio_s + delay + length))
        self._engines.do(action)


def main() -> None:
    """Run one conversation, or several from a seed on; say what broke."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--show", action="store_true", help="print the conversation as a story")
    arguments = parser.parse_args()
    for seed in range(arguments.seed, arguments.seed + arguments.count):
        conversation = RandomConversation(seed)
        broken: AssertionError | None = None
        try:
            conversation.run()
        except AssertionError as error:
            broken = error
        if arguments.show:
            for at, what in conversation.story:
                if (line := line_of(what)) is not None:
                    print(f"{at:9.3f}  {line}")
        if broken is not None:
            print(f"seed {seed}: {broken}")
        elif arguments.count == 1:
            state = conversation.call.state
            print(f"seed {seed}: {conversation.events} events, {'ended' if state is AgentState.IDLE else state.value}")


if __name__ == "__main__":
    main()
