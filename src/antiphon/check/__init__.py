"""`antiphon check`: one real question to every engine."""
