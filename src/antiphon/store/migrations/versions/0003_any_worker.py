"""What any process needs to serve a call that another one created: its greeting, and its durable tools as they were.

This file describes the tables as they were then: it does not use the classes of ``tables.py``.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("calls", sa.Column("greeting_prompt", sa.Boolean, nullable=False, server_default=sa.true()))
    op.add_column("calls", sa.Column("durable_tools", sa.JSON))


def downgrade() -> None:
    op.drop_column("calls", "durable_tools")
    op.drop_column("calls", "greeting_prompt")
