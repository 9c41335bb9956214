"""Which calls a listing shows, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time
from operator import ge, le
from typing import Any

from sqlalchemy import ColumnElement, or_, select

from antiphon.errors import InvalidRequest
from antiphon.store.paging import Order
from antiphon.store.rows import label_digest
from antiphon.store.tables import CallLabelRow, CallRow, MessageRow


@dataclass(frozen=True, slots=True)
class CallFilter:
    """All conditions hold together; ``None`` and empty ones don't limit.

    Dates and durations are inclusive at both ends. ``metadata`` pairs must match exactly. Of ``voice_ids``
    one matches. ``search`` is found, in any case, within a message, a summary or a short summary. A call that
    has not ended has no duration yet; one never joined lasted 0 s. Times of day are UTC.
    """

    from_date: datetime | None = None
    to_date: datetime | None = None
    time_of_day_start: time | None = None
    time_of_day_end: time | None = None
    duration_min_s: float | None = None
    duration_max_s: float | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    voice_ids: tuple[str, ...] = ()
    agent_ids: tuple[str, ...] = ()
    search: str | None = None
    live: bool = False

    def conditions(self) -> list[ColumnElement[bool]]:
        """The conditions on ``calls``."""
        table = CallRow.__table__.c
        bounds: list[tuple[Any, ColumnElement[Any], Callable[[Any, Any], Any]]] = [
            (self.from_date, table.created, ge),
            (self.to_date, table.created, le),
            (_second_of_day(self.time_of_day_start), table.day_s, ge),
            (_second_of_day(self.time_of_day_end), table.day_s, le),
            (self.duration_min_s, table.duration_s, ge),
            (self.duration_max_s, table.duration_s, le),
        ]
        conditions: list[ColumnElement[bool]] = [
            compare(column, value) for value, column, compare in bounds if value is not None
        ]
        for key, value in self.metadata.items():
            having = select(CallLabelRow.call_id).where(CallLabelRow.digest == label_digest(key, value))
            conditions.append(CallRow.call_id.in_(having))
        if self.voice_ids:
            conditions.append(CallRow.voice_id.in_(self.voice_ids))
        if self.agent_ids:
            conditions.append(CallRow.agent_id.in_(self.agent_ids))
        if self.search:
            conditions.append(_mentions(self.search))
        if self.live:
            conditions += [CallRow.joined.is_not(None), CallRow.ended.is_(None)]
        return conditions


def call_order(sort: str | None) -> Order:
    """The order that ``sort`` names.

    Raises:
        InvalidRequest: it is neither ``created`` nor ``-created``.

    """
    if sort not in (None, "created", "-created"):
        raise InvalidRequest.of("sort", "must be created or -created")
    table = CallRow.__table__
    return Order((table.c.created, table.c.call_id), descending=sort != "created")


def _mentions(search: str) -> ColumnElement[bool]:
    said = select(MessageRow.call_id).where(MessageRow.text.icontains(search, autoescape=True))
    return or_(
        CallRow.summary.icontains(search, autoescape=True),
        CallRow.short_summary.icontains(search, autoescape=True),
        CallRow.call_id.in_(said),
    )


def _second_of_day(at: time | None) -> float | None:
    return None if at is None else at.hour * 3600 + at.minute * 60 + at.second + at.microsecond / 1e6
