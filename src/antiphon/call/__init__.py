"""The call itself, pure: events in, actions out; no clock, no I/O, no asyncio."""
