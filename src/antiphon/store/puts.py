"""Statements that store rows and may be repeated: a transaction whose outcome was lost is simply run again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from antiphon.store.records import CallToolRecord, EventRecord, MessageRecord, RecordT, StageRecord
from antiphon.store.rows import call_tool_row, event_row, message_row, stage_row
from antiphon.store.tables import CallToolRow, EventRow, MessageRow, StageRow

AT_ONCE = 100
"""Rows; each takes some 10 µs of the event loop, most of it SQLAlchemy's."""

_INSERT = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def _statements(dialect: str) -> dict[str, Any]:
    insert: Any = _INSERT[dialect]
    message = insert(MessageRow)
    keys = ["stage_id", "stage_index"]
    kept = [column.name for column in MessageRow.__table__.columns if column.name not in keys]
    return {
        "stage": insert(StageRow).on_conflict_do_nothing(index_elements=["stage_id"]),
        "tool": insert(CallToolRow).on_conflict_do_nothing(index_elements=["call_tool_id"]),
        "message": message.on_conflict_do_update(
            index_elements=keys, set_={name: message.excluded[name] for name in kept}
        ),
        "event": insert(EventRow).on_conflict_do_nothing(index_elements=["event_id"]),
    }


_STATEMENTS = {dialect: _statements(dialect) for dialect in _INSERT}


async def put_stages(connection: AsyncConnection, stages: Sequence[StageRecord]) -> None:
    """Store stages; those already there stay as they are."""
    await in_portions(connection, _of(connection, "stage"), stages, stage_row)


async def put_call_tools(connection: AsyncConnection, tools: Sequence[CallToolRecord]) -> None:
    """Store the tools of stages; those already there stay as they are."""
    await in_portions(connection, _of(connection, "tool"), tools, call_tool_row)


async def put_messages(connection: AsyncConnection, messages: Sequence[MessageRecord]) -> None:
    """Store messages; each replaces what was at its place."""
    await in_portions(connection, _of(connection, "message"), messages, message_row)


async def put_events(connection: AsyncConnection, events: Sequence[EventRecord]) -> None:
    """Store events in this order; those already there stay as they are."""
    await in_portions(connection, _of(connection, "event"), events, event_row)


async def in_portions(
    connection: AsyncConnection,
    statement: Any,
    records: Sequence[RecordT],
    row: Callable[[RecordT], Mapping[str, Any]],
) -> None:
    """Run ``statement`` for all ``records``; live calls have their turn between portions of them."""
    for first in range(0, len(records), AT_ONCE):
        await connection.execute(statement, [row(record) for record in records[first : first + AT_ONCE]])


def _of(connection: AsyncConnection, kind: str) -> Any:
    return _STATEMENTS[connection.dialect.name][kind]
