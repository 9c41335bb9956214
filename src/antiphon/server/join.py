"""The WebSocket behind ``joinUrl``.

The secret is part of the path, so that a client may add query parameters to the URL however it likes.
"""

from __future__ import annotations

import contextlib

import structlog
from fastapi import APIRouter
from starlette.websockets import WebSocket

from antiphon.errors import JoinRefused
from antiphon.media.server_websocket import ServerWebSocket
from antiphon.metrics import JOINS_REFUSED
from antiphon.server.errors import where
from antiphon.server.ports import Services
from antiphon.wire.call_request import parse_call_request
from antiphon.wire.medium import ServerWebSocketMedium

NO_SUCH_CALL = "there is no such call, or the join URL is not whole"
SERVER_FAULT = 1011

router = APIRouter()
_log = structlog.get_logger(__name__)


def join_path(call_id: str, token: str) -> str:
    """The path of a join URL."""
    return f"/api/calls/{call_id}/join/{token}"


@router.websocket("/api/calls/{call_id}/join/{token}")
async def join(websocket: WebSocket, call_id: str, token: str) -> None:
    """Serve one join. A refused one is accepted first: only so does a client see the code and the reason."""
    serving: Services = websocket.app.state.services
    await websocket.accept()
    try:
        await _serve(serving, websocket, call_id, token)
    except JoinRefused as refusal:
        JOINS_REFUSED.labels(refusal.close_code).inc()
        _log.info("join_refused", call_id=call_id[:36], code=refusal.close_code, reason=refusal.reason)
        await _close(websocket, refusal.close_code, refusal.reason)
    except Exception as error:
        _log.error("join_failed", call_id=call_id[:36], error=type(error).__name__, where=where(error))
        await _close(websocket, SERVER_FAULT, "something went wrong on the server")


async def _serve(serving: Services, websocket: WebSocket, call_id: str, token: str) -> None:
    wanted = await _medium(serving, call_id)
    version = websocket.query_params.get("clientVersion", "")[:200] or None
    async with ServerWebSocket(websocket, wanted.input_sample_rate, wanted.output_rate) as medium:
        await serving.switchboard.serve(call_id, token, medium, version)


async def _medium(serving: Services, call_id: str) -> ServerWebSocketMedium:
    record = await serving.store.calls.get(call_id)
    if record is None:
        raise JoinRefused(NO_SUCH_CALL)
    wanted = parse_call_request(record.request).medium.server_web_socket
    if wanted is None:
        raise JoinRefused("this call's medium is not serverWebSocket; this server carries no other yet", 4400)
    return wanted


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    with contextlib.suppress(Exception):  # the client may be gone already
        await websocket.close(code, reason.encode()[:123].decode(errors="ignore"))
