"""Puts what happens in a call on record, by way of the ledger, which makes no call wait."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

from antiphon.call.history import KeptMessage, ToolMessage, ToolRole
from antiphon.call.messages import CallEvent, Modality, Severity
from antiphon.session.spool import Spool
from antiphon.store.ledger import Ledger
from antiphon.store.records import CallChanges, EventRecord, MessageRecord, MessageRole, StageChanges
from antiphon.wire.call_request import CallRequest

_MODALITY = {"MESSAGE_MEDIUM_VOICE": Modality.VOICE, "MESSAGE_MEDIUM_TEXT": Modality.TEXT}


class LedgerChronicle:
    """The record of one call in one stage. ``initial`` is the number of the stage's initial messages."""

    def __init__(self, ledger: Ledger, spool: Spool, call_id: str, stage_id: str, initial: int) -> None:
        self._ledger = ledger
        self._spool = spool
        self._call_id = call_id
        self._stage_id = stage_id
        self._initial = initial
        self._errors = 0

    def keep(self, message: KeptMessage) -> None:
        """A finished message; its place in the stage follows its ordinal, whenever it finished."""
        record = MessageRecord(
            self._call_id,
            self._stage_id,
            self._initial + message.ordinal,
            MessageRole(message.role.value),
            message.text,
            ordinal=message.ordinal,
            audio_span=message.audio_span,
            wall_span=message.wall_span,
        )
        if isinstance(message, ToolMessage):
            request = message.request
            if message.role is ToolRole.CALL:
                record = replace(record, text=json.dumps(dict(request.arguments), ensure_ascii=False))
            record = replace(
                record,
                invocation_id=request.invocation,
                tool_name=request.name,
                error_details=message.error_details,
                call_state=None if message.state is None else dict(message.state),
            )
        else:
            record = replace(record, modality=message.modality)
        self._spool.add(record)
        self._ledger.append_message(record)

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
            self._ledger.update_call(self._call_id, CallChanges(error_count=self._errors))
            self._ledger.update_stage(self._call_id, self._stage_id, StageChanges(error_count=self._errors))


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
