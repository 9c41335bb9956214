"""What a session is made of, handed to it together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from antiphon.audio.recording import RecordingWriter
from antiphon.call.history import KeptMessage
from antiphon.call.messages import CallEvent
from antiphon.call.tools.outcomes import ToolOutcome, Urgency
from antiphon.engines.condition import Watched
from antiphon.engines.protocols import EndOfTurn, LanguageModel, Speaker, Transcriber, VoiceActivity
from antiphon.session.data_connections import CallDataConnection
from antiphon.tools import outcomes
from antiphon.tools.definition import CallFacts, CallTool
from antiphon.wire.outgoing import EnabledDataMessages


@dataclass(frozen=True, slots=True)
class CallEngines:
    """The engines one call runs on."""

    voice_activity: VoiceActivity
    end_of_turn: EndOfTurn | None
    transcriber: Transcriber
    model: LanguageModel
    speaker: Speaker
    watched: Mapping[str, Watched] = field(default_factory=dict)
    """Whose conditions the call tells of, by stage; see :class:`antiphon.session.watch.EngineWatch`."""


class HttpTools(Protocol):
    """Uses HTTP tools: :class:`antiphon.tools.http.HttpCaller`, for one."""

    async def call(self, tool: CallTool, arguments: Mapping[str, Any], facts: CallFacts) -> ToolOutcome:
        """Use the tool, once. Every failure is an outcome."""


class NoHttpTools:
    """For calls whose tools are all carried out elsewhere."""

    async def call(self, tool: CallTool, arguments: Mapping[str, Any], facts: CallFacts) -> ToolOutcome:
        """Fail."""
        return outcomes.failed(f'The tool "{tool.spec.name}" was not used: this call has no HTTP tools.')


def _spawn(work: Coroutine[Any, Any, None]) -> object:
    return asyncio.get_running_loop().create_task(work)


@dataclass(frozen=True, slots=True)
class CallTools:
    """The tools of one stage of a call, and what using them takes.

    ``spawn`` starts work that may outlive the call, and keeps it from the garbage collector: a request that was sent is
    not taken back because the caller hung up.
    """

    tools: tuple[CallTool, ...] = ()
    http: HttpTools = field(default_factory=NoHttpTools)
    spawn: Callable[[Coroutine[Any, Any, None]], object] = _spawn
    stage_id: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StageParts:
    """What a session needs for a stage that begins: its voice (``None``: as before), its tools, what to note."""

    speaker: Speaker | None
    language: str | None
    tools: CallTools
    notes: tuple[CallEvent, ...] = ()
    voice: Watched | None = None
    """Goes with ``speaker``."""


class CallRecorder(Protocol):
    """Where a call's messages and events go as they happen. Never blocks, never raises."""

    def keep(self, message: KeptMessage) -> None:
        """A finished message."""

    def note(self, event: CallEvent, audio_s: float, wall_s: float) -> None:
        """Something worth knowing; when, on the caller's audio clock and on the wall clock."""


class StageMaker(Protocol):
    """Make the further stages of a call, whose results the session carries out."""

    async def prepare(self, outcome: ToolOutcome, state: Mapping[str, Any]) -> ToolOutcome:
        """Return the outcome with its stage, or a failure that says what was wrong."""

    def begin(self, stage_id: str, ordinal: int, said: Sequence[KeptMessage]) -> StageParts:
        """Begin a stage that was prepared, at ``ordinal``, and put it on record."""


class NoStages:
    """For calls that keep to one stage."""

    async def prepare(self, outcome: ToolOutcome, state: Mapping[str, Any]) -> ToolOutcome:
        """Fail."""
        return ToolOutcome("This call has one stage only.", failed=True, error_details="this call has one stage only")

    def begin(self, stage_id: str, ordinal: int, said: Sequence[KeptMessage]) -> StageParts:
        """Raise ``KeyError``: no stage was prepared."""
        raise KeyError(stage_id)


@dataclass(frozen=True, slots=True)
class DigitsHandling:
    """What becomes of keys that the caller presses. ``text``: of the message, ``{digits}`` in it; ``None``: nothing."""

    text: str | None = "{digits}"
    urgency: Urgency = Urgency.IMMEDIATE


@dataclass(frozen=True, slots=True)
class SessionParts:
    """What a session works with beside its engines and its medium.

    ``data_messages``: which messages the client is sent.
    """

    recorder: CallRecorder
    data_messages: EnabledDataMessages
    tools: CallTools = field(default_factory=CallTools)
    stages: StageMaker = field(default_factory=NoStages)
    digits: DigitsHandling = DigitsHandling()
    recording: RecordingWriter | None = None
    data_connection: CallDataConnection | None = None
