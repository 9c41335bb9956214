"""A call's life in the server's log: one line when it is created, joined and ended. Never what was said in it."""

from __future__ import annotations

from datetime import datetime

import structlog

from antiphon.call.ends import EndReason
from antiphon.store.records import CallRecord

_log = structlog.get_logger(__name__)


def log_created(call: CallRecord) -> None:
    """Tell of a new call."""
    _log.info("call_created", call_id=call.call_id, model=call.model, voice=call.voice)


def log_joined(call: CallRecord, client_version: str | None) -> None:
    """Tell that the call's client is connected."""
    _log.info("call_joined", call_id=call.call_id, client=client_version)


def log_ended(call_id: str, reason: EndReason, joined: datetime | None, ended: datetime) -> None:
    """Tell how the call ended, and how long it lasted from its join on."""
    _log.info("call_ended", call_id=call_id, reason=reason.value, duration_s=_lasted_s(joined, ended))


def log_abandoned(call: CallRecord) -> None:
    """Tell of a call that ended with the process that served it."""
    reason = call.end_reason.value if call.end_reason else None
    _log.warning(
        "call_was_abandoned", call_id=call.call_id, reason=reason, duration_s=_lasted_s(call.joined, call.ended)
    )


def _lasted_s(joined: datetime | None, ended: datetime | None) -> float:
    return round(max(0.0, (ended - joined).total_seconds()), 3) if joined and ended else 0.0
