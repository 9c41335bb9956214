"""Reading a request's JSON body, bounded."""

from __future__ import annotations

from typing import Any

from starlette.requests import ClientDisconnect, Request

from antiphon.errors import InvalidRequest, TooLarge
from antiphon.wire import json_text


async def json_body(request: Request, max_bytes: int) -> Any:
    """The decoded body; ``{}`` where there is none.

    Raises :class:`TooLarge` as soon as more than ``max_bytes`` are announced or have come, and
    :class:`InvalidRequest` for what is not JSON.
    """
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced) > max_bytes:
        raise _too_large(max_bytes)
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > max_bytes:
                raise _too_large(max_bytes)
    except ClientDisconnect:
        raise InvalidRequest("the body is not complete") from None
    if not body.strip():
        return {}
    try:
        return json_text.decode(bytes(body))
    except json_text.BadJson as error:
        raise InvalidRequest(f"the body is not usable: {error}") from None


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"the body is larger than {max_bytes} bytes")
