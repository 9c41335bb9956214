"""Ends of calls on record, and what is told of those that never got going."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime

from antiphon import metrics
from antiphon.call.ends import EndReason
from antiphon.call.messages import Severity
from antiphon.errors import AntiphonError
from antiphon.lifecycle.call_log import log_ended
from antiphon.store.calls import CallRepository
from antiphon.store.ledger import Ledger
from antiphon.store.records import CallChanges, CallRecord, EventRecord, StageChanges
from antiphon.store.write_ahead import WriteAhead

FLUSH_PATIENCE_S = 5.0


def told(error: Exception) -> str:
    """What an event may say of an error: the text only where it is ours, others may quote a caller."""
    return str(error) if isinstance(error, AntiphonError) else type(error).__name__


class Endings:
    """Puts calls to their end. ``write_ahead``: where what is said in live calls lies until it is on record."""

    def __init__(self, calls: CallRepository, ledger: Ledger, write_ahead: WriteAhead) -> None:
        self._calls = calls
        self._ledger = ledger
        self._write_ahead = write_ahead

    async def end(self, call_id: str, reason: EndReason, joined: datetime | None = None) -> None:
        """Everything of the call is written before it counts as ended: history is final from then on."""
        recorded = False
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ledger.flush(call_id), FLUSH_PATIENCE_S)
                recorded = True
        finally:
            self._write_ahead.close(call_id, recorded=recorded)
        ended = datetime.now(UTC)
        if await self._calls.mark_ended(call_id, reason, ended):
            metrics.CALLS_ENDED.labels(reason.value).inc()
            log_ended(call_id, reason, joined, ended)

    def note_failure(self, call: CallRecord, kind: str, text: str) -> None:
        """Put on record why a call never got going; it counts as an error of its stage."""
        self.note(call, Severity.ERROR, kind, text)
        self._ledger.update_call(call.call_id, CallChanges(error_count=call.error_count + 1))
        self._ledger.update_stage(call.call_id, call.current_stage_id or "", StageChanges(error_count=1))

    def note(self, call: CallRecord, severity: Severity, kind: str, text: str) -> None:
        """Put an event on record of a call that no session serves."""
        self._ledger.append_event(EventRecord(call.call_id, call.current_stage_id, severity, kind, text))
