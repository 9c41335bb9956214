"""The engine part of the configuration."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from antiphon.engines import settings as module
from antiphon.engines.settings import (
    EngineSettings,
    HibariSettings,
    LlamaSettings,
    OpenAIModelSettings,
    OpenAITranscriberSettings,
    OpenAIVoiceSettings,
    ScriptedModelSettings,
    SileroSettings,
    SmartTurnSettings,
    WhisperSettings,
)

EXAMPLE = """
[transcriber]
engine = "openai"
base_url = "http://127.0.0.1:9000/v1"
model = "whisper-1"

[models."ultravox-v0.7"]
engine = "openai"
base_url = "http://127.0.0.1:9000/v1"
model = "some-model"
audio_input = false

[voices.Mark]
engine = "openai"
base_url = "http://127.0.0.1:9000/v1"
model = "tts-1"
voice = "alloy"
sample_rate = 24000
"""


def read(text: str) -> EngineSettings:
    return EngineSettings.model_validate(tomllib.loads(text), strict=True)


def test_nothing_at_all_is_everything_embedded() -> None:
    settings = read("")
    assert isinstance(settings.voice_activity, SileroSettings)
    assert isinstance(settings.end_of_turn, SmartTurnSettings)
    assert isinstance(settings.transcriber, WhisperSettings)
    assert list(settings.models) == ["ultravox-v0.7"]
    assert isinstance(settings.models["ultravox-v0.7"], LlamaSettings)
    assert list(settings.voices) == ["Hibari"]
    assert isinstance(settings.voices["Hibari"], HibariSettings)


def test_the_example_of_the_documentation() -> None:
    settings = read(EXAMPLE)
    assert isinstance(settings.transcriber, OpenAITranscriberSettings)
    model, voice = settings.models["ultravox-v0.7"], settings.voices["Mark"]
    assert isinstance(model, OpenAIModelSettings)
    assert model.model == "some-model"
    assert isinstance(voice, OpenAIVoiceSettings)
    assert (voice.voice, voice.sample_rate) == ("alloy", 24_000)


def test_paths_and_lists_are_taken_from_toml() -> None:
    settings = read(
        """
        models.a = {engine = "llama", path = "/models/a.gguf", threads = 4, context_tokens = 8192, parallel_calls = 3}
        models.b = {engine = "scripted", replies = ["One.", "Two."]}
        transcriber = {engine = "whisper", path = "/models/whisper"}
        end_of_turn = {engine = "none"}
        """
    )
    a, b = settings.models["a"], settings.models["b"]
    assert isinstance(a, LlamaSettings)
    assert a.path == Path("/models/a.gguf")
    assert isinstance(b, ScriptedModelSettings)
    assert b.replies == ("One.", "Two.")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("nonsense = 1", ("nonsense",)),
        ('transcriber = {model = "x"}', ("transcriber",)),
        ('transcriber = {engine = "nonsense"}', ("transcriber",)),
        ('transcriber = {engine = "whisper", model = "x"}', ("transcriber", "whisper", "model")),
        ('transcriber = {engine = "openai", model = "x"}', ("transcriber", "openai", "base_url")),
        (
            'transcriber = {engine = "openai", model = "x", base_url = "127.0.0.1:9000"}',
            ("transcriber", "openai", "base_url"),
        ),
        ('models.a = {engine = "llama", threads = "2"}', ("models", "a", "llama", "threads")),
        ('models.a = {engine = "llama", threads = 0}', ("models", "a", "llama", "threads")),
        ("models = {}", ("models",)),
        ('models.a = {engine = "scripted", replies = []}', ("models", "a", "scripted", "replies")),
        ('models.a = {engine = "scripted", replies = [1]}', ("models", "a", "scripted", "replies", 0)),
        ('voices.a = {engine = "hibari", speed = 3.0}', ("voices", "a", "hibari", "speed")),
        ("voices = {}", ("voices",)),
        ('aliases.models = {"gpt" = "no-such"}', ("aliases", "models", "gpt")),
        ('aliases.voices = {"Ana" = "Jessica"}', ("aliases", "voices", "Ana")),
        ("aliases.voices = {Ana = 1}", ("aliases", "voices", "Ana")),
        ("aliases.engines = {}", ("aliases", "engines")),
    ],
)
def test_a_wrong_key_is_named(text: str, where: tuple[str | int, ...]) -> None:
    with pytest.raises(ValidationError) as error:
        read(text)
    assert error.value.errors()[0]["loc"] == where


def test_keys_are_not_shown() -> None:
    table = 'models.a = {engine = "openai", base_url = "http://h/v1", model = "m", api_key = "sk-secret"}'
    assert "sk-secret" not in repr(read(table)) + str(read(table).model_dump())
    with pytest.raises(ValidationError) as error:
        read(table.replace("engine", "nonsense = 1, engine"))
    assert "sk-secret" not in str(error.value)


def test_settings_that_say_the_same_are_the_same() -> None:
    a, b = read(EXAMPLE), read(EXAMPLE)
    assert a.models["ultravox-v0.7"] == b.models["ultravox-v0.7"]
    assert hash(a.models["ultravox-v0.7"]) == hash(b.models["ultravox-v0.7"])
    assert hash(LlamaSettings(engine="llama")) == hash(LlamaSettings(engine="llama"))


def test_every_key_is_described() -> None:
    """The configuration reference is made of these descriptions."""
    models: list[Any] = [
        value for value in vars(module).values() if isinstance(value, type) and issubclass(value, BaseModel)
    ]
    missing = [
        f"{model.__name__}.{name}"
        for model in models
        for name, field in model.model_fields.items()
        if not (field.description or "").strip()
    ]
    assert not missing
    engines = [name for model in models for name in get_args(model.__annotations__.get("engine", None))]
    assert all(isinstance(name, str) for name in engines)


def test_a_scripted_reply_uses_tools_in_the_documented_way_only() -> None:
    table = 'models.m = {{ engine = "scripted", replies = ["Hello.", \'Wait. [[tool a {{"b": [[1]]}}]]{}\'] }}'
    assert isinstance(read(table.format("")).models["m"], ScriptedModelSettings)
    with pytest.raises(ValidationError, match="a tool is used as"):
        read(table.format("[[tool]]"))
