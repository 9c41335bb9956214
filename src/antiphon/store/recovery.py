"""Ends the calls that a former process of this server left behind when it was killed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, or_, select, update

from antiphon.call.ends import EndReason
from antiphon.call.messages import Severity
from antiphon.store.database import WORKER_MARK, Database
from antiphon.store.puts import put_events
from antiphon.store.records import SERVER_STOPPED, CallRecord, EventRecord
from antiphon.store.rows import call_record, call_row
from antiphon.store.tables import CallRow, EventRow, MessageRow


@dataclass(frozen=True, slots=True)
class _LeftBehind:
    call: CallRecord
    last_s: float  # the last thing known of it, since the join


async def end_abandoned(database: Database, now: datetime, worker: int | None = None) -> tuple[CallRecord, ...]:
    """End every call of this server, or of one of its workers, that never ended, and return them as they are now.

    Without ``worker`` to be run at start-up, before any call is created: whatever has not ended then belonged to a
    former process. With it to be run when that worker is gone; what still waits for its join is left alone.
    Who was never joined, and whose join URL has died since, ended ``unjoined`` when it died. All others ended
    ``system_error``: at the last message or event on record, or now where nobody had joined. An event in each
    call says so.

    Raises:
        StoreError: the database failed; no call is ended then.

    """
    text = "The server stopped before the call ended; it was ended when the server started again."
    return await _end(database, now, _former(database) if worker is None else _gone(database, worker, now), text)


async def end_waiting(database: Database, now: datetime) -> tuple[CallRecord, ...]:
    """End every call of this process that waits for its join, and return them as they are now.

    They end ``system_error``, now. An event in each call says so.

    Raises:
        StoreError: the database failed; no call is ended then.

    """
    mine = (CallRow.server_id == database.server_id) & CallRow.claimed.is_(None)
    return await _end(database, now, mine, "The server stopped before anybody joined the call.")


async def _end(database: Database, now: datetime, which: ColumnElement[bool], text: str) -> tuple[CallRecord, ...]:
    mine = (which, CallRow.ended.is_(None))
    message_s = select(func.max(MessageRow.wall_end_s)).where(MessageRow.call_id == CallRow.call_id)
    event_s = select(func.max(EventRow.wall_s)).where(EventRow.call_id == CallRow.call_id)
    query = select(
        CallRow, message_s.scalar_subquery().label("message_s"), event_s.scalar_subquery().label("event_s")
    ).where(*mine)
    async with database.write() as connection:
        rows = (await connection.execute(query)).mappings().all()
        ended = []
        for row in rows:
            left = _LeftBehind(call_record(row), max(row["message_s"] or 0.0, row["event_s"] or 0.0))
            call = _ended(left, now)
            values = {name: call_row(call, "")[name] for name in ("ended", "end_reason", "duration_s")}
            statement = update(CallRow).where(CallRow.call_id == call.call_id, *mine).values(**values)
            await connection.execute(statement)
            ended.append(call)
        await put_events(connection, [_event(call, text) for call in ended])
    return tuple(ended)


def _former(database: Database) -> ColumnElement[bool]:
    """What any process of this server made, however many there were."""
    workers = CallRow.server_id.startswith(f"{database.server}{WORKER_MARK}", autoescape=True)
    return or_(CallRow.server_id == database.server, workers)


def _gone(database: Database, worker: int, now: datetime) -> ColumnElement[bool]:
    mine = CallRow.server_id == database.worker_id(worker)
    return mine & (CallRow.claimed.is_not(None) | CallRow.joined.is_not(None) | (CallRow.join_deadline <= now))


def _ended(left: _LeftBehind, now: datetime) -> CallRecord:
    call = left.call
    if call.joined is not None:
        ended = min(call.joined + timedelta(seconds=left.last_s), now)
        return replace(call, ended=max(ended, call.joined), end_reason=EndReason.SYSTEM_ERROR)
    if call.claimed is None and call.join_deadline <= now:
        return replace(call, ended=call.join_deadline, end_reason=EndReason.UNJOINED)
    return replace(call, ended=now, end_reason=EndReason.SYSTEM_ERROR)


def _event(call: CallRecord, text: str) -> EventRecord:
    last_s = (call.ended - call.joined).total_seconds() if call.ended and call.joined else 0.0
    return EventRecord(
        call_id=call.call_id,
        stage_id=call.current_stage_id,
        severity=Severity.INFO if call.end_reason is EndReason.UNJOINED else Severity.ERROR,
        type=SERVER_STOPPED,
        text=text,
        audio_s=last_s,
        wall_s=last_s,
    )
