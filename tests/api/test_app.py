from __future__ import annotations

import io
import json
import wave
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import yaml

from antiphon.api.auth import CACHE_S, Keyring, make_key
from antiphon.api.errors import respond_to
from antiphon.errors import Conflict, EngineError, Forbidden, Overloaded, StoreError
from tests.support.server_fixtures import KEY, House


@pytest.mark.parametrize("headers", [{}, {"X-API-Key": ""}, {"X-API-Key": "wrong"}, {"X-API-Key": "ä" * 300}])
@pytest.mark.parametrize("path", ["/api/calls", "/api/models", "/api/voices", "/api/calls/1/messages"])
async def test_without_a_good_key_nothing_is_told(house: House, headers: dict[str, str], path: str) -> None:
    house.client.headers.pop("X-API-Key")
    response = await house.client.get(
        path, headers=[(name.encode(), value.encode()) for name, value in headers.items()]
    )
    assert response.status_code == 401
    assert set(response.json()) == {"detail", "errors"}


async def test_either_header_brings_the_key(house: House) -> None:
    house.client.headers.pop("X-API-Key")
    for name in ("X-API-Key", "X-Unsafe-API-Key", "x-api-key"):
        assert (await house.client.get("/api/models", headers={name: KEY})).status_code == 200


async def test_keys_of_the_database_are_good_until_revoked_or_expired(house: House) -> None:
    now = 0.0
    keys = Keyring(house.store.keys, None, clock=lambda: now)
    object.__setattr__(house.app.state.services, "keys", keys)
    good, record = make_key("mine", now=datetime.now(UTC))
    assert good not in repr(record)
    await house.store.keys.create(record)
    assert (await house.client.get("/api/models", headers={"X-API-Key": good})).status_code == 200
    assert (await house.client.get("/api/models", headers={"X-API-Key": good[:-1]})).status_code == 401
    await house.store.keys.revoke(record.prefix)
    now += CACHE_S + 1
    assert (await house.client.get("/api/models", headers={"X-API-Key": good})).status_code == 401
    old, expired = make_key("old", now=datetime.now(UTC))
    await house.store.keys.create(replace(expired, expiry=datetime.now(UTC) - timedelta(seconds=1)))
    assert (await house.client.get("/api/models", headers={"X-API-Key": old})).status_code == 401


async def test_the_first_start_makes_a_key_and_no_other_does(house: House) -> None:
    keys = Keyring(house.store.keys)
    first = await keys.first_key(datetime.now(UTC))
    assert first is not None
    await keys.check(first)
    assert await keys.first_key(datetime.now(UTC)) is None
    assert await Keyring(house.store.keys, "configured").first_key(datetime.now(UTC)) is None


async def test_preflights_are_answered_and_both_headers_allowed(house: House) -> None:
    for header in ("x-api-key", "x-unsafe-api-key"):
        response = await house.client.options(
            "/api/calls",
            headers={
                "Origin": "https://page.example",
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": f"content-type,{header}",
            },
        )
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == "*"
        assert header in response.headers["access-control-allow-headers"].lower()
        assert "POST" in response.headers["access-control-allow-methods"]
    refused = await house.client.get("/api/calls/x", headers={"Origin": "https://page.example"})
    assert refused.headers["access-control-allow-origin"] == "*"


async def test_unknown_paths_and_methods_are_json(client: httpx.AsyncClient) -> None:
    for response, status in (
        (await client.get("/api/nothing"), 404),
        (await client.get("/"), 404),
        (await client.put("/api/calls"), 405),
    ):
        assert response.status_code == status
        assert set(response.json()) == {"detail", "errors"}


async def test_an_error_nobody_foresaw_tells_nothing_of_our_insides(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("what the caller said")

    monkeypatch.setattr(type(house.store.calls), "page", broken)
    response = await house.client.get("/api/calls", headers={"Origin": "https://page.example"})
    assert response.status_code == 500
    assert response.json() == {"detail": "something went wrong on the server", "errors": []}
    assert response.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("error", "status", "retry"),
    [
        (Forbidden("no"), 403, False),
        (Conflict("no"), 409, False),
        (Overloaded("full", retry_after_s=7), 503, True),
        (EngineError("secret"), 503, True),
        (EngineError("secret", retryable=False), 500, False),
        (StoreError("secret", retryable=True), 503, True),
        (StoreError("secret"), 500, False),
    ],
)
def test_every_error_has_its_status(error: Exception, status: int, retry: bool) -> None:
    response = respond_to(error)  # type: ignore[arg-type]
    assert response.status_code == status
    assert ("Retry-After" in response.headers) is retry
    assert b"secret" not in response.body


async def test_models_are_listed_with_their_aliases(client: httpx.AsyncClient) -> None:
    page = (await client.get("/api/models")).json()
    assert {model["name"] for model in page["results"]} >= {"ultravox-v0.7", "fixie-ai/ultravox", "other"}
    first = (await client.get("/api/models", params={"pageSize": 1})).json()
    assert len(first["results"]) == 1
    second = (await client.get(first["next"])).json()
    assert first["results"] != second["results"]
    assert (await client.get(second["previous"])).json()["results"] == first["results"]
    assert (await client.get("/api/models", params={"cursor": "x"})).status_code == 400


async def test_voices_are_listed_found_and_heard(client: httpx.AsyncClient) -> None:
    voices = (await client.get("/api/voices")).json()["results"]
    assert [voice["name"] for voice in voices] == ["Mark", "Anna"]
    assert (await client.get(f"/api/voices/{voices[0]['voiceId']}")).json() == voices[0]
    for params, names in (
        ({"primaryLanguage": "de"}, ["Anna"]),
        ({"search": "calm"}, ["Mark"]),
        ({"ownership": "private"}, []),
        ({"provider": "lmnt"}, []),
    ):
        found = (await client.get("/api/voices", params=params)).json()["results"]
        assert [voice["name"] for voice in found] == names
    preview = await client.get(voices[0]["previewUrl"])
    assert preview.headers["content-type"] == "audio/wav"
    with wave.open(io.BytesIO(preview.content)) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, 24_000)
        assert sound.getnframes() > 24_000
    assert (await client.get(voices[0]["previewUrl"])).content == preview.content
    assert (await client.get("/api/voices/nobody")).status_code == 404
    assert (await client.get("/api/voices/nobody/preview")).status_code == 404


async def test_voices_say_what_else_they_are_called(client: httpx.AsyncClient) -> None:
    mark, anna = (await client.get("/api/voices")).json()["results"]
    assert mark["description"] == (
        "Calm. Also called Jessica, Tanya-English, Emily-English, Aaron-English, Cassidy-English, Terrence."
    )
    assert anna["description"] is None
    assert (await client.get("/api/voices", params={"search": "jessica"})).json()["results"] == [mark]
    assert (await client.get("/api/voices/Jessica")).json() == mark


async def test_a_voice_that_cannot_speak_says_why(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise EngineError("no such model there")

    monkeypatch.setattr(type(house.engines.voices["Mark"].speaker), "speak", broken)
    response = await house.client.get("/api/voices/Mark/preview")
    assert response.status_code == 400
    assert "no such model there" in response.json()["detail"]


@pytest.mark.parametrize(
    ("query", "accept", "media_type"),
    [
        ("?format=json", "*/*", "application/vnd.oai.openapi+json"),
        ("?format=yaml", "*/*", "application/vnd.oai.openapi"),
        ("", "application/json", "application/json"),
        ("", "application/yaml;q=0.9", "application/yaml"),
        ("", "*/*", "application/vnd.oai.openapi"),
    ],
)
async def test_the_schema_is_served(house: House, query: str, accept: str, media_type: str) -> None:
    house.client.headers.pop("X-API-Key")
    response = await house.client.get(f"/api/schema/{query}", headers={"Accept": accept})
    assert response.headers["content-type"].split(";")[0] == media_type
    document = (json.loads if "json" in media_type else yaml.safe_load)(response.text)
    assert "/api/calls" in document["paths"]
    assert "inputSampleRate" in json.dumps(document["components"]["schemas"])


async def test_health_and_metrics_need_no_key(house: House) -> None:
    house.client.headers.pop("X-API-Key")
    assert (await house.client.get("/healthz")).json() == {"status": "ok"}
    assert (await house.client.get("/readyz")).status_code == 200
    text = (await house.client.get("/metrics")).text
    for name in ("antiphon_live_calls", "antiphon_event_loop_lateness_seconds", "antiphon_calls_created_total"):
        assert name in text
