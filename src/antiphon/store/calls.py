"""Calls: created, joined once, ended once, listed and deleted."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, delete, insert, select, update

from antiphon.call.ends import EndReason
from antiphon.store.call_filter import CallFilter, call_order
from antiphon.store.database import WORKER_MARK, Database
from antiphon.store.paging import Listing, check_page_size
from antiphon.store.puts import put_call_tools, put_messages, put_stages
from antiphon.store.records import (
    CallChanges,
    CallRecord,
    CallToolRecord,
    JoinClaim,
    MessageRecord,
    Page,
    StageRecord,
)
from antiphon.store.recovery import end_abandoned, end_waiting
from antiphon.store.rows import call_record, call_row, changed, label_rows
from antiphon.store.tables import CallLabelRow, CallRow, StageRow

LATEST = (
    select(StageRow.settings)
    .where(StageRow.stage_id == CallRow.current_stage_id, StageRow.index > 0)
    .correlate(CallRow)
    .scalar_subquery()
    .label("latest")
)
"""The settings of a call's last stage. Those of its first stage are on the call itself and are not read again."""

# Made once: a statement costs more to build than SQLite takes for a row.
_ALL = select(CallRow.__table__, LATEST)
_NEW_CALL = insert(CallRow)
_NEW_LABEL = insert(CallLabelRow)
_BY_ID = _ALL.where(CallRow.call_id == bindparam("id"))
_LISTINGS = {order.descending: Listing(_ALL, order) for order in (call_order("created"), call_order("-created"))}


class CallRepository:
    """All that can be asked about calls and done to them. Every method may raise ``StoreError``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self,
        call: CallRecord,
        stages: Sequence[StageRecord] = (),
        messages: Sequence[MessageRecord] = (),
        tools: Sequence[CallToolRecord] = (),
    ) -> None:
        """Store a new call, with its first stage and that one's initial messages and tools, in one transaction.

        The call belongs to this server (``Database.server_id``).
        """
        async with self._database.write() as connection:
            await connection.execute(_NEW_CALL, call_row(call, self._database.server_id))
            if labels := label_rows(call):
                await connection.execute(_NEW_LABEL, labels)
            await put_stages(connection, stages)
            await put_messages(connection, messages)
            await put_call_tools(connection, tools)

    async def get(self, call_id: str) -> CallRecord | None:
        """The call, or ``None`` where there is none with this id, which need not be a UUID."""
        async with self._database.look() as connection:
            row = (await connection.execute(_BY_ID, {"id": call_id})).mappings().one_or_none()
        return None if row is None else call_record(row)

    async def page(
        self,
        where: CallFilter | None = None,
        *,
        sort: str | None = None,
        cursor: str | None = None,
        page_size: int | None = None,
    ) -> Page[CallRecord]:
        """One page of the calls that match, newest first unless ``sort`` is ``created``.

        Raises:
            InvalidRequest: the cursor, the page size (1 to 100, default 20) or ``sort`` is wrong.

        """
        order = call_order(sort)
        size = check_page_size(page_size)
        conditions = (where or CallFilter()).conditions()
        listing = Listing(_ALL.where(*conditions), order) if conditions else _LISTINGS[order.descending]
        async with self._database.look() as connection:
            return await listing.page(connection, call_record, cursor=cursor, page_size=size)

    async def claim_join(self, call_id: str, token_hash: str, now: datetime) -> JoinClaim:
        """Use the join URL: of any number of attempts at once, one gets ``JOINED``, and the call is its server's."""
        claim = (
            update(CallRow)
            .where(
                CallRow.call_id == call_id,
                CallRow.join_token_hash == token_hash,
                CallRow.claimed.is_(None),
                CallRow.ended.is_(None),
                CallRow.join_deadline > now,
            )
            .values(claimed=now, server_id=self._database.server_id)
        )
        async with self._database.write() as connection:
            if (await connection.execute(claim)).rowcount == 1:
                return JoinClaim.JOINED
            row = (await connection.execute(_BY_ID, {"id": call_id})).mappings().one_or_none()
        return _refusal(None if row is None else call_record(row), token_hash)

    async def mark_joined(self, call_id: str, joined: datetime, client_version: str | None = None) -> bool:
        """The call begins now. ``False`` where it had begun already, has ended or is unknown."""
        begin = (
            update(CallRow)
            .where(CallRow.call_id == call_id, CallRow.joined.is_(None), CallRow.ended.is_(None))
            .values(joined=joined, client_version=client_version)
        )
        async with self._database.write() as connection:
            return (await connection.execute(begin)).rowcount == 1

    async def mark_ended(self, call_id: str, reason: EndReason, ended: datetime) -> bool:
        """The call is over. ``True`` for the first who says so; for all others it changes nothing."""
        async with self._database.write() as connection:
            joined = await connection.scalar(select(CallRow.joined).where(CallRow.call_id == call_id))
            # A clock that was set back must not make a call last less than no time.
            duration_s = max(0.0, (ended - joined).total_seconds()) if joined else 0.0
            end = (
                update(CallRow)
                .where(CallRow.call_id == call_id, CallRow.ended.is_(None))
                .values(ended=ended, end_reason=reason.value, duration_s=duration_s)
            )
            return (await connection.execute(end)).rowcount == 1

    async def end_unclaimed(self, call_id: str, now: datetime) -> bool:
        """End a call ``unjoined``. ``False`` where somebody used its join URL, or it has ended, or is unknown."""
        end = (
            update(CallRow)
            .where(CallRow.call_id == call_id, CallRow.claimed.is_(None), CallRow.ended.is_(None))
            .values(ended=now, end_reason=EndReason.UNJOINED.value, duration_s=0.0)
        )
        async with self._database.write() as connection:
            return (await connection.execute(end)).rowcount == 1

    async def worker_of(self, call_id: str) -> int | None:
        """The worker of this server that the call belongs to; ``None``: to none of them, or to no call."""
        async with self._database.look() as connection:
            owner = await connection.scalar(select(CallRow.server_id).where(CallRow.call_id == call_id))
        before, _, number = (owner or "").rpartition(WORKER_MARK)
        return int(number) if before == self._database.server and number.isdecimal() else None

    async def update(self, call_id: str, changes: CallChanges) -> bool:
        """Change what is given. ``False`` where there is no such call."""
        values = changed(changes)
        if not values:
            return await self.get(call_id) is not None
        async with self._database.write() as connection:
            statement = update(CallRow).where(CallRow.call_id == call_id).values(**values)
            return (await connection.execute(statement)).rowcount == 1

    async def end_abandoned(self, now: datetime) -> tuple[CallRecord, ...]:
        """At start-up: end what a former process of this server left behind (see ``recovery.py``)."""
        return await end_abandoned(self._database, now)

    async def end_waiting(self, now: datetime) -> tuple[CallRecord, ...]:
        """When the server stops: end what this process made and nobody has joined (see ``recovery.py``)."""
        return await end_waiting(self._database, now)

    async def end_calls_of(self, worker: int, now: datetime) -> tuple[CallRecord, ...]:
        """End what a worker that is gone was serving (see ``recovery.py``). What waits for its join stays."""
        return await end_abandoned(self._database, now, worker)

    async def adopt(self, worker: int, now: datetime) -> tuple[CallRecord, ...]:
        """Take over the calls of a worker that is gone that wait for their join, and return them."""
        waiting = (
            CallRow.server_id == self._database.worker_id(worker),
            CallRow.claimed.is_(None),
            CallRow.ended.is_(None),
            CallRow.join_deadline > now,
        )
        async with self._database.write() as connection:
            rows = (await connection.execute(select(CallRow).where(*waiting))).mappings().all()
            await connection.execute(update(CallRow).where(*waiting).values(server_id=self._database.server_id))
        return tuple(call_record(row) for row in rows)

    async def delete_unclaimed(self, call_id: str) -> bool:
        """Remove a call that waits for its join. ``False`` where somebody used its join URL, or it has ended.

        A join that comes at the same moment, in whatever process, is decided here: one of the two statements is first.
        """
        async with self._database.write() as connection:
            statement = delete(CallRow).where(
                CallRow.call_id == call_id, CallRow.claimed.is_(None), CallRow.ended.is_(None)
            )
            return (await connection.execute(statement)).rowcount == 1

    async def delete(self, call_id: str) -> bool:
        """Remove the call with its stages, tools, messages and events. ``False`` where there was none."""
        async with self._database.write() as connection:
            statement = delete(CallRow).where(CallRow.call_id == call_id)
            return (await connection.execute(statement)).rowcount == 1


def _refusal(call: CallRecord | None, token_hash: str) -> JoinClaim:
    if call is None:
        return JoinClaim.UNKNOWN
    if not hmac.compare_digest(call.join_token_hash.encode(), token_hash.encode()):
        return JoinClaim.WRONG_TOKEN
    if call.ended is not None and call.claimed is None and call.end_reason is EndReason.UNJOINED:
        return JoinClaim.EXPIRED
    if call.ended is not None:
        return JoinClaim.ENDED
    return JoinClaim.USED if call.claimed is not None else JoinClaim.EXPIRED
