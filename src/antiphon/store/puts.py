"""Statements that store rows and may be repeated: a transaction whose outcome was lost is simply run again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from antiphon.store.records import CallToolRecord, EventRecord, MessageRecord, StageRecord
from antiphon.store.rows import call_tool_row, event_row, message_row, stage_row
from antiphon.store.tables import CallToolRow, EventRow, MessageRow, StageRow

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
    await _put(connection, "stage", [stage_row(stage) for stage in stages])


async def put_call_tools(connection: AsyncConnection, tools: Sequence[CallToolRecord]) -> None:
    """Store the tools of stages; those already there stay as they are."""
    await _put(connection, "tool", [call_tool_row(tool) for tool in tools])


async def put_messages(connection: AsyncConnection, messages: Sequence[MessageRecord]) -> None:
    """Store messages; each replaces what was at its place."""
    await _put(connection, "message", [message_row(message) for message in messages])


async def put_events(connection: AsyncConnection, events: Sequence[EventRecord]) -> None:
    """Store events in this order; those already there stay as they are."""
    await _put(connection, "event", [event_row(event) for event in events])


async def _put(connection: AsyncConnection, kind: str, rows: list[dict[str, Any]]) -> None:
    if rows:
        await connection.execute(_STATEMENTS[connection.dialect.name][kind], rows)
