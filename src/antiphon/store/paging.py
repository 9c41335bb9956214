"""Paging that does not slip when rows are added: a cursor names the row a page begins behind.

A cursor is opaque: base64 of a JSON array of a direction and the row's sort key.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, RowMapping, Select, func, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from antiphon.errors import InvalidRequest
from antiphon.store.columns import CleanText, UtcDateTime
from antiphon.store.records import Page, RecordT

DEFAULT_PAGE_SIZE = 20
MAX_PAGE_SIZE = 100

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


async def fetch_page(
    connection: AsyncConnection,
    query: Select[Any],
    order: Order,
    record: Callable[[RowMapping], RecordT],
    *,
    cursor: str | None,
    page_size: int,
) -> Page[RecordT]:
    """The page of ``query`` that ``cursor`` names, the first one without.

    ``query`` selects all that matches, unsorted, the columns of ``order`` among what it selects.
    """
    direction: Direction = "next"
    bounded = query
    if cursor is not None:
        direction, key = decode_cursor(cursor, order)
        here = tuple_(*order.columns)
        there = tuple_(*(literal(value, column.type) for value, column in zip(key, order.columns, strict=True)))
        upwards = order.descending == (direction == "previous")
        bounded = query.where(here > there if upwards else here < there)
    falling = order.descending != (direction == "previous")
    by = [column.desc() if falling else column.asc() for column in order.columns]
    rows = (await connection.execute(bounded.order_by(*by).limit(page_size + 1))).mappings().all()
    total = (await connection.execute(select(func.count()).select_from(query.order_by(None).subquery()))).scalar_one()
    more, rows = len(rows) > page_size, rows[:page_size]
    if direction == "previous":
        rows = rows[::-1]
    behind = more if direction == "next" else bool(rows)
    before = more if direction == "previous" else cursor is not None and bool(rows)
    return Page(
        results=tuple(record(row) for row in rows),
        next=encode_cursor("next", order.key(rows[-1])) if behind else None,
        previous=encode_cursor("previous", order.key(rows[0])) if before else None,
        total=total,
    )
