"""Dialling a data connection: real servers on 127.0.0.1, the check of addresses by hand."""

from __future__ import annotations

import asyncio
import hmac
import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from antiphon.media.data_connection import dialing
from antiphon.media.data_connection.dialing import Find, Target, Unreachable, dial, signature_headers
from tests.support.far_end import TLS, FarEnd, far_end
from tests.tools.server import answer, serving

AT = datetime(2026, 11, 22, 12, 0, 0, 123456, UTC)
CALL = "2d0b2f5a-4a4a-4f7c-8a1f-000000000000"


async def here(_host: str, _port: int) -> Sequence[str]:
    return ("127.0.0.1",)


def plain() -> ssl.SSLContext:
    return ssl.create_default_context()


async def dialled(url: str, find: Find = here, tls: ssl.SSLContext | None = None, **more: Any) -> ClientConnection:
    return await dial(Target(url, CALL, **more), find, tls or plain(), AT)


async def refusal(url: str, find: Find = here, **more: Any) -> str:
    with pytest.raises(Unreachable) as caught:
        await dialled(url, find, **more)
    return str(caught.value)


async def headers_sent(end: FarEnd, **more: Any) -> Mapping[str, str]:
    connection = await dialled(end.url, **more)
    await connection.close()
    return end.requests[-1].headers


def is_ours(headers: Mapping[str, str], secret: str) -> bool:
    """As the public documentation has servers verify it."""
    call_id, timestamp = headers["X-Ultravox-Call-ID"], headers["X-Ultravox-Signature-Timestamp"]
    assert abs(datetime.fromisoformat(timestamp) - AT) < timedelta(seconds=1)
    expected = hmac.new(secret.encode(), (call_id + timestamp).encode(), "sha256").hexdigest()
    return any(hmac.compare_digest(one.strip(), expected) for one in headers["X-Ultravox-Signature"].split(","))


async def test_a_request_is_signed_with_every_secret() -> None:
    secrets = ("a secret of 24 characters", "another secret, of many ü")
    async with far_end() as end:
        headers = await headers_sent(end, secrets=secrets)
    assert headers["X-Ultravox-Call-ID"] == CALL
    assert [is_ours(headers, secret) for secret in secrets] == [True, True]
    assert not is_ours(headers, "a secret of 25 characters")
    assert headers["X-Ultravox-Signature"].count(",") == 1


def test_the_timestamp_is_utc_whatever_the_clock_says() -> None:
    east = AT.astimezone(tz=None)
    assert (
        signature_headers(CALL, ["x" * 16], east)["X-Ultravox-Signature-Timestamp"] == "2026-11-22T12:00:00.123+00:00"
    )


async def test_without_secrets_nothing_is_signed() -> None:
    async with far_end() as end:
        headers = await headers_sent(end, headers={"Authorization": "Bearer abc", "X-Own": "Grüße"})
    assert "X-Ultravox-Signature" not in headers
    assert headers["Authorization"] == "Bearer abc"
    assert headers["X-Own"].encode("latin-1", "surrogateescape").decode(errors="replace")
    assert headers["User-Agent"].startswith("antiphon/")
    assert headers["Host"] == f"127.0.0.1:{end.port}"


async def test_headers_cannot_pretend_to_be_the_signature() -> None:
    async with far_end() as end:
        headers = await headers_sent(end, secrets=("x" * 16,), headers={"x-ultravox-signature": "mine"})
    assert is_ours(headers, "x" * 16)


async def test_a_password_in_the_url_is_sent_as_browsers_do() -> None:
    async with far_end() as end:
        connection = await dialled(f"ws://me:secret@127.0.0.1:{end.port}/")
        await connection.close()
    assert end.requests[0].headers["Authorization"].startswith("Basic ")


async def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    asked: list[tuple[str, int]] = []

    async def find(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return ("127.0.0.1",)

    async with far_end() as end:
        connection = await dialled(f"ws://agents.example:{end.port}/a/b?c=d", find)
        await connection.close()
    assert asked == [("agents.example", end.port)]
    assert end.requests[0].headers["Host"] == f"agents.example:{end.port}"
    assert end.requests[0].path == "/a/b?c=d"


async def test_the_next_address_is_tried() -> None:
    async def find(_host: str, _port: int) -> Sequence[str]:
        return ("127.0.0.2", "127.0.0.1")

    async with far_end() as end:
        connection = await dialled(f"ws://agents.example:{end.port}/", find)
        await connection.close()
    assert len(end.connections) == 1


async def test_what_may_not_be_reached_is_not_dialled() -> None:
    async def find(_host: str, _port: int) -> Sequence[str]:
        raise Unreachable("localhost: 127.0.0.1 is not a public address")

    async with far_end() as end:
        assert "not a public address" in await refusal(f"ws://localhost:{end.port}/", find)
    assert end.requests == []


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with far_end() as end:
        connection = await dialled(f"ws://agents.example:{end.port}/")
        await connection.close()
    assert len(end.connections) == 1


# Redirects


async def test_a_redirect_is_followed_and_checked() -> None:
    asked: list[str] = []

    async def find(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        return ("127.0.0.1",)

    async with far_end() as second, far_end() as first:
        first.answers = [(307, {"Location": f"http://second.example:{second.port}/there"})]
        secret = {"Authorization": "Bearer abc", "X-Own": "1"}
        url = f"ws://first.example:{first.port}/"
        connection = await dialled(url, find, headers=secret, secrets=("x" * 16,))
        await connection.close()
    assert asked == ["first.example", "second.example"]
    assert "X-Ultravox-Signature" in first.requests[0].headers
    there = second.requests[0]
    assert there.path == "/there"
    for name in ("Authorization", "X-Own", "X-Ultravox-Signature"):
        assert name in first.requests[0].headers
        assert name not in there.headers, "nothing secret goes elsewhere"


async def test_a_redirect_on_the_same_server_keeps_the_headers() -> None:
    async with far_end(answers=[(301, {"Location": "/there"})]) as end:
        connection = await dialled(end.url, headers={"X-Own": "1"}, secrets=("x" * 16,))
        await connection.close()
    assert end.requests[1].path == "/there"
    assert end.requests[1].headers["X-Own"] == "1"
    assert is_ours(end.requests[1].headers, "x" * 16)


async def test_a_redirect_to_what_may_not_be_reached_is_refused() -> None:
    async def find(host: str, _port: int) -> Sequence[str]:
        if host != "first.example":
            raise Unreachable(f"{host}: 127.0.0.1 is not a public address")
        return ("127.0.0.1",)

    async with far_end() as inside, far_end() as first:
        first.answers = [(302, {"Location": f"ws://localhost:{inside.port}/"})]
        assert "localhost: 127.0.0.1" in await refusal(f"ws://first.example:{first.port}/", find)
    assert inside.requests == []


@pytest.mark.parametrize(
    ("location", "reason"),
    [("gopher://x", "cannot be used"), ("http://[::1", "no URL"), ("/round", "more than 3 times")],
)
async def test_redirects_that_lead_nowhere(location: str, reason: str) -> None:
    async with far_end(answers=[(302, {"Location": location})] * 10) as end:
        assert reason in await refusal(end.url)


async def test_no_redirect_leads_out_of_tls() -> None:
    async with far_end(tls=True, answers=[(302, {"Location": "ws://tools.example/"})]) as end:
        tls = ssl.create_default_context(cafile=str(TLS / "certificate.pem"))
        assert "from wss to ws" in await refusal(f"wss://tools.example:{end.port}/", tls=tls)


# What can go wrong


async def test_tls_is_to_the_name_in_the_url() -> None:
    tls = ssl.create_default_context(cafile=str(TLS / "certificate.pem"))
    async with far_end(tls=True) as end:
        connection = await dialled(f"wss://tools.example:{end.port}/", tls=tls)
        await connection.close()
        assert "Hostname mismatch" in await refusal(f"wss://other.example:{end.port}/", tls=tls)
    assert len(end.connections) == 1


async def test_a_certificate_nobody_trusts_is_refused() -> None:
    async with far_end(tls=True) as end:
        assert "TLS: self-signed certificate" in await refusal(f"wss://tools.example:{end.port}/")
    assert end.requests == []


async def test_tls_where_there_is_none() -> None:
    async with far_end() as end:
        assert "the connection broke" in await refusal(f"wss://tools.example:{end.port}/")


@pytest.mark.parametrize("status", [401, 403, 404, 500])
async def test_a_refusal_has_its_status(status: int) -> None:
    async with far_end(answers=[(status, {})]) as end:
        assert await refusal(end.url) == f"127.0.0.1 answered with status {status}"


@pytest.mark.parametrize("reply", [answer(200, "hello"), b"220 mail.example ESMTP\r\n\r\n", b"\r\n" * 5_000])
async def test_a_server_that_speaks_something_else(reply: bytes) -> None:
    async with serving(reply) as server:
        assert (await refusal(f"ws://127.0.0.1:{server.port}/")).startswith("127.0.0.1 ")


async def test_nobody_listens() -> None:
    async with far_end() as end:
        port = end.port
    assert await refusal(f"ws://127.0.0.1:{port}/") == f"127.0.0.1, port {port}: Connection refused"


@pytest.mark.parametrize("error", [OSError("no such name"), UnicodeError("label too long")])
async def test_a_name_that_is_not_known(error: Exception) -> None:
    async def find(_host: str, _port: int) -> Sequence[str]:
        raise error

    assert await refusal("ws://nobody.example/", find) == "nobody.example has no address"


async def test_a_server_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialing, "DIAL_PATIENCE_S", 0.1)

    async def silent(_: object) -> bytes:
        await asyncio.Event().wait()
        return b""

    async with serving(silent) as server:
        assert "no answer within 0.1 seconds" in await refusal(f"ws://127.0.0.1:{server.port}/")


@pytest.mark.parametrize("url", ["ws://user@host/", "ws://host:70000/", "ws://host/#fragment", "http://host/"])
async def test_urls_that_cannot_be_used(url: str) -> None:
    assert await refusal(url) == "the URL cannot be used"


async def test_no_secret_is_in_what_is_told() -> None:
    url = "ws://me:hidden-password@127.0.0.1:1/hidden-path?token=hidden-query"
    target = Target(url, CALL, {"X-Token": "hidden-header"}, ("hidden-secret-of-many",))
    with pytest.raises(Unreachable) as caught:
        await dial(target, here, plain(), AT)
    assert "hidden" not in str(caught.value)
    assert "hidden" not in repr(target)


async def test_a_subprotocol_may_be_asked_for() -> None:
    async with far_end() as end:
        headers = await headers_sent(end, headers={"Sec-WebSocket-Protocol": "one, two"})
    assert headers["Sec-WebSocket-Protocol"] == "one, two"
