"""What a ledger holds, and how many entries of many calls become one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import update

from antiphon.store.database import Database
from antiphon.store.puts import put_call_tools, put_events, put_messages, put_stages
from antiphon.store.records import CallChanges, CallToolRecord, EventRecord, MessageRecord, StageChanges, StageRecord
from antiphon.store.rows import changed
from antiphon.store.tables import CallRow, StageRow

# What an entry takes besides its text, roughly: the objects, and their row in the database driver.
ENTRY_BYTES = 2048


@dataclass(frozen=True, slots=True)
class CallUpdate:
    """A call has changed."""

    call_id: str
    changes: CallChanges


@dataclass(frozen=True, slots=True)
class StageUpdate:
    """A stage has changed."""

    call_id: str
    stage_id: str
    changes: StageChanges


Content: TypeAlias = MessageRecord | EventRecord | StageRecord | CallToolRecord | CallUpdate | StageUpdate


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to write. ``number`` rises with every entry put."""

    number: int
    content: Content
    size_bytes: int


def size_bytes(content: Content) -> int:
    """About how much memory ``content`` takes while it waits."""
    more: tuple[object, ...]
    match content:
        case MessageRecord():
            more = (content.text, content.error_details, content.call_state, content.metadata)
        case EventRecord():
            more = (content.text, content.extras)
        case StageRecord():
            more = (content.settings,)
        case CallToolRecord():
            more = (content.definition,)
        case CallUpdate() | StageUpdate():
            more = (content.changes,)
    return ENTRY_BYTES + sum(len(part if isinstance(part, str) else str(part)) for part in more if part)


async def write_entries(database: Database, entries: Sequence[Entry]) -> None:
    """Store all of them in one transaction: stages first, as tools and messages refer to them, changes last.

    Within one kind the order stays. Doing it again changes nothing.

    Raises:
        StoreError: none of them is stored, as far as is known.

    """
    contents = [entry.content for entry in entries]
    async with database.write() as connection:
        await put_stages(connection, [content for content in contents if isinstance(content, StageRecord)])
        await put_call_tools(connection, [content for content in contents if isinstance(content, CallToolRecord)])
        await put_messages(connection, [content for content in contents if isinstance(content, MessageRecord)])
        await put_events(connection, [content for content in contents if isinstance(content, EventRecord)])
        for call_id, values in _folded(
            (content.call_id, content.changes) for content in contents if isinstance(content, CallUpdate)
        ).items():
            await connection.execute(update(CallRow).where(CallRow.call_id == call_id).values(**values))
        for stage_id, values in _folded(
            (content.stage_id, content.changes) for content in contents if isinstance(content, StageUpdate)
        ).items():
            await connection.execute(update(StageRow).where(StageRow.stage_id == stage_id).values(**values))


def _folded(updates: Iterable[tuple[str, CallChanges | StageChanges]]) -> dict[str, dict[str, Any]]:
    """One set of values for each id, the last change of a field winning."""
    folded: dict[str, dict[str, Any]] = {}
    for row_id, changes in updates:
        if values := changed(changes):
            folded.setdefault(row_id, {}).update(values)
    return folded
