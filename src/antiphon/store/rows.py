"""Records to rows and back."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

from sqlalchemy import RowMapping

from antiphon.call.ends import EndReason
from antiphon.call.history import Span
from antiphon.call.messages import Modality, Severity
from antiphon.store.records import (
    ApiKeyRecord,
    CallChanges,
    CallRecord,
    CallToolRecord,
    EventRecord,
    MessageRecord,
    MessageRole,
    StageChanges,
    StageRecord,
    ToolRecord,
)

SEVERITIES = {Severity.DEBUG: 10, Severity.INFO: 20, Severity.WARNING: 30, Severity.ERROR: 40}
_SEVERITY_OF = {number: severity for severity, number in SEVERITIES.items()}

EVENT_TYPE_LENGTH = 50
KEY_NAME_LENGTH = 50


def label_digest(key: str, value: str) -> str:
    """The digest by which calls are found by one metadata pair."""
    pair = f"{len(key)}:{key}{value}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(pair).hexdigest()


def call_row(call: CallRecord, server_id: str) -> dict[str, Any]:
    """``call`` as a row of ``calls``; ``day_s`` is the second of the UTC day it was created in."""
    duration_s = None
    if call.ended is not None:
        duration_s = (call.ended - call.joined).total_seconds() if call.joined else 0.0
    return {
        "call_id": call.call_id,
        "server_id": server_id,
        "created": call.created,
        "day_s": call.created.timestamp() % 86_400,
        "request": call.request,
        "model": call.model,
        "voice": call.voice,
        "voice_id": call.voice_id,
        "recording_enabled": call.recording_enabled,
        "join_token_hash": call.join_token_hash,
        "join_deadline": call.join_deadline,
        "claimed": call.claimed,
        "joined": call.joined,
        "ended": call.ended,
        "end_reason": call.end_reason,
        "duration_s": duration_s,
        "client_version": call.client_version,
        "current_stage_id": call.current_stage_id,
        "summary": call.summary,
        "short_summary": call.short_summary,
        "error_count": call.error_count,
        "agent_id": call.agent_id,
        "agent": call.agent,
        "sip_details": call.sip_details,
        "greeting_prompt": call.greeting_prompt,
        "durable_tools": call.durable_tools,
    }


def call_record(row: RowMapping) -> CallRecord:
    """The row as a record."""
    return CallRecord(
        call_id=row["call_id"],
        created=row["created"],
        request=row["request"],
        model=row["model"],
        join_token_hash=row["join_token_hash"],
        join_deadline=row["join_deadline"],
        voice=row["voice"],
        voice_id=row["voice_id"],
        recording_enabled=row["recording_enabled"],
        claimed=row["claimed"],
        joined=row["joined"],
        ended=row["ended"],
        end_reason=None if row["end_reason"] is None else EndReason(row["end_reason"]),
        client_version=row["client_version"],
        current_stage_id=row["current_stage_id"],
        summary=row["summary"],
        short_summary=row["short_summary"],
        error_count=row["error_count"],
        agent_id=row["agent_id"],
        agent=row["agent"],
        sip_details=row["sip_details"],
        greeting_prompt=row["greeting_prompt"],
        durable_tools=row["durable_tools"],
        latest=row.get("latest"),
    )


def label_rows(call: CallRecord) -> list[dict[str, Any]]:
    """The rows by which ``call`` is found by its metadata."""
    return [{"call_id": call.call_id, "digest": label_digest(key, value)} for key, value in call.metadata.items()]


def stage_row(stage: StageRecord) -> dict[str, Any]:
    """The record as a row."""
    return {
        "stage_id": stage.stage_id,
        "call_id": stage.call_id,
        "index": stage.index,
        "created": stage.created,
        "model": stage.model,
        "settings": stage.settings,
        "initial_token_count": stage.initial_token_count,
        "latest_token_count": stage.latest_token_count,
        "error_count": stage.error_count,
    }


def stage_record(row: RowMapping) -> StageRecord:
    """The row as a record."""
    return StageRecord(
        stage_id=row["stage_id"],
        call_id=row["call_id"],
        index=row["index"],
        created=row["created"],
        model=row["model"],
        settings=row["settings"],
        initial_token_count=row["initial_token_count"],
        latest_token_count=row["latest_token_count"],
        error_count=row["error_count"],
    )


def message_row(message: MessageRecord) -> dict[str, Any]:
    """The record as a row."""
    audio, wall = message.audio_span, message.wall_span
    return {
        "stage_id": message.stage_id,
        "stage_index": message.stage_index,
        "call_id": message.call_id,
        "ordinal": message.ordinal,
        "role": message.role,
        "modality": message.modality,
        "text": message.text,
        "audio_start_s": audio.start_s if audio else None,
        "audio_end_s": audio.end_s if audio else None,
        "wall_start_s": wall.start_s if wall else None,
        "wall_end_s": wall.end_s if wall else None,
        "invocation_id": message.invocation_id,
        "tool_name": message.tool_name,
        "error_details": message.error_details,
        "call_state": message.call_state,
        "metadata": message.metadata,
    }


def message_record(row: RowMapping) -> MessageRecord:
    """The row as a record."""
    return MessageRecord(
        call_id=row["call_id"],
        stage_id=row["stage_id"],
        stage_index=row["stage_index"],
        role=MessageRole(row["role"]),
        text=row["text"],
        modality=None if row["modality"] is None else Modality(row["modality"]),
        ordinal=row["ordinal"],
        audio_span=_span(row["audio_start_s"], row["audio_end_s"]),
        wall_span=_span(row["wall_start_s"], row["wall_end_s"]),
        invocation_id=row["invocation_id"],
        tool_name=row["tool_name"],
        error_details=row["error_details"],
        call_state=row["call_state"],
        metadata=row["metadata"],
    )


def _span(start_s: float | None, end_s: float | None) -> Span | None:
    return None if start_s is None or end_s is None else Span(start_s, end_s)


def event_row(event: EventRecord) -> dict[str, Any]:
    """The record as a row."""
    return {
        "event_id": event.event_id,
        "call_id": event.call_id,
        "stage_id": event.stage_id,
        "audio_s": event.audio_s,
        "wall_s": event.wall_s,
        "severity": SEVERITIES[event.severity],
        "type": event.type[:EVENT_TYPE_LENGTH],
        "text": event.text,
        "extras": event.extras,
    }


def event_record(row: RowMapping) -> EventRecord:
    """The row as a record."""
    return EventRecord(
        call_id=row["call_id"],
        stage_id=row["stage_id"],
        severity=_SEVERITY_OF[row["severity"]],
        type=row["type"],
        text=row["text"],
        audio_s=row["audio_s"],
        wall_s=row["wall_s"],
        extras=row["extras"],
        event_id=row["event_id"],
    )


def tool_row(tool: ToolRecord) -> dict[str, Any]:
    """The record as a row."""
    return {
        "tool_id": tool.tool_id,
        "name": tool.name,
        "description": tool.description,
        "created": tool.created,
        "definition": tool.definition,
    }


def tool_record(row: RowMapping) -> ToolRecord:
    """The row as a record; one without a column ``public`` is not."""
    return ToolRecord(
        tool_id=row["tool_id"],
        name=row["name"],
        created=row["created"],
        definition=row["definition"],
        public=bool(row.get("public")),
    )


def call_tool_row(tool: CallToolRecord) -> dict[str, Any]:
    """The record as a row."""
    return asdict(tool)


def call_tool_record(row: RowMapping) -> CallToolRecord:
    """The row as a record."""
    return CallToolRecord(
        call_tool_id=row["call_tool_id"],
        call_id=row["call_id"],
        stage_id=row["stage_id"],
        tool_id=row["tool_id"],
        name=row["name"],
        definition=row["definition"],
        index=row["index"],
    )


def key_row(key: ApiKeyRecord) -> dict[str, Any]:
    """The record as a row."""
    return {
        "prefix": key.prefix,
        "key_hash": key.key_hash,
        "name": key.name[:KEY_NAME_LENGTH],
        "created": key.created,
        "creator": key.creator,
        "expiry": key.expiry,
        "revoked": key.revoked,
    }


def key_record(row: RowMapping) -> ApiKeyRecord:
    """The row as a record."""
    return ApiKeyRecord(
        prefix=row["prefix"],
        key_hash=row["key_hash"],
        name=row["name"],
        created=row["created"],
        creator=row["creator"],
        expiry=row["expiry"],
        revoked=row["revoked"],
    )


def changed(changes: CallChanges | StageChanges) -> dict[str, Any]:
    """The columns that ``changes`` sets."""
    columns = {name: value for name, value in asdict(changes).items() if value is not None}
    if (voice := columns.pop("voice", None)) is not None:
        columns |= {"voice": voice["name"], "voice_id": voice["voice_id"]}
    return columns
