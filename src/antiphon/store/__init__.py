"""Records of calls, in SQLite or PostgreSQL."""
