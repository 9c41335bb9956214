"""Reading a request's JSON body, bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from antiphon.errors import InvalidRequest, TooLarge
from antiphon.wire import json_text

T = TypeVar("T")

PARSED_AT_ONCE_BYTES = 16_384
"""A larger body is parsed in a thread: a megabyte of small parts takes a second, in which no call is served."""


async def json_body(request: Request, max_bytes: int) -> Any:
    """The decoded body; ``{}`` where there is none.

    Raises :class:`TooLarge` as soon as more than ``max_bytes`` are announced or have come, and
    :class:`InvalidRequest` for what is not JSON.
    """
    return await parsed_body(request, max_bytes, lambda value: value)


async def parsed_body(request: Request, max_bytes: int, parse: Callable[[Any], T], *, much: bool = False) -> T:
    """What ``parse`` makes of the decoded body. Raises what it raises, and what :func:`json_body` does.

    ``much``: there is much to parse, however short the body is.
    """
    body = await _read(request, max_bytes)
    if len(body) <= PARSED_AT_ONCE_BYTES and not much:
        return parse(_decode(body))
    return await asyncio.to_thread(lambda: parse(_decode(body)))


async def _read(request: Request, max_bytes: int) -> bytes:
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
    return bytes(body)


def _decode(body: bytes) -> Any:
    if not body.strip():
        return {}
    try:
        return json_text.decode(body)
    except json_text.BadJson as error:
        raise InvalidRequest(f"the body is not usable: {error}") from None


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"the body is larger than {max_bytes} bytes")
