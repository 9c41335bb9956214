"""Records of calls, in SQLite or PostgreSQL.

``Database.open`` (``database.py``), ``Repositories`` (``repositories.py``) for what can wait,
``Ledger`` (``ledger.py``) for what a live call writes, and the records themselves (``records.py``).
"""
