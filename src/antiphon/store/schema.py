"""Brings a database to the newest schema when it is opened."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

MIGRATIONS = Path(__file__).parent / "migrations"

# Any number will do, as long as all servers use the same one: it lets one of them migrate while others wait.
_LOCK = 0x616E7469


class NewerSchema(Exception):
    """The database was made by a version of Antiphon that came after this one."""


def upgrade(connection: Connection) -> None:
    """Run all missing revisions inside the connection's transaction, which the caller commits.

    Raises:
        NewerSchema: the database has a revision that this version does not know.

    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    script = ScriptDirectory(str(MIGRATIONS))
    current = MigrationContext.configure(connection).get_current_revision()
    if current == script.get_current_head():
        return
    if current is not None and current not in {revision.revision for revision in script.walk_revisions()}:
        raise NewerSchema(current)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
