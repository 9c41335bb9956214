"""What a session is made of, handed to it together."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from antiphon.call.history import KeptMessage
from antiphon.call.messages import CallEvent
from antiphon.call.tools.outcomes import ToolOutcome
from antiphon.engines.condition import Watched
from antiphon.engines.protocols import EndOfTurn, LanguageModel, Speaker, Transcriber, VoiceActivity
from antiphon.tools.definition import CallTool
from antiphon.tools.http import HttpCaller


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


@dataclass(frozen=True, slots=True)
class CallTools:
    """The tools of one stage of a call, and what using them takes.

    ``spawn`` starts work that may outlive the call: a request that was sent is not taken back because the caller
    hung up.
    """

    tools: tuple[CallTool, ...]
    http: HttpCaller
    spawn: Callable[[Coroutine[Any, Any, None]], object]
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
