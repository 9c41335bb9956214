"""Alembic's way in: runs revisions on the connection that ``store.schema`` hands over."""

from __future__ import annotations

from alembic import context

from antiphon.store.tables import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
