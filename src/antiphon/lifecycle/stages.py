"""The stages of one call, from what a tool asks for to the stage that has begun."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import structlog

from antiphon.call.history import KeptMessage
from antiphon.call.messages import CallEvent, Severity
from antiphon.call.stages import Stage
from antiphon.call.tools.outcomes import ToolOutcome
from antiphon.engines.protocols import LanguageModel
from antiphon.errors import RequestError
from antiphon.lifecycle.prompt_room import check_room
from antiphon.lifecycle.recorder import LedgerRecorder, initial_messages
from antiphon.lifecycle.tool_resolution import ToolResolver, tool_records
from antiphon.lifecycle.voice_selection import VoiceChoice, Voices
from antiphon.session.parts import CallTools, StageParts
from antiphon.store.records import CallRecord, MessageRecord, StageRecord, VoiceTaken, new_id
from antiphon.wire.call_json import with_voice
from antiphon.wire.initial_messages import chat_messages
from antiphon.wire.stage_request import StageRequest, parse_stage_request

MOST_IGNORED_NAMED = 10
"""Properties that a stage cannot change and that an event names."""

_SOUND = frozenset({"voice", "externalVoice", "voiceOverrides", "languageHint"})
"""Properties that decide how the agent sounds."""

_READ = frozenset({"systemPrompt", "initialMessages", "selectedTools"})
"""Properties that the model reads."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """Everything of a stage that may begin."""

    asked: StageRequest
    record: StageRecord
    tools: CallTools
    voice: VoiceTaken
    notes: tuple[CallEvent, ...]


class StageMaker:
    """Makes stages of what tools ask for, and begins them. One a call."""

    def __init__(
        self,
        call: CallRecord,
        model: LanguageModel,
        voices: Voices,
        tool_resolver: ToolResolver,
        tools: CallTools,
        recorder: LedgerRecorder,
    ) -> None:
        """``model``: the call's, which all of its stages have."""
        self._call = call
        self._settings: Mapping[str, Any] = call.request
        self._model = model
        self._voices = voices
        self._tool_resolver = tool_resolver
        self._tools = tools
        self._voice = VoiceTaken(call.voice, call.voice_id)
        self._recorder = recorder
        self._count = 1
        self._prepared: dict[str, _Prepared] = {}

    async def prepare(self, outcome: ToolOutcome, state: Mapping[str, Any]) -> ToolOutcome:
        """The outcome with its stage, or a failure that says what was wrong. ``state``: the call's, as it is now."""
        try:
            prepared = await self._prepare(outcome, state)
        except RequestError as error:
            return _failed(f"{error.detail}\n{outcome.text}")
        except Exception as error:
            _log.exception("stage_broke", call_id=self._call.call_id)
            return _failed(f"{type(error).__name__} in the server")
        asked, request = prepared.asked, prepared.asked.request
        stage = Stage(
            stage_id=prepared.record.stage_id,
            system_prompt=request.system_prompt or "",
            temperature=request.temperature,
            language=request.language_hint,
            tools=tuple(tool.spec for tool in prepared.tools.tools),
            messages=chat_messages(request.initial_messages) if "initialMessages" in asked.given else None,
            state=request.initial_state if "initialState" in asked.given else None,
        )
        self._prepared[stage.stage_id] = prepared
        return replace(outcome, text=asked.result, stage=stage)

    async def _prepare(self, outcome: ToolOutcome, state: Mapping[str, Any]) -> _Prepared:
        asked = parse_stage_request(outcome.text, self._settings)
        request, call = asked.request, self._call
        voice = self._voice
        notes: tuple[CallEvent, ...] = ()
        if asked.given & _SOUND:
            chosen = self._voices.choose(VoiceChoice.of(request))
            voice, notes = VoiceTaken(chosen.name, chosen.voice_id), chosen.notes
        if asked.ignored:
            names = ", ".join(asked.ignored[:MOST_IGNORED_NAMED])
            text = f"A stage cannot change these properties of a call, and did not: {names[:200]}"
            notes = (*notes, CallEvent(Severity.WARNING, "stage_property_ignored", text))
        tools = self._tools.tools
        if "selectedTools" in asked.given:
            tools = await self._tool_resolver.select(request)
        if asked.given & _READ:
            await check_room(self._model, call.model, request, [tool.spec for tool in tools])
        settings = with_voice(request.to_json(), voice.name)
        if "initialState" not in asked.given:
            settings["initialState"] = {**state, **(outcome.state_update or {})}
        stage_id = new_id()
        record = StageRecord(stage_id, call.call_id, 0, datetime.now(UTC), call.model, settings)
        return _Prepared(asked, record, replace(self._tools, tools=tools, stage_id=stage_id), voice, notes)

    def begin(self, stage_id: str, ordinal: int, said: Sequence[KeptMessage]) -> StageParts:
        """The stage begins. ``said``: all of the call's messages; those from ``ordinal`` on are the stage's own."""
        prepared = self._prepared[stage_id]
        self._prepared.clear()
        asked = prepared.asked
        record = replace(prepared.record, index=self._count, created=datetime.now(UTC))
        self._count += 1
        first: list[MessageRecord] | None = None
        if "initialMessages" in asked.given:
            first = initial_messages(asked.request, record.call_id, stage_id)
        tools = tool_records(record.call_id, stage_id, prepared.tools.tools)
        self._recorder.begin_stage(record, tools, first, said, ordinal, prepared.voice)
        # What the next stage takes over; its state is the call's own by then.
        self._settings = asked.request.to_json()
        self._tools, self._voice = prepared.tools, prepared.voice
        choice = VoiceChoice.of(asked.request)
        language, notes = asked.request.language_hint, prepared.notes
        if not asked.given & _SOUND:
            return StageParts(None, language, prepared.tools, notes)
        speaker = self._voices.speaker(record.call_id, choice)
        return StageParts(speaker, language, prepared.tools, notes, self._voices.watched(choice))


def _failed(details: str) -> ToolOutcome:
    text = "The new stage could not be begun; the conversation goes on as it is."
    return ToolOutcome(text, failed=True, error_details=details)
