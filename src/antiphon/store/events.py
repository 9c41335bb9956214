"""Events of calls."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select

from antiphon.call.messages import Severity
from antiphon.store.database import Database
from antiphon.store.paging import Order, check_page_size, fetch_page
from antiphon.store.puts import put_events
from antiphon.store.records import EventRecord, Page
from antiphon.store.rows import SEVERITIES, event_record
from antiphon.store.tables import EventRow

DEFAULT_PAGE_SIZE = 100
_IN_ORDER = Order((EventRow.__table__.c.number,))


class EventRepository:
    """All that can be asked about events and done to them. Every method may raise ``StoreError``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, events: Sequence[EventRecord]) -> None:
        """Store events of a call that is not live; a live one's go through the ``Ledger``."""
        async with self._database.write() as connection:
            await put_events(connection, events)

    async def append_up_to(self, event: EventRecord, most: int) -> bool:
        """Store an event, unless its call has ``most`` of its type already. ``False`` where it has."""
        count = select(func.count()).where(EventRow.call_id == event.call_id, EventRow.type == event.type)
        async with self._database.look() as connection:
            if (await connection.scalar(count) or 0) >= most:
                return False
        async with self._database.write() as connection:
            # Counted again: any number may come at once.
            if (await connection.scalar(count) or 0) >= most:
                return False
            await put_events(connection, [event])
        return True

    async def of_call(self, call_id: str) -> tuple[EventRecord, ...]:
        """All events of a call in the order they were stored, none where there is no such call."""
        query = select(EventRow).where(EventRow.call_id == call_id).order_by(EventRow.number)
        async with self._database.read() as connection:
            return tuple(event_record(row) for row in (await connection.execute(query)).mappings())

    async def page(
        self,
        call_id: str,
        *,
        minimum_severity: Severity = Severity.INFO,
        type: str | None = None,  # noqa: A002 - its name in the API
        cursor: str | None = None,
        page_size: int | None = None,
    ) -> Page[EventRecord]:
        """One page of a call's events, of at least this severity and, where given, of this ``type``.

        Raises:
            InvalidRequest: the cursor or the page size (1 to 100, default 100) is wrong.

        """
        size = check_page_size(page_size, DEFAULT_PAGE_SIZE)
        query = select(EventRow).where(EventRow.call_id == call_id, EventRow.severity >= SEVERITIES[minimum_severity])
        if type is not None:
            query = query.where(EventRow.type == type)
        async with self._database.read() as connection:
            return await fetch_page(connection, query, _IN_ORDER, event_record, cursor=cursor, page_size=size)
