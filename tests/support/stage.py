"""A stage for the pure core: scripted engines, a real-time client and a caller's voice, on a virtual clock.

Nothing here waits: ``run`` goes from one due moment to the next. What the core wanted is in ``log`` with times.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from antiphon.call import actions as act
from antiphon.call import events as ev
from antiphon.call import stages
from antiphon.call.call import Call
from antiphon.call.messages import (
    CallEvent,
    Message,
    Role,
    StateChanged,
    Transcript,
)
from antiphon.call.prompt import ToolRequest
from antiphon.call.settings import CallSettings
from antiphon.call.tools.outcomes import ToolOutcome

FRAME_S = 0.032
RATE = 16_000
SAMPLES_A_CHARACTER = 1_000


def settings(**changes: object) -> CallSettings:
    return CallSettings(call_id="call", output_rate=RATE, **changes)  # type: ignore[arg-type]


@dataclass
class Engines:
    """How long the scripted engines take, and what they give."""

    transcription_s: float = 0.1
    judgement_s: float = 0.05
    completeness: float | None = 1.0
    first_text_s: float = 0.1
    a_word_s: float = 0.01
    speech_s: float = 0.02
    replies: Callable[[str], str] = lambda said: f"You said {said}. That is fine with me."
    words: list[str] = field(default_factory=list)
    ends: float | None = None
    """The transcriber's certainty that they end a sentence."""
    generation_fails: bool = False
    speaker_fails: bool = False
    breaks_at: int | None = None
    """The clause of each reply at which the speaker fails."""
    silent_from: tuple[int, int] | None = None
    """A reply, and the clause of it from which on the speaker gives no sound."""
    stalls: bool = False
    wants: list[str] = field(default_factory=list)
    """The tools asked for after the words of an answer to the caller (not of one to a tool)."""
    new_stage: stages.Stage | None = None
    """What a new stage that is asked for turns out to be; ``None``: it cannot be made."""
    tool_s: float | None = 0.5
    """How long a tool takes; ``None``: it never answers."""
    outcomes: dict[str, ToolOutcome] = field(default_factory=dict)
    """By tool; ``"done"`` where it is not named."""
    thread_generation: Callable[[str], Sequence[str | ToolRequest]] = lambda said: (f"To {said}: ", "noted.")
    """What is written for a side thread, and which tools it wants."""
    aside_s: float | None = 0.5
    """How long that takes; ``None``: for ever."""
    threads_fail: bool = False
    thread_usage: tuple[int | None, int, int | None] = (None, 0, None)
    """Tokens of the prompt, of that cached, and written."""
    deaf: bool = False
    """The transcriber never answers."""
    delays: dict[int, float] = field(default_factory=dict)
    """``transcription_s`` of single utterances."""
    unheard_of: dict[tuple[int, int], int] = field(default_factory=dict)
    """How often the transcriber fails on a revision of an utterance."""


@dataclass
class Sound:
    """One reply at the client: what was made, since when it plays."""

    made: dict[int, int] = field(default_factory=dict)
    playing_since: float | None = None
    ended: int | None = None
    stopped: bool = False
    broken: bool = False

    @property
    def total(self) -> int:
        return sum(self.made.values())


class Stage:
    """Drives one call."""

    def __init__(self, call_settings: CallSettings | None = None, engines: Engines | None = None) -> None:
        self.settings = call_settings or settings()
        self.call = Call(self.settings)
        self.engines = engines or Engines()
        self.now = 0.0
        self.audio_s = 0.0
        self.log: list[tuple[float, act.Action]] = []
        self.sounds: dict[int, Sound] = {}
        self.prompts: list[act.Generate] = []
        self.thread_generation: list[act.GenerateForThread] = []
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._speech: list[tuple[float, float]] = []
        self._hisses: list[tuple[float, float]] = []
        self._noises: list[tuple[float, float, float]] = []
        self._words = iter(self.engines.words)
        self._texts: dict[int, str] = {}
        self._alarm: float | None = None
        self.invoked: list[str] = []

    # The script

    def join(self) -> Stage:
        self.feed(ev.Joined(self.now))
        self._later(FRAME_S, self._frame)
        self._play()
        return self

    def speech(self, start: float, end: float) -> Stage:
        """The caller speaks from ``start`` to ``end``."""
        self._speech.append((start, end))
        return self

    def hiss(self, start: float, end: float) -> Stage:
        """A sound as loud as speech that the detector does not take for any: the "s" of a word."""
        self._hisses.append((start, end))
        return self

    def noise(self, start: float, end: float, probability: float) -> Stage:
        """A noise that the detector takes for speech with ``probability``."""
        self._noises.append((start, end, probability))
        return self

    def at(self, time: float, event: Callable[[float], ev.Event]) -> Stage:
        """An event at a time, ``event(at)``."""
        self._later(time - self.now, lambda: self.feed(event(self.now)))
        return self

    def run(self, until: float) -> Stage:
        while self._due and self._due[0][0] <= until and not self.call.ended:
            self.now, _, work = heapq.heappop(self._due)
            work()
        self.now = max(self.now, until)
        return self

    # What came of it

    @property
    def messages(self) -> list[Message]:
        return [action.message for _, action in self.log if isinstance(action, act.Emit)]

    def wire(self) -> list[str]:
        """The conversation, one short line a message, without deltas and events."""
        lines: list[str] = []
        for _, action in self.log:
            match action:
                case act.Emit(message=StateChanged(state=state)):
                    lines.append(state.value)
                case act.Emit(message=Transcript(role=role, final=True, text=text)):
                    lines.append(f"{role.value}: {text}")
                case act.ReplyCut(unplayed=unplayed) if unplayed != 0:
                    lines.append("clear")
        return lines

    def time_of(self, wanted: Callable[[act.Action], bool]) -> float:
        return next(at for at, action in self.log if wanted(action))

    def finals(self, role: Role) -> list[Transcript]:
        return [m for m in self.messages if isinstance(m, Transcript) and m.final and m.role is role]

    def transcripts(self, role: Role) -> list[Transcript]:
        return [m for m in self.messages if isinstance(m, Transcript) and m.role is role]

    def events(self, kind: str) -> list[CallEvent]:
        return [m for m in self.messages if isinstance(m, CallEvent) and m.type == kind]

    @property
    def end(self) -> act.End | None:
        return next((action for _, action in self.log if isinstance(action, act.End)), None)

    # The machinery

    def feed(self, event: ev.Event) -> None:
        self.call.receive(event)
        self._carry_out()

    def _carry_out(self) -> None:
        while actions := self.call.actions():
            stops: list[ev.Event] = []
            for action in actions:
                self.log.append((self.now, action))
                stops += self._do(action)
            for stopped in stops:
                self.call.receive(stopped)
        deadline = self.call.deadline
        if deadline is not None and deadline != self._alarm:
            self._alarm = deadline
            self._later(max(0.0, deadline - self.now), self._tick)

    def _tick(self) -> None:
        if self._alarm is not None and self.now >= self._alarm - 1e-9:
            self._alarm = None
            self.call.tick(self.now)
            self._carry_out()

    def _later(self, delay: float, work: Callable[[], None]) -> None:
        heapq.heappush(self._due, (self.now + delay, next(self._order), work))

    def _frame(self) -> None:
        self.audio_s += FRAME_S
        start = self.audio_s - FRAME_S
        middle = start + FRAME_S / 2
        speaking = any(begin <= middle < end for begin, end in self._speech)
        hissing = any(begin <= middle < end for begin, end in self._hisses)
        rise_db = 30.0 if speaking or hissing else 0.0
        noise = max((p for begin, end, p in self._noises if begin <= middle < end), default=0.01)
        self.feed(ev.SpeechScored(self.now, self.audio_s, 0.9 if speaking else noise, rise_db))
        self._later(FRAME_S, self._frame)

    def _play(self) -> None:
        for number, sound in list(self.sounds.items()):
            if sound.playing_since is not None and not sound.stopped and self._position(sound):
                self.feed(ev.PlayoutAdvanced(self.now, number, self._position(sound)))
        self._later(0.02, self._play)

    def _position(self, sound: Sound) -> int:
        assert sound.playing_since is not None
        return min(sound.total, int((self.now - sound.playing_since) * RATE))

    def _do(self, action: act.Action) -> list[ev.Event]:
        engines = self.engines
        match action:
            case act.Transcribe(utterance=utterance, revision=revision):
                self._transcribe(utterance, revision)
            case act.JudgeTurn(utterance=utterance, revision=revision):
                opinion = engines.completeness
                self._answer(engines.judgement_s, lambda at: ev.TurnJudged(at, utterance, revision, opinion))
            case act.Generate():
                self.prompts.append(action)
                self._generate(action)
            case act.GenerateForThread():
                self.thread_generation.append(action)
                self._generate_for_thread(action)
            case act.Invoke(request=request, thread=thread):
                self.invoked.append(request.name)
                outcomes = engines.outcomes
                outcome = outcomes.get(f"{thread}/{request.name}", outcomes.get(request.name, ToolOutcome("done")))
                if engines.tool_s is not None:
                    self._answer(engines.tool_s, lambda at: ev.ToolReturned(at, request.invocation, outcome))
            case act.PrepareStage(invocation=invocation, outcome=outcome):
                made = replace(outcome, text="OK", stage=engines.new_stage)
                if engines.new_stage is None:
                    made = ToolOutcome("There is no such stage.", failed=True)
                self._answer(0.05, lambda at: ev.StagePrepared(at, invocation, made))
            case act.Speak(reply=reply, clause=clause, text=text):
                self._speak(reply, clause, text)
            case act.Play(reply=reply):
                self.sounds[reply].playing_since = self.now
            case act.Stop(reply=reply):
                sound = self.sounds.setdefault(reply, Sound())
                playing = sound.playing_since is not None and not sound.stopped
                sound.stopped = True
                if playing:
                    position = self._position(sound)
                    unplayed = min(sound.total - position, RATE * 60 // 1000)
                    return [ev.PlayoutStopped(self.now, reply, position, unplayed)]
        return []

    def _answer(self, delay: float, event: Callable[[float], ev.Event]) -> None:
        self._later(delay, lambda: self.feed(event(self.now)))

    def _transcribe(self, utterance: int, revision: int) -> None:
        engines = self.engines
        delay = engines.delays.get(utterance, engines.transcription_s)
        if engines.deaf:
            return
        if engines.unheard_of.get((utterance, revision), 0):
            engines.unheard_of[utterance, revision] -= 1
            self._answer(delay, lambda at: ev.TranscriptionFailed(at, utterance, revision, "broken"))
            return
        if utterance not in self._texts:
            self._texts[utterance] = next(self._words, f"utterance {utterance}")
        text = self._texts[utterance] if not self._noises or self._spoke_since(utterance) else ""
        self._answer(delay, lambda at: ev.Transcribed(at, utterance, revision, text, engines.ends))

    def _spoke_since(self, utterance: int) -> bool:
        """The caller has said something, and not only the noise, since that utterance began."""
        began = self.time_of(lambda action: action == act.OpenUtterance(utterance))
        return any(end > began and begin < self.now for begin, end in self._speech)

    def _generate(self, wish: act.Generate) -> None:
        engines, reply = self.engines, wish.reply
        if engines.stalls:
            return
        if engines.generation_fails:
            self._answer(engines.first_text_s, lambda at: ev.GenerationFailed(at, reply, "broken"))
            return
        last = wish.prompt.messages[-1] if wish.prompt.messages else None
        said = last.text if last else ""
        delay = engines.first_text_s
        for word in engines.replies(said).split():
            self._answer(delay, lambda at, word=word: ev.TextGenerated(at, reply, word + " "))  # type: ignore[misc]
            delay += engines.a_word_s
        for name in engines.wants if last is not None and last.role == "user" else ():
            request = ToolRequest(f"{reply}-{name}", name.rstrip("?"), {}, "no JSON" if name.endswith("?") else None)
            self._answer(delay, lambda at, request=request: ev.ToolRequested(at, reply, request))  # type: ignore[misc]
        self._answer(delay, lambda at: ev.GenerationEnded(at, reply))

    def _generate_for_thread(self, wish: act.GenerateForThread) -> None:
        """Whether or not it is stopped: what comes too late is the core's to drop."""
        engines, number = self.engines, wish.generation
        if engines.aside_s is None:
            return
        if engines.threads_fail:
            self._answer(engines.aside_s, lambda at: ev.ThreadTextFailed(at, number, "broken"))
            return
        delay = engines.aside_s
        for item in engines.thread_generation(wish.prompt.messages[-1].text if wish.prompt.messages else ""):
            if isinstance(item, ToolRequest):
                self._answer(delay, lambda at, item=item: ev.ThreadToolRequested(at, number, item))  # type: ignore[misc]
            else:
                self._answer(delay, lambda at, item=item: ev.ThreadTextWritten(at, number, item))  # type: ignore[misc]
            delay += engines.a_word_s
        self._answer(delay, lambda at: ev.ThreadTextEnded(at, number, *engines.thread_usage))

    def _speak(self, reply: int, clause: int, text: str) -> None:
        sound = self.sounds.setdefault(reply, Sound())
        samples = (len(text) + 1) * SAMPLES_A_CHARACTER

        def made() -> None:
            silent = self.engines.silent_from
            if sound.stopped or sound.broken or (silent is not None and reply == silent[0] and clause >= silent[1]):
                return
            if self.engines.speaker_fails or clause == self.engines.breaks_at:
                sound.broken = True
                self.feed(ev.SpeakingFailed(self.now, reply, clause, "broken"))
                return
            sound.made[clause] = samples
            self.feed(ev.SpeechMade(self.now, reply, clause, samples, ended=True))

        self._later(self.engines.speech_s * (clause + 1), made)
