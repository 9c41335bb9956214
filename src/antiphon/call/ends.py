"""How calls end."""

from __future__ import annotations

from enum import StrEnum


class EndReason(StrEnum):
    """Why a call ended; the values of ``endReason`` in the REST API."""

    UNJOINED = "unjoined"
    HANGUP = "hangup"
    AGENT_HANGUP = "agent_hangup"
    TIMEOUT = "timeout"
    CONNECTION_ERROR = "connection_error"
    SYSTEM_ERROR = "system_error"
