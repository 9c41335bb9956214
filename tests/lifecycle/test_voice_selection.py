"""Which voice a call speaks with, and what a call may ask of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from antiphon.engines import registry
from antiphon.engines.generic_speaker import GenericSpeaker
from antiphon.engines.hibari import HibariSpeaker
from antiphon.engines.registry import Engines
from antiphon.engines.scripted import ScriptedSpeaker, ScriptedTranscriber
from antiphon.engines.settings import EngineSettings
from antiphon.engines.tuning import Tuning
from antiphon.errors import EngineError, InvalidRequest
from antiphon.lifecycle.voice_selection import VoiceChoice, Voices
from antiphon.tools.http import HttpCaller
from antiphon.tools.ssrf_guard import SsrfGuard
from antiphon.wire.call_request import parse_call_request
from tests.support.openai_server import OpenAIServer

SETTINGS: dict[str, Any] = {
    "transcriber": {"engine": "scripted"},
    "models": {"m": {"engine": "scripted"}},
    "voices": {
        "Mark": {"engine": "scripted", "language": "en-US"},
        "Heart": {"engine": "hibari"},
    },
}
GENERIC: dict[str, Any] = {
    "url": "https://speech.example/v1",
    "body": {"text": "{text}"},
    "headers": {"Authorization": "Bearer abc"},
    "responseSampleRate": 16_000,
}


@pytest.fixture
def engines(tmp_path: Path) -> Engines:
    return registry.build(EngineSettings.model_validate(SETTINGS), tmp_path)


@pytest.fixture
async def voices(engines: Engines) -> AsyncIterator[Voices]:
    http = HttpCaller()
    yield Voices(engines, http)
    await http.aclose()


def choice(**body: Any) -> VoiceChoice:
    return VoiceChoice.of(parse_call_request(body))


def generic(**changes: Any) -> VoiceChoice:
    given = {name: value for name, value in {**GENERIC, **changes}.items() if value is not None}
    return choice(externalVoice={"generic": given})


@pytest.mark.parametrize(
    "overrides",
    [
        {"elevenLabs": {"speed": 1.2}},
        {"cartesia": {"generationConfig": {"speed": 1.2}}},
        {"lmnt": {"speed": "1.2"}},
        {"google": {"speakingRate": 1.2}},
        {"inworld": {"speakingRate": 1.2}},
        {"generic": {"body": {"speed": 1.2}}},
    ],
)
def test_any_providers_speed_is_heard(voices: Voices, engines: Engines, overrides: dict[str, Any]) -> None:
    wanted = choice(voice="Mark", voiceOverrides=overrides)
    assert voices.choose(wanted).notes == ()
    speaker, usual = voices.speaker("c", wanted), engines.voice("Mark").speaker
    assert isinstance(speaker, ScriptedSpeaker)
    assert isinstance(usual, ScriptedSpeaker)
    assert usual.tunings == [Tuning(1.2)]
    assert speaker.frames("x" * 100) * 1.2 == pytest.approx(usual.frames("x" * 100))


def test_a_call_that_asks_for_nothing_has_the_voice_as_it_is(voices: Voices, engines: Engines) -> None:
    assert voices.speaker("c", choice()) is engines.voice("Mark").speaker
    assert voices.choose(choice()).name == "Mark"


def test_the_language_reaches_the_voice(voices: Voices, engines: Engines) -> None:
    voices.speaker("c", choice(languageHint="en-GB"))
    usual = engines.voice("Mark").speaker
    assert isinstance(usual, ScriptedSpeaker)
    assert usual.tunings == [Tuning(language="en-GB")]


@pytest.mark.parametrize(
    ("body", "noted"),
    [
        ({"languageHint": "en-GB"}, []),
        ({"languageHint": "EN"}, []),
        ({"languageHint": "de"}, ["voice_language"]),
        ({"voice": "Heart", "languageHint": "de"}, []),  # whose language nobody has told
        ({"voice": "Mark", "voiceOverrides": {"elevenLabs": {"stability": 0.5}}}, ["voice_override_unused"]),
        ({"voice": "Mark", "voiceOverrides": {"generic": {"body": {"pitch": 2}}}}, []),
        ({"voice": "Heart", "voiceOverrides": {"generic": {"body": {"pitch": 2}}}}, ["voice_override_unused"]),
    ],
)
def test_what_has_no_effect_is_noted(voices: Voices, body: dict[str, Any], noted: list[str]) -> None:
    assert [note.type for note in voices.choose(choice(**body)).notes] == noted


def test_a_language_that_nobody_understands_is_refused_with_those_that_are(
    voices: Voices, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ScriptedTranscriber, "knows", lambda self, language: language == "en", raising=False)
    monkeypatch.setattr(ScriptedTranscriber, "known_languages", lambda self: ("de", "en"), raising=False)
    for fine in (choice(languageHint="en"), choice(languageHint=""), choice(), generic()):
        voices.choose(fine)
    for wrong in (choice(languageHint="klingon"), replace(generic(), language="klingon")):
        with pytest.raises(InvalidRequest, match="klingon; it knows de, en") as caught:
            voices.choose(wrong)
        assert [field.path for field in caught.value.fields] == ["languageHint"]


@pytest.mark.parametrize("language", ["klingon", "english", "german-AT", "e"])
def test_what_is_no_language_is_refused_whatever_recognizes_speech(voices: Voices, language: str) -> None:
    with pytest.raises(InvalidRequest, match="no BCP 47 language code") as caught:
        voices.choose(choice(languageHint=language))
    assert [field.path for field in caught.value.fields] == ["languageHint"]
    for fine in ("tlh", "de-DE", "zh-Hant-TW", "es-419", "de-DE-1996"):
        voices.choose(choice(languageHint=fine))


def test_all_that_has_no_effect_is_named(voices: Voices) -> None:
    overrides = {"cartesia": {"emotions": ["joy"], "speed": 0.5, "generationConfig": {"volume": 2, "speed": 1.1}}}
    (note,) = voices.choose(choice(voice="Mark", voiceOverrides=overrides)).notes
    fields = ["voiceOverrides.cartesia.speed", "voiceOverrides.cartesia.emotions"]
    assert note.extras == {"fields": [*fields, "voiceOverrides.cartesia.generationConfig.volume"]}
    assert all(field in note.text for field in fields)


def test_a_great_many_fields_make_no_great_event(voices: Voices) -> None:
    overrides = {"generic": {"body": {f"{number}" * 100: 1 for number in range(900)}}}
    (note,) = voices.choose(choice(voice="Heart", voiceOverrides=overrides)).notes
    assert len(note.text) < 1_200
    assert len(note.extras["fields"]) == 20


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"voice": "nobody"}, "voice"),
        ({"voice": "Mark", "voiceOverrides": {"elevenLabs": {"voiceId": "x"}}}, "voiceOverrides.elevenLabs.voiceId"),
        ({"voice": "Mark", "voiceOverrides": {"inworld": {"modelId": "x"}}}, "voiceOverrides.inworld.modelId"),
        ({"voice": "Mark", "voiceOverrides": {"generic": {"url": "http://a"}}}, "voiceOverrides.generic.url"),
        (
            {"voice": "Mark", "voiceOverrides": {"generic": {"body": {"input": "x"}}}},
            "voiceOverrides.generic.body.input",
        ),
        (
            {"voice": "Mark", "voiceOverrides": {"generic": {"body": {"speed": "fast"}}}},
            "voiceOverrides.generic.body.speed",
        ),
        (
            {"voice": "Mark", "voiceOverrides": {"generic": {"body": {"speed": 11}}}},
            "voiceOverrides.generic.body.speed",
        ),
        ({"voice": "Heart", "voiceOverrides": {"lmnt": {"speed": 0.25}}}, "voiceOverrides.lmnt.speed"),
        *(
            ({"externalVoice": {provider: {}}}, f"externalVoice.{provider}")
            for provider in ("elevenLabs", "cartesia", "lmnt", "google", "inworld", "respeecher")
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name(voices: Voices, body: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        voices.choose(choice(**body))
    assert [field.path for field in error.value.fields] == [path]
    with pytest.raises(InvalidRequest):
        voices.speaker("c", choice(**body))


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"url": None}, "url"),
        ({"url": "https://user:pass@speech.example"}, "url"),
        ({"url": "https://speech.example:99999"}, "url"),
        ({"url": "https://[::1"}, "url"),
        ({"body": None}, "body"),
        ({"body": {"text": "text"}}, "body"),
        ({"body": {"text": "{text}" * 20_000}}, "body"),
        ({"headers": {"Content-Length": "5"}}, "headers.Content-Length"),
        ({"responseMimeType": "audio/l16", "responseSampleRate": None}, "responseSampleRate"),
        ({"responseMimeType": "audio/mpeg"}, "responseMimeType"),
        ({"responseMimeType": "Audio/OGG; codecs=opus"}, "responseMimeType"),
        ({"responseMimeType": "application/jsonl"}, "jsonAudioFieldPath"),
        ({"responseMimeType": "application/json; charset=utf-8"}, "jsonAudioFieldPath"),
    ],
)
def test_a_voice_brought_along_is_checked_beforehand(voices: Voices, changes: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        voices.choose(generic(**changes))
    assert [field.path for field in error.value.fields] == [f"externalVoice.generic.{path}"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"responseSampleRate": None},
        {"responseSampleRate": None, "responseMimeType": "audio/l16;rate=24000"},
        {"responseMimeType": "application/json", "jsonAudioFieldPath": "audio"},
        {"responseWordsPerMinute": 170, "jsonByteEncoding": "JSON_BYTE_ENCODING_HEX"},
    ],
)
async def test_a_voice_brought_along_is_taken(voices: Voices, changes: dict[str, Any]) -> None:
    assert voices.choose(generic(**changes)).entry is None
    assert isinstance(voices.speaker("c", generic(**changes)), GenericSpeaker)
    await voices.release("c")


@pytest.mark.parametrize("allowed", [(), ("127.0.0.1",)])
async def test_a_voice_brought_along_stays_out_of_the_servers_insides(
    engines: Engines, allowed: tuple[str, ...]
) -> None:
    http = HttpCaller(SsrfGuard(allowed=allowed))
    voices = Voices(engines, http)
    with OpenAIServer() as inside:
        speaker = voices.speaker("c", generic(url=f"{inside.base_url}/audio/speech"))
        if allowed:
            for text in ("Hi.", "Ho."):
                assert [len(samples) async for samples in speaker.speak(text)]
        else:
            with pytest.raises(EngineError, match="not a public address"):
                await anext(speaker.speak("Hi."))
        assert len(inside.requests) == 2 * len(allowed)
        assert len({request.client for request in inside.requests}) == len(allowed)
        await voices.release("c")
        with pytest.raises(EngineError, match="cannot be asked"):  # its connections are closed
            await anext(speaker.speak("Hi."))
    await http.aclose()


def test_a_speed_of_the_embedded_voice(voices: Voices) -> None:
    speaker = voices.speaker("c", choice(voice="Heart", voiceOverrides={"lmnt": {"speed": 1.5}}))
    assert isinstance(speaker, HibariSpeaker)
