"""All repositories of one database, together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from antiphon.store.call_filter import CallFilter
from antiphon.store.call_tools import CallToolRepository
from antiphon.store.calls import CallRepository
from antiphon.store.database import Database
from antiphon.store.events import EventRepository
from antiphon.store.keys import KeyRepository
from antiphon.store.messages import MessageMode, MessageRepository
from antiphon.store.stages import StageRepository
from antiphon.store.tools import ToolRepository

__all__ = [
    "CallFilter",
    "CallRepository",
    "CallToolRepository",
    "EventRepository",
    "KeyRepository",
    "MessageMode",
    "MessageRepository",
    "Repositories",
    "StageRepository",
    "ToolRepository",
]


@dataclass(frozen=True, slots=True)
class Repositories:
    """One repository per resource."""

    calls: CallRepository
    stages: StageRepository
    messages: MessageRepository
    events: EventRepository
    keys: KeyRepository
    tools: ToolRepository
    call_tools: CallToolRepository

    @classmethod
    def of(cls, database: Database) -> Self:
        """The repositories of an open database."""
        return cls(
            calls=CallRepository(database),
            stages=StageRepository(database),
            messages=MessageRepository(database),
            events=EventRepository(database),
            keys=KeyRepository(database),
            tools=ToolRepository(database),
            call_tools=CallToolRepository(database),
        )
