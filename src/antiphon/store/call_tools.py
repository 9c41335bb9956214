"""Which tools the stages of calls have."""

from __future__ import annotations

import json
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
        """All tools that any stage of a call has, first to last; none where there is no such call.

        One that a later stage has just as an earlier one had it is among them once.
        """
        different: dict[tuple[str | None, str, str], CallToolRecord] = {}
        for tool in await self._all(CallToolRow.call_id == call_id):
            definition = json.dumps(tool.definition, sort_keys=True)
            different.setdefault((tool.tool_id, tool.name, definition), tool)
        return tuple(different.values())

    async def of_stage(self, call_id: str, stage_id: str) -> tuple[CallToolRecord, ...]:
        """The tools of a stage, in their order; none where this call has no such stage."""
        return await self._all(CallToolRow.call_id == call_id, CallToolRow.stage_id == stage_id)

    async def _all(self, *conditions: ColumnElement[bool]) -> tuple[CallToolRecord, ...]:
        query = (
            select(CallToolRow.__table__)
            .join(StageRow.__table__, StageRow.stage_id == CallToolRow.stage_id)
            .where(*conditions)
            .order_by(StageRow.index, CallToolRow.index, CallToolRow.name)
        )
        async with self._database.read() as connection:
            return tuple(call_tool_record(row) for row in (await connection.execute(query)).mappings())
