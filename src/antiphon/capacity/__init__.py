"""How many calls this machine carries, and of what: ``antiphon capacity``."""
