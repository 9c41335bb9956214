"""Open the listening socket of a server."""

from __future__ import annotations

import errno
import socket
from typing import Any

from antiphon.errors import PortInUse, SetupError

SEND_BUFFER_BYTES = 64 * 1024
"""Of the kernel, a connection (Linux doubles it). Its own idea hides 4 MB, 42 s of audio, from us."""


DEAD_PEER_MS = 20_000
"""Unacknowledged data that old means that nobody is there (``TCP_USER_TIMEOUT``)."""


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on ``host``: a name, an IPv4 or IPv6 address, or an IPv6 address in brackets.

    A name with several addresses gets the first on which this machine can listen.

    Raises :class:`PortInUse`, or another :class:`SetupError` that says which of the two is wrong.
    """
    found = _resolve(host, port)
    for number, (family, _, _, _, place) in enumerate(found, 1):
        try:
            return _bound(family, place)
        except OSError as error:
            # A port that is taken is taken: the name's next address would be somewhere the user does not look.
            if number == len(found) or error.errno in (errno.EADDRINUSE, errno.EACCES):
                raise _cannot_listen(error, host, port) from None
    raise AssertionError("getaddrinfo gives an address, or raises")


def _resolve(host: str, port: int) -> list[Any]:
    if not host:
        raise SetupError("--host is empty; choose an address of this machine, or 0.0.0.0 for all of them")
    try:
        return socket.getaddrinfo(_bare(host), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:  # UnicodeError: no name of the DNS can look like this
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "this is no host name"
        way_out = "choose another --host"
        if "/" in host or host.count(":") == 1:
            way_out = "give --host an address alone, and --port the port"
        raise SetupError(f"cannot listen on {host}: {reason}; {way_out}") from None


def _bare(host: str) -> str:
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def _bound(family: int, place: Any) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit these.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_PEER_MS)
        sock.bind(place)
        sock.listen(1024)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _cannot_listen(error: OSError, host: str, port: int) -> SetupError:
    match error.errno:
        case errno.EADDRINUSE:
            return PortInUse(
                f"port {port} on {host} is in use; stop the program that uses it, or choose another --port"
            )
        case errno.EACCES | errno.EPERM:
            return SetupError(
                f"this user may not listen on port {port} (systems reserve those under 1024); choose another --port"
            )
        case errno.EADDRNOTAVAIL:
            return SetupError(f"{host} is not an address of this machine; choose another --host, or 0.0.0.0 for all")
        case errno.EAFNOSUPPORT:
            return SetupError(f"this machine has no IPv6, which {host} is; choose another --host")
        case _:
            return SetupError(
                f"cannot listen on {host}, port {port}: {error.strerror}; choose another --host or --port"
            )


def address(sock: socket.socket, host: str) -> str:
    """Return ``http://host:port`` as somebody on this machine reaches the socket."""
    place, port = sock.getsockname()[:2]
    bare = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(place, _bare(host))
    return f"http://[{bare}]:{port}" if ":" in bare else f"http://{bare}:{port}"
