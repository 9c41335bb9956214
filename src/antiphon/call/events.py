"""Facts that enter the core. Each has ``at``: seconds on the call's clock when it became known.

The call's clock is any monotonic clock; only differences count. ``audio_s`` is on the caller's own audio
clock: seconds of audio received since the join, however it was chopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from antiphon.call.ends import EndReason
from antiphon.call.messages import CallEvent, Modality
from antiphon.call.prompt import ToolRequest
from antiphon.call.tools.outcomes import MAIN_THREAD, SpawnThread, ToolOutcome
from antiphon.call.tools.outcomes import Urgency as Urgency


@dataclass(frozen=True, slots=True)
class Joined:
    """The client is connected; the call begins."""

    at: float


@dataclass(frozen=True, slots=True)
class SpeechScored:
    """One 32 ms frame of the caller's audio, ending at ``audio_s``, is speech with ``probability``.

    ``rise_db``: how far it is above the running noise of the line; ``None`` where nobody measured.
    """

    at: float
    audio_s: float
    probability: float
    rise_db: float | None = None


@dataclass(frozen=True, slots=True)
class TurnJudged:
    """The end-of-turn model's opinion of an utterance at a revision; ``None`` when it has none."""

    at: float
    utterance: int
    revision: int
    probability: float | None


@dataclass(frozen=True, slots=True)
class Transcribed:
    """The words of an utterance as it stood at ``revision``.

    ``ends``: the transcriber's probability that a sentence ends with them; ``None`` where it cannot tell.
    """

    at: float
    utterance: int
    revision: int
    text: str
    ends: float | None = None


@dataclass(frozen=True, slots=True)
class TranscriptionFailed:
    """The transcriber could not do its work on that revision."""

    at: float
    utterance: int
    revision: int
    reason: str


@dataclass(frozen=True, slots=True)
class TextGenerated:
    """A reply's next words, exactly as the model wrote them."""

    at: float
    reply: int
    delta: str


@dataclass(frozen=True, slots=True)
class GenerationEnded:
    """The model has written all of a reply."""

    at: float
    reply: int


@dataclass(frozen=True, slots=True)
class GenerationFailed:
    """The model broke off; what it wrote until then stands."""

    at: float
    reply: int
    reason: str


@dataclass(frozen=True, slots=True)
class GenerationAlive:
    """The model works on a reply and has nothing to show for it (yet)."""

    at: float
    reply: int


@dataclass(frozen=True, slots=True)
class EngineFellBack:
    """An engine did not do its work and another one was asked. ``stage``: ``model``, ``voice`` or ``transcriber``."""

    at: float
    stage: str
    engine: str
    fallback: str
    reason: str


@dataclass(frozen=True, slots=True)
class ToolRequested:
    """The model wants a tool used."""

    at: float
    reply: int
    request: ToolRequest


@dataclass(frozen=True, slots=True)
class ToolReturned:
    """Something has come of an invocation."""

    at: float
    invocation: str
    outcome: ToolOutcome


@dataclass(frozen=True, slots=True)
class SpeechMade:
    """A clause of a reply has ``samples`` of sound so far (output rate); ``ended``: that is all of it.

    ``voiced``: where the last audible sample of them ends; the rest is pause. ``None``: not known.
    """

    at: float
    reply: int
    clause: int
    samples: int
    ended: bool
    voiced: int | None = None


@dataclass(frozen=True, slots=True)
class SpeakingFailed:
    """The speaker could not speak a clause (to its end)."""

    at: float
    reply: int
    clause: int
    reason: str


@dataclass(frozen=True, slots=True)
class PlayoutAdvanced:
    """The caller has now heard ``position`` samples (output rate) of a reply."""

    at: float
    reply: int
    position: int


@dataclass(frozen=True, slots=True)
class PlayoutStopped:
    """Answer to ``Stop``: the caller heard ``position`` samples; ``unplayed`` were sent but not heard."""

    at: float
    reply: int
    position: int
    unplayed: int


@dataclass(frozen=True, slots=True)
class UserTextReceived:
    """The client wrote on the caller's behalf. Empty text that is immediate only interrupts."""

    at: float
    text: str
    urgency: Urgency
    thread: str = MAIN_THREAD


@dataclass(frozen=True, slots=True)
class ForcedMessageReceived:
    """The program around the call has the agent say ``text`` and use tools; of some the outcome is ``known``."""

    at: float
    text: str
    urgency: Urgency
    uninterruptible: bool
    wants: tuple[ToolRequest, ...] = ()
    known: Mapping[str, ToolOutcome] = field(default_factory=dict)
    thread: str = MAIN_THREAD


@dataclass(frozen=True, slots=True)
class SpawnRequested:
    """The program around the call wants a thread."""

    at: float
    spawn: SpawnThread


@dataclass(frozen=True, slots=True)
class ThreadTextWritten:
    """A side generation's next words; without any it is a sign of life."""

    at: float
    generation: int
    delta: str


@dataclass(frozen=True, slots=True)
class ThreadToolRequested:
    """A side generation wants a tool used."""

    at: float
    generation: int
    request: ToolRequest


@dataclass(frozen=True, slots=True)
class ThreadTextEnded:
    """A side generation is whole. Tokens: of the prompt, of that found cached, written; ``None`` where not known."""

    at: float
    generation: int
    prompt_tokens: int | None = None
    cached_tokens: int = 0
    written_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class ThreadTextFailed:
    """A side generation broke off."""

    at: float
    generation: int
    reason: str


@dataclass(frozen=True, slots=True)
class StagePrepared:
    """Answer to ``PrepareStage``: the same outcome with its ``stage``, or a failure that says what is wrong."""

    at: float
    invocation: str
    outcome: ToolOutcome


@dataclass(frozen=True, slots=True)
class OutputMediumSet:
    """The client wants the agent's words spoken or written, from the next reply on."""

    at: float
    modality: Modality


@dataclass(frozen=True, slots=True)
class HangUpReceived:
    """The program around the call ends it, after ``message`` is spoken."""

    at: float
    message: str


@dataclass(frozen=True, slots=True)
class EndRequested:
    """Something outside the conversation ends the call: the client left, the server stops, media broke.

    ``note`` is put on record where it is this that ends the call.
    """

    at: float
    reason: EndReason
    close_code: int
    text: str
    note: CallEvent | None = None


Event: TypeAlias = (
    Joined
    | SpeechScored
    | TurnJudged
    | Transcribed
    | TranscriptionFailed
    | TextGenerated
    | GenerationEnded
    | GenerationFailed
    | GenerationAlive
    | EngineFellBack
    | SpeechMade
    | ToolRequested
    | ToolReturned
    | StagePrepared
    | SpawnRequested
    | ThreadTextWritten
    | ThreadToolRequested
    | ThreadTextEnded
    | ThreadTextFailed
    | SpeakingFailed
    | PlayoutAdvanced
    | PlayoutStopped
    | UserTextReceived
    | ForcedMessageReceived
    | OutputMediumSet
    | HangUpReceived
    | EndRequested
)
