"""What every router shares: the services, the key check, ids, and pages."""

from __future__ import annotations

import asyncio
import base64
import binascii
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Annotated, Any, TypeAlias, TypeVar

from fastapi import Depends, Query, Request
from fastapi.security import APIKeyHeader
from pydantic_core import to_json
from starlette.responses import Response, StreamingResponse

from antiphon.api.auth import presented_key
from antiphon.api.services import Services
from antiphon.config.config import Config
from antiphon.errors import InvalidRequest, NotFound
from antiphon.pause import Pause
from antiphon.store.paging import check_page_size
from antiphon.store.records import CallRecord, Page

T = TypeVar("T")

SENT_AT_ONCE_BYTES = 65_536
"""A larger page goes out in portions: ten megabytes put together and handed over are 15 ms of work."""

_documented = APIKeyHeader(name="X-API-Key", scheme_name="apiKeyAuth", description="API key", auto_error=False)


async def services(request: Request) -> Services:
    """The services of the app that serves ``request``."""
    # async, though nothing is awaited: FastAPI hands other functions to a thread.
    found: Services = request.app.state.services
    return found


Serving: TypeAlias = Annotated[Services, Depends(services)]
Cursor: TypeAlias = Annotated[str | None, Query(description="The pagination cursor value.")]
PageSize: TypeAlias = Annotated[
    int | None, Query(alias="pageSize", description="Number of results to return per page, 1 to 100.")
]


async def require_key(request: Request, serving: Serving, _key: Annotated[str | None, Depends(_documented)]) -> None:
    """Let only those in who have an API key. ``request.state.key`` names it then."""
    request.state.key = await serving.keys.check(presented_key(request))


def public_url(request: Request, config: Config) -> str:
    """``http(s)://host`` (and a path, where ``public_url`` has one) as clients reach us, without a slash at the end."""
    if config.public_url is not None:
        return config.public_url.rstrip("/")
    return f"{request.url.scheme}://{request.url.netloc}"


def join_base(request: Request, config: Config) -> str:
    """``ws(s)://host`` (and a path) as clients reach us: what join URLs begin with."""
    return "ws" + public_url(request, config).removeprefix("http")


def parse_id(text: str, what: str) -> str:
    """The id in its usual form. Raises ``NotFound`` for what cannot be one."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise NotFound(f"there is no {what} {text[:64]!r}") from None


async def find_call(serving: Services, call_id: str) -> CallRecord:
    """The call; what has happened in it by now is on record then. Raises ``NotFound``."""
    known = parse_id(call_id, "call")
    await serving.manager.settle(known)
    record = await serving.store.calls.get(known)
    if record is None:
        raise NotFound(f"there is no call {call_id}")
    return record


class Json(Response):
    """JSON of what is plain already (dicts, lists, strings, numbers): nothing is validated or converted again."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Its bytes; ``bytes`` are JSON already."""
        return content if isinstance(content, bytes) else to_json(content)


async def envelope(request: Request, config: Config, page: Page[T], shape: Callable[[T], Any]) -> Response:
    """A page in the API's shape; ``next`` and ``previous`` are whole URLs. Large ones are made piece by piece."""
    base = public_url(request, config) + request.url.path

    def link(cursor: str | None) -> str | None:
        return None if cursor is None else base + "?" + request.url.include_query_params(cursor=cursor).query

    head = to_json({"next": link(page.next), "previous": link(page.previous), "total": page.total})
    results: list[bytes] = []
    pause = Pause()
    for item in page.results:
        results.append(to_json(shape(item)))
        await pause.when_due()
    pieces = [head[:-1], b',"results":[', *_with_commas(results), b"]}"]
    size = sum(map(len, pieces))
    if size <= SENT_AT_ONCE_BYTES:
        return Json(b"".join(pieces))
    return StreamingResponse(_each(pieces), headers={"Content-Length": str(size)}, media_type=Json.media_type)


def _with_commas(results: Sequence[bytes]) -> list[bytes]:
    return [piece for result in results for piece in (b",", result)][1:]


async def _each(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    portion: list[bytes] = []
    waiting = 0
    for piece in pieces:
        portion.append(piece)
        waiting += len(piece)
        if waiting > SENT_AT_ONCE_BYTES:
            yield b"".join(portion)
            await asyncio.sleep(0)
            portion, waiting = [], 0
    yield b"".join(portion)


def page_of(items: Sequence[T], cursor: str | None, page_size: int | None) -> Page[T]:
    """A page of a list that is in memory and does not change. Raises ``InvalidRequest``."""
    size = check_page_size(page_size)
    start = 0 if cursor is None else _position(cursor)
    before = max(0, start - size)
    return Page(
        results=tuple(items[start : start + size]),
        next=_cursor(start + size) if start + size < len(items) else None,
        previous=_cursor(before) if start > 0 else None,
        total=len(items),
    )


def _cursor(position: int) -> str:
    return base64.urlsafe_b64encode(f"at{position}".encode()).decode().rstrip("=")


def _position(cursor: str) -> int:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
        if not text.startswith("at") or not text[2:].isdigit() or len(text) > 12:
            raise ValueError(text)
        return int(text[2:])
    except (ValueError, binascii.Error):
        raise InvalidRequest.of("cursor", "is not a cursor of this listing") from None
