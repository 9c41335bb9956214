from __future__ import annotations

import asyncio
import io
import json
import wave
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import numpy as np
import pytest

from antiphon.audio.recording import RecordingWriter
from tests.support.server_fixtures import House

BODY: dict[str, Any] = {
    "systemPrompt": "Be brief.",
    "medium": {"serverWebSocket": {"inputSampleRate": 48000}},
}


async def create(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    response = await client.post("/api/calls", json={**BODY, **fields})
    assert response.status_code == 201, response.text
    call: dict[str, Any] = response.json()
    return call


async def test_a_call_is_created_and_can_be_looked_at(client: httpx.AsyncClient) -> None:
    call = await create(client, metadata={"source": "test"})
    assert UUID(call["callId"])
    assert call["joinUrl"].startswith(f"ws://calls.example/api/calls/{call['callId']}/join")
    assert call["joinTimeout"] == "30s"
    assert call["medium"] == BODY["medium"]
    assert (call["model"], call["voice"]) == ("ultravox-v0.7", "Mark")
    assert call["joined"] is call["ended"] is call["endReason"] is None
    seen = (await client.get(f"/api/calls/{call['callId']}")).json()
    assert seen == call


async def test_a_duration_beyond_all_measure_is_refused_and_named_not_a_server_error(client: httpx.AsyncClient) -> None:
    for field in ("joinTimeout", "maxDuration"):
        response = await client.post("/api/calls", json={**BODY, field: "999999999999s"})
        assert response.status_code == 400, response.text
        assert [error["path"] for error in response.json()["errors"]] == [field]


@pytest.mark.parametrize(
    "params",
    [{"fromDate": "0001-01-01"}, {"toDate": "9999-12-31"}, {"durationMax": "999999999s"}, {"durationMin": "0.5"}],
)
async def test_the_widest_filters_are_answered(client: httpx.AsyncClient, params: dict[str, str]) -> None:
    response = await client.get("/api/calls", params=params)
    assert response.status_code == 200, response.text


async def test_join_urls_follow_the_way_clients_reach_us(house: House) -> None:
    secure = await house.client.post("https://calls.example/api/calls", json=BODY)
    assert secure.json()["joinUrl"].startswith("wss://calls.example/api/calls/")
    behind = house.config.model_copy(update={"public_url": "https://public.example/voice/"})
    object.__setattr__(house.app.state.services, "config", behind)
    proxied = await house.client.post("/api/calls", json=BODY)
    assert proxied.json()["joinUrl"].startswith("wss://public.example/voice/api/calls/")


async def test_join_urls_are_unguessable_and_only_their_hash_is_kept(house: House) -> None:
    tokens = {(await create(house.client))["joinUrl"].partition("token=")[2] for _ in range(3)}
    assert len(tokens) == 3
    assert all(len(token) >= 43 for token in tokens)
    stored = (await house.store.calls.page()).results
    assert not any(token in repr(record) for record in stored for token in tokens)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"medium": {"serverWebSocket": {"inputSampleRate": 7999}}}, "medium.serverWebSocket.inputSampleRate"),
        ({"medium": {"serverWebSocket": {}}}, "medium.serverWebSocket.inputSampleRate"),
        ({**BODY, "voice": "Nobody"}, "voice"),
        ({**BODY, "model": "gpt-0"}, "model"),
        ({**BODY, "maxDuration": "-1s"}, "maxDuration"),
        ({**BODY, "colour": "red"}, "colour"),
    ],
)
async def test_a_wrong_field_is_a_400_that_names_it(client: httpx.AsyncClient, body: dict[str, Any], path: str) -> None:
    response = await client.post("/api/calls", json=body)
    assert response.status_code == 400
    answer = response.json()
    assert [error["path"] for error in answer["errors"]] == [path]
    assert answer["detail"].startswith(f"{path}: ")


async def test_an_unknown_voice_or_model_is_answered_with_what_there_is(client: httpx.AsyncClient) -> None:
    voice = (await client.post("/api/calls", json={**BODY, "voice": "Nobody"})).json()
    model = (await client.post("/api/calls", json={**BODY, "model": "gpt-0"})).json()
    assert "Mark" in voice["detail"]
    assert "ultravox-v0.7" in model["detail"]


@pytest.mark.parametrize("voice", ["Mark", "anna", None])
@pytest.mark.parametrize("model", ["ultravox-v0.7", "fixie-ai/ultravox", "other", None])
async def test_names_and_aliases_resolve(client: httpx.AsyncClient, voice: str | None, model: str | None) -> None:
    await create(client, voice=voice, model=model)


@pytest.mark.parametrize("model", ["ultravox-v0.6", "fixie-ai/ultravox-llama3.3-70b", "ultravox-v0.6-gemma3-27b"])
@pytest.mark.parametrize(("asked", "shown"), [("Jessica", "Jessica"), ("tanya-english", "Tanya-English")])
async def test_the_hosted_services_names_are_taken_and_shown_as_asked(
    house: House, model: str, asked: str, shown: str
) -> None:
    call = await create(house.client, model=model, voice=asked)
    assert (call["model"], call["voice"]) == (model, shown)
    stage = (await house.client.get(f"/api/calls/{call['callId']}/stages")).json()["results"][0]
    assert (stage["model"], stage["voice"]) == (model, shown)
    mark = str(house.engines.voices["Mark"].voice_id)
    assert (await house.client.get("/api/calls", params={"voiceId": mark})).json()["total"] == 1


async def test_a_digit_string_is_taken_for_a_rate(client: httpx.AsyncClient) -> None:
    call = await create(client, medium={"serverWebSocket": {"inputSampleRate": "48000"}})
    assert call["medium"]["serverWebSocket"]["inputSampleRate"] == 48000


@pytest.mark.parametrize(
    "content",
    [b"{", b"[]", b'"x"', b"null", b'{"systemPrompt": NaN}', b"\xff", b"[" * 100_000, b'{"systemPrompt": "\\ud800"}'],
)
async def test_a_body_that_is_no_sound_object_is_a_400(client: httpx.AsyncClient, content: bytes) -> None:
    response = await client.post("/api/calls", content=content)
    assert response.status_code == 400
    assert set(response.json()) == {"detail", "errors"}


async def test_a_body_over_the_limit_is_a_413_however_it_comes(client: httpx.AsyncClient) -> None:
    big = json.dumps({**BODY, "systemPrompt": "x" * 1_100_000}).encode()

    async def in_chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(big), 10_000):
            yield big[start : start + 10_000]

    for content in (big, in_chunks()):
        response = await client.post("/api/calls", content=content)
        assert response.status_code == 413
        assert "larger" in response.json()["detail"]


async def test_calls_are_listed_newest_first_in_pages(client: httpx.AsyncClient) -> None:
    made = [(await create(client))["callId"] for _ in range(5)]
    first = (await client.get("/api/calls", params={"pageSize": 2})).json()
    assert first["total"] == 5
    assert first["previous"] is None
    assert first["next"].startswith("http://calls.example/api/calls?")
    second = (await client.get(first["next"])).json()
    third = (await client.get(second["next"])).json()
    listed = [call["callId"] for page in (first, second, third) for call in page["results"]]
    assert listed == made[::-1]
    assert third["next"] is None
    assert (await client.get(second["previous"])).json()["results"] == first["results"]


async def test_calls_are_found_by_the_id_that_their_voice_has_on_the_hosted_service(client: httpx.AsyncClient) -> None:
    hosted = "1769b283-36c6-4883-9c52-17bf75a29bc5"
    await create(client, voice="Anna")
    wanted = [(await create(client, voice=name))["callId"] for name in (hosted, "Tanya-English")]
    found = (await client.get("/api/calls", params={"voiceId": hosted, "sort": "created"})).json()["results"]
    assert [call["callId"] for call in found] == wanted


async def test_calls_can_be_selected(client: httpx.AsyncClient) -> None:
    wanted = await create(client, metadata={"source": "phone", "tier": "1"}, voice="Anna")
    await create(client, metadata={"source": "web"})
    voice = next(item for item in (await client.get("/api/voices")).json()["results"] if item["name"] == "Anna")
    for params in (
        {"metadata.source": "phone"},
        {"metadata.source": "phone", "metadata.tier": "1"},
        {"voiceId": voice["voiceId"]},
        {"metadata.source": "phone", "fromDate": "2024-01-01", "toDate": "2100-01-01T00:00:00Z"},
    ):
        found = (await client.get("/api/calls", params=params)).json()["results"]
        assert [call["callId"] for call in found] == [wanted["callId"]], params
    for nothing in ({"toDate": "2024-01-01"}, {"durationMin": "300s"}, {"search": "hello"}, {"metadata.source": "x"}):
        assert (await client.get("/api/calls", params=nothing)).json()["results"] == []


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ({"pageSize": "many"}, "pageSize"),
        ({"pageSize": "0"}, "pageSize"),
        ({"pageSize": "101"}, "pageSize"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"metadata": "phone"}, "metadata"),
        ({"metadata[source]": "phone"}, "metadata[source]"),
        ({"sort": "colour"}, "sort"),
        ({"fromDate": "yesterday"}, "fromDate"),
        ({"durationMax": "-1s"}, "durationMax"),
        ({"durationMin": "long"}, "durationMin"),
        ({"durationMin": "999999999999s"}, "durationMin"),
        ({"durationMax": "1000000001"}, "durationMax"),
        ({"fromDate": "0001-01-01T00:00:00+14:00"}, "fromDate"),
        ({"toDate": "9999-12-31T23:59:59-14:00"}, "toDate"),
        ({"voiceId": "Mark"}, "voiceId"),
        ({"timeOfDayStart": "25:00"}, "timeOfDayStart"),
    ],
)
async def test_wrong_parameters_are_named(client: httpx.AsyncClient, params: dict[str, str], path: str) -> None:
    response = await client.get("/api/calls", params=params)
    assert response.status_code == 400
    assert response.json()["errors"][0]["path"] == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/messages",
        "/stages",
        "/events",
        "/tools",
        "/recording",
        f"/stages/{uuid4()}",
        f"/stages/{uuid4()}/messages",
    ],
)
@pytest.mark.parametrize("call_id", [str(uuid4()), "1", "%00", "../x", "ä"])
async def test_what_is_not_there_is_a_404(client: httpx.AsyncClient, call_id: str, path: str) -> None:
    response = await client.get(f"/api/calls/{call_id}{path}")
    assert response.status_code == 404
    assert response.json()["detail"]


async def test_a_call_that_waits_for_its_join_has_a_stage_and_no_content_yet(client: httpx.AsyncClient) -> None:
    initial = [{"role": "MESSAGE_ROLE_USER", "text": "Hello"}, {"role": "MESSAGE_ROLE_AGENT", "text": "Hi."}]
    call = await create(client, initialMessages=initial, recordingEnabled=True, languageHint="en")
    base = f"/api/calls/{call['callId']}"
    stages = (await client.get(f"{base}/stages")).json()["results"]
    assert [stage["systemPrompt"] for stage in stages] == ["Be brief."]
    assert (await client.get(f"{base}/stages/{stages[0]['callStageId']}")).json() == stages[0]
    for path in (f"{base}/messages", f"{base}/stages/{stages[0]['callStageId']}/messages"):
        assert [message["text"] for message in (await client.get(path)).json()["results"]] == ["Hello", "Hi."]
    assert (await client.get(f"{base}/messages", params={"mode": "in_call"})).json()["results"] == []
    assert (await client.get(f"{base}/events")).json()["results"] == []
    assert (await client.get(f"{base}/tools")).json() == []
    assert (await client.get(f"{base}/recording")).status_code == 404


async def test_data_messages_are_refused_while_the_call_is_not_live(client: httpx.AsyncClient) -> None:
    call = await create(client)
    path = f"/api/calls/{call['callId']}/send_data_message"
    response = await client.post(path, json={"type": "hang_up"})
    assert response.status_code == 422
    assert "not joined" in response.json()["detail"]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"type": "dance"}, "type"),
        ({}, "type"),
        ({"type": "ping", "timestamp": 1}, "type"),
        ({"type": "user_text_message"}, "text"),
        ({"type": "hang_up", "message": 5}, "message"),
    ],
)
async def test_wrong_data_messages_are_a_400(client: httpx.AsyncClient, body: dict[str, Any], path: str) -> None:
    call = await create(client)
    response = await client.post(f"/api/calls/{call['callId']}/send_data_message", json=body)
    assert response.status_code == 400
    assert response.json()["errors"][0]["path"] == path


async def test_calls_are_not_created_before_the_models_are_loaded(house: House) -> None:
    house.readiness.missing.append("model x")
    response = await house.client.post("/api/calls", json=BODY)
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    ready = await house.client.get("/readyz")
    assert (ready.status_code, ready.json()["missing"]) == (503, ["model x"])
    house.readiness.missing.clear()
    assert (await house.client.get("/readyz")).status_code == 200


async def test_a_body_over_the_limit_is_a_413_on_a_real_socket_too(served: House) -> None:
    big = json.dumps({**BODY, "systemPrompt": "x" * 5_000_000}).encode()

    async def in_chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(big), 65_536):
            yield big[start : start + 65_536]

    for content in (big, in_chunks()):
        assert (await served.client.post("/api/calls", content=content)).status_code == 413
        assert (await served.client.get("/healthz")).status_code == 200


async def test_a_recording_is_a_stereo_wav(house: House) -> None:
    recorded = await create(house.client, recordingEnabled=True)
    other = await create(house.client)
    for call in (recorded, other):
        writer = RecordingWriter(house.manager.recording_folder(call["callId"]), 16_000, 48_000)
        writer.caller(np.full(16_000, 1000, np.int16))
        writer.agent(np.full(24_000, -1000, np.int16), 24_000)
        await asyncio.wrap_future(writer.close())
    response = await house.client.get(f"/api/calls/{recorded['callId']}/recording")
    assert response.headers["content-type"] == "audio/wav"
    assert int(response.headers["content-length"]) == len(response.content)
    with wave.open(io.BytesIO(response.content)) as sound:
        assert (sound.getnchannels(), sound.getframerate(), sound.getnframes()) == (2, 48_000, 48_000)
        samples = np.frombuffer(sound.readframes(48_000), "<i2").reshape(-1, 2)
    assert abs(int(samples[24_000, 0]) - 1000) < 20
    assert (samples[12_000, 1], samples[36_000, 1]) == (0, -1000)
    not_enabled = await house.client.get(f"/api/calls/{other['callId']}/recording")
    assert not_enabled.status_code == 404
    assert "recordingEnabled" in not_enabled.json()["detail"]


async def test_a_call_whose_end_is_being_put_on_record_is_not_said_to_wait_for_its_join(house: House) -> None:
    call = await create(house.client)
    path = f"/api/calls/{call['callId']}/send_data_message"
    before = await house.client.post(path, json={"type": "hang_up"})
    await house.store.calls.mark_joined(call["callId"], datetime.now(UTC))
    after = await house.client.post(path, json={"type": "hang_up"})
    assert (before.status_code, before.json()["detail"]) == (422, "the call is not joined yet")
    assert (after.status_code, after.json()["detail"]) == (422, "the call has ended")
