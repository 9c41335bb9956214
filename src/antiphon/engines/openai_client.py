"""What the three engines for OpenAI-compatible servers share: the connection, event streams, and failures.

aiohttp, rather than OpenAI's own SDK: a turn (a transcription, a reply, three clauses of speech) costs 2.1 ms of a core
with it, 6.3 ms with httpx and 11.2 ms with the SDK, most of the latter for types nobody here looks at (measured: see
docs/performance.md).
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any
from urllib.parse import unquote, urlsplit

import aiohttp
import certifi

from antiphon.engines.current_call import call_headers
from antiphon.engines.reasons import reason
from antiphon.engines.settings import OpenAIServer
from antiphon.errors import EngineError

KEEP_ALIVE_S = 60.0
"""An idle connection is kept so long for the next request."""

LONGEST_REFUSAL = 8_192
"""Bytes read of an answer that says why it is none."""

LONGEST_LINE = 1 << 20
"""Bytes of one line of an event stream."""

LAST_BYTES_S = 0.02
"""For a stream that said that it is done to end."""

_RETRYABLE = frozenset({408, 409, 425, 429})
_DONE = "[DONE]"
_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, IndexError)
"""What reading an answer raises that is another one than was asked for."""
_LONGEST_TYPE = 60


class Refused(Exception):
    """The server answered, but not with what was asked for. ``text`` is for looking into, not for showing."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"answered {status}")
        self.status = status
        self.text = text


class StreamFailure(Exception):
    """The server told of a failure amid its answer; ``text`` is as that of :class:`Refused`."""

    def __init__(self, text: str) -> None:
        super().__init__("reported a failure")
        self.text = text


class NoEvents(ValueError):
    """The answer should have been a stream of events, and has none in it."""

    def __init__(self) -> None:
        super().__init__("no event in it")


class NotUnderstood(Exception):
    """The server answered with something else than was asked for: its type, and where reading it failed."""


class Connection:
    """Requests to one server, its connections kept open between them.

    Never asks again what may have been heard: in a call a late answer is worth nothing, and whoever asked knows best
    what to do.
    """

    def __init__(self, settings: OpenAIServer, stage: str) -> None:
        """``stage`` names the server in errors: "transcription", "language model", "speech"."""
        url = urlsplit(settings.base_url.rstrip("/"))
        if settings.api_key is not None:  # it counts more than a name and password in the URL
            url = url._replace(netloc=url.netloc.rpartition("@")[2])
        self._base_url = url.geturl()
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=settings.connect_timeout_s, sock_read=settings.timeout_s
        )
        self._headers = {}
        self._secrets = [unquote(part) for part in (url.username, url.password) if part]
        if settings.api_key is not None:
            self._secrets.append(settings.api_key.get_secret_value())
            self._headers["Authorization"] = f"Bearer {settings.api_key.get_secret_value()}"
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        # Not the whole URL: it may hold a password.
        self._name = f"the {stage} server at {url.hostname}" + (f":{url.port}" if url.port else "")

    @asynccontextmanager
    async def post(self, path: str, **body: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to ``POST path`` with ``json=`` or ``data=``. Raises :class:`Refused`; see ``failures``."""
        headers = {**body.pop("headers", {}), **call_headers()}
        url = f"{self._base_url}/{path}"
        async with self._open().post(url, headers=headers, allow_redirects=False, **body) as response:
            if not 200 <= response.status < 300:
                text = (await response.content.read(LONGEST_REFUSAL)).decode(errors="replace")
                raise Refused(response.status, text)
            try:
                yield response
            except _UNREADABLE as error:
                where = str(error) if isinstance(error, NoEvents) else type(error).__name__
                # A page for people, say, where the URL is not that of the API: its type tells more than the failure.
                raise NotUnderstood(f"{response.content_type[:_LONGEST_TYPE]}, {where}") from None

    def failure(self, what: str, *, retryable: bool = True) -> EngineError:
        """An error that names the server: "the speech server at host:9000 {what}"."""
        return EngineError(f"{self._name} {what}", retryable=retryable)

    def why(self, text: str, sent: Iterable[str]) -> str:
        """What the server says about a refusal, after a colon; ``""`` where it says nothing that may be shown."""
        said = reason(text, secrets=self._secrets, sent=sent)
        return f": {said}" if said else ""

    @contextmanager
    def failures(self, sent: Callable[[], Iterable[str]] = tuple) -> Iterator[None]:
        """Turn whatever a request can raise into an :class:`EngineError` without secrets or anybody's words.

        ``sent``: the words of the request, which the server may quote.
        """
        try:
            yield
        except TimeoutError as error:
            raise self.failure(f"did not answer in time ({self._waited(error)})") from None
        except Refused as error:
            retryable = error.status in _RETRYABLE or error.status >= 500
            told = self.why(error.text, sent())
            raise self.failure(f"answered {error.status}{told}", retryable=retryable) from None
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
            raise self.failure(f"cannot be reached ({_unreachable(error)})") from None
        except (aiohttp.ClientError, OSError) as error:
            raise self.failure(f"broke off its answer ({type(error).__name__})") from None
        except StreamFailure as error:
            raise self.failure(f"reported a failure amid its answer{self.why(error.text, sent())}") from None
        except NotUnderstood as error:
            raise self.failure(f"sent what cannot be understood ({error})") from None
        except _UNREADABLE as error:
            raise self.failure(f"sent what cannot be understood ({type(error).__name__})") from None
        except RuntimeError as error:  # the session has been closed
            raise self.failure(f"cannot be asked ({type(error).__name__})", retryable=False) from None

    def _waited(self, error: TimeoutError) -> str:
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return f"no connection within {self._timeout.sock_connect:g} s"
        return f"nothing came for {self._timeout.sock_read:g} s"

    async def aclose(self) -> None:
        """Close all connections."""
        self._closed = True
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise RuntimeError("the connection was closed")
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=0,
                keepalive_timeout=KEEP_ALIVE_S,
                ssl=ssl.create_default_context(cafile=certifi.where()) if self._base_url.startswith("https") else False,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                headers=self._headers,
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                read_bufsize=LONGEST_LINE,
            )
        return self._session


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """The JSON objects of a stream of server-sent events, until it says that it is done.

    Raises :class:`StreamFailure` for one that tells of a failure, ``ValueError`` for what is none, and
    :class:`NoEvents`.
    Source: WHATWG HTML, 9.2.6 "Interpreting an event stream", of which only ``data`` matters here.
    """
    parser, none = _EventParser(), True
    async for piece in response.content.iter_any():
        for data in parser.push(piece):
            none = False
            if data.strip() != _DONE:
                yield _event(data)
                continue
            if not response.content.at_eof():
                # Read to its very end, which should be here, the connection serves for the next request.
                with suppress(TimeoutError):
                    async with asyncio.timeout(LAST_BYTES_S):
                        await response.content.read()
            return
    if (data := parser.finish().strip()) and data != _DONE:
        yield _event(data)  # a server that forgets the last empty line
    elif none and not data:
        raise NoEvents


class _EventParser:
    """Makes the data of events from the bytes of a stream."""

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[str] = []

    def push(self, piece: bytes) -> Iterator[str]:
        """The data of each event that is whole with ``piece``."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            raise ValueError("a line without an end")
        for line in lines:
            text = line.decode().rstrip("\r")
            if text:
                self._add(text)
            elif self._lines:
                data, self._lines = "\n".join(self._lines), []
                yield data

    def finish(self) -> str:
        """The data of an event that was not ended."""
        self._add(self._rest.decode())
        return "\n".join(self._lines)

    def _add(self, line: str) -> None:
        if line.startswith("data:"):
            self._lines.append(line[6:] if line.startswith("data: ") else line[5:])


def _event(data: str) -> dict[str, Any]:
    event = json.loads(data)
    if not isinstance(event, dict):
        raise ValueError("an event that is no object")
    if event.get("error"):
        raise StreamFailure(data)
    return event


def _unreachable(error: aiohttp.ClientError) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name is not known"
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
        return (os.strerror(cause.errno) if cause.errno and cause.errno > 0 else "") or type(cause).__name__
    return type(error).__name__
