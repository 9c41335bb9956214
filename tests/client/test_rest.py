"""The REST half of a client, against a server of another process."""

from __future__ import annotations

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


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "nonsense", "http://[bad"])
async def test_nobody_there(url: str) -> None:
    with pytest.raises(SetupError, match="cannot reach"):
        async with Api(url, "key") as api:
            await api.create_call(BODY)
