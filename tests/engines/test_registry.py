"""Engines by name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from antiphon.call.prompt import Prompt
from antiphon.engines.aliases import HOSTED_MODELS, HOSTED_VOICES
from antiphon.engines.fallback import FallbackModel, FallbackSpeaker, FallbackTranscriber
from antiphon.engines.protocols import Generated, Samples, TextDelta
from antiphon.engines.registry import Engines, VoiceEntry, build, voice_uuid
from antiphon.engines.scripted import (
    ScriptedEndOfTurn,
    ScriptedLanguageModel,
    ScriptedSpeaker,
    ScriptedTranscriber,
    ScriptedVoiceActivity,
)
from antiphon.engines.settings import EngineSettings
from antiphon.errors import ConfigError, InvalidRequest, ModelMissing

SCRIPTED: dict[str, Any] = {
    "voice_activity": {"engine": "scripted"},
    "end_of_turn": {"engine": "none"},
    "transcriber": {"engine": "scripted"},
    "models": {"echo": {"engine": "scripted"}, "echo-2": {"engine": "scripted", "replies": ["Two."]}},
    "voices": {
        "Tone": {"engine": "scripted", "description": "A tone.", "language": "en"},
        "Tone-2": {"engine": "scripted", "description": "The same tone."},
    },
}


def engines_of(tables: dict[str, Any], folder: Path) -> Engines:
    return build(EngineSettings.model_validate(tables), folder)


def test_the_names_that_clients_take_for_granted_resolve_out_of_the_box(tmp_path: Path) -> None:
    engines = engines_of({}, tmp_path)
    assert engines.model("ultravox-v0.7") is engines.model("fixie-ai/ultravox")
    assert {engines.voice(name).name for name in ("Mark", "jessica", HOSTED_VOICES["Mark"] or "")} == {"Hibari"}
    assert (engines.default_model, engines.default_voice) == ("ultravox-v0.7", "Hibari")


def test_the_same_names_stand_for_the_first_table_of_a_configuration_without_them(tmp_path: Path) -> None:
    engines = engines_of(SCRIPTED, tmp_path)
    assert engines.model("ultravox-v0.7") is engines.model("fixie-ai/ultravox") is engines.models["echo"]
    assert engines.voice("Mark").name == "Tone"
    assert (engines.default_model, engines.default_voice) == ("echo", "Tone")


def test_a_configured_name_is_no_alias(tmp_path: Path) -> None:
    tables = SCRIPTED | {"models": SCRIPTED["models"] | {"fixie-ai/ultravox": {"engine": "scripted", "replies": ["F"]}}}
    engines = engines_of(tables, tmp_path)
    assert engines.model("fixie-ai/ultravox") is not engines.model("ultravox-v0.7")


@pytest.mark.parametrize("name", HOSTED_MODELS)
def test_every_model_of_the_hosted_service_is_the_default_one(tmp_path: Path, name: str) -> None:
    engines = engines_of(SCRIPTED, tmp_path)
    assert engines.model(name) is engines.models["echo"]
    assert name in engines.model_aliases


def voices_of(tmp_path: Path, aliases: dict[str, str] | None = None, **languages: str | None) -> Engines:
    voices = {name: {"engine": "scripted", "language": language} for name, language in languages.items()}
    return engines_of(SCRIPTED | {"voices": voices, "aliases": {"voices": aliases or {}}}, tmp_path)


@pytest.mark.parametrize("asked", [*HOSTED_VOICES, "mark", "JESSICA", *filter(None, HOSTED_VOICES.values())])
def test_the_hosted_services_english_voices_are_an_english_one(tmp_path: Path, asked: str) -> None:
    assert voices_of(tmp_path, Anna="de-DE", Tone=None, Joe="en-GB").voice(asked).name == "Joe"
    assert voices_of(tmp_path, Anna="de-DE", Tone=None).voice(asked).name == "Tone"
    assert voices_of(tmp_path, Tone=None, Joe="en").voice(asked).name == "Tone"
    assert voices_of(tmp_path, Anna="de-DE").voice(asked).name == "Anna"


def test_a_voice_of_another_language_has_no_stand_in(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="there are: Joe"):
        voices_of(tmp_path, Joe="en").voice("Alize-French")


def test_aliases_of_the_configuration_come_before_those_of_the_server_and_after_real_names(tmp_path: Path) -> None:
    engines = voices_of(tmp_path, {"mark": "Anna", "Alize-French": "Anna", "joe": "Anna"}, Joe="en", Anna="fr")
    assert [engines.voice(name).name for name in ("Mark", HOSTED_VOICES["Mark"] or "", "alize-french", "Joe")] == [
        *("Anna", "Anna", "Anna", "Joe")
    ]
    assert engines.voice_alias("MARK") == "mark"
    assert engines.voice_alias("Joe") is None
    own = voices_of(tmp_path, Joe="en", Mark="de")
    assert own.voice(HOSTED_VOICES["Mark"] or "").name == own.voice("mark").name == own.default_voice == "Mark"
    models = {"models": {"echo": "echo-2", "ultravox-v0.6": "echo-2", "gpt": "echo"}}
    named = engines_of(SCRIPTED | {"aliases": models}, tmp_path)
    assert [named.model(name) is named.models["echo"] for name in ("echo", "ultravox-v0.7", "gpt")] == [True] * 3
    assert named.model_aliases["ultravox-v0.6"] == "echo-2"


def test_the_built_in_voice_is_found_by_the_id_that_it_had_under_its_former_name(tmp_path: Path) -> None:
    assert engines_of({}, tmp_path).voice(str(voice_uuid("Mark"))).name == "Hibari"


@pytest.mark.parametrize("name", ["nonsense", "", "ECHO"])
def test_an_unknown_model_is_told_what_there_is(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidRequest, match="there are: echo, echo-2") as error:
        engines_of(SCRIPTED, tmp_path).model(name)
    assert [field.path for field in error.value.fields] == ["model"]


def test_an_unknown_voice_is_told_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="there are: Tone, Tone-2") as error:
        engines_of(SCRIPTED, tmp_path).voice("nonsense")
    assert [field.path for field in error.value.fields] == ["voice"]


def test_a_voice_has_a_name_and_an_id(tmp_path: Path) -> None:
    engines = engines_of(SCRIPTED, tmp_path)
    voice = engines.voice("Tone")
    assert (voice.name, voice.description, voice.language) == ("Tone", "A tone.", "en")
    assert engines.voice("tone") is voice
    assert engines.voice(str(voice.voice_id)) is voice
    assert engines.voice(str(voice.voice_id).upper()) is voice


def test_a_voices_id_never_changes() -> None:
    assert str(voice_uuid("Mark")) == "1af9e6ba-447e-5a35-a7cd-04aea2bfdbe9"


def test_what_is_configured_alike_is_one_engine(tmp_path: Path) -> None:
    tables = SCRIPTED | {"models": {"a": {"engine": "scripted"}, "b": {"engine": "scripted"}}}
    engines = engines_of(tables, tmp_path)
    assert engines.models["a"] is engines.models["b"]
    assert engines.voices["Tone"].speaker is engines.voices["Tone-2"].speaker
    assert engines.voices["Tone-2"].description == "The same tone."
    other = engines_of(SCRIPTED, tmp_path)
    assert other.models["echo"] is not other.models["echo-2"]


async def test_missing_weights_are_found_when_loading(tmp_path: Path) -> None:
    engines = engines_of({}, tmp_path)
    with pytest.raises(ModelMissing, match="antiphon models pull"):
        await engines.load()
    await engines.close()


async def test_a_model_of_ones_own_needs_no_fetched_weights(tmp_path: Path) -> None:
    tables = SCRIPTED | {"models": {"mine": {"engine": "llama", "path": str(tmp_path / "mine.gguf")}}}
    engines = engines_of(tables, tmp_path)
    with pytest.raises(ConfigError, match=r"models\.mine\.path in the configuration: there is no file .*mine\.gguf$"):
        await engines.load()
    await engines.close()


class Counting:
    """A language model that counts."""

    audio_input = False

    def __init__(self) -> None:
        self.loaded = self.closed = 0

    def load(self) -> None:
        self.loaded += 1

    def close(self) -> None:
        self.closed += 1

    async def generate(self, prompt: Prompt, audio: Samples | None = None) -> AsyncIterator[Generated]:
        yield TextDelta("1")


async def test_each_engine_is_loaded_and_closed_once() -> None:
    model, speaker = Counting(), ScriptedSpeaker()
    settings = EngineSettings.model_validate(SCRIPTED).voices["Tone"]
    engines = Engines(
        voice_activity=ScriptedVoiceActivity(),
        end_of_turn=ScriptedEndOfTurn(),
        transcriber=ScriptedTranscriber(),
        models={"a": model, "b": model},
        voices={"v": VoiceEntry("v", voice_uuid("v"), speaker, settings, "", None)},
    )
    told: list[str] = []
    await engines.load(told.append)
    await engines.close()
    assert (model.loaded, model.closed, told) == (1, 1, ["model a"])


def test_a_server_of_remote_engines_imports_no_embedded_one(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from antiphon.engines.registry import build
from antiphon.engines.settings import EngineSettings
remote = {"engine": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m"}
build(EngineSettings.model_validate({
    "voice_activity": {"engine": "scripted"}, "end_of_turn": {"engine": "none"}, "transcriber": remote,
    "models": {"m": remote}, "voices": {"v": remote | {"voice": "alloy"}},
}), Path("nowhere"))
heavy = {"xllamacpp", "ctranslate2", "faster_whisper", "onnxruntime", "hibari_tts"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "[]"


def test_an_engine_with_a_fallback_is_wrapped_and_the_others_are_not(tmp_path: Path) -> None:
    tables = SCRIPTED | {
        "transcriber": {"engine": "scripted", "fallback": "spare", "first_answer_patience_s": 2.0},
        "transcribers": {"spare": {"engine": "scripted", "texts": ["Two."]}, "unused": {"engine": "whisper"}},
        "models": {
            **SCRIPTED["models"],
            "main": {"engine": "scripted", "replies": ["Main."], "fallback": "echo-2"},
        },
        "voices": {**SCRIPTED["voices"], "Deep": {"engine": "scripted", "character_ms": 80, "fallback": "Tone"}},
    }
    engines = engines_of(tables, tmp_path)
    main, voice, transcriber = engines.models["main"], engines.voices["Deep"].speaker, engines.transcriber
    assert isinstance(main, FallbackModel)
    assert isinstance(voice, FallbackSpeaker)
    assert isinstance(transcriber, FallbackTranscriber)
    assert [one.engine for one in main.candidates.row][1] is engines.models["echo-2"]
    assert [one.engine for one in voice.candidates.row][1] is engines.voices["Tone"].speaker
    assert [(one.name, one.patience_s) for one in transcriber.candidates.row] == [("transcriber", 2.0), ("spare", 4.0)]
    assert isinstance(engines.models["echo"], ScriptedLanguageModel)
    names = [name for name, _ in engines._distinct()]
    assert len(names) == len(set(map(id, (engine for _, engine in engines._distinct()))))
    assert not any(isinstance(engine, FallbackModel | FallbackSpeaker) for _, engine in engines._distinct())


def test_engines_that_several_fall_back_on_are_left_alone_by_all(tmp_path: Path) -> None:
    chain = {"fallback": "b"}
    tables = SCRIPTED | {
        "models": {
            "a": {"engine": "scripted", "replies": ["A."], **chain},
            "a2": {"engine": "scripted", "replies": ["A2."], **chain},
            "b": {"engine": "scripted", "replies": ["B."], "fallback": "c"},
            "c": {"engine": "scripted", "replies": ["C."]},
        }
    }
    models = engines_of(tables, tmp_path).models
    rows = []
    for name in ("a", "a2", "b"):
        model = models[name]
        assert isinstance(model, FallbackModel)
        rows.append(model.candidates.row)
    assert [[one.name for one in row] for row in rows] == [["a", "b", "c"], ["a2", "b", "c"], ["b", "c"]]
    assert rows[0][1] is rows[1][1] is rows[2][0]
