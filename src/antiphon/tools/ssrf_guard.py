"""Where tools may reach: not into the server's own insides.

A name is resolved once, every address it has is checked, and the connection goes to the very address that was
checked, so that a name server cannot answer twice. The host's name stays in the ``Host`` header and in TLS.
Addresses that are not public: IANA's special-purpose registries (RFC 6890), and what carries an IPv4 address inside.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TypeAlias

import httpx

Address: TypeAlias = IPv4Address | IPv6Address
Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""``(host, port)`` → addresses as text; raises ``OSError`` when there are none."""

MAX_ADDRESSES = 4
"""Of one name, as many are tried."""
MAX_LOOKUPS = 16
"""At once; further ones wait."""

_CLOSED = tuple(
    ip_network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "240.0.0.0/4"),
        *("::/96", "100::/64", "64:ff9b:1::/48", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16"),
        *("fc00::/7", "fe80::/10", "fec0::/10"),
    )
)
_NEVER = tuple(ip_network(network) for network in ("0.0.0.0/32", "::/128", "224.0.0.0/4", "ff00::/8"))
_NAT64 = ip_network("64:ff9b::/96")


class Refused(httpx.ConnectError):
    """The address is not one that tools may reach; nothing was sent there."""


@dataclass(frozen=True, slots=True)
class SsrfGuard:
    """What tools may reach beside the public internet.

    ``allow_private``: loopback, private and link-local addresses. ``allowed``: host names as they stand in URLs,
    addresses and networks (``"10.1.0.0/16"``) that may be reached whatever they are.
    """

    allow_private: bool = False
    allowed: tuple[str, ...] = ()

    def refusal(self, host: str, address: str) -> str | None:
        """Why ``address``, found for ``host``, may not be reached, or ``None``. In doubt it may not."""
        try:
            found = ip_address(address)
        except ValueError:
            return f"{address} is not an address"
        if host.rstrip(".").lower() in {name.rstrip(".").lower() for name in self.allowed}:
            return None
        if any(_within(found, name) for name in self.allowed):
            return None
        for inner in _all(found):
            if any(inner in network for network in _NEVER) or inner.is_multicast:
                return f"{address} is not the address of one host"
            if not self.allow_private and (any(inner in network for network in _CLOSED) or not inner.is_global):
                return f"{address} is not a public address"
        return None


class NameService:
    """The system's name service, in threads of its own: names that take for ever hold up nothing but tools."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(MAX_LOOKUPS, "tool-names")

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """The addresses of a host, each once."""
        ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        return tuple(dict.fromkeys(str(item[4][0]) for item in found))

    def close(self) -> None:
        """Ask nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)


async def find(ssrf_guard: SsrfGuard, resolve: Resolve, host: str, port: int) -> Sequence[str]:
    """The addresses of a host, all of them such as may be reached; connect to one of these and no other.

    Raises :class:`Refused`; ``OSError`` or ``UnicodeError`` where there are none.
    """
    addresses = await resolve(host, port)
    for address in addresses:
        refusal = ssrf_guard.refusal(host, address)
        if refusal is not None:
            raise Refused(f"{host}: {refusal}, and only those may be reached")
    return addresses


def trusted_tls() -> ssl.SSLContext:
    """Trusts what browsers trust, and what the operator has added to the system."""
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return context


class GuardedTransport(httpx.AsyncBaseTransport):
    """Sends a request only to an address that ``reach`` allows; raises :class:`Refused` otherwise."""

    def __init__(self, inner: httpx.AsyncBaseTransport, ssrf_guard: SsrfGuard, resolve: Resolve) -> None:
        self._inner = inner
        self._ssrf_guard = ssrf_guard
        self._resolve = resolve

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Resolve, check, connect to what was checked."""
        url = request.url
        if url.scheme not in ("http", "https") or url.userinfo or not url.host:
            raise Refused("only http and https URLs without a user name are possible", request=request)
        host, port = url.raw_host.decode("ascii"), url.port or (443 if url.scheme == "https" else 80)
        try:
            addresses = await find(self._ssrf_guard, self._resolve, host, port)
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(f"{host} has no address ({error})", request=request) from error
        return await self._send(request, host, addresses[:MAX_ADDRESSES])

    async def aclose(self) -> None:
        """Close what is open."""
        await self._inner.aclose()

    async def _send(self, request: httpx.Request, host: str, addresses: Sequence[str]) -> httpx.Response:
        failure: httpx.TransportError = httpx.ConnectError(f"{host} has no address", request=request)
        for address in addresses:
            addressed = httpx.Request(
                request.method,
                request.url.copy_with(host=address),
                headers=request.headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": host},
            )
            try:
                return await self._inner.handle_async_request(addressed)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
        raise failure


def _all(address: Address) -> list[Address]:
    """An address, or the IPv4 one it stands for (mapped, NAT64), or itself and those it leads to (6to4, Teredo)."""
    if isinstance(address, IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address in _NAT64:
        return [IPv4Address(int(address) & 0xFFFFFFFF)]
    inner: list[Address] = [address]
    if address.sixtofour is not None:
        inner.append(address.sixtofour)
    if address.teredo is not None:
        inner.extend(address.teredo)
    return inner


def _within(address: Address, name: str) -> bool:
    try:
        return _all(address)[0] in ip_network(name, strict=False)
    except ValueError:
        return False
