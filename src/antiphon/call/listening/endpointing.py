"""Deciding when the caller speaks, pauses, and is done.

Time is counted in the caller's own audio, 32 ms a frame, so that a burst of one second is one second of call.
Only where audio stops coming altogether does the wall clock count on, after a grace that grows with the gaps
this client leaves between its packets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TypeAlias

from antiphon.call.listening.completeness import Ending, needed_completeness
from antiphon.call.listening.noise import Activation
from antiphon.call.settings import TurnSettings, VadSettings

FRAME_S = 0.032
SHORTEST_UTTERANCE_S = 2 * FRAME_S
"""Less speech than this is a click, not an utterance, whatever ``minimumTurnDuration`` says."""

SHORTEST_GRACE_S = 0.3
MURMUR_S = 0.6
"""A murmur (see ``noise``) counts as silence this much later than silence does."""

CHECK_S = 8.0
"""Of speech without a pause: then it is looked at whether it has words."""

NOISY_CHECK_S = 3.0
"""The same on a line where there was noise as loud as speech."""

LONGEST_TURN_S = 60.0
"""Who speaks on without a pause is answered after that time: it may be a television."""

LONGEST_GAP_S = 3.0
"""Longer gaps between packets are no packet rhythm but a client that sends nothing while nobody speaks."""

_TOLERANCE_S = 1e-6


class Phase(Enum):
    """What the caller is doing."""

    QUIET = auto()
    SPEAKING = auto()
    PAUSING = auto()


@dataclass(frozen=True, slots=True)
class Began:
    """A first frame of speech: maybe an utterance."""

    utterance: int


@dataclass(frozen=True, slots=True)
class Confirmed:
    """It is an utterance."""

    utterance: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """It was too short to be one."""

    utterance: int


@dataclass(frozen=True, slots=True)
class Paused:
    """Silence since a little while; what was said until now is ``revision`` of the utterance."""

    utterance: int
    revision: int


@dataclass(frozen=True, slots=True)
class Checked:
    """Speech without a pause for long: are there words in it? What was said until now is ``revision``."""

    utterance: int
    revision: int


@dataclass(frozen=True, slots=True)
class Resumed:
    """The caller goes on: earlier revisions are void."""

    utterance: int


@dataclass(frozen=True, slots=True)
class Grounds:
    """Why a turn was held to be over.

    ``reason``: ``sound`` (the end-of-turn model), ``words``, ``silence`` (nobody was asked), ``no_opinion`` (none came
    in time), ``patience`` (an unfinished sentence was waited for in vain), ``noise`` or ``too_long``.
    """

    reason: str = ""
    silence_s: float = 0.0
    completeness: float | None = None
    """The end-of-turn model's probability."""
    words: Ending = Ending.NONE


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The caller is done. ``cut``: or speaks on and on, and is answered all the same."""

    utterance: int
    revision: int
    cut: bool = False
    grounds: Grounds = field(default=Grounds(), compare=False)


TurnFact: TypeAlias = Began | Confirmed | Dropped | Paused | Checked | Resumed | TurnEnded


class CallerTurn:
    """The caller's side of the floor: frames in, facts out."""

    def __init__(self, vad: VadSettings, turns: TurnSettings, *, judged: bool, read: bool = False) -> None:
        """``judged``: there is an opinion on every pause; ``read``: the words until then come, too, and are
        needed before anything can be answered.
        """
        self._vad = vad
        self._turns = turns
        self._judged = judged
        self._read = read
        self._pause_s = min(turns.speculation_delay_s, vad.turn_endpoint_delay_s)
        self._shortest_s = max(vad.minimum_turn_s, SHORTEST_UTTERANCE_S)
        self.activation = Activation(vad, FRAME_S)
        self.phase = Phase.QUIET
        self.utterance = 0
        self.revision = 0
        self.confirmed = False
        self.start_audio_s = 0.0
        self.start_at = 0.0
        self.speech_end_audio_s = 0.0
        self.speech_end_at = 0.0
        self._speech_s = 0.0
        self._run_s = 0.0
        self._quiet_s = 0.0
        self._murmur_s = 0.0
        self._silence_s = 0.0
        self._unbroken_s = self._checked_s = 0.0
        self._completeness: float | None = None
        self._opinion_due = False
        self._ending = Ending.NONE
        self._words_due = False
        self._scored_at: float | None = None
        self._gap_s = 0.0
        self._burst_s = 0.0

    @property
    def deadline(self) -> float | None:
        """When ``tick`` wants to be called although no audio came."""
        if self.phase is Phase.QUIET or self._scored_at is None:
            return None
        if self.phase is Phase.SPEAKING:
            needed_s = self._pause_s if self.confirmed else self._vad.turn_endpoint_delay_s
            return self._scored_at + self._grace_s + max(0.0, needed_s - self._silence_s)
        return self._scored_at + self._grace_s + max(0.0, self._needed_silence_s() - self._silence_s)

    @property
    def _grace_s(self) -> float:
        return SHORTEST_GRACE_S + 2 * self._gap_s

    def hear(self, at: float, audio_s: float, probability: float) -> list[TurnFact]:
        """One scored frame, ending at ``audio_s``."""
        if self._scored_at is not None:
            self._note_gap(at - self._scored_at)
        self._scored_at = at
        activation = self.activation
        activation.hear(probability)
        speech = probability >= activation.threshold
        if not speech and self.phase is Phase.QUIET:
            return []  # as with most frames: how long it has been quiet counts from the next speech on
        quiet = not speech or probability < activation.clear
        self._quiet_s = self._quiet_s + FRAME_S if quiet else 0.0
        facts = self._speech(at, audio_s, quiet) if speech else self._silence()
        if self.phase is Phase.SPEAKING and self._quiet_s >= self._pause_s - _TOLERANCE_S:
            facts += self._pause(self._silence_s)
        if self.phase is Phase.PAUSING:
            facts += self._end_if_due(self._still_s)
        if self.phase is Phase.SPEAKING and self.confirmed:
            facts += self._look_at_length(audio_s)
        return facts

    def _note_gap(self, gap_s: float) -> None:
        """Time between the last two frames: how long this client leaves between its packets."""
        # Who sends a second at a time is silent for a second after it.
        self._burst_s = self._burst_s + FRAME_S if gap_s < FRAME_S / 2 else 0.0
        longest_s = self._gap_s * 0.99
        if longest_s < gap_s <= LONGEST_GAP_S:
            longest_s = gap_s
        self._gap_s = longest_s if longest_s > self._burst_s else self._burst_s

    def judge(self, utterance: int, revision: int, probability: float | None) -> list[TurnFact]:
        """The end-of-turn model's opinion has come (``None``: it has none)."""
        if self.phase is not Phase.PAUSING or (utterance, revision) != (self.utterance, self.revision):
            return []
        self._completeness = 1.0 if probability is None else probability
        self._opinion_due = False
        return self._end_if_due(self._still_s)

    def read(self, utterance: int, revision: int, ending: Ending) -> list[TurnFact]:
        """The words until the pause have come, or will not come (``Ending.NONE``)."""
        if self.phase is not Phase.PAUSING or (utterance, revision) != (self.utterance, self.revision):
            return []
        self._ending = ending
        self._words_due = False
        return self._end_if_due(self._still_s)

    def wordless(self, utterance: int, revision: int) -> list[TurnFact]:
        """There are no words in what was said until ``revision``: it may be a noise, and then it ends here."""
        if (utterance, revision) != (self.utterance, self.revision):
            return []
        self.activation.learn()
        if self.phase is Phase.PAUSING and self.activation.murmur_only:
            self.activation.murmurs()
            return self._end("noise")
        return self._end("noise") if self.phase is Phase.SPEAKING else []

    def nothing_new(self, utterance: int, revision: int) -> list[TurnFact]:
        """The words until ``revision`` are the same as before: what goes on without a pause is noise."""
        speaking = self.phase is Phase.SPEAKING and (utterance, revision) == (self.utterance, self.revision)
        return self._end("noise") if speaking else []

    def tick(self, now: float) -> list[TurnFact]:
        """Count silence by the wall clock where audio has stopped coming."""
        if self.phase is Phase.QUIET or self._scored_at is None:
            return []
        unheard_s = now - self._scored_at - self._grace_s
        if unheard_s < -_TOLERANCE_S:
            return []
        silence_s = self._silence_s + max(0.0, unheard_s)
        facts: list[TurnFact] = []
        if self.phase is Phase.SPEAKING and silence_s >= self._pause_s - _TOLERANCE_S:
            facts += self._pause(silence_s)
        if self.phase is Phase.PAUSING:
            facts += self._end_if_due(silence_s)
        return facts

    @property
    def _still_s(self) -> float:
        """Silence, or murmur for longer."""
        return max(self._silence_s, self._quiet_s - MURMUR_S)

    def _look_at_length(self, audio_s: float) -> list[TurnFact]:
        """Speech that has no pause: are there words in it? And sooner or later it is answered."""
        facts: list[TurnFact] = []
        too_long = audio_s - self._unbroken_s >= LONGEST_TURN_S
        if too_long or audio_s - self._checked_s >= (NOISY_CHECK_S if self.activation.noisy else CHECK_S):
            self._checked_s = audio_s
            self.revision += 1
            facts.append(Checked(self.utterance, self.revision))
        return facts + self._end("too_long") if too_long else facts

    def _speech(self, at: float, audio_s: float, quiet: bool) -> list[TurnFact]:
        facts: list[TurnFact] = []
        if self.phase is Phase.QUIET:
            self.phase = Phase.SPEAKING
            self.utterance += 1
            self.revision = 0
            self.confirmed = False
            self._speech_s = 0.0
            self._run_s = 0.0
            self._quiet_s = 0.0
            self.activation.begin()
            self.start_audio_s = self._unbroken_s = self._checked_s = audio_s - FRAME_S
            self.start_at = at
            facts.append(Began(self.utterance))
        self._speech_s += FRAME_S
        self._run_s = 0.0 if quiet else self._run_s + FRAME_S
        self._murmur_s += FRAME_S
        self._silence_s = 0.0
        self.speech_end_audio_s = audio_s
        self.speech_end_at = at
        if self.phase is Phase.PAUSING and self._run_s >= SHORTEST_UTTERANCE_S - _TOLERANCE_S:
            # A single frame may be a click: it starts the silence over but does not void the revision.
            self.phase = Phase.SPEAKING
            self._unbroken_s = self._checked_s = audio_s
            facts.append(Resumed(self.utterance))
        if not self.confirmed and self._long_enough():
            self.confirmed = True
            facts.append(Confirmed(self.utterance))
        return facts

    def _long_enough(self) -> bool:
        return self._speech_s >= self._shortest_s - _TOLERANCE_S

    def _silence(self) -> list[TurnFact]:
        if self.phase is Phase.QUIET:
            return []
        self._silence_s += FRAME_S
        self._run_s = 0.0
        murmured = self._murmur_s >= SHORTEST_UTTERANCE_S - _TOLERANCE_S
        if self.phase is Phase.PAUSING and murmured and self._silence_s >= self._pause_s - _TOLERANCE_S:
            # What was taken for silence was not all silence: the revision may lack words.
            self.phase = Phase.SPEAKING
            return [Resumed(self.utterance)]
        return []

    def _pause(self, silence_s: float) -> list[TurnFact]:
        if not self.confirmed:
            if silence_s >= self._vad.turn_endpoint_delay_s - _TOLERANCE_S:
                self.phase = Phase.QUIET
                return [Dropped(self.utterance)]
            return []
        self.phase = Phase.PAUSING
        self.revision += 1
        self._murmur_s = 0.0
        self._completeness = None
        self._opinion_due = self._judged
        self._ending = Ending.NONE
        self._words_due = self._judged and self._read
        return [Paused(self.utterance, self.revision)]

    def _needed_silence_s(self) -> float:
        """Silence after which the turn has ended, by what is known now."""
        delay = self._vad.turn_endpoint_delay_s
        if not self._judged or self._ending is Ending.ENDED:
            return delay
        if self._opinion_due:
            return delay + self._turns.judgement_patience_s
        needed = needed_completeness(self._ending, self._turns.completeness_threshold)
        if self._completeness is not None and self._completeness < needed:
            return max(delay, self._turns.patience_s)
        # Nothing can be answered without the words, and they may say that more is to come.
        return delay + self._turns.judgement_patience_s if self._words_due else delay

    def _end_if_due(self, silence_s: float) -> list[TurnFact]:
        if silence_s < self._needed_silence_s() - _TOLERANCE_S:
            return []
        if self._silence_s < self._quiet_s - MURMUR_S:
            self.activation.murmurs()
        return self._end(self._reason(), silence_s)

    def _reason(self) -> str:
        """Why what is known now, and the silence, end the turn."""
        if not self._judged:
            return "silence"
        certain = self._completeness is not None and self._completeness >= self._turns.completeness_threshold
        if self._ending is Ending.ENDED and not certain:
            return "words"
        if self._completeness is None or self._words_due:
            return "no_opinion"
        needed = needed_completeness(self._ending, self._turns.completeness_threshold)
        return "sound" if self._completeness >= needed else "patience"

    def _end(self, reason: str, silence_s: float = 0.0) -> list[TurnFact]:
        self.phase = Phase.QUIET
        grounds = Grounds(reason, silence_s, self._completeness, self._ending)
        return [TurnEnded(self.utterance, self.revision, reason == "too_long", grounds)]
