"""Dialling a WebSocket that somebody else named: signed, to the very address that was checked, redirects too.

``find(host, port)`` says which addresses a host has and raises :class:`Unreachable` where one of them may not be
reached. The connection goes to one of those, so that a name server cannot answer twice; the host's name stays in the
``Host`` header and in TLS. Proxies of the environment are not used.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeAlias, cast
from urllib.parse import urljoin, urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidMessage, InvalidStatus, InvalidURI, WebSocketException
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI, parse_uri

from antiphon import __version__

Find: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]

DIAL_PATIENCE_S = 10.0
"""For all of it: names, connection, TLS, handshake, redirects."""

MAX_ADDRESSES = 4
MAX_REDIRECTS = 3

MOST_INCOMING_BYTES = 4_194_304
"""Of one message; a longer one ends the connection with 1009."""

QUEUED_INCOMING = 4
"""Messages read ahead."""

KEEPALIVE_S = 10.0
"""Between pings; who has not answered one for as long is gone."""

CLOSE_PATIENCE_S = 1.0

_REDIRECTS = frozenset((301, 302, 303, 307, 308))


class Unreachable(Exception):
    """No connection came about. The text says why, without secrets."""


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to dial: ``url`` is ws:// or wss://. Everything but the host may hold secrets."""

    url: str = field(repr=False)
    call_id: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Each signs the request."""


def signature_headers(call_id: str, secrets: Sequence[str], at: datetime) -> dict[str, str]:
    """What shows that a request is ours: an HMAC-SHA256 of call id and timestamp for each secret.

    Source: the Ultravox documentation, "Securing data connections".
    """
    if not secrets:
        return {}
    timestamp = at.astimezone(UTC).isoformat(timespec="milliseconds")
    signed = (call_id + timestamp).encode()
    return {
        "X-Ultravox-Call-ID": call_id,
        "X-Ultravox-Signature-Timestamp": timestamp,
        "X-Ultravox-Signature": ",".join(hmac.new(secret.encode(), signed, "sha256").hexdigest() for secret in secrets),
    }


async def dial(target: Target, find: Find, tls: ssl.SSLContext, at: datetime) -> ClientConnection:
    """Connect, within ``DIAL_PATIENCE_S``. ``at``: the time that is signed. Raises :class:`Unreachable`."""
    try:
        async with asyncio.timeout(DIAL_PATIENCE_S):
            return await _follow(target, find, tls, at)
    except TimeoutError:
        raise Unreachable(f"there was no answer within {DIAL_PATIENCE_S:g} seconds") from None


async def _follow(target: Target, find: Find, tls: ssl.SSLContext, at: datetime) -> ClientConnection:
    signature = signature_headers(target.call_id, target.secrets, at)
    ours = {name.lower() for name in signature}
    headers = {name: value for name, value in target.headers.items() if name.lower() not in ours} | signature
    target = replace(target, headers=headers)
    for _ in range(MAX_REDIRECTS + 1):
        uri = _parsed(target.url)
        answer = await _dial_host(target, uri, find, tls)
        if isinstance(answer, ClientConnection):
            return answer
        target = _redirected(target, uri, answer)
    raise Unreachable(f"it redirects more than {MAX_REDIRECTS} times")


async def _dial_host(target: Target, uri: WebSocketURI, find: Find, tls: ssl.SSLContext) -> ClientConnection | str:
    """A connection, or where the host redirects to."""
    try:
        addresses = await find(uri.host, uri.port)
    except (OSError, UnicodeError):
        addresses = ()
    failure = f"{uri.host} has no address"
    for address in addresses[:MAX_ADDRESSES]:
        try:
            return await _handshake(target, uri, address, tls)
        except InvalidStatus as error:
            response = error.response
            if response.status_code in _REDIRECTS and "Location" in response.headers:
                return str(response.headers["Location"])
            raise Unreachable(f"{uri.host} answered with status {response.status_code}") from None
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", "") or error.reason or "the handshake failed"
            raise Unreachable(f"{uri.host}: TLS: {reason}") from None
        except InvalidMessage:
            raise Unreachable(f"{uri.host} does not answer as a WebSocket server does") from None
        except (InvalidHandshake, WebSocketException) as error:
            raise Unreachable(f"{uri.host} refused the handshake ({type(error).__name__})") from None
        except (OSError, OverflowError, EOFError) as error:
            number = error.errno if isinstance(error, OSError) else None
            failure = f"{uri.host}, port {uri.port}: {os.strerror(number) if number else 'the connection broke'}"
    raise Unreachable(failure)


async def _handshake(target: Target, uri: WebSocketURI, address: str, tls: ssl.SSLContext) -> ClientConnection:
    headers = dict(target.headers)
    offered = next((headers.pop(name) for name in list(headers) if name.lower() == "sec-websocket-protocol"), "")
    return await _Connect(
        target.url,
        host=address,
        port=uri.port,
        ssl=tls if uri.secure else None,
        proxy=None,
        additional_headers=headers,
        subprotocols=[cast(Subprotocol, name.strip()) for name in offered.split(",") if name.strip()] or None,
        user_agent_header=f"antiphon/{__version__}",
        compression=None,
        open_timeout=None,
        close_timeout=CLOSE_PATIENCE_S,
        ping_interval=KEEPALIVE_S,
        ping_timeout=KEEPALIVE_S,
        max_size=MOST_INCOMING_BYTES,
        max_queue=QUEUED_INCOMING,
    )


class _Connect(connect):
    """Follows no redirects: where they lead has to be checked first."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


def _parsed(url: str) -> WebSocketURI:
    try:
        return parse_uri(url)
    except (InvalidURI, ValueError):
        raise Unreachable("the URL cannot be used") from None


def _redirected(target: Target, before: WebSocketURI, location: str) -> Target:
    """Where to go instead: nothing secret goes to another server, nor anything from wss to ws."""
    try:
        parts = urlsplit(urljoin(target.url, location))
    except ValueError:
        raise Unreachable(f"{before.host} redirects to what is no URL") from None
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    url = urlunsplit((scheme, parts.netloc, parts.path, parts.query, ""))
    after = _parsed(url)
    if before.secure and not after.secure:
        raise Unreachable(f"{before.host} redirects from wss to ws")
    if (before.secure, before.host, before.port) != (after.secure, after.host, after.port):
        return replace(target, url=url, headers={}, secrets=())
    return replace(target, url=url)
