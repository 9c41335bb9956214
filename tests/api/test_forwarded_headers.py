"""Join URLs and page links behind proxies: those that are trusted are believed, whoever else is not."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from antiphon.api.forwarded_headers import Forwarded, is_host
from tests.api.test_calls import BODY
from tests.support.server_fixtures import KEY, House

Headers = list[tuple[str, str]]


async def join_url(house: House, headers: Headers, peer: str = "127.0.0.1") -> str:
    """Where a call is joined that ``peer`` creates; the address of the server is calls.example."""
    transport = httpx.ASGITransport(house.app, client=(peer, 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://calls.example:8000") as client:
        response = await client.post("/api/calls", json=BODY, headers=[("X-API-Key", KEY), *headers])
        assert response.status_code == 201, response.text
        base, found, _ = str(response.json()["joinUrl"]).partition("/api/calls/")
        assert found
        return base


@pytest.mark.parametrize(
    ("headers", "base"),
    [
        ([("X-Forwarded-Proto", "https")], "wss://calls.example:8000"),
        ([("X-Forwarded-Proto", "https,http")], "wss://calls.example:8000"),
        ([("X-Forwarded-Proto", " HTTPS , http, http")], "wss://calls.example:8000"),
        ([("X-Forwarded-Proto", "https"), ("X-Forwarded-Proto", "http")], "wss://calls.example:8000"),
        ([("X-Forwarded-Proto", "wss")], "wss://calls.example:8000"),
        ([("X-Forwarded-Proto", "http,https")], "ws://calls.example:8000"),
        ([("X-Forwarded-Host", "public.example")], "ws://public.example"),
        ([("X-Forwarded-Host", "public.example:8443, inner:80")], "ws://public.example:8443"),
        ([("X-Forwarded-Host", "[2001:db8::1]:8443")], "ws://[2001:db8::1]:8443"),
        ([("X-Forwarded-Host", "203.0.113.9")], "ws://203.0.113.9"),
        (
            [
                ("X-Forwarded-For", "203.0.113.9, 127.0.0.1"),
                ("X-Forwarded-Host", "a.example"),
                ("X-Forwarded-Proto", "https"),
            ],
            "wss://a.example",
        ),
    ],
)
async def test_what_the_first_proxy_saw_makes_the_join_url(house: House, headers: Headers, base: str) -> None:
    assert await join_url(house, headers) == base
    assert await join_url(house, headers, "::1") == base
    assert await join_url(house, headers, "::ffff:127.0.0.1") == base


@pytest.mark.parametrize("peer", ["203.0.113.9", "10.0.0.1", "::ffff:10.0.0.1", "2001:db8::1", "testclient"])
async def test_whoever_is_no_trusted_proxy_is_not_believed(house: House, peer: str) -> None:
    headers = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil.example"), ("X-Forwarded-For", "127.0.0.1")]
    assert await join_url(house, headers, peer) == "ws://calls.example:8000"


NONSENSE = [
    *("", ",", ", https", "nonsense", "a b", "a/b", "user@a.example", "a.example:", "a.example:0", "a.example:65536"),
    *("a.example:x", "[::1", "[nonsense]", "::1", "-a", "a" * 300, "a.example?x", 'a"', "héllo.example", "javascript"),
]


@pytest.mark.parametrize("value", NONSENSE)
async def test_nonsense_is_as_if_it_were_not_there(house: House, value: str) -> None:
    for name in ("X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-For"):
        if name == "X-Forwarded-Host" and value in ("nonsense", "javascript"):
            continue
        transport = httpx.ASGITransport(house.app, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://calls.example:8000") as client:
            headers = [(b"X-API-Key", KEY.encode()), (name.encode(), value.encode("latin-1"))]
            response = await client.post("/api/calls", json=BODY, headers=headers)
        assert response.status_code == 201, (name, response.text)
        assert response.json()["joinUrl"].startswith("ws://calls.example:8000/api/calls/")


async def test_page_links_and_previews_follow_too_and_a_public_url_goes_before(house: House) -> None:
    headers = {"X-Forwarded-Proto": "https, http", "X-Forwarded-Host": "public.example"}
    page = (await house.client.get("/api/models?pageSize=1", headers=headers)).json()
    assert page["next"].startswith("https://public.example/api/models?pageSize=1&cursor=")
    voices = (await house.client.get("/api/voices", headers=headers)).json()["results"]
    assert voices[0]["previewUrl"].startswith("https://public.example/api/voices/")
    object.__setattr__(
        house.app.state.services, "config", house.config.model_copy(update={"public_url": "https://own.example/v"})
    )
    assert await join_url(house, list(headers.items())) == "wss://own.example/v"


async def test_uvicorn_leaves_the_headers_to_us(served: House) -> None:
    headers = {"X-Forwarded-Proto": "https,http", "X-Forwarded-Host": "public.example"}
    call = (await served.client.post("/api/calls", json=BODY, headers=headers)).json()
    assert call["joinUrl"].startswith("wss://public.example/api/calls/")


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("10.1.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.1.0.1", "198.51.100.1, 203.0.113.9, 10.0.0.7", "203.0.113.9"),
        ("10.1.0.1", "203.0.113.9:5555, 10.0.0.7:80", "203.0.113.9"),
        ("10.1.0.1", "[2001:db8::1]:5555", "2001:db8::1"),
        ("10.1.0.1", "10.0.0.8, 10.0.0.7", "10.0.0.8"),
        ("10.1.0.1", "unknown", "10.1.0.1"),
        ("11.0.0.1", "203.0.113.9", "11.0.0.1"),
    ],
)
async def test_the_client_is_the_last_that_is_no_trusted_proxy(peer: str, forwarded_for: str, client: str) -> None:
    seen: list[Any] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["client"][0])

    async def nothing(*_: object) -> Any:
        raise AssertionError

    given = [(b"x-forwarded-for", forwarded_for.encode())]
    scope = {"type": "http", "client": (peer, 1), "headers": given, "scheme": "http"}
    await Forwarded(app, ["10.0.0.0/8"])(scope, nothing, nothing)
    assert seen == [client]


@pytest.mark.parametrize("text", ["a", "a.b.", "a-b.example:1", "[::1]", "[::1]:65535", "1.2.3.4:80", "_a.example"])
def test_hosts(text: str) -> None:
    assert is_host(text)
