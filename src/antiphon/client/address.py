"""Where a server is: what a person types as its address, and how a client trusts it."""

from __future__ import annotations

import re
import ssl
from urllib.parse import urlsplit

import certifi

from antiphon.errors import SetupError

EXAMPLE = "http://127.0.0.1:8000"
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


def server_url(text: str) -> str:
    """Return the address of a server as ``http(s)://host[:port][/path]``, without a slash at its end.

    ``localhost:8000`` is taken as ``http://localhost:8000``, and ``ws://`` as ``http://``. A path is kept: a proxy may
    serve the API below one. Raises :class:`SetupError` where ``text`` is no address.
    """
    trimmed = text.strip()
    address = trimmed if "://" in trimmed else f"http://{trimmed.removeprefix('//')}"
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _wrong(text, str(error)) from None
    if parts.scheme not in _SCHEMES:
        raise _wrong(text, f"{parts.scheme}:// is not a web address")
    if not host or port == 0 or any(character.isspace() for character in address):
        raise _wrong(text, "it names no host" if not host else "it is no address")
    if host.isdigit():
        raise _wrong(text, f"it names no host; for a port of this machine give localhost:{host}")
    if parts.query or parts.fragment:
        raise _wrong(text, "it ends in a query")
    path = parts.path.rstrip("/").removesuffix("/api")  # the address of a route, pasted
    return f"{_SCHEMES[parts.scheme]}://{parts.netloc}{path}"


def _wrong(text: str, reason: str) -> SetupError:
    return SetupError(f"--server {text!r} is not the address of a server ({reason}); an address looks like {EXAMPLE}")


def trust(url: str) -> ssl.SSLContext | None:
    """Return whom to trust at ``url``: the machine's authorities (``SSL_CERT_FILE``, too) and certifi's.

    ``None`` where the address is not encrypted.
    """
    if not url.lower().startswith(("https:", "wss:")):
        return None
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def reason(error: BaseException) -> str:
    """Return what went wrong on the way to a server, in words that lead to what has to be mended."""
    text = " ".join(str(error).split()) or type(error).__name__
    if "WRONG_VERSION_NUMBER" in text or "RECORD_LAYER_FAILURE" in text:
        return "what listens there speaks no TLS; try the address without the s"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return f"its certificate is not trusted ({text.rpartition(': ')[2]}); name its authority in SSL_CERT_FILE"
    if "Connect call failed" in text or "All connection attempts failed" in text or "[Errno 111]" in text:
        return "nothing listens there"
    if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        return "no answer"
    if text == type(error).__name__ or "illegal" in text:
        return "what listens there does not speak HTTP as a server does"
    return re.sub(r"^\[Errno -?\d+\] ", "", text)
