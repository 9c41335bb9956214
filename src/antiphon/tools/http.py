"""Tools behind HTTP: one request, one answer, within the tool's time."""

from __future__ import annotations

import asyncio
import codecs
import json
import ssl
from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx

from antiphon import __version__
from antiphon.call.tools.outcomes import ToolOutcome
from antiphon.tools import outcomes, url_pattern
from antiphon.tools.arguments import Parts, prepare
from antiphon.tools.definition import CallFacts, CallTool, HttpImplementation, TokenPlace
from antiphon.tools.json_values import compact, read_object
from antiphon.tools.ssrf_guard import GuardedTransport, NameService, Refused, Resolve, SsrfGuard, trusted_tls

MAX_BODY_BYTES = 1_000_000
"""Of an answer; a longer one is a failure."""
MAX_REDIRECTS = 3

RESPONSE_TYPE = "x-ultravox-response-type"
AGENT_REACTION = "x-ultravox-agent-reaction"
UPDATE_CALL_STATE = "x-ultravox-update-call-state"

_NOT_CHARSETS = frozenset(("idna", "punycode", "raw-unicode-escape", "unicode-escape", "utf-7"))
"""What Python can decode besides; some of it takes time that grows with the square of the length."""

_SHOWN_BODY = 2_000
_SHOWN_HEADER = 200
_HARMLESS_HEADERS = frozenset(
    (
        *("accept", "accept-encoding", "connection", "content-length", "content-type", "host"),
        *("transfer-encoding", "user-agent"),
    )
)
"""What a redirect to another host takes along; everything else may be meant for the first one only."""
_SECRET_HEADERS = frozenset(("set-cookie", "authorization", "www-authenticate", "proxy-authenticate", "location"))


class _Failure(Exception):
    """The exchange came to nothing. ``told`` follows 'The tool "x"', for the model; ``details`` is for the record."""

    def __init__(self, told: str, details: str) -> None:
        super().__init__(details)
        self.told = told
        self.details = details


class HttpCaller:
    """Carries out HTTP tools. One for the whole server; calls share nothing through it, not even cookies.

    A connection is made for each request: it goes to the address that was checked for it.
    """

    def __init__(
        self,
        ssrf_guard: SsrfGuard | None = None,
        *,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self._names = NameService()
        self._ssrf_guard = ssrf_guard or SsrfGuard()
        self._resolve = resolve or self._names
        self._tls = tls or trusted_tls()
        self._max_body_bytes = max_body_bytes
        self._client = self.open_client(keep_alive_s=0)

    def open_client(self, *, keep_alive_s: float) -> httpx.AsyncClient:
        """A client under the same guard, for requests to one host: connections are kept by address, not by name.

        Close it. ``keep_alive_s``: how long a connection is kept for the next request, 0 for none.
        """
        limits = httpx.Limits(
            max_connections=None, max_keepalive_connections=8 if keep_alive_s else 0, keepalive_expiry=keep_alive_s
        )
        inner = httpx.AsyncHTTPTransport(verify=self._tls, trust_env=False, limits=limits)
        return httpx.AsyncClient(
            transport=GuardedTransport(inner, self._ssrf_guard, self._resolve),
            trust_env=False,
            timeout=None,
            follow_redirects=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            headers={"User-Agent": f"antiphon/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"},
        )

    async def call(self, tool: CallTool, arguments: Mapping[str, Any], facts: CallFacts) -> ToolOutcome:
        """Use the tool, once. Every failure is an outcome; the whole takes ``tool.spec.timeout_s`` at most."""
        parts = prepare(tool, arguments, facts)
        if isinstance(parts, ToolOutcome):
            return parts
        name = tool.spec.name
        try:
            request = self._request(tool, parts)
        except (ValueError, httpx.InvalidURL) as error:
            return outcomes.failed(f'The tool "{name}" was not used: {error}.')
        try:
            async with asyncio.timeout(tool.spec.timeout_s):
                response, body = await self._exchange(request)
        except TimeoutError:
            return outcomes.timed_out(name, tool.spec.timeout_s)
        except _Failure as failure:
            return outcomes.failed(f'The tool "{name}" {failure.told}', _masked(failure.details, tool))
        except Refused as refused:
            return outcomes.failed(f'The tool "{name}" may not be reached from here.', _masked(str(refused), tool))
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            details = f"{request.method} {_shown_url(request.url)}: {type(error).__name__}: {error}"
            return outcomes.failed(f'The tool "{name}" could not be reached.', _masked(details, tool))
        return _outcome(tool, response, body)

    async def aclose(self) -> None:
        """Close what is open."""
        await self._client.aclose()
        self._names.close()

    def _request(self, tool: CallTool, parts: Parts) -> httpx.Request:
        assert isinstance(tool.implementation, HttpImplementation)
        query = [*parts.query, *_tokens(tool, TokenPlace.QUERY)]
        url = url_pattern.fill(tool.implementation.url_pattern, parts.path, query)
        headers = [(name, value.encode()) for name, value in (*parts.headers, *_auth_headers(tool))]
        method = tool.implementation.method
        content: bytes | None = None
        if parts.body or method in ("POST", "PUT", "PATCH"):
            content = compact(parts.body).encode()
            if not any(name.lower() == "content-type" for name, _ in headers):
                headers.append(("Content-Type", b"application/json"))
        raw = [(name.encode(), value) for name, value in headers]
        return self._client.build_request(method, url, headers=raw, content=content)

    async def _exchange(self, request: httpx.Request) -> tuple[httpx.Response, bytes]:
        """The final answer and its body, after redirects."""
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._client.send(request, stream=True, auth=_no_auth)
            try:
                if response.next_request is None:
                    return response, await self._body(response)
                request = _redirected(request, response.next_request)
            finally:
                await response.aclose()
        raise _Failure(
            "could not be reached.", f"more than {MAX_REDIRECTS} redirects, the last to {_shown_url(request.url)}"
        )

    async def _body(self, response: httpx.Response) -> bytes:
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise _Failure(
                "gave an answer that cannot be used.", "the body is compressed though that was not asked for"
            )
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self._max_body_bytes:
                if response.is_success:
                    details = f"{_headline(response)}\nthe body has more than {self._max_body_bytes} bytes"
                    raise _Failure("gave an answer that is too long.", details)
                break
        return bytes(body)


def _outcome(tool: CallTool, response: httpx.Response, body: bytes) -> ToolOutcome:
    name = tool.spec.name
    try:
        text = _text(response, body)
    except (ValueError, LookupError) as error:
        details = f"{_report(response)}\n\nthe body is not text: {error}"
        return outcomes.failed(f'The tool "{name}" gave an answer that is not text.', _masked(details, tool))
    details = _masked(f"{_report(response)}\n\n{outcomes.shortened(text, _SHOWN_BODY)}", tool)
    if not response.is_success:
        reason = _reason(text) if response.is_client_error else ""
        return outcomes.failed(f'The tool "{name}" failed with status {response.status_code}{reason}.', details)
    try:
        update = _state_update(response)
    except ValueError as error:
        wrong = f"{UPDATE_CALL_STATE}: {error}"
        return outcomes.failed(f'The tool "{name}" gave an answer that cannot be used.', f"{wrong}\n{details}")
    headers = response.headers
    outcome = outcomes.answered(name, text, headers.get(RESPONSE_TYPE), headers.get(AGENT_REACTION), update)
    if outcome.failed:
        return outcomes.failed(outcome.text, f"{_masked(outcome.error_details or '', tool)}\n{details}")
    return outcome


def _text(response: httpx.Response, body: bytes) -> str:
    """The body as text; of an error whatever can be shown of it. Raises ``ValueError`` or ``LookupError``."""
    if not response.is_success:
        return body.decode("utf-8", "replace").replace("\0", "\ufffd")
    encoding = codecs.lookup(response.charset_encoding or "utf-8-sig").name
    if encoding in _NOT_CHARSETS:
        raise LookupError(f"{encoding} is not an encoding of the web")
    text = body.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    if "\0" in text:
        raise ValueError("the body holds the character NUL")
    text.encode()  # some encodings know halves of characters
    return text


def _state_update(response: httpx.Response) -> dict[str, Any] | None:
    """The header's JSON object; UTF-8 is taken although headers should be ASCII."""
    for name, value in response.headers.raw:
        if name.lower() == UPDATE_CALL_STATE.encode():
            return read_object(value.decode())
    return None


def _redirected(before: httpx.Request, following: httpx.Request) -> httpx.Request:
    """The request that a redirect asks for: headers do not go to another host, nor anything from https to http."""
    if before.url.scheme == "https" and following.url.scheme != "https":
        raise _Failure("could not be reached.", f"redirected from https to {_shown_url(following.url)}")
    origins = [(url.scheme, url.host, url.port) for url in (before.url, following.url)]
    if origins[0] != origins[1]:
        for name in [name for name in following.headers if name not in _HARMLESS_HEADERS]:
            del following.headers[name]
    return following


def _auth_headers(tool: CallTool) -> list[tuple[str, str]]:
    schemes = [("Authorization", f"{scheme} {token}") for scheme, token in _tokens(tool, TokenPlace.AUTHORIZATION)]
    return [*_tokens(tool, TokenPlace.HEADER), *schemes]


def _tokens(tool: CallTool, place: TokenPlace) -> list[tuple[str, str]]:
    return [(item.name, item.value) for item in tool.credentials if item.place is place]


def _no_auth(request: httpx.Request) -> httpx.Request:
    """Instead of what httpx would take from the URL."""
    return request


def _reason(text: str) -> str:
    """What an API says is wrong with the request, if it says so in one of the usual places."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    if isinstance(body, dict):
        for key in ("message", "error", "detail", "title"):
            if isinstance(body.get(key), str) and body[key]:
                return f": {outcomes.shortened(' '.join(body[key].split()), 200).rstrip('.')}"
    return ""


def _report(response: httpx.Response) -> str:
    """An answer but for its body, without what may be secret."""
    lines = [
        f"{name}: {outcomes.shortened(value, _SHOWN_HEADER)}"
        for name, value in response.headers.items()
        if name.lower() not in _SECRET_HEADERS
    ]
    return "\n".join([_headline(response), *lines])


def _headline(response: httpx.Response) -> str:
    request = response.request
    return f"{request.method} {_shown_url(request.url)}: {response.status_code} {response.reason_phrase}"


def _shown_url(url: httpx.URL) -> str:
    """Without the query and a user name, which may hold secrets."""
    return str(url.copy_with(userinfo=b"", query=None, fragment=None))


def _masked(text: str, tool: CallTool) -> str:
    """What a server repeats of a token is not shown."""
    for credential in tool.credentials:
        if len(credential.value) >= 4:
            text = text.replace(credential.value, "[token]")
    return text
