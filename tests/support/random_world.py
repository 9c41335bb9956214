"""Worlds by dice: what a call is created with, what happens in it, and how its engines and tools behave.

A world is plausible (a caller who speaks, pauses, hums; a program that writes and forces; engines that have good
and bad times), and made from its seed alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TypeAlias

from antiphon.call import actions as act
from antiphon.call import events as ev
from antiphon.call.ends import EndReason
from antiphon.call.messages import Modality
from antiphon.call.prompt import Reaction, ToolRequest, ToolSpec
from antiphon.call.settings import (
    CallSettings,
    EndBehavior,
    FirstSpeaker,
    Greeting,
    ThreadSettings,
    TimedMessage,
    VadSettings,
)
from antiphon.call.tools.outcomes import (
    MAIN_THREAD,
    PARENT_THREAD,
    ForcedMessage,
    ResponseType,
    SpawnThread,
    ThreadLimits,
    ThreadMessage,
    ToolOutcome,
    UserText,
)

RATE = 16_000

TOOLS = (
    ToolSpec("look", "", {}),
    ToolSpec("ahead", "", {}, precomputable=True, reaction=Reaction.SPEAKS_ONCE),
    ToolSpec("noted", "", {}, static_response="noted at once"),
    ToolSpec("quiet", "", {}, reaction=Reaction.LISTENS, timeout_s=1.0),
    ToolSpec("long", "", {}, timeout_s=20.0),
)
TOOL_NAMES = ("look", "ahead", "noted", "quiet", "long", "nothing")
THREADS = ("one", "one", "two", "nobody")

MAKERS: tuple[type, ...] = (act.Generate, act.Speak, act.Play, act.Stop, act.Invoke, act.Transcribe, act.EndSpeech)
"""Actions upon which something may happen at once: races are about moments."""

Maker: TypeAlias = Callable[[float], ev.Event]


@dataclass(frozen=True, slots=True)
class Happening:
    """An event from outside: at a time, or ``after_s`` after the ``count``-th action of a type."""

    event: Maker
    at: float = 0.0
    upon: type | None = None
    count: int = 1
    after_s: float = 0.0


@dataclass(slots=True)
class World:
    """All that is decided before the call begins; what engines do is decided as they are asked, by ``dice``."""

    seed: int
    dice: Random = field(init=False)
    settings: CallSettings = field(init=False)
    length_s: float = field(init=False)
    happenings: list[Happening] = field(default_factory=list)
    speech: list[tuple[float, float]] = field(default_factory=list)
    speaks_upon: dict[tuple[type, int], tuple[float, float]] = field(default_factory=dict)
    """Upon the n-th action of a type: after how long the caller speaks, and for how long."""
    trouble: float = 0.0
    """How likely an engine is to misbehave, from ``trouble_from`` to ``trouble_to``."""
    trouble_from: float = 0.0
    trouble_to: float = 0.0
    burst_frames: int = 1
    """Frames that the client sends at a time."""
    sparse: bool = False
    """The client sends nothing while nobody speaks."""
    position_s: float = 0.02
    """How often the playout tells how far it is."""
    sloppy: bool = False
    """Engines go on for a while with what was stopped."""
    loses_stops: bool = False
    """Now and then nobody answers ``Stop``: a bug outside of the core."""
    written: dict[str, ev.Urgency] = field(default_factory=dict)
    """Texts that the client writes."""
    firm: set[str] = field(default_factory=set)
    """Of these, those that nobody may interrupt."""
    _thread_messages: int = 0
    lines: set[str] = field(default_factory=set)
    """Fixed words that the agent may say."""

    def __post_init__(self) -> None:
        dice = self.dice = Random(self.seed)
        self.length_s = dice.uniform(5.0, 28.0)
        self.settings = self._settings()
        self.trouble = dice.choice([0.0, 0.0, 0.1, 0.3, 0.7, 1.0])
        self.trouble_from = dice.uniform(0.0, self.length_s)
        self.trouble_to = self.trouble_from + dice.choice([3.0, 10.0, 1e9])
        self.burst_frames = dice.choice([1, 1, 1, 1, 8, 32])
        self.sparse = dice.random() < 0.5
        self.position_s = dice.choice([0.02, 0.04, 0.1])
        self.sloppy = dice.random() < 0.3
        self.loses_stops = dice.random() < 0.03
        self._speech()
        for number in range(dice.choice([0, 1, 2, 4, 8, 16])):
            self._happen(self._client_event(number))
        if dice.random() < 0.35:
            self._happen(self._end())
        self.lines |= {message.text for message in self.settings.inactivity}

    def troubled(self, now: float) -> bool:
        """Whether the engine that is asked now misbehaves."""
        return self.trouble_from <= now < self.trouble_to and self.dice.random() < self.trouble

    def words(self, utterance: int, revision: int) -> str:
        """What the caller says in an utterance: words of their own, a sound of listening, or none at all."""
        kind = Random(self.seed * 1_000 + utterance).random()
        return f"u{utterance} as of {revision}." if kind < 0.55 else "mm-hmm" if kind < 0.85 else ""

    def outcome(self, invocation: str, now: float = 0.0) -> ToolOutcome:
        """What comes of a tool this time. Later than the script tools write no letters and change nothing."""
        dice = self.dice
        text = f"result {dice.randrange(10**9)} of {invocation}"
        match dice.randrange(16 if now < self.length_s else 3):
            case 0 | 1:
                return ToolOutcome(text, failed=True, error_details="broken")
            case 2:
                return ToolOutcome(text, reaction=dice.choice(list(Reaction)), state_update={"seen": invocation})
            case 3:
                closing = self._line(dice.choice(["", "Good bye from a tool."]))
                return ToolOutcome(
                    text, response_type=ResponseType.HANG_UP, closing_message=closing, strict=dice.random() < 0.5
                )
            case 4 | 5:
                return ToolOutcome(text, response_type=ResponseType.NEW_STAGE)
            case 6 | 7 | 8:
                thread_message, reaction = self._thread_message(), dice.choice([None, Reaction.LISTENS])
                return ToolOutcome(text, False, ResponseType.SEND_TO_THREAD, reaction, thread_message=thread_message)
        return ToolOutcome(text)

    def _settings(self) -> CallSettings:
        dice = self.dice
        greeting = Greeting(
            dice.choice([None, self._line("Hello there, this is the greeting of the house.")]),
            dice.choice([None, "Greet."]),
            dice.choice([0.0, 0.0, 1.0, 4.0]),
            uninterruptible=dice.random() < 0.3,
        )
        goodbye = dice.choice(list(EndBehavior))
        speech_model = dice.random() < 0.2
        return CallSettings(
            call_id=f"call {self.seed}",
            output_rate=RATE,
            first_speaker=FirstSpeaker(dice.random() < 0.5, dice.choice([None, greeting, greeting])),
            vad=VadSettings(
                turn_endpoint_delay_s=dice.choice([0.384, 0.384, 0.2, 0.9]),
                minimum_turn_s=dice.choice([0.0, 0.0, 0.0, 0.2]),
                minimum_interruption_s=dice.choice([0.09, 0.09, 0.5]),
            ),
            inactivity=dice.choice(
                [(), (), (TimedMessage(3.0, "Are you still there?"), TimedMessage(5.0, "Then good bye.", goodbye))]
            ),
            max_duration_s=dice.choice([3600.0, 3600.0, 3600.0, 3600.0, 3600.0, dice.uniform(1.0, self.length_s)]),
            time_exceeded_message=dice.choice([None, self._line("The time is up, I am afraid.")]),
            media_idle_s=dice.choice([None, None, None, None, None, None, 10.0]),
            modality=dice.choice([Modality.VOICE, Modality.VOICE, Modality.VOICE, Modality.TEXT]),
            tools=dice.choice([(), TOOLS, TOOLS, TOOLS]),
            backchannels=dice.random() < 0.8,
            speech_model=speech_model,
            judges_turns=dice.random() < 0.7,
            threads=ThreadSettings(at_once=dice.choice([1, 2])),
        )

    def _speech(self) -> None:
        """The caller's sentences, with pauses within, and noises; some upon something the agent does."""
        dice = self.dice
        at = dice.uniform(0.2, 3.0)
        while at < self.length_s - 1.0:
            for _ in range(dice.choice([1, 1, 2, 3])):
                end = at + dice.choice([0.05, 0.1, 0.3, 0.8, 0.8, 2.0])
                self.speech.append((at, min(end, self.length_s)))
                at = end + dice.choice([0.1, 0.2, 0.45, 0.8])
            at += dice.choice([0.0, 0.3, 1.0, 2.5, 5.0, 8.0])
        for _ in range(dice.choice([0, 2, 4, 8, 16])):
            moment = (dice.choice(MAKERS), dice.randrange(1, 12))
            self.speaks_upon[moment] = (dice.choice([0.0, 0.05, 0.4, 1.0]), dice.choice([0.1, 0.3, 0.3, 1.0]))

    def _happen(self, event: Maker) -> None:
        dice = self.dice
        if dice.random() < 0.5:
            self.happenings.append(Happening(event, at=dice.uniform(0.0, self.length_s)))
        else:
            upon, after_s = dice.choice(MAKERS), dice.choice([0.0, 0.001, 0.03, 0.3])
            self.happenings.append(Happening(event, upon=upon, count=dice.randrange(1, 12), after_s=after_s))

    def _line(self, text: str) -> str:
        self.lines.add(text)
        return text

    def _client_event(self, number: int) -> Maker:
        dice = self.dice
        kind = dice.randrange(17)
        if kind < 4:
            text, urgency = f"t{number}a t{number}b", dice.choice(list(ev.Urgency))
            self.written[text] = urgency
            thread = dice.choice([MAIN_THREAD, MAIN_THREAD, MAIN_THREAD, *THREADS])
            return lambda at: ev.UserTextReceived(at, text, urgency, thread)
        if kind < 8:
            return self._forced(number)
        if kind > 12:
            spawn = self._spawn()
            return lambda at: ev.SpawnRequested(at, spawn)
        if kind == 8:
            return lambda at: ev.UserTextReceived(at, "", ev.Urgency.IMMEDIATE)
        if kind == 9:
            modality = dice.choice(list(Modality))
            return lambda at: ev.OutputMediumSet(at, modality)
        if kind == 10:
            invocation = dice.choice(["unknown", "1-0", "2-0", "3-0", "forced-1"])
            outcome = ToolOutcome(f"nobody asked for this {number}")
            return lambda at: ev.ToolReturned(at, invocation, outcome)
        return lambda at: ev.ToolReturned(at, "unknown", ToolOutcome("nobody asked for this either"))

    def _thread_message(self) -> ThreadMessage:
        dice = self.dice
        thread = dice.choice([MAIN_THREAD, MAIN_THREAD, PARENT_THREAD, *THREADS])
        number = self._thread_messages = self._thread_messages + 1
        match dice.randrange(3):
            case 0:
                text, urgency = f"tl{number}a tl{number}b", dice.choice(list(ev.Urgency))
                self.written[text] = urgency
                return UserText(thread, text, urgency)
            case 1:
                wants = (ToolRequest(f"letter-{number}", dice.choice(TOOL_NAMES)),) if dice.random() < 0.5 else ()
                return ForcedMessage(thread, self._line(f"l{number}a l{number}b."), wants=wants)
        return self._spawn()

    def _spawn(self) -> SpawnThread:
        dice = self.dice
        thread = dice.choice(["one", "one", "two", "two", "three", MAIN_THREAD, "x" * 200])
        words = (UserText(thread, f"s{dice.randrange(1000)}"),)
        uses = (
            ForcedMessage(thread, "Hm.", wants=(ToolRequest(f"spawned-{dice.randrange(5)}", dice.choice(TOOL_NAMES)),)),
        )
        return SpawnThread(
            thread,
            dice.choice([MAIN_THREAD] * 8 + ["one", "one", "nobody", PARENT_THREAD]),
            dice.random() < 0.6,
            dice.choice([(), words, words, uses, (*uses, *words), (*uses, *uses)]),
            dice.choice([None, None, ("look", "long")]),
            dice.choice([(), ("look",)]),
            dice.choice([ThreadLimits(), ThreadLimits(), ThreadLimits(generations=2), ThreadLimits(output_tokens=20)]),
        )

    def _forced(self, number: int) -> Maker:
        dice = self.dice
        text = self._line(dice.choice([f"f{number}a f{number}b, f{number}c f{number}d.", "", f"f{number}."]))
        urgency = dice.choice([ev.Urgency.IMMEDIATE, ev.Urgency.SOON])
        uninterruptible = dice.random() < 0.4
        wants = tuple(
            ToolRequest(f"forced-{number}-{index}", dice.choice(TOOL_NAMES))
            for index in range(dice.choice([0, 0, 1, 2]))
        )
        known = {one.invocation: self.outcome(one.invocation) for one in wants if dice.random() < 0.4}
        if uninterruptible:
            self.firm.add(text)
        thread = dice.choice([MAIN_THREAD, MAIN_THREAD, MAIN_THREAD, MAIN_THREAD, *THREADS])
        return lambda at: ev.ForcedMessageReceived(at, text, urgency, uninterruptible, wants, known, thread)

    def _end(self) -> Maker:
        dice = self.dice
        if dice.random() < 0.3:
            words = self._line(dice.choice(["", "Last words of the program."]))
            return lambda at: ev.HangUpReceived(at, words)
        reason, code = dice.choice([(EndReason.HANGUP, 1000), (EndReason.CONNECTION_ERROR, 1006)])
        return lambda at: ev.EndRequested(at, reason, code, "gone")
