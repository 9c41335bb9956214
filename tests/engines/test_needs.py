"""What the settings need of the disk: which models are fetched, and whether one's own files are there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from antiphon.engines import weights
from antiphon.engines.needs import FETCHED, WHISPER_FILES, check_paths, needed_models
from antiphon.engines.settings import EngineSettings
from antiphon.errors import ConfigError

REMOTE = {"engine": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m"}
NOTHING: dict[str, Any] = {
    "voice_activity": {"engine": "scripted"},
    "end_of_turn": {"engine": "none"},
    "transcriber": REMOTE,
    "models": {"m": REMOTE},
    "voices": {"v": {**REMOTE, "voice": "alloy"}},
}


def needed(**tables: Any) -> tuple[str, ...]:
    return needed_models(EngineSettings.model_validate({**NOTHING, **tables}))


def test_without_a_configuration_the_default_models_are_needed() -> None:
    assert needed_models(EngineSettings()) == weights.DEFAULT_MODELS
    assert set(FETCHED.values()) <= set(weights.CATALOGUE)


def test_remote_engines_need_no_models() -> None:
    assert needed() == ()


def test_only_what_is_used_is_needed(tmp_path: Path) -> None:
    assert needed(end_of_turn={"engine": "smart-turn"}) == ("smart-turn",)
    assert needed(voice_activity={"engine": "silero", "path": str(tmp_path)}) == ()
    spare = {"spare": {"engine": "whisper"}}
    assert needed(transcribers=spare) == (), "nothing falls back on it"
    assert needed(transcriber={**REMOTE, "fallback": "spare"}, transcribers=spare) == ("whisper-base",)
    assert needed(models={"a": {"engine": "llama"}, "b": {"engine": "llama", "threads": 1}}) == ("qwen2.5-1.5b",)
    assert needed(voices={"v": {"engine": "hibari"}}) == (), "its weights come with the library"


@pytest.mark.parametrize(
    ("key", "tables"),
    [
        ("voice_activity.path", {"voice_activity": {"engine": "silero", "path": "FILE"}}),
        ("end_of_turn.path", {"end_of_turn": {"engine": "smart-turn", "path": "FILE"}}),
        ("transcriber.path", {"transcriber": {"engine": "whisper", "path": "FILE"}}),
        (
            "transcribers.spare.path",
            {
                "transcriber": {**REMOTE, "fallback": "spare"},
                "transcribers": {"spare": {"engine": "whisper", "path": "FILE"}},
            },
        ),
        ('models."my.model".path', {"models": {"my.model": {"engine": "llama", "path": "FILE"}}}),
    ],
)
def test_a_path_that_is_not_there_is_named_with_its_key(key: str, tables: dict[str, Any], tmp_path: Path) -> None:
    missing = tmp_path / "none"

    def settings(path: Path) -> EngineSettings:
        return EngineSettings.model_validate({**NOTHING, **_with(tables, str(path))})

    with pytest.raises(ConfigError) as error:
        check_paths(settings(missing))
    assert str(error.value).startswith(f"{key} in the configuration: there is no f")
    assert str(error.value).endswith(str(missing))
    assert "models pull" not in str(error.value)
    if not key.startswith("transcriber"):
        with pytest.raises(ConfigError, match="is a folder, and a file is wanted"):
            check_paths(settings(tmp_path))
        missing.touch()
        check_paths(settings(missing))


def test_a_folder_without_whisper_says_what_is_missing(tmp_path: Path) -> None:
    settings = EngineSettings.model_validate({**NOTHING, "transcriber": {"engine": "whisper", "path": str(tmp_path)}})
    (tmp_path / "model.bin").touch()
    with pytest.raises(ConfigError, match=re.escape(f"{tmp_path} holds no Whisper model") + ".*tokenizer.json"):
        check_paths(settings)
    for name in WHISPER_FILES:
        (tmp_path / name).touch()
    check_paths(settings)
    file = EngineSettings.model_validate(
        {**NOTHING, "transcriber": {"engine": "whisper", "path": str(tmp_path / "model.bin")}}
    )
    with pytest.raises(ConfigError, match="is a file, and a folder"):
        check_paths(file)


def _with(tables: Any, path: str) -> Any:
    if isinstance(tables, dict):
        return {key: _with(value, path) for key, value in tables.items()}
    return path if tables == "FILE" else tables
