"""Stages of calls."""

from __future__ import annotations

from sqlalchemy import select, update

from antiphon.store.database import Database
from antiphon.store.paging import Order, check_page_size, fetch_page
from antiphon.store.puts import put_stages
from antiphon.store.records import Page, StageChanges, StageRecord
from antiphon.store.rows import changed, stage_record
from antiphon.store.tables import StageRow

_IN_ORDER = Order((StageRow.__table__.c.index,))


class StageRepository:
    """All that can be asked about stages and done to them. Every method may raise ``StoreError``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, stage: StageRecord) -> None:
        """Store a new stage of a call that is there."""
        async with self._database.write() as connection:
            await put_stages(connection, [stage])

    async def get(self, call_id: str, stage_id: str) -> StageRecord | None:
        """The stage, or ``None`` where this call has none with this id."""
        query = select(StageRow).where(StageRow.call_id == call_id, StageRow.stage_id == stage_id)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        return None if row is None else stage_record(row)

    async def of_call(self, call_id: str) -> tuple[StageRecord, ...]:
        """All stages of a call, first to last; none where there is no such call."""
        query = select(StageRow).where(StageRow.call_id == call_id).order_by(StageRow.index)
        async with self._database.read() as connection:
            return tuple(stage_record(row) for row in (await connection.execute(query)).mappings())

    async def page(self, call_id: str, *, cursor: str | None = None, page_size: int | None = None) -> Page[StageRecord]:
        """One page of a call's stages, first to last.

        Raises:
            InvalidRequest: the cursor or the page size (1 to 100, default 20) is wrong.

        """
        size = check_page_size(page_size)
        query = select(StageRow).where(StageRow.call_id == call_id)
        async with self._database.read() as connection:
            return await fetch_page(connection, query, _IN_ORDER, stage_record, cursor=cursor, page_size=size)

    async def update(self, call_id: str, stage_id: str, changes: StageChanges) -> bool:
        """Change what is given. ``False`` where there is no such stage."""
        values = changed(changes)
        if not values:
            return await self.get(call_id, stage_id) is not None
        statement = update(StageRow).where(StageRow.call_id == call_id, StageRow.stage_id == stage_id).values(**values)
        async with self._database.write() as connection:
            return (await connection.execute(statement)).rowcount == 1
