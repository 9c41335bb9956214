"""Wishes that leave the core, to be carried out in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from antiphon.call.ends import EndReason
from antiphon.call.history import KeptMessage
from antiphon.call.messages import Message
from antiphon.call.prompt import Prompt, ToolRequest, ToolSpec
from antiphon.call.tools.outcomes import MAIN_THREAD, ToolOutcome


@dataclass(frozen=True, slots=True)
class Emit:
    """Say this to the client."""

    message: Message


@dataclass(frozen=True, slots=True)
class Keep:
    """Put this finished message on record."""

    message: KeptMessage


@dataclass(frozen=True, slots=True)
class Invoke:
    """Use a tool, once, for a thread: answer ``ToolReturned``, whatever comes of it."""

    request: ToolRequest
    spec: ToolSpec
    thread: str = MAIN_THREAD


@dataclass(frozen=True, slots=True)
class PrepareStage:
    """A tool asks for a new stage: make one of the JSON in ``outcome.text`` and answer ``StagePrepared``."""

    invocation: str
    outcome: ToolOutcome


@dataclass(frozen=True, slots=True)
class BeginStage:
    """The stage of that id, prepared before, begins: its voice, language and tools from now on.

    Messages from ``ordinal`` on are its own.
    """

    stage_id: str
    ordinal: int


@dataclass(frozen=True, slots=True)
class OpenUtterance:
    """The caller may have begun to speak: keep the audio from a little before now on."""

    utterance: int


@dataclass(frozen=True, slots=True)
class CloseUtterance:
    """That audio is of no further use."""

    utterance: int


@dataclass(frozen=True, slots=True)
class Transcribe:
    """Put the utterance, as it stands now, into words: answer ``Transcribed`` or ``TranscriptionFailed``."""

    utterance: int
    revision: int


@dataclass(frozen=True, slots=True)
class JudgeTurn:
    """Ask whether the utterance, as it stands now, is complete: answer ``TurnJudged``."""

    utterance: int
    revision: int


@dataclass(frozen=True, slots=True)
class Prime:
    """The next prompt will begin like this one: read it ahead where the model can."""

    prompt: Prompt


@dataclass(frozen=True, slots=True)
class Generate:
    """Write a reply. ``utterance``: give a speech model that utterance's audio, as it stands now."""

    reply: int
    prompt: Prompt
    utterance: int | None = None


@dataclass(frozen=True, slots=True)
class Speak:
    """Make the next clause of a reply into sound. It is held back until ``Play``."""

    reply: int
    clause: int
    text: str


@dataclass(frozen=True, slots=True)
class EndSpeech:
    """A reply gets no further clauses after its first ``clauses``."""

    reply: int
    clauses: int


@dataclass(frozen=True, slots=True)
class Play:
    """Let the caller hear a reply, what is made of it and what follows."""

    reply: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop all work on a reply and its sound, at once: answer ``PlayoutStopped`` if it was being played.

    ``keep_writing``: the model goes on, and what it writes is reported as before, until it ends or another ``Stop``.
    """

    reply: int
    keep_writing: bool = False


@dataclass(frozen=True, slots=True)
class ReplyCut:
    """A reply was cut while the caller heard it: silence it at the caller's end, before anything else is said.

    ``position``: samples of it that were heard. ``unplayed``: samples that were sent and not heard; ``None`` where
    that is not known.
    """

    reply: int
    position: int
    unplayed: int | None


@dataclass(frozen=True, slots=True)
class GenerateForThread:
    """Write for a side thread: answer ``ThreadTextWritten`` and ``ThreadToolRequested``, and one of their ends."""

    generation: int
    prompt: Prompt


@dataclass(frozen=True, slots=True)
class StopForThread:
    """Stop all work on that generation, at once. Nothing more of it is wanted."""

    generation: int


@dataclass(frozen=True, slots=True)
class End:
    """Close the medium. Nothing follows."""

    reason: EndReason
    close_code: int
    text: str


Action: TypeAlias = (
    Emit
    | Keep
    | Invoke
    | PrepareStage
    | BeginStage
    | OpenUtterance
    | CloseUtterance
    | Transcribe
    | JudgeTurn
    | Prime
    | Generate
    | Speak
    | EndSpeech
    | Play
    | Stop
    | ReplyCut
    | GenerateForThread
    | StopForThread
    | End
)
