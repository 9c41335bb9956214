"""One conversation by dice, on the core alone: scripted engines, tools and a client, on a virtual clock.

``python -m tests.support.random_conversation --seed 7 --show`` prints it as a story. Whatever happens is checked by a
``Referee``; a conversation goes on until it must have come to rest, and then ends.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from antiphon.call import actions as act
from antiphon.call import events as ev
from antiphon.call.call import Call
from antiphon.call.ends import EndReason
from antiphon.call.messages import AgentState
from antiphon.call.tools import ToolRequest
from tests.support.random_world import RATE, TOOL_NAMES, Maker, World
from tests.support.referee import Referee
from tests.support.story import line_of

FRAME_S = 0.032
SAMPLES_A_CHARACTER = 600
PIECE_SAMPLES = RATE // 2
CLIENT_BUFFER_SAMPLES = RATE * 60 // 1000
GOES_ON_S = 0.3
"""How long sloppy engines go on with what was stopped."""

QUIET_S = 400.0
"""After the last that happens from outside; by then every call is at rest."""

MOST_TICKS_AT_ONCE = 5


@dataclass
class Sound:
    """One reply at the client."""

    made: dict[int, int] = field(default_factory=dict)
    whole: set[int] = field(default_factory=set)
    asked: int = 0
    free_at: float = 0.0
    playing: bool = False
    dead: bool = False
    """The playout does not advance."""
    broken: bool = False
    """The speaker has failed or hangs."""
    stopped_at: float | None = None
    position: int = 0
    clauses: int | None = None

    @property
    def total(self) -> int:
        return sum(self.made.values())

    @property
    def over(self) -> bool:
        """Nothing follows what was played."""
        return self.clauses is not None and len(self.whole) >= self.asked and self.position >= self.total


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
        self._sounds: dict[int, Sound] = {}
        self._counts: Counter[type] = Counter()
        self._held: list[float] = []
        self._upon: dict[tuple[type, int], list[tuple[float, Maker]]] = {}
        self._listens_until = self.world.length_s + 3.0

    def run(self) -> RandomConversation:
        """The whole call, and what comes after it."""
        world = self.world
        for happening in world.happenings:
            if happening.upon is None:
                self._later(happening.at, self._feeding(happening.event))
            else:
                waiting = self._upon.setdefault((happening.upon, happening.count), [])
                waiting.append((happening.after_s, happening.event))
        if self.dice.random() < 0.1:  # before the join nothing counts
            self.feed(ev.PingReceived(0.0, 1.0))
        self.feed(ev.Joined(0.0))
        self._later(FRAME_S, self._frames)
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
            self._later(max(0.0, deadline - self.now), lambda: self._tick(deadline))

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

    def _later(self, delay: float, work: Callable[[], None]) -> None:
        heapq.heappush(self._due, (self.now + delay, next(self._order), work))

    def _feeding(self, event: Maker) -> Callable[[], None]:
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
            self._later(FRAME_S * count, self._frames)

    # Actions

    def _do(self, action: act.Action) -> None:
        kind = type(action)
        self._counts[kind] += 1
        moment = (kind, self._counts[kind])
        if self.now < self.world.length_s:
            for delay, event in self._upon.get(moment, ()):
                if delay:
                    self._later(delay, self._feeding(event))
                else:
                    self._inbox.append(event(self.now))
            if moment in self.world.speaks_upon:
                delay, length = self.world.speaks_upon[moment]
                self.world.speech.append((self._audio_s + delay, self._audio_s + delay + length))
        match action:
            case act.Transcribe(utterance=utterance, revision=revision):
                self._transcribe(utterance, revision)
            case act.JudgeTurn(utterance=utterance, revision=revision):
                self._judge(utterance, revision)
            case act.Generate(reply=reply):
                self._generate(reply)
            case act.Invoke(request=request):
                self._use_tool(request)
            case act.Speak(reply=reply, clause=clause, text=text):
                self._speak(reply, clause, text)
            case act.EndSpeech(reply=reply, clauses=clauses):
                self._sound(reply).clauses = clauses
            case act.Play(reply=reply):
                self._play(reply)
            case act.Stop(reply=reply):
                self._stop(reply)

    def _sound(self, reply: int) -> Sound:
        return self._sounds.setdefault(reply, Sound())

    def _transcribe(self, utterance: int, revision: int) -> None:
        dice = self.dice
        delay, text = dice.choice([0.0, 0.05, 0.1, 0.4, 1.5]), self.world.words(utterance)
        if self.world.troubled(self.now):
            if dice.random() < 0.6:
                self._later(delay, self._feeding(lambda at: ev.TranscriptionFailed(at, utterance, revision, "broken")))
            return
        self._later(delay, self._feeding(lambda at: ev.Transcribed(at, utterance, revision, text)))

    def _judge(self, utterance: int, revision: int) -> None:
        if not self.world.troubled(self.now):
            opinion, delay = self.dice.choice([0.9, 0.9, 0.1, None]), self.dice.choice([0.0, 0.03, 0.5])
            self._later(delay, self._feeding(lambda at: ev.TurnJudged(at, utterance, revision, opinion)))

    def _generate(self, reply: int) -> None:
        delay = self.dice.choice([0.0, 0.05, 0.2, 0.8])
        for wait, event in self._writing(reply):
            delay += wait
            self._later(delay, self._of_reply(reply, event))

    def _writing(self, reply: int) -> Iterator[tuple[float, Maker]]:
        """What the model gives, each after how long."""
        dice = self.dice
        a_word_s = dice.choice([0.0, 0.01, 0.08])
        length = dice.choice([0, 1, 5, 12, 25])
        goes_wrong = dice.choice(["fails", "stalls", "trickles", "blanks"]) if self.world.troubled(self.now) else ""
        breaks_at = dice.choice([0, 0, 1, 4, 10])
        for number in range(length):
            if goes_wrong in ("fails", "stalls") and number == breaks_at:
                break
            word = f"r{reply}w{number}" + dice.choice(["", "", "", ",", ".", "?"]) + " "
            yield (
                dice.choice([1.5, 8.0]) if goes_wrong == "trickles" else a_word_s,
                lambda at, word=word: ev.TextGenerated(at, reply, word),  # type: ignore[misc]
            )
        if goes_wrong == "fails":
            yield a_word_s, lambda at: ev.GenerationFailed(at, reply, "broken")
            return
        if goes_wrong == "blanks":
            for _ in range(200):
                yield 1.0, lambda at: ev.TextGenerated(at, reply, dice.choice(["", " ", "\n"]))
        if goes_wrong in ("stalls", "blanks"):
            return
        for index in range(dice.choice([0, 0, 0, 1, 1, 2]) if self.world.settings.tools else 0):
            problem = "no JSON" if dice.random() < 0.1 else None
            wish = ToolRequest(f"{reply}-{0 if dice.random() < 0.1 else index}", dice.choice(TOOL_NAMES), {}, problem)
            yield a_word_s, lambda at, wish=wish: ev.ToolRequested(at, reply, wish)  # type: ignore[misc]
        yield a_word_s, lambda at: ev.GenerationEnded(at, reply)

    def _of_reply(self, reply: int, event: Maker) -> Callable[[], None]:
        """Work of an engine on a reply: ends when that is stopped, or a little later."""

        def work() -> None:
            stopped_at = self._sound(reply).stopped_at
            if stopped_at is None or (self.world.sloppy and self.now < stopped_at + GOES_ON_S):
                self.feed(event(self.now))

        return work

    def _speak(self, reply: int, clause: int, text: str) -> None:
        dice, sound = self.dice, self._sound(reply)
        sound.asked += 1
        if sound.broken:
            return
        at = max(self.now, sound.free_at) + dice.choice([0.0, 0.02, 0.2])
        samples, made = (len(text) + 1) * SAMPLES_A_CHARACTER, 0
        seconds_a_sample = dice.choice([0.0, 0.2, 0.2, 1.5]) / RATE
        goes_wrong = dice.choice(["fails", "stalls", "silent"]) if self.world.troubled(self.now) else ""
        if goes_wrong == "silent":
            samples = 0
        if goes_wrong in ("fails", "stalls"):
            samples, sound.broken = dice.choice([0, samples // 2]), True
        while made < samples:
            made = min(made + PIECE_SAMPLES, samples)
            at += PIECE_SAMPLES * seconds_a_sample
            self._later(at - self.now, self._made(reply, clause, made, ended=False))
        if goes_wrong == "fails":
            failing = self._of_reply(reply, lambda at: ev.SpeakingFailed(at, reply, clause, "broken"))
            self._later(at - self.now, failing)
        elif goes_wrong != "stalls":
            self._later(at - self.now, self._made(reply, clause, samples, ended=True))
        sound.free_at = at

    def _made(self, reply: int, clause: int, samples: int, *, ended: bool) -> Callable[[], None]:
        def event(at: float) -> ev.Event:
            sound = self._sound(reply)
            sound.made[clause] = samples
            if ended:
                sound.whole.add(clause)
            return ev.SpeechMade(at, reply, clause, samples, ended, max(0, samples - 800))

        return self._of_reply(reply, event)

    def _play(self, reply: int) -> None:
        sound = self._sound(reply)
        sound.playing = True
        sound.dead = self.world.trouble > 0 and self.dice.random() < 0.03
        self._later(self.world.position_s, lambda: self._advance(reply, sound))

    def _advance(self, reply: int, sound: Sound) -> None:
        if sound.stopped_at is not None or sound.dead:
            return
        before = sound.position
        sound.position = min(sound.total, before + int(self.world.position_s * RATE))
        if sound.position > before or sound.over:
            self.feed(ev.PlayoutAdvanced(self.now, reply, sound.position))
        if not sound.over and not self.call.ended:
            self._later(self.world.position_s, lambda: self._advance(reply, sound))

    def _stop(self, reply: int) -> None:
        sound = self._sound(reply)
        sound.stopped_at = self.now
        if sound.playing and not (self.world.loses_stops and self.dice.random() < 0.5):
            unplayed = min(sound.total - sound.position, CLIENT_BUFFER_SAMPLES)
            self.feed(ev.PlayoutStopped(self.now, reply, sound.position, unplayed))

    def _use_tool(self, request: ToolRequest) -> None:
        dice = self.dice
        outcome = self.world.outcome(request.invocation)
        delay = dice.choice([0.0, 0.05, 0.5, 2.0, 6.0, 30.0])
        if self.world.troubled(self.now) and dice.random() < 0.5:
            return

        def returned(at: float) -> ev.Event:
            return ev.ToolReturned(at, request.invocation, outcome)

        self._later(delay, self._feeding(returned))
        if dice.random() < 0.1:
            self._later(delay + dice.choice([0.0, 1.0]), self._feeding(returned))


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
