"""Puts what happens in a call on record, by way of the ledger, which makes no call wait."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from antiphon.call.history import KeptMessage, ToolMessage, ToolRole
from antiphon.call.messages import CallEvent, Modality, Severity
from antiphon.store.ledger import Ledger
from antiphon.store.records import (
    CallChanges,
    CallToolRecord,
    EventRecord,
    MessageRecord,
    MessageRole,
    StageChanges,
    StageRecord,
    VoiceTaken,
)
from antiphon.store.write_ahead import WriteAhead
from antiphon.wire.call_request import CallRequest

_MODALITY = {"MESSAGE_MEDIUM_VOICE": Modality.VOICE, "MESSAGE_MEDIUM_TEXT": Modality.TEXT}


@dataclass(frozen=True, slots=True)
class _Chapter:
    """One stage on record: its ``initial`` messages, and its own from ``ordinal`` on."""

    stage_id: str
    ordinal: int
    initial: tuple[MessageRecord, ...]


class LedgerRecorder:
    """The record of one call. ``initial``: the messages of its first stage, which are on record already."""

    def __init__(
        self, ledger: Ledger, write_ahead: WriteAhead, call_id: str, stage_id: str, initial: Sequence[MessageRecord]
    ) -> None:
        self._ledger = ledger
        self._write_ahead = write_ahead
        self._call_id = call_id
        self._chapters = [_Chapter(stage_id, 0, tuple(initial))]
        self._errors = 0
        self._stage_errors = 0

    @property
    def _stage_id(self) -> str:
        return self._chapters[-1].stage_id

    def begin_stage(
        self,
        stage: StageRecord,
        tools: Sequence[CallToolRecord],
        initial: Sequence[MessageRecord] | None,
        said: Sequence[KeptMessage],
        ordinal: int,
        voice: VoiceTaken,
    ) -> None:
        """A new stage begins: messages from ``ordinal`` on are its own.

        Without ``initial`` messages it begins with all that the stage before it had; ``said`` is all that was said in
        the call. ``voice``: who speaks in it.
        """
        if initial is None:
            before = self._chapters[-1]
            own = [self._record(message) for message in said if before.ordinal <= message.ordinal < ordinal]
            initial = [
                replace(
                    record, stage_id=stage.stage_id, stage_index=index, ordinal=None, audio_span=None, wall_span=None
                )
                for index, record in enumerate([*before.initial, *own])
            ]
        self._chapters.append(_Chapter(stage.stage_id, ordinal, tuple(initial)))
        self._stage_errors = 0
        self._write_ahead.add(stage)
        self._ledger.append_stage(stage)
        for tool in tools:
            self._ledger.append_call_tool(tool)
        for record in initial:
            self._ledger.append_message(record)
        self._ledger.update_call(self._call_id, CallChanges(current_stage_id=stage.stage_id, voice=voice))

    def keep(self, message: KeptMessage) -> None:
        """A finished message; its place in its stage follows its ordinal, whenever it finished."""
        record = self._record(message)
        self._write_ahead.add(record)
        self._ledger.append_message(record)

    def _record(self, message: KeptMessage) -> MessageRecord:
        chapter = next(one for one in reversed(self._chapters) if one.ordinal <= message.ordinal)
        record = MessageRecord(
            self._call_id,
            chapter.stage_id,
            len(chapter.initial) + message.ordinal - chapter.ordinal,
            MessageRole(message.role.value),
            message.text,
            ordinal=message.ordinal,
            audio_span=message.audio_span,
            wall_span=message.wall_span,
        )
        if not isinstance(message, ToolMessage):
            return replace(record, modality=message.modality)
        request = message.request
        if message.role is ToolRole.CALL:
            record = replace(record, text=json.dumps(dict(request.arguments), ensure_ascii=False))
        return replace(
            record,
            invocation_id=request.invocation,
            tool_name=request.name,
            error_details=message.error_details,
            call_state=None if message.state is None else dict(message.state),
        )

    def note(self, event: CallEvent, audio_s: float, wall_s: float) -> None:
        """Something worth knowing; errors are counted on the call and its stage."""
        self._ledger.append_event(
            EventRecord(
                self._call_id,
                self._stage_id,
                event.severity,
                event.type,
                event.text,
                audio_s,
                wall_s,
                event.extras or None,
            )
        )
        if event.severity is Severity.ERROR:
            self._errors += 1
            self._stage_errors += 1
            self._ledger.update_call(self._call_id, CallChanges(error_count=self._errors))
            self._ledger.update_stage(self._call_id, self._stage_id, StageChanges(error_count=self._stage_errors))


def event_records(call_id: str, stage_id: str, events: Iterable[CallEvent]) -> list[EventRecord]:
    """What is worth knowing about a call before it is joined."""
    return [
        EventRecord(call_id, stage_id, event.severity, event.type, event.text, extras=event.extras or None)
        for event in events
    ]


def initial_messages(request: CallRequest, call_id: str, stage_id: str) -> list[MessageRecord]:
    """What a call's stage begins with, in its first places."""
    return [
        MessageRecord(
            call_id,
            stage_id,
            index,
            MessageRole(message.role.removeprefix("MESSAGE_ROLE_").lower()),
            message.text,
            _MODALITY.get(message.medium or ""),
            invocation_id=message.invocation_id,
            tool_name=message.tool_name,
            error_details=message.error_details,
            call_state=message.call_state,
            metadata=message.metadata,
        )
        for index, message in enumerate(request.initial_messages)
    ]
