"""The REST half of a client, against a server of another process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from antiphon.client import Api
from antiphon.errors import RequestError, SetupError, Unauthorized
from tests.conftest import RealServer

BODY = {"systemPrompt": "Be brief.", "medium": {"serverWebSocket": {"inputSampleRate": 16_000}}}


@pytest.mark.server
async def test_a_call_is_created_and_read_again(real_server: RealServer) -> None:
    async with Api(real_server.url, real_server.key) as api:
        assert await api.ready()
        created = await api.create_call(BODY)
        assert created["joinUrl"].startswith("ws://")
        call = await api.get_call(created["callId"])
        assert call["systemPrompt"] == "Be brief."
        assert await api.messages(created["callId"]) == []


@pytest.mark.server
async def test_a_refusal_names_the_field(real_server: RealServer) -> None:
    async with Api(real_server.url, real_server.key) as api:
        with pytest.raises(RequestError, match="inputSampleRate"):
            await api.create_call({"medium": {"serverWebSocket": {"inputSampleRate": 7_999}}})


@pytest.mark.server
async def test_a_wrong_key_is_refused(real_server: RealServer) -> None:
    async with Api(real_server.url, "wrong") as api:
        with pytest.raises(Unauthorized):
            await api.create_call(BODY)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "nonsense", "no.such.host.invalid:1"])
async def test_nobody_there(url: str) -> None:
    with pytest.raises(SetupError, match="cannot reach"):
        async with Api(url, "key") as api:
            await api.create_call(BODY)


@asynccontextmanager
async def answering(answer: str) -> AsyncIterator[str]:
    """The address of something that says ``answer`` to whatever it is asked."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer.encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


def http(status: str, body: str, *headers: str) -> str:
    return "\r\n".join((f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", body))


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (http("200 OK", "<html>Welcome</html>"), SetupError, ["200 OK", "not as an Antiphon server does", "--server"]),
        (http("404 Not Found", "<html>No</html>"), SetupError, ["404 Not Found", "--server"]),
        (http("502 Bad Gateway", ""), SetupError, ["502 Bad Gateway"]),
        (http("201 Created", "7"), SetupError, ["not as an Antiphon server does"]),
        (
            http("308 Permanent Redirect", "", "Location: https://calls.example/api/calls"),
            SetupError,
            ["moved to https://calls.example;", "--server"],
        ),
        (
            http("503 Service Unavailable", '{"detail": "the server is full"}', "Retry-After: 5"),
            RequestError,
            ["503: the server is full", "try again in 5 s"],
        ),
        (
            http("400 Bad Request", '{"detail": "a: no", "errors": [{"path": "a", "message": "no"}, '
            '{"path": "b", "message": "never"}]}'),
            RequestError,
            ["400: a: no; b: never"],
        ),
        (http("401 Unauthorized", '{"detail": "no key"}'), Unauthorized, ["--key", "antiphon keys create"]),
        ("SSH-2.0-OpenSSH_9\r\n", SetupError, ["cannot reach", "--server"]),
        ("", SetupError, ["cannot reach", "--server"]),
    ],
)  # fmt: skip
async def test_what_is_no_call_is_one_line_with_the_way_out(
    answer: str, error: type[Exception], words: list[str]
) -> None:
    async with answering(answer) as address, Api(address, "key") as api:
        with pytest.raises(error) as caught:
            await api.create_call(BODY)
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_server_without_tls_is_named_as_one() -> None:
    async with answering(http("400 Bad Request", "")) as address, Api(f"https://{address}", "key") as api:
        with pytest.raises(SetupError, match="speaks no TLS"):
            await api.create_call(BODY)


@pytest.mark.parametrize("key", ["schlüssel", "two\nlines"])
async def test_a_key_that_no_header_can_carry(key: str) -> None:
    with pytest.raises(Unauthorized, match="--key"):
        Api("127.0.0.1:1", key)
