"""Records to store, complete but for what a test says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from antiphon.call.history import Span
from antiphon.call.messages import Modality, Severity
from antiphon.store.records import (
    CallRecord,
    CallToolRecord,
    EventRecord,
    MessageRecord,
    MessageRole,
    StageRecord,
    ToolRecord,
    new_id,
)

T0 = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def a_call(**fields: Any) -> CallRecord:
    created = fields.pop("created", T0)
    given: dict[str, Any] = {
        "call_id": new_id(),
        "created": created,
        "request": {"systemPrompt": "Be brief.", "medium": {"serverWebSocket": {"inputSampleRate": 16000}}},
        "model": "ultravox-v0.7",
        "join_token_hash": "hash of the token",
        "join_deadline": created + timedelta(seconds=30),
    }
    return CallRecord(**(given | fields))


def a_stage(call: CallRecord, **fields: Any) -> StageRecord:
    given: dict[str, Any] = {
        "stage_id": new_id(),
        "call_id": call.call_id,
        "index": 0,
        "created": call.created,
        "model": call.model,
        "settings": {"systemPrompt": "Be brief.", "temperature": 0.5},
    }
    return StageRecord(**(given | fields))


def a_message(stage: StageRecord, number: int, **fields: Any) -> MessageRecord:
    given: dict[str, Any] = {
        "call_id": stage.call_id,
        "stage_id": stage.stage_id,
        "stage_index": number,
        "ordinal": number,
        "role": MessageRole.USER if number % 2 == 0 else MessageRole.AGENT,
        "text": f"message {number}",
        "modality": Modality.VOICE,
        "audio_span": Span(float(number), number + 0.5),
        "wall_span": Span(number + 0.1, number + 0.6),
    }
    return MessageRecord(**(given | fields))


def an_event(stage: StageRecord, **fields: Any) -> EventRecord:
    given: dict[str, Any] = {
        "call_id": stage.call_id,
        "stage_id": stage.stage_id,
        "severity": Severity.INFO,
        "type": "noticed",
        "text": "Something was noticed.",
        "audio_s": 1.5,
        "wall_s": 1.6,
    }
    return EventRecord(**(given | fields))


def a_tool(name: str, **fields: Any) -> ToolRecord:
    definition = {"modelToolName": name, "description": f"Does {name}.", "client": {}}
    given: dict[str, Any] = {"tool_id": new_id(), "name": name, "created": T0, "definition": definition}
    return ToolRecord(**(given | fields))


def a_call_tool(stage: StageRecord, name: str, **fields: Any) -> CallToolRecord:
    given: dict[str, Any] = {
        "call_tool_id": new_id(),
        "call_id": stage.call_id,
        "stage_id": stage.stage_id,
        "tool_id": None,
        "name": name,
        "definition": {"description": f"Does {name}.", "client": {}},
    }
    return CallToolRecord(**(given | fields))
