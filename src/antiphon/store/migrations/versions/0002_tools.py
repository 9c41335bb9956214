"""Durable tools, and which tools the stages of calls have.

This file describes the tables as they were then: it does not use the classes of ``tables.py``.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tools",
        sa.Column("tool_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("definition", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("tool_id", name="pk_tools"),
        sa.UniqueConstraint("name", name="uq_tools_name"),
    )
    op.create_index("ix_tools_created", "tools", ["created"])
    op.create_table(
        "call_tools",
        sa.Column("call_tool_id", sa.Text, nullable=False),
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("stage_id", sa.Text, nullable=False),
        sa.Column("index", sa.Integer, nullable=False),
        sa.Column("tool_id", sa.Text),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("definition", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("call_tool_id", name="pk_call_tools"),
        sa.ForeignKeyConstraint(["call_id"], ["calls.call_id"], name="fk_call_tools_call_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["stage_id"], ["stages.stage_id"], name="fk_call_tools_stage_id", ondelete="CASCADE"),
    )
    op.create_index("ix_call_tools_call_id", "call_tools", ["call_id"])
    op.create_index("ix_call_tools_stage_id_index", "call_tools", ["stage_id", "index"])
    op.create_index("ix_call_tools_tool_id", "call_tools", ["tool_id"])


def downgrade() -> None:
    op.drop_table("call_tools")
    op.drop_table("tools")
