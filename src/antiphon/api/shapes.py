"""Records → the JSON shapes of the REST API, exactly as its OpenAPI file has them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from antiphon.call.ends import EndReason
from antiphon.call.history import Span
from antiphon.call.messages import Modality
from antiphon.call.tools.outcomes import ToolOutcome
from antiphon.engines.registry import VoiceEntry
from antiphon.store.records import CallRecord, CallToolRecord, EventRecord, MessageRecord, StageRecord, ToolRecord
from antiphon.wire.call_json import call_properties, stage_properties, with_last_stage
from antiphon.wire.durations import format_duration

Json = dict[str, Any]

_MEDIUM = {Modality.VOICE: "MESSAGE_MEDIUM_VOICE", Modality.TEXT: "MESSAGE_MEDIUM_TEXT"}


def call_json(call: CallRecord, join_url: str | None = None) -> Json:
    """``Call``, as its last stage has it. ``join_url`` while there is one that serves."""
    return {
        "callId": call.call_id,
        "clientVersion": call.client_version,
        "created": instant(call.created),
        "joined": _maybe(call.joined),
        "ended": _maybe(call.ended),
        "endReason": call.end_reason.value if call.end_reason else None,
        "billedDuration": None,
        "billedSideInputTokens": None,
        "billedSideOutputTokens": None,
        "billingStatus": _billing(call),
        "joinUrl": join_url,
        "shortSummary": call.short_summary,
        "summary": call.summary,
        "agent": call.agent,
        "agentId": call.agent_id,
        "requestContext": {},
        "sipDetails": call.sip_details,
        **call_properties(with_last_stage(call.request, call.latest)),
        "model": call.model,
        "voice": call.voice if call.latest is None else call.latest.get("voice"),
    }


def _billing(call: CallRecord) -> str:
    """Nobody is billed here; the statuses nevertheless say what they say elsewhere."""
    if call.ended is None:
        return "BILLING_STATUS_PENDING"
    if call.end_reason is EndReason.SYSTEM_ERROR:
        return "BILLING_STATUS_FREE_SYSTEM_ERROR"
    return "BILLING_STATUS_FREE_ZERO_EFFECTIVE_DURATION" if call.joined is None else "BILLING_STATUS_FREE_OTHER"


def stage_json(stage: StageRecord) -> Json:
    """``CallStage``."""
    return {
        "callId": stage.call_id,
        "callStageId": stage.stage_id,
        "created": instant(stage.created),
        "initialTokenCount": stage.initial_token_count,
        "latestTokenCount": stage.latest_token_count,
        "model": stage.model,
        "errorCount": stage.error_count,
        **stage_properties(stage.settings),
    }


def message_json(message: MessageRecord) -> Json:
    """``ultravox.v1.Message``: what is absent is left out."""
    whole: Json = {
        "role": f"MESSAGE_ROLE_{message.role.name}",
        "text": message.text,
        "invocationId": message.invocation_id,
        "toolName": message.tool_name,
        "errorDetails": message.error_details,
        "medium": _MEDIUM[message.modality] if message.modality else None,
        "callStageMessageIndex": message.stage_index,
        "callStageId": message.stage_id,
        "callState": message.call_state,
        "timespan": _span(message.audio_span),
        "wallClockTimespan": _span(message.wall_span),
        "metadata": message.metadata,
    }
    return {name: value for name, value in whole.items() if value is not None}


def _span(span: Span | None) -> Json | None:
    return None if span is None else {"start": _seconds(span.start_s), "end": _seconds(span.end_s)}


def _seconds(seconds: float) -> str:
    return format_duration(round(seconds, 3))


def event_json(event: EventRecord, otherwise_stage_id: str) -> Json:
    """``CallEvent``; one that was in no stage counts to ``otherwise_stage_id``."""
    return {
        "callId": event.call_id,
        "callStageId": event.stage_id or otherwise_stage_id,
        "callTimestamp": _seconds(event.audio_s),
        "wallClockTimestamp": None if event.wall_s is None else _seconds(event.wall_s),
        "severity": event.severity.value,
        "type": event.type,
        "text": event.text,
        "extras": event.extras,
    }


def tool_json(tool: ToolRecord) -> Json:
    """``Tool``."""
    return {
        "toolId": tool.tool_id,
        "name": tool.name,
        "created": instant(tool.created),
        "definition": tool.definition,
        "ownership": "public" if tool.public else "private",
    }


def tool_outcome_json(outcome: ToolOutcome) -> Json:
    """What came of trying a tool, under the names of a tool result message. ``errorDetails`` where it failed."""
    return {
        "result": outcome.text,
        "responseType": outcome.response_type.value,
        "agentReaction": outcome.reaction.value if outcome.reaction else None,
        "updateCallState": dict(outcome.state_update) if outcome.state_update else None,
        "errorDetails": outcome.error_details if outcome.failed else None,
    }


def call_tool_json(tool: CallToolRecord) -> Json:
    """``CallTool``."""
    return {
        "callToolId": tool.call_tool_id,
        "toolId": tool.tool_id,
        "name": tool.name,
        "definition": tool.definition,
    }


def voice_json(voice: VoiceEntry, base_url: str, also_called: Sequence[str] = ()) -> Json:
    """``Voice``. Its description ends with what it is ``also_called``, as far as there is room."""
    aliases = f"Also called {', '.join(also_called)}." if also_called else ""
    description = f"{voice.description} {aliases}".strip()
    return {
        "voiceId": str(voice.voice_id),
        "name": voice.name[:40],
        "description": description[:240] or None,
        "primaryLanguage": voice.language,
        "languageLabel": voice.language,
        "previewUrl": f"{base_url}/api/voices/{voice.voice_id}/preview",
        "ownership": "public",
        "billingStyle": "VOICE_BILLING_STYLE_INCLUDED",
        "provider": voice.settings.engine,
        "definition": {},
    }


def instant(at: datetime) -> str:
    """RFC 3339 in UTC, to the microsecond."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _maybe(at: datetime | None) -> str | None:
    return None if at is None else instant(at)
