"""The tables. What leaves the room are records (``records.py``), never these rows.

Every change here needs a new revision in ``migrations/versions``; a test compares the two.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, Double, ForeignKey, Index, Integer, MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from antiphon.store.columns import CleanText, UtcDateTime

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}

# SQLite numbers rows by itself only where the column is exactly INTEGER.
RowNumber = BigInteger().with_variant(Integer(), "sqlite")


class Base(DeclarativeBase):
    """What all tables share: names of constraints, and one column type for each type."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: CleanText(),
        datetime: UtcDateTime(),
        dict[str, Any]: JSON(none_as_null=True),
        float: Double(),
    }


class CallRow(Base):
    """A call. ``server_id`` is whose it is while it lives; ``duration_s`` and ``day_s`` serve the filters."""

    __tablename__ = "calls"
    __table_args__ = (
        Index("ix_calls_created", "created", "call_id"),
        Index("ix_calls_ended_server_id", "ended", "server_id"),
    )

    call_id: Mapped[str] = mapped_column(primary_key=True)
    server_id: Mapped[str]
    created: Mapped[datetime]
    day_s: Mapped[float]
    request: Mapped[dict[str, Any]]
    model: Mapped[str]
    voice: Mapped[str | None]
    voice_id: Mapped[str | None] = mapped_column(index=True)
    recording_enabled: Mapped[bool]
    join_token_hash: Mapped[str]
    join_deadline: Mapped[datetime]
    claimed: Mapped[datetime | None]
    joined: Mapped[datetime | None]
    ended: Mapped[datetime | None]
    end_reason: Mapped[str | None]
    duration_s: Mapped[float | None]
    client_version: Mapped[str | None]
    current_stage_id: Mapped[str | None]
    summary: Mapped[str | None]
    short_summary: Mapped[str | None]
    error_count: Mapped[int]
    agent_id: Mapped[str | None] = mapped_column(index=True)
    agent: Mapped[dict[str, Any] | None]
    sip_details: Mapped[dict[str, Any] | None]
    greeting_prompt: Mapped[bool]
    durable_tools: Mapped[dict[str, Any] | None]


class CallLabelRow(Base):
    """One metadata pair of a call, as a digest: pairs may be longer than an index entry may be."""

    __tablename__ = "call_labels"

    call_id: Mapped[str] = mapped_column(ForeignKey("calls.call_id", ondelete="CASCADE"), primary_key=True)
    digest: Mapped[str] = mapped_column(primary_key=True, index=True)


class StageRow(Base):
    """A stage of a call."""

    __tablename__ = "stages"
    __table_args__ = (Index("uq_stages_call_id_index", "call_id", "index", unique=True),)

    stage_id: Mapped[str] = mapped_column(primary_key=True)
    call_id: Mapped[str] = mapped_column(ForeignKey("calls.call_id", ondelete="CASCADE"))
    index: Mapped[int]
    created: Mapped[datetime]
    model: Mapped[str]
    settings: Mapped[dict[str, Any]]
    initial_token_count: Mapped[int | None]
    latest_token_count: Mapped[int | None]
    error_count: Mapped[int]


class ToolRow(Base):
    """A durable tool of this server. ``description`` repeats the definition's, for searches."""

    __tablename__ = "tools"

    tool_id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str]
    created: Mapped[datetime] = mapped_column(index=True)
    definition: Mapped[dict[str, Any]]


class CallToolRow(Base):
    """A tool as a stage of a call has it. ``tool_id`` may name one that was deleted since, or a built-in one."""

    __tablename__ = "call_tools"
    __table_args__ = (Index("ix_call_tools_stage_id_index", "stage_id", "index"),)

    call_tool_id: Mapped[str] = mapped_column(primary_key=True)
    call_id: Mapped[str] = mapped_column(ForeignKey("calls.call_id", ondelete="CASCADE"), index=True)
    stage_id: Mapped[str] = mapped_column(ForeignKey("stages.stage_id", ondelete="CASCADE"))
    index: Mapped[int]
    tool_id: Mapped[str | None] = mapped_column(index=True)
    name: Mapped[str]
    definition: Mapped[dict[str, Any]]


class MessageRow(Base):
    """A message, at its place in its stage."""

    __tablename__ = "messages"
    __table_args__ = (Index("ix_messages_call_id_ordinal", "call_id", "ordinal"),)

    stage_id: Mapped[str] = mapped_column(ForeignKey("stages.stage_id", ondelete="CASCADE"), primary_key=True)
    stage_index: Mapped[int] = mapped_column(primary_key=True)
    call_id: Mapped[str] = mapped_column(ForeignKey("calls.call_id", ondelete="CASCADE"))
    ordinal: Mapped[int | None]
    role: Mapped[str]
    modality: Mapped[str | None]
    text: Mapped[str]
    audio_start_s: Mapped[float | None]
    audio_end_s: Mapped[float | None]
    wall_start_s: Mapped[float | None]
    wall_end_s: Mapped[float | None]
    invocation_id: Mapped[str | None]
    tool_name: Mapped[str | None]
    error_details: Mapped[str | None]
    call_state: Mapped[dict[str, Any] | None]
    metadata_: Mapped[dict[str, Any] | None] = mapped_column("metadata")


class EventRow(Base):
    """An event. ``severity`` is a number that rises with it, so that a minimum can be asked for."""

    __tablename__ = "events"
    __table_args__ = (Index("ix_events_call_id_number", "call_id", "number"),)

    number: Mapped[int] = mapped_column(RowNumber, primary_key=True, autoincrement=True)
    event_id: Mapped[str] = mapped_column(unique=True)
    call_id: Mapped[str] = mapped_column(ForeignKey("calls.call_id", ondelete="CASCADE"))
    stage_id: Mapped[str | None]
    audio_s: Mapped[float]
    wall_s: Mapped[float | None]
    severity: Mapped[int]
    type: Mapped[str]
    text: Mapped[str]
    extras: Mapped[dict[str, Any] | None]


class ApiKeyRow(Base):
    """An API key."""

    __tablename__ = "api_keys"

    prefix: Mapped[str] = mapped_column(primary_key=True)
    key_hash: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    created: Mapped[datetime]
    creator: Mapped[str | None]
    expiry: Mapped[datetime | None]
    revoked: Mapped[bool]
