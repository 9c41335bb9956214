"""The WebSocket behind ``joinUrl``."""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace

import structlog
from fastapi import APIRouter
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from antiphon.api.services import Services
from antiphon.config.logs import where
from antiphon.errors import JoinRefused
from antiphon.lifecycle.joins import JoinTicket
from antiphon.media.websocket.medium import JoinedSocket
from antiphon.media.websocket.socket import EXTENSION, CallSocket

SERVER_FAULT = 1011
LONGEST_REASON = 123
"""Bytes of a close reason (RFC 6455, section 5.5)."""

MOST_OF_A_VERSION = 200
_ASK_FOR_MESSAGES = ("additionalMessages", "experimentalMessages")
"""Parameters in which client SDKs list further data messages that they want: the new name and the old one."""

_TOKEN = re.compile(r"[A-Za-z0-9_-]*")

router = APIRouter()
_log = structlog.get_logger(__name__)


@router.websocket("/api/calls/{call_id}/join")
async def join(websocket: WebSocket, call_id: str) -> None:
    """Serve one join.

    The call is claimed before the socket is accepted: a client whose socket is open can be sent messages by REST. A
    refused join is accepted nevertheless, and then closed: only so does a client see the code and the reason.
    """
    serving: Services = websocket.app.state.services
    try:
        ticket = await _claim(serving, websocket, call_id)
        try:
            if await _opened(websocket, call_id):
                await _serve(serving, websocket, ticket)
        finally:
            await serving.manager.release(ticket)
    except JoinRefused as refusal:
        _log.info("join_refused", call_id=call_id[:36], code=refusal.close_code, reason=refusal.reason)
        await _close(websocket, refusal.close_code, refusal.reason)
    except Exception as error:
        _log.error("join_failed", call_id=call_id[:36], error=type(error).__name__, where=where(error))
        await _close(websocket, SERVER_FAULT, "something went wrong on the server")


async def _opened(websocket: WebSocket, call_id: str) -> bool:
    """Open the socket; ``False`` where the client has left already, as clients do."""
    try:
        await websocket.accept()
    except (OSError, WebSocketDisconnect):
        _log.info("join_abandoned", call_id=call_id[:36], reason="the client left before its WebSocket was open")
        return False
    return True


async def _claim(serving: Services, websocket: WebSocket, call_id: str) -> JoinTicket:
    query = websocket.query_params
    # Some clients add their parameters with a second "?".
    found = _TOKEN.match(query.get("token", ""))
    version = query.get("clientVersion", "").replace("\0", "")[:MOST_OF_A_VERSION] or None
    ticket = await serving.manager.join(call_id, found[0] if found else "", version)
    asked = [name for key in _ASK_FOR_MESSAGES for value in query.getlist(key) for name in value.split(",")]
    return replace(ticket, asked=tuple(asked))


async def _serve(serving: Services, websocket: WebSocket, ticket: JoinTicket) -> None:
    direct: CallSocket | None = websocket.scope.get("extensions", {}).get(EXTENSION)
    if direct is not None:
        direct.read_in_batches(serving.manager.batch_reader)
    async with serving.manager.open_medium(ticket, JoinedSocket(websocket, direct)) as medium:
        await serving.manager.serve(ticket, medium)


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    with contextlib.suppress(Exception):  # the client may be gone already
        if websocket.application_state is WebSocketState.CONNECTING:
            await websocket.accept()
        await websocket.close(code, reason.encode()[:LONGEST_REASON].decode(errors="ignore"))
