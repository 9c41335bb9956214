"""Durable tools: those of this server, listed together with those that every server has."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    ColumnElement,
    Integer,
    Select,
    Subquery,
    and_,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from antiphon.errors import Conflict
from antiphon.store.calls import LATEST
from antiphon.store.columns import CleanText, UtcDateTime
from antiphon.store.database import Database
from antiphon.store.paging import Order, check_page_size, fetch_page
from antiphon.store.records import MessageRole, Page, ToolRecord, ToolUse
from antiphon.store.rows import call_record, tool_record, tool_row
from antiphon.store.tables import CallRow, CallToolRow, MessageRow, ToolRow


class ToolSort(StrEnum):
    """The orders of a listing, by their names in the API."""

    DISPLAY = "display"
    """Public ones first, then the server's own, each newest first."""
    ALPHABETIC = "alphabetic"
    REVERSE_ALPHABETIC = "reverseAlphabetic"
    CHRONOLOGIC = "chronologic"
    REVERSE_CHRONOLOGIC = "reverseChronologic"
    DEFAULT = "default"
    """The server's own first, then public ones, each newest first."""


class Ownership(StrEnum):
    """Whose tools."""

    PRIVATE = "private"
    PUBLIC = "public"


class ToolRepository:
    """All that can be asked about durable tools and done to them. Every method may raise ``StoreError``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, tool: ToolRecord) -> None:
        """Store a new tool.

        Raises:
            Conflict: there is one of this name.

        """
        async with self._database.write() as connection:
            await _unique(connection, tool.name, insert(ToolRow).values(**tool_row(tool)))

    async def get(self, tool_id: str) -> ToolRecord | None:
        """The tool with this id, or ``None``."""
        return await self._one(ToolRow.tool_id == tool_id)

    async def by_name(self, name: str) -> ToolRecord | None:
        """The tool of exactly this name, or ``None``."""
        return await self._one(ToolRow.name == name)

    async def page(
        self,
        public: Sequence[ToolRecord] = (),
        *,
        ownership: Ownership | None = None,
        search: str | None = None,
        sort: ToolSort = ToolSort.DEFAULT,
        cursor: str | None = None,
        page_size: int | None = None,
    ) -> Page[ToolRecord]:
        """One page of the stored tools and of ``public`` ones.

        ``search`` is found, in any case, in a name or a description.

        Raises:
            InvalidRequest: the cursor or the page size (1 to 100, default 20) is wrong.

        """
        size = check_page_size(page_size)
        listed = _listed(public)
        query = select(listed)
        if ownership is not None:
            query = query.where(listed.c.public == int(ownership is Ownership.PUBLIC))
        if search:
            found = [column.icontains(search, autoescape=True) for column in (listed.c.name, listed.c.description)]
            query = query.where(or_(*found))
        async with self._database.read() as connection:
            return await fetch_page(connection, query, _order(listed, sort), tool_record, cursor=cursor, page_size=size)

    async def update(self, tool: ToolRecord) -> bool:
        """Give the tool with this id another name and definition. ``False`` where there is none.

        Raises:
            Conflict: another one has this name.

        """
        values = {name: value for name, value in tool_row(tool).items() if name not in ("tool_id", "created")}
        change = update(ToolRow).where(ToolRow.tool_id == tool.tool_id).values(**values)
        async with self._database.write() as connection:
            return await _unique(connection, tool.name, change) == 1

    async def delete(self, tool_id: str) -> bool:
        """Remove a tool; calls that have it keep it. ``False`` where there is none."""
        async with self._database.write() as connection:
            return (await connection.execute(delete(ToolRow).where(ToolRow.tool_id == tool_id))).rowcount == 1

    async def history(self, tool_id: str, *, cursor: str | None = None, page_size: int | None = None) -> Page[ToolUse]:
        """One page of the calls that had the tool, newest first.

        Raises:
            InvalidRequest: the cursor or the page size (1 to 100, default 20) is wrong.

        """
        size = check_page_size(page_size)
        async with self._database.read() as connection:
            return await fetch_page(
                connection,
                _history(tool_id),
                _NEWEST_CALL,
                lambda row: ToolUse(call_record(row), row["tool_errors"]),
                cursor=cursor,
                page_size=size,
            )

    async def _one(self, condition: ColumnElement[bool]) -> ToolRecord | None:
        async with self._database.look() as connection:
            row = (await connection.execute(select(ToolRow.__table__).where(condition))).mappings().one_or_none()
        return None if row is None else tool_record(row)


_NEWEST_CALL = Order((CallRow.__table__.c.created, CallRow.__table__.c.call_id), descending=True)


async def _unique(connection: AsyncConnection, name: str, statement: Any) -> int:
    """Run what may take a name; how many rows it touched."""
    try:
        return int((await connection.execute(statement)).rowcount)
    except IntegrityError:
        raise Conflict(f"there is a tool named {name} already") from None


def _listed(public: Sequence[ToolRecord]) -> Subquery:
    """The table and ``public`` as one, with a 1 or a 0 for whose each tool is, both ways round."""
    stored = select(ToolRow.__table__, _number(0).label("public"), _number(1).label("private"))
    rows = [
        select(
            literal(tool.tool_id, CleanText()).label("tool_id"),
            literal(tool.name, CleanText()).label("name"),
            literal(tool.description, CleanText()).label("description"),
            literal(tool.created, UtcDateTime()).label("created"),
            literal(tool.definition, JSON()).label("definition"),
            _number(1).label("public"),
            _number(0).label("private"),
        )
        for tool in public
    ]
    return union_all(stored, *rows).subquery("listed")


def _number(value: int) -> ColumnElement[int]:
    return literal(value, Integer())


def _order(listed: Subquery, sort: ToolSort) -> Order:
    columns = listed.c
    newest: tuple[ColumnElement[Any], ...] = (columns.created, columns.tool_id)
    names: tuple[ColumnElement[Any], ...] = (columns.name, columns.tool_id)
    match sort:
        case ToolSort.ALPHABETIC:
            return Order(names)
        case ToolSort.REVERSE_ALPHABETIC:
            return Order(names, descending=True)
        case ToolSort.CHRONOLOGIC:
            return Order(newest)
        case ToolSort.REVERSE_CHRONOLOGIC:
            return Order(newest, descending=True)
        case ToolSort.DISPLAY:
            return Order((columns.public, *newest), descending=True)
        case ToolSort.DEFAULT:
            return Order((columns.private, *newest), descending=True)


def _history(tool_id: str) -> Select[Any]:
    """The calls that had the tool, each with the number of its failed uses."""
    failed = (
        select(func.count())
        .select_from(MessageRow)
        .join(CallToolRow, and_(CallToolRow.stage_id == MessageRow.stage_id, CallToolRow.name == MessageRow.tool_name))
        .where(
            MessageRow.call_id == CallRow.call_id,
            MessageRow.role == MessageRole.TOOL_RESULT.value,
            MessageRow.ordinal.is_not(None),
            MessageRow.error_details.is_not(None),
            CallToolRow.tool_id == tool_id,
        )
        .correlate(CallRow)
        .scalar_subquery()
    )
    having = select(CallToolRow.call_id).where(CallToolRow.tool_id == tool_id)
    return select(CallRow.__table__, LATEST, failed.label("tool_errors")).where(CallRow.call_id.in_(having))
