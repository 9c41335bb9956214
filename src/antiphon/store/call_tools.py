"""Which tools the stages of calls have."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, select

from antiphon.store.database import Database
from antiphon.store.puts import put_call_tools
from antiphon.store.records import CallToolRecord
from antiphon.store.rows import call_tool_record
from antiphon.store.tables import CallToolRow, StageRow


class CallToolRepository:
    """All that can be asked about the tools of calls. Every method may raise ``StoreError``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, tools: Sequence[CallToolRecord]) -> None:
        """Store tools of a stage that is there; a live call's go through the ``Ledger``."""
        async with self._database.write() as connection:
            await put_call_tools(connection, tools)

    async def of_call(self, call_id: str) -> tuple[CallToolRecord, ...]:
        """The tools of a call's last stage, in their order; none where there is no such call."""
        last = select(StageRow.stage_id).where(StageRow.call_id == call_id).order_by(StageRow.index.desc()).limit(1)
        return await self._all(CallToolRow.stage_id == last.scalar_subquery())

    async def of_stage(self, call_id: str, stage_id: str) -> tuple[CallToolRecord, ...]:
        """The tools of a stage, in their order; none where this call has no such stage."""
        return await self._all(CallToolRow.call_id == call_id, CallToolRow.stage_id == stage_id)

    async def _all(self, *conditions: ColumnElement[bool]) -> tuple[CallToolRecord, ...]:
        query = select(CallToolRow.__table__).where(*conditions).order_by(CallToolRow.index, CallToolRow.name)
        async with self._database.read() as connection:
            return tuple(call_tool_record(row) for row in (await connection.execute(query)).mappings())
