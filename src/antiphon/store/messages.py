"""Messages of calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import BindParameter, Select, bindparam, select

from antiphon.store.database import Database
from antiphon.store.paging import Listing, Order, check_page_size, in_pieces
from antiphon.store.puts import put_messages
from antiphon.store.records import MessageRecord, Page
from antiphon.store.rows import message_record
from antiphon.store.tables import MessageRow, StageRow

DEFAULT_PAGE_SIZE = 100
_IN_ORDER = Order((StageRow.__table__.c.index, MessageRow.__table__.c.stage_index))


class MessageMode(StrEnum):
    """Which messages of a call: all of its last stage, or what was said in all stages, initial ones left out."""

    LAST_STAGE = "last_stage"
    IN_CALL = "in_call"


_CALL: BindParameter[Any] = bindparam("call")
_STAGE: BindParameter[Any] = bindparam("stage")
_WITH_STAGE: Select[Any] = select(MessageRow.__table__, StageRow.__table__.c.index).join(
    StageRow.__table__, StageRow.stage_id == MessageRow.stage_id
)
_LAST = select(StageRow.stage_id).where(StageRow.call_id == _CALL).order_by(StageRow.index.desc()).limit(1)
_OF_STAGE = _WITH_STAGE.where(MessageRow.call_id == _CALL, MessageRow.stage_id == _STAGE)
_OF_CALL = {
    MessageMode.IN_CALL: _WITH_STAGE.where(MessageRow.call_id == _CALL, MessageRow.ordinal.is_not(None)),
    MessageMode.LAST_STAGE: _WITH_STAGE.where(
        MessageRow.call_id == _CALL, MessageRow.stage_id == _LAST.scalar_subquery()
    ),
}
_LISTINGS = {mode: Listing(query, _IN_ORDER) for mode, query in _OF_CALL.items()}
_STAGE_LISTING = Listing(_OF_STAGE, _IN_ORDER)


class MessageRepository:
    """All that can be asked about messages and done to them. Every method may raise ``StoreError``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, messages: Sequence[MessageRecord]) -> None:
        """Store messages of a call that is not live; a live one's go through the ``Ledger``."""
        async with self._database.write() as connection:
            await put_messages(connection, messages)

    async def get(self, call_id: str, stage_id: str, stage_index: int) -> MessageRecord | None:
        """The message at this place, or ``None``."""
        query = select(MessageRow).where(
            MessageRow.call_id == call_id, MessageRow.stage_id == stage_id, MessageRow.stage_index == stage_index
        )
        async with self._database.look() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        return None if row is None else message_record(row)

    async def of_call(self, call_id: str, mode: MessageMode = MessageMode.IN_CALL) -> tuple[MessageRecord, ...]:
        """All messages of a call in order, none where there is no such call."""
        return await self._all(_OF_CALL[mode], {"call": call_id})

    async def of_stage(self, call_id: str, stage_id: str) -> tuple[MessageRecord, ...]:
        """All messages of a stage in order, initial ones among them."""
        return await self._all(_OF_STAGE, {"call": call_id, "stage": stage_id})

    async def page(
        self,
        call_id: str,
        mode: MessageMode = MessageMode.LAST_STAGE,
        *,
        cursor: str | None = None,
        page_size: int | None = None,
    ) -> Page[MessageRecord]:
        """One page of a call's messages, in order.

        Raises:
            InvalidRequest: the cursor or the page size (1 to 100, default 100) is wrong.

        """
        return await self._page(_LISTINGS[mode], {"call": call_id}, cursor, page_size)

    async def page_of_stage(
        self, call_id: str, stage_id: str, *, cursor: str | None = None, page_size: int | None = None
    ) -> Page[MessageRecord]:
        """One page of a stage's messages, in order.

        Raises:
            InvalidRequest: the cursor or the page size (1 to 100, default 100) is wrong.

        """
        return await self._page(_STAGE_LISTING, {"call": call_id, "stage": stage_id}, cursor, page_size)

    async def _all(self, query: Select[Any], parameters: Mapping[str, str]) -> tuple[MessageRecord, ...]:
        async with self._database.look() as connection:
            found = await connection.execute(query.order_by(*_IN_ORDER.columns), dict(parameters))
            return tuple([message_record(row) async for row in in_pieces(found.mappings())])

    async def _page(
        self, listing: Listing, parameters: Mapping[str, str], cursor: str | None, page_size: int | None
    ) -> Page[MessageRecord]:
        size = check_page_size(page_size, DEFAULT_PAGE_SIZE)
        async with self._database.look() as connection:
            return await listing.page(connection, message_record, cursor=cursor, page_size=size, parameters=parameters)
