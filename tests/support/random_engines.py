"""Scripted engines, tools, threads and a client's loudspeaker, whose moods are decided by dice as they are asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from antiphon.call import actions as act
from antiphon.call import events as ev
from antiphon.call.prompt import ChatMessage, ToolRequest
from antiphon.call.stages import Stage
from antiphon.call.tools.outcomes import ToolOutcome
from tests.support.random_world import RATE, TOOL_NAMES, TOOLS, Maker, World

SAMPLES_A_CHARACTER = 600
PIECE_SAMPLES = RATE // 2
CLIENT_BUFFER_SAMPLES = RATE * 60 // 1000
GOES_ON_S = 0.3
"""How long sloppy engines go on with what was stopped."""


class Clock(Protocol):
    """What drives the call."""

    now: float

    def later(self, delay: float, work: Callable[[], None]) -> None: ...
    def feed(self, event: ev.Event) -> None: ...
    def feeding(self, event: Maker) -> Callable[[], None]: ...


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
    writing_stopped_at: float | None = None
    """When the model was stopped, too."""
    position: int = 0
    clauses: int | None = None

    @property
    def total(self) -> int:
        return sum(self.made.values())

    @property
    def over(self) -> bool:
        """Nothing follows what was played."""
        return self.clauses is not None and len(self.whole) >= self.asked and self.position >= self.total


class RandomEngines:
    """Carries out actions."""

    def __init__(self, world: World, clock: Clock) -> None:
        self._world = world
        self._dice = world.dice
        self._clock = clock
        self._sounds: dict[int, Sound] = {}
        self._stopped_asides: dict[int, float] = {}

    def do(self, action: act.Action) -> None:
        """Begin what is wanted; what comes of it is fed to the call."""
        match action:
            case act.Transcribe(utterance=utterance, revision=revision):
                self._transcribe(utterance, revision)
            case act.JudgeTurn(utterance=utterance, revision=revision):
                self._judge(utterance, revision)
            case act.Generate(reply=reply):
                self._generate(reply)
            case act.GenerateForThread(generation=generation):
                self._generate_for_thread(generation)
            case act.StopForThread(generation=generation):
                self._stopped_asides[generation] = self._clock.now
            case act.Invoke(request=request):
                self._use_tool(request)
            case act.PrepareStage(invocation=invocation, outcome=outcome):
                self._prepare_stage(invocation, outcome)
            case act.Speak(reply=reply, clause=clause, text=text):
                self._speak(reply, clause, text)
            case act.EndSpeech(reply=reply, clauses=clauses):
                self._sound(reply).clauses = clauses
            case act.Play(reply=reply):
                self._play(reply)
            case act.Stop(reply=reply, keep_writing=keep_writing):
                self._stop(reply, keep_writing=keep_writing)

    @property
    def _troubled(self) -> bool:
        return self._world.troubled(self._clock.now)

    def _sound(self, reply: int) -> Sound:
        return self._sounds.setdefault(reply, Sound())

    def _transcribe(self, utterance: int, revision: int) -> None:
        dice = self._dice
        delay, text = dice.choice([0.0, 0.05, 0.1, 0.4, 1.5]), self._world.words(utterance, revision)
        if self._troubled:
            if dice.random() < 0.6:
                self._clock.later(
                    delay, self._clock.feeding(lambda at: ev.TranscriptionFailed(at, utterance, revision, "broken"))
                )
            return
        self._clock.later(delay, self._clock.feeding(lambda at: ev.Transcribed(at, utterance, revision, text)))

    def _judge(self, utterance: int, revision: int) -> None:
        if not self._troubled:
            opinion, delay = self._dice.choice([0.9, 0.9, 0.1, None]), self._dice.choice([0.0, 0.03, 0.5])
            self._clock.later(delay, self._clock.feeding(lambda at: ev.TurnJudged(at, utterance, revision, opinion)))

    def _generate(self, reply: int) -> None:
        delay = self._dice.choice([0.0, 0.05, 0.2, 0.8])
        for wait, event in self._writing(reply):
            delay += wait
            self._clock.later(delay, self._of_reply(reply, event, of_model=True))

    def _writing(self, reply: int) -> Iterator[tuple[float, Maker]]:
        """What the model gives, each after how long."""
        dice = self._dice
        a_word_s = dice.choice([0.0, 0.01, 0.08])
        length = dice.choice([0, 1, 5, 12, 25])
        goes_wrong = dice.choice(["fails", "stalls", "trickles", "blanks", "thinks"]) if self._troubled else ""
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
        if goes_wrong == "thinks":
            for _ in range(dice.choice([5, 200])):
                yield 0.5, lambda at: ev.GenerationAlive(at, reply)
        if goes_wrong in ("stalls", "blanks"):
            return
        for index in range(dice.choice([0, 0, 0, 1, 1, 2]) if self._world.settings.tools else 0):
            problem = "no JSON" if dice.random() < 0.1 else None
            wish = ToolRequest(f"{reply}-{0 if dice.random() < 0.1 else index}", dice.choice(TOOL_NAMES), {}, problem)
            yield a_word_s, lambda at, wish=wish: ev.ToolRequested(at, reply, wish)  # type: ignore[misc]
        yield a_word_s, lambda at: ev.GenerationEnded(at, reply)

    def _of_reply(self, reply: int, event: Maker, *, of_model: bool = False) -> Callable[[], None]:
        """Work of an engine on a reply: ends when that is stopped, or a little later."""

        def work() -> None:
            sound = self._sound(reply)
            stopped_at = sound.writing_stopped_at if of_model else sound.stopped_at
            if stopped_at is None or (self._world.sloppy and self._clock.now < stopped_at + GOES_ON_S):
                self._clock.feed(event(self._clock.now))

        return work

    def _speak(self, reply: int, clause: int, text: str) -> None:
        dice, sound = self._dice, self._sound(reply)
        sound.asked += 1
        if sound.broken:
            return
        at = max(self._clock.now, sound.free_at) + dice.choice([0.0, 0.02, 0.2])
        samples, made = (len(text) + 1) * SAMPLES_A_CHARACTER, 0
        seconds_a_sample = dice.choice([0.0, 0.2, 0.2, 1.5]) / RATE
        goes_wrong = dice.choice(["fails", "stalls", "silent"]) if self._troubled else ""
        if goes_wrong == "silent":
            samples = 0
        if goes_wrong in ("fails", "stalls"):
            samples, sound.broken = dice.choice([0, samples // 2]), True
        while made < samples:
            made = min(made + PIECE_SAMPLES, samples)
            at += PIECE_SAMPLES * seconds_a_sample
            self._clock.later(at - self._clock.now, self._made(reply, clause, made, ended=False))
        if goes_wrong == "fails":
            failing = self._of_reply(reply, lambda at: ev.SpeakingFailed(at, reply, clause, "broken"))
            self._clock.later(at - self._clock.now, failing)
        elif goes_wrong != "stalls":
            self._clock.later(at - self._clock.now, self._made(reply, clause, samples, ended=True))
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
        sound.dead = self._world.trouble > 0 and self._dice.random() < 0.03
        self._clock.later(self._world.position_s, lambda: self._advance(reply, sound))

    def _advance(self, reply: int, sound: Sound) -> None:
        if sound.stopped_at is not None or sound.dead:
            return
        before = sound.position
        sound.position = min(sound.total, before + int(self._world.position_s * RATE))
        if sound.position > before or sound.over:
            self._clock.feed(ev.PlayoutAdvanced(self._clock.now, reply, sound.position))
        if not sound.over:
            self._clock.later(self._world.position_s, lambda: self._advance(reply, sound))

    def _stop(self, reply: int, *, keep_writing: bool) -> None:
        sound = self._sound(reply)
        if not keep_writing:
            sound.writing_stopped_at = self._clock.now
        if sound.stopped_at is not None:
            return
        sound.stopped_at = self._clock.now
        if sound.playing and not (self._world.loses_stops and self._dice.random() < 0.5):
            unplayed = min(sound.total - sound.position, CLIENT_BUFFER_SAMPLES)
            self._clock.feed(ev.PlayoutStopped(self._clock.now, reply, sound.position, unplayed))

    def _use_tool(self, request: ToolRequest) -> None:
        dice = self._dice
        outcome = self._world.outcome(request.invocation, self._clock.now)
        delay = dice.choice([0.0, 0.05, 0.5, 2.0, 6.0, 30.0])
        if self._troubled and dice.random() < 0.5:
            return

        def returned(at: float) -> ev.Event:
            return ev.ToolReturned(at, request.invocation, outcome)

        self._clock.later(delay, self._clock.feeding(returned))
        if dice.random() < 0.1:
            self._clock.later(delay + dice.choice([0.0, 1.0]), self._clock.feeding(returned))

    def _prepare_stage(self, invocation: str, outcome: ToolOutcome) -> None:
        dice = self._dice
        if self._troubled and dice.random() < 0.5:
            return
        messages = dice.choice([None, None, (), (ChatMessage("user", "From the stage."),)])
        made = replace(
            outcome, stage=Stage(f"of {invocation}", "Sell.", 0.0, None, dice.choice([TOOLS, TOOLS[:2], ()]), messages)
        )
        if dice.random() < 0.2:
            made = ToolOutcome(f"no stage for {invocation}", failed=True)
        for delay in dice.choice([(0.0,), (0.1,), (3.0,), (0.1, 0.2)]):
            self._clock.later(delay, self._clock.feeding(lambda at: ev.StagePrepared(at, invocation, made)))

    def _generate_for_thread(self, generation: int) -> None:
        delay = self._dice.choice([0.0, 0.1, 2.0])
        for wait, event in self._aside(generation):
            delay += wait
            self._clock.later(delay, self._of_thread(generation, event))

    def _aside(self, generation: int) -> Iterator[tuple[float, Maker]]:
        dice = self._dice
        goes_wrong = dice.choice(["fails", "stalls"]) if self._troubled else ""
        for number in range(dice.choice([0, 1, 4])):
            if goes_wrong and number == 1:
                break
            yield 0.05, lambda at, word=f"g{generation}w{number} ": ev.ThreadTextWritten(at, generation, word)  # type: ignore[misc]
        for index in range(dice.choice([0, 0, 0, 1, 2]) if not goes_wrong else 0):
            wish = ToolRequest(f"side-{generation}-{index}", dice.choice(TOOL_NAMES))
            yield 0.01, lambda at, wish=wish: ev.ThreadToolRequested(at, generation, wish)  # type: ignore[misc]
        if goes_wrong == "fails":
            yield 0.1, lambda at: ev.ThreadTextFailed(at, generation, "broken")
        elif not goes_wrong:
            written = dice.choice([None, 3, 50])
            yield 0.01, lambda at: ev.ThreadTextEnded(at, generation, dice.choice([None, 100]), 0, written)

    def _of_thread(self, generation: int, event: Maker) -> Callable[[], None]:
        def work() -> None:
            stopped_at = self._stopped_asides.get(generation)
            if stopped_at is None or (self._world.sloppy and self._clock.now < stopped_at + GOES_ON_S):
                self._clock.feed(event(self._clock.now))

        return work
