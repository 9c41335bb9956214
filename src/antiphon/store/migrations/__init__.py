"""The schema's history: one Alembic revision a file in ``versions``, run to the newest when a database is opened."""
