"""Calls with their labels, stages, messages and events, and the API keys.

This file describes the tables as they were then: it does not use the classes of ``tables.py``.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _of_call(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["call_id"], ["calls.call_id"], name=f"fk_{table}_call_id", ondelete="CASCADE")


def upgrade() -> None:
    _calls()
    _stages_and_messages()
    _events()
    op.create_table(
        "api_keys",
        sa.Column("prefix", sa.Text, nullable=False),
        sa.Column("key_hash", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created", INSTANT, nullable=False),
        sa.Column("creator", sa.Text),
        sa.Column("expiry", INSTANT),
        sa.Column("revoked", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("prefix", name="pk_api_keys"),
        sa.UniqueConstraint("key_hash", name="uq_api_keys_key_hash"),
    )


def _calls() -> None:
    op.create_table(
        "calls",
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("server_id", sa.Text, nullable=False),
        sa.Column("created", INSTANT, nullable=False),
        sa.Column("day_s", sa.Double, nullable=False),
        sa.Column("request", sa.JSON, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("voice", sa.Text),
        sa.Column("voice_id", sa.Text),
        sa.Column("recording_enabled", sa.Boolean, nullable=False),
        sa.Column("join_token_hash", sa.Text, nullable=False),
        sa.Column("join_deadline", INSTANT, nullable=False),
        sa.Column("claimed", INSTANT),
        sa.Column("joined", INSTANT),
        sa.Column("ended", INSTANT),
        sa.Column("end_reason", sa.Text),
        sa.Column("duration_s", sa.Double),
        sa.Column("client_version", sa.Text),
        sa.Column("current_stage_id", sa.Text),
        sa.Column("summary", sa.Text),
        sa.Column("short_summary", sa.Text),
        sa.Column("error_count", sa.Integer, nullable=False),
        sa.Column("agent_id", sa.Text),
        sa.Column("agent", sa.JSON),
        sa.Column("sip_details", sa.JSON),
        sa.PrimaryKeyConstraint("call_id", name="pk_calls"),
    )
    op.create_index("ix_calls_created", "calls", ["created", "call_id"])
    op.create_index("ix_calls_ended_server_id", "calls", ["ended", "server_id"])
    op.create_index("ix_calls_voice_id", "calls", ["voice_id"])
    op.create_index("ix_calls_agent_id", "calls", ["agent_id"])
    op.create_table(
        "call_labels",
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("call_id", "digest", name="pk_call_labels"),
        _of_call("call_labels"),
    )
    op.create_index("ix_call_labels_digest", "call_labels", ["digest"])


def _stages_and_messages() -> None:
    op.create_table(
        "stages",
        sa.Column("stage_id", sa.Text, nullable=False),
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("index", sa.Integer, nullable=False),
        sa.Column("created", INSTANT, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("initial_token_count", sa.Integer),
        sa.Column("latest_token_count", sa.Integer),
        sa.Column("error_count", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("stage_id", name="pk_stages"),
        _of_call("stages"),
    )
    op.create_index("uq_stages_call_id_index", "stages", ["call_id", "index"], unique=True)
    op.create_table(
        "messages",
        sa.Column("stage_id", sa.Text, nullable=False),
        sa.Column("stage_index", sa.Integer, nullable=False),
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("ordinal", sa.Integer),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("modality", sa.Text),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("audio_start_s", sa.Double),
        sa.Column("audio_end_s", sa.Double),
        sa.Column("wall_start_s", sa.Double),
        sa.Column("wall_end_s", sa.Double),
        sa.Column("invocation_id", sa.Text),
        sa.Column("tool_name", sa.Text),
        sa.Column("error_details", sa.Text),
        sa.Column("call_state", sa.JSON),
        sa.Column("metadata", sa.JSON),
        sa.PrimaryKeyConstraint("stage_id", "stage_index", name="pk_messages"),
        sa.ForeignKeyConstraint(["stage_id"], ["stages.stage_id"], name="fk_messages_stage_id", ondelete="CASCADE"),
        _of_call("messages"),
    )
    op.create_index("ix_messages_call_id_ordinal", "messages", ["call_id", "ordinal"])


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("number", ROW_NUMBER, autoincrement=True, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("stage_id", sa.Text),
        sa.Column("audio_s", sa.Double, nullable=False),
        sa.Column("wall_s", sa.Double),
        sa.Column("severity", sa.Integer, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("extras", sa.JSON),
        sa.PrimaryKeyConstraint("number", name="pk_events"),
        sa.UniqueConstraint("event_id", name="uq_events_event_id"),
        _of_call("events"),
    )
    op.create_index("ix_events_call_id_number", "events", ["call_id", "number"])


def downgrade() -> None:
    for table in ("api_keys", "events", "messages", "stages", "call_labels", "calls"):
        op.drop_table(table)
