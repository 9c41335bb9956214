"""Paging that does not slip when rows are added: a cursor names the row a page begins behind.

A cursor is opaque: base64 of a JSON array of a direction and the row's sort key.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Integer, MappingResult, RowMapping, Select, bindparam, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from antiphon.errors import InvalidRequest
from antiphon.pause import Pause
from antiphon.store.columns import CleanText, UtcDateTime
from antiphon.store.records import Page, RecordT

DEFAULT_PAGE_SIZE = 20
MAX_PAGE_SIZE = 100
_TOTAL = "page_total"

Direction = Literal["next", "previous"]


@dataclass(frozen=True, slots=True)
class Order:
    """The columns a listing is sorted by, together unique, none of them null."""

    columns: tuple[ColumnElement[Any], ...]
    descending: bool = False

    def key(self, row: RowMapping) -> tuple[Any, ...]:
        """The sort key of ``row``."""
        return tuple(row[column] for column in self.columns)


def check_page_size(page_size: int | None, default: int = DEFAULT_PAGE_SIZE) -> int:
    """The page size to use.

    Raises:
        InvalidRequest: it is not 1 to 100.

    """
    if page_size is None:
        return default
    if not 1 <= page_size <= MAX_PAGE_SIZE:
        raise InvalidRequest.of("pageSize", f"must be 1 to {MAX_PAGE_SIZE}")
    return page_size


def encode_cursor(direction: Direction, key: Sequence[Any]) -> str:
    """The cursor of the page behind (``next``) or before (``previous``) the row with this sort ``key``."""
    values = [value.isoformat() if isinstance(value, datetime) else value for value in key]
    data = json.dumps([direction[0], *values], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decode_cursor(cursor: str, order: Order) -> tuple[Direction, tuple[Any, ...]]:
    """The direction and the sort key in ``cursor``.

    Raises:
        InvalidRequest: it is not a cursor of a listing in this ``order``.

    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        direction, *values = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if direction not in ("n", "p") or len(values) != len(order.columns):
            raise ValueError(direction)
        key = tuple(_value(value, column) for value, column in zip(values, order.columns, strict=True))
    except (ValueError, TypeError, RecursionError, OverflowError, binascii.Error):
        raise InvalidRequest.of("cursor", "is not a cursor of this listing") from None
    return ("next" if direction == "n" else "previous"), key


def _value(value: Any, column: ColumnElement[Any]) -> Any:
    if isinstance(column.type, UtcDateTime):
        instant = datetime.fromisoformat(value)
        if instant.tzinfo is None:
            raise ValueError(value)
        return instant
    expected = str if isinstance(column.type, CleanText) else int
    if type(value) is not expected or (isinstance(value, int) and abs(value) >= 2**31):
        raise ValueError(value)
    return value


class Listing:
    """A query that is read page by page; its statements are made once, which costs more than most pages take.

    ``query`` selects all that matches, unsorted, the columns of ``order`` among what it selects. Where it has
    parameters of its own, no name of theirs may begin with ``page_``.
    """

    def __init__(self, query: Select[Any], order: Order) -> None:
        self._order = order
        self._count = select(func.count()).select_from(query.order_by(None).subquery())
        # With the rows in one statement: both see one state of the database without a transaction.
        self._counted = query.add_columns(self._count.scalar_subquery().label(_TOTAL))
        self._made: dict[Direction | None, Select[Any]] = {}

    async def page(
        self,
        connection: AsyncConnection,
        record: Callable[[RowMapping], RecordT],
        *,
        cursor: str | None,
        page_size: int,
        parameters: Mapping[str, Any] | None = None,
    ) -> Page[RecordT]:
        """The page that ``cursor`` names, the first one without."""
        order = self._order
        direction, key = (None, ()) if cursor is None else decode_cursor(cursor, order)
        given = {**(parameters or {}), "page_limit": page_size + 1}
        given.update({f"page_key_{number}": value for number, value in enumerate(key)})
        found = (await connection.execute(self._statement(direction), given)).mappings()
        rows: list[RowMapping] = []
        results: list[RecordT] = []
        async for row in in_pieces(found):
            rows.append(row)
            if len(results) < page_size:
                results.append(record(row))
        if rows:
            total: int = rows[0][_TOTAL]
        else:
            total = 0 if cursor is None else await self._total(connection, parameters)
        more = len(rows) > page_size
        rows = rows[:page_size]
        if direction == "previous":
            rows, results = rows[::-1], results[::-1]
        behind = bool(rows) if direction == "previous" else more
        before = more if direction == "previous" else cursor is not None and bool(rows)
        return Page(
            results=tuple(results),
            next=encode_cursor("next", order.key(rows[-1])) if behind else None,
            previous=encode_cursor("previous", order.key(rows[0])) if before else None,
            total=total,
        )

    async def _total(self, connection: AsyncConnection, parameters: Mapping[str, Any] | None) -> int:
        total: int = (await connection.execute(self._count, dict(parameters or {}))).scalar_one()
        return total

    def _statement(self, direction: Direction | None) -> Select[Any]:
        if direction not in self._made:
            self._made[direction] = self._make(direction)
        return self._made[direction]

    def _make(self, direction: Direction | None) -> Select[Any]:
        columns, query = self._order.columns, self._counted
        falling = self._order.descending != (direction == "previous")
        if direction is not None:
            here = tuple_(*columns)
            there = tuple_(*(bindparam(f"page_key_{n}", type_=column.type) for n, column in enumerate(columns)))
            query = query.where(here < there if falling else here > there)
        by = [column.desc() if falling else column.asc() for column in columns]
        return query.order_by(*by).limit(bindparam("page_limit", type_=Integer()))


async def in_pieces(found: MappingResult) -> AsyncIterator[RowMapping]:
    """The rows, one by one: their JSON is read on the way, of which there may be much."""
    pause = Pause()
    while (row := found.fetchone()) is not None:
        yield row
        await pause.when_due()


async def fetch_page(
    connection: AsyncConnection,
    query: Select[Any],
    order: Order,
    record: Callable[[RowMapping], RecordT],
    *,
    cursor: str | None,
    page_size: int,
) -> Page[RecordT]:
    """The page of a query that is made anew each time."""
    return await Listing(query, order).page(connection, record, cursor=cursor, page_size=page_size)
