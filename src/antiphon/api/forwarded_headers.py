"""What trusted proxies say of a request: how the client reached them. It replaces uvicorn's middleware of the kind.

Of ``X-Forwarded-Proto`` and ``X-Forwarded-Host``, to which each of several proxies may have added its own value, the
first one counts: what the client's own proxy saw. uvicorn ignores lists, and the host. What is no scheme or no host is
as if it were not there. ``X-Forwarded-For`` gives the client's address: the last that is not a trusted proxy's.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

_HOST = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]{2,45})\]|[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9_.])?)(?::(?P<port>[0-9]{1,5}))?"
)
_SECURE = {"http": False, "https": True, "ws": False, "wss": True}

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Forwarded:
    """ASGI middleware. ``trusted``: addresses and networks of the proxies that are believed."""

    def __init__(self, app: ASGIApp, trusted: Iterable[str]) -> None:
        self._app = app
        self._networks = tuple(ipaddress.ip_network(network) for network in trusted)
        self._trusts = functools.lru_cache(maxsize=1024)(self._looked_up)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        client = scope.get("client")
        if scope["type"] in ("http", "websocket") and client and self._trusts(client[0]):
            scope = self._believed(scope)
        await self._app(scope, receive, send)

    def _believed(self, scope: Scope) -> Scope:
        given: dict[bytes, str] = {}
        for name, value in scope["headers"]:
            if name.startswith(b"x-forwarded-"):
                before = f"{given[name]}," if name in given else ""
                given[name] = before + value.decode("latin-1")
        if not given:
            return scope
        scope = dict(scope)
        secure = _SECURE.get(_first(given.get(b"x-forwarded-proto", "")).lower())
        if secure is not None:
            scope["scheme"] = ("ws" if scope["type"] == "websocket" else "http") + "s" * secure
        if is_host(host := _first(given.get(b"x-forwarded-host", ""))):
            others = [(name, value) for name, value in scope["headers"] if name != b"host"]
            scope["headers"] = [(b"host", host.encode("ascii")), *others]
        if (origin := self._origin(given.get(b"x-forwarded-for", ""))) is not None:
            scope["client"] = (origin, 0)
        return scope

    def _origin(self, forwarded_for: str) -> str | None:
        """The address of the client, ``None`` where it cannot be told."""
        origin = None
        for hop in reversed(forwarded_for.split(",")):
            address = _address(hop.strip())
            if address is None:
                break
            origin = str(address)
            if not self._trusts(origin):
                break
        return origin

    def _looked_up(self, host: str) -> bool:
        address = _address(host)
        return address is not None and any(address in network for network in self._networks)


def is_host(text: str) -> bool:
    """Return True for a host name or address, with or without a port, that a URL can have."""
    match = _HOST.fullmatch(text)
    if match is None or (match["port"] is not None and not 0 < int(match["port"]) <= 65_535):
        return False
    return match["six"] is None or _address(match["six"]) is not None


def _first(values: str) -> str:
    return values.partition(",")[0].strip()


def _address(text: str) -> Address | None:
    """The address in ``address``, ``address:port`` or ``[address]:port``; an IPv4 one inside IPv6 is that."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
