"""One agent answer, from generation to the last sample heard.

A reply begins as a *draft* (on suspicion that the caller is done) or committed. Its life is read off its
parts, not kept as a flag: it is *audible* once playing, *complete* when the model has written all and all is
sound, and *heard* when the caller has heard that.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from antiphon.call.actions import Action, EndSpeech, Speak
from antiphon.call.listening.transcripts import HeardTurn
from antiphon.call.messages import Modality
from antiphon.call.prompt import ToolRequest
from antiphon.call.settings import EndBehavior, TurnSettings
from antiphon.call.speaking.agenda import Line
from antiphon.call.speaking.alignment import Alignment, Clause
from antiphon.call.speaking.clauses import ClauseSplitter, ClauseText

STARVING_S = 0.35
"""Sound left of a reply below which its words are spoken without waiting for the sentence's end."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a draft was made from; it may be used only while all of that still holds."""

    utterance: int
    text: str | None
    history_version: int


@dataclass(slots=True)
class Timings:
    """When (on the call's clock) what happened first; ``None`` until it has."""

    speech_ended: float | None = None
    endpoint: float | None = None
    transcribed: float | None = None
    committed: float | None = None
    first_text: float | None = None
    first_sound: float | None = None


@dataclass(slots=True)
class Reply:
    """A numbered answer."""

    number: int
    modality: Modality
    rate: int
    interruptible: bool = True
    over_caller: bool = False
    """Began without waiting for the caller to finish."""
    line: Line | None = None
    """The fixed words it consists of."""
    greeting: bool = False
    turn: HeardTurn | None = None
    """The spoken turn it answers."""
    origin: Origin | None = None
    wants: list[ToolRequest] = field(default_factory=list)
    """Of a draft: the tools it would use."""
    committed: bool = False
    playing: bool = False
    stopping: bool = False
    interrupted: bool = False
    """Stopped by the caller's voice."""
    generated: bool = False
    broken_off: bool = False
    """The model failed."""
    failed: bool = False
    """The speaker failed."""
    ordinal: int | None = None
    position: int = 0
    shown: int = 0
    keeps_writing: bool = False
    """Stopped, but the model writes on: it may turn out to have been stopped for nothing."""
    continues: int | None = None
    """The reply under whose number the model writes, where this one is the rest of that."""
    started_audio_s: float = 0.0
    began_at: float = 0.0
    """When it took the floor."""
    started_at: float = 0.0
    alive_at: float = 0.0
    """When an engine gave a sign of life, or more of it was heard."""
    timings: Timings = field(default_factory=Timings)
    _wrote_at: float = 0.0
    """When the model last wrote a word."""
    _dry_at: float | None = None
    """Since when all the sound there is has been heard, and more is to come."""
    _dry_s: float = 0.0
    """Silence amid it before that."""
    _splitter: ClauseSplitter = field(default_factory=ClauseSplitter)
    _alignment: Alignment = field(init=False)

    def __post_init__(self) -> None:
        self._alignment = Alignment(self.rate)

    @property
    def written_as(self) -> int:
        """The number under which the model writes it."""
        return self.number if self.continues is None else self.continues

    @property
    def end(self) -> EndBehavior:
        """What follows it."""
        return EndBehavior.NOTHING if self.line is None else self.line.end

    @property
    def text(self) -> str:
        """All that was generated so far."""
        return self._splitter.text

    @property
    def samples(self) -> int:
        """Sound made so far."""
        return self._alignment.total

    @property
    def complete(self) -> bool:
        """Nothing more will be generated or made into sound."""
        return self.generated and (self.modality is Modality.TEXT or not self._alignment.unended)

    @property
    def heard(self) -> bool:
        """The caller has had all of it."""
        if self.modality is Modality.TEXT:
            return self.complete and (self.playing or not self.text)
        return self.complete and self.position >= self.samples

    @property
    def heard_text(self) -> str:
        """The words the caller has heard (or read)."""
        return self.text[: self.heard_characters].strip()

    @property
    def heard_characters(self) -> int:
        """Length of the prefix of ``text`` that the caller has heard (or read). It never falls.

        What the sound of a clause turns out to be may move words that were shown as heard behind the position
        again; they stay heard, for the client has been told so.
        """
        if self.modality is Modality.TEXT:
            return len(self.text)
        return max(self.shown, self._alignment.heard_characters(self.position))

    def write(self, delta: str, at: float) -> list[Action]:
        """The model wrote ``delta``. Leading blanks of a reply are nobody's words and are dropped."""
        if self.generated:
            return []
        if delta.strip():
            self._wrote_at = at
        if not self.text:
            delta = delta.lstrip()
        return self._add(self._splitter.push(delta, at) if delta else [])

    def hurry(self) -> list[Action]:
        """Speak what is written, rather than to fall silent, when the sound is about to run out."""
        starving = self.playing and not self.generated and self.modality is Modality.VOICE
        if not starving or self.samples - self.position > STARVING_S * self.rate or self.owes_sound:
            return []
        return self._add(self._splitter.cut())

    @property
    def owes_sound(self) -> bool:
        """A clause is being made into sound."""
        return self.modality is Modality.VOICE and self._alignment.unended > 0

    @property
    def mute(self) -> bool:
        """There are words to be spoken, and no sound of them."""
        words = "".join(clause.text.spoken for clause in self._alignment.clauses)
        return self.modality is Modality.VOICE and not self.samples and any(sign.isalnum() for sign in words)

    def given_up_at(self, turns: TurnSettings) -> float:
        """When it has been without a sign of life, or without anything to hear, for too long."""
        if not self.playing:
            return min(self.alive_at + turns.first_words_patience_s, self.began_at + turns.first_sound_patience_s)
        if self.modality is Modality.TEXT:
            return min(self.alive_at + turns.reply_patience_s, self._wrote_at + turns.silence_patience_s)
        if self._dry_at is None:  # there is sound: it is for the client to take it
            return self.alive_at + turns.first_sound_patience_s
        silent_too_long = self._dry_at + max(0.0, turns.silence_patience_s - self._dry_s)
        return min(self.alive_at + turns.reply_patience_s, silent_too_long)

    def finish_writing(self) -> list[Action]:
        """The model has written all."""
        if self.generated:
            return []
        actions = self._add(self._splitter.finish())
        self.generated = True
        if self.modality is Modality.VOICE:
            actions.append(EndSpeech(self.number, len(self._alignment.clauses)))
        return actions

    def made(self, at: float, clause: int, samples: int, voiced: int | None, ended: bool) -> None:
        """``clause`` has ``samples`` of sound by now."""
        self._alignment.made(clause, samples, voiced, ended)
        if self._dry_at is not None and self.samples > self.position:
            self._dry_s += at - self._dry_at
            self._dry_at = None

    def abandon_from(self, clause: int) -> list[Action]:
        """The speaker failed at ``clause``: what it has of it is all, and what follows stays unsaid."""
        self._alignment.end_at(clause)
        self.generated = self.failed = True
        return [EndSpeech(self.number, clause)]

    def advance(self, at: float, position: int) -> None:
        """The caller has heard ``position`` samples: never less than before, never more than were made."""
        self.position = max(self.position, min(position, self.samples))
        if self._dry_at is None and self.position >= self.samples:
            self._dry_at = at

    def _add(self, clauses: list[ClauseText]) -> list[Action]:
        actions: list[Action] = []
        for text in clauses:
            number = len(self._alignment.clauses)
            self._alignment.add(Clause.of(text, self.text))
            if text.spoken and self.modality is Modality.VOICE:
                actions.append(Speak(self.number, number, text.spoken))
        return actions
