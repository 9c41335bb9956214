"""Which call an engine is asked for, so that its server can be told."""

from __future__ import annotations

from contextvars import ContextVar

CALL_ID_HEADER = "X-Antiphon-Call-Id"
"""Goes with every request to an engine's server that is made for a call."""

current_call: ContextVar[str] = ContextVar("current_call", default="")
"""The call's id, ``""`` outside of calls.

To be set in the task that asks: many tasks of a call are begun by a clock or a scorer that serves all calls, and
inherit nothing of use from there.
"""


def call_headers() -> dict[str, str]:
    """The header, or none outside of a call."""
    call_id = current_call.get()
    return {CALL_ID_HEADER: call_id} if call_id else {}
