"""`antiphon check`, as a user runs it: every engine is asked, and what fails says why."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from antiphon.check.named import named
from antiphon.check.run import ask
from antiphon.engines import registry
from antiphon.engines.settings import EngineSettings
from antiphon.errors import EngineError
from tests.conftest import RealServer
from tests.support.openai_server import OpenAIServer
from tests.test_cli import Ran, antiphon, complains

REMOTE = """
voice_activity = {{ engine = "scripted" }}
end_of_turn = {{ engine = "scripted" }}
transcriber = {{ engine = "openai", base_url = "{url}", model = "w", fallback = "spare" }}
transcribers.spare = {{ engine = "scripted", texts = ["Spare ears."] }}
models.main = {{ engine = "openai", base_url = "{url}", model = "m", api_key = "sk-do-not-tell", fallback = "spare" }}
models.hears = {{ engine = "openai", base_url = "{url}", model = "m", audio_input = true }}
models.spare = {{ engine = "scripted", replies = ["Spare words."] }}
voices.remote = {{ engine = "openai", base_url = "{url}", model = "tts", voice = "alloy" }}
voices.local = {{ engine = "scripted" }}
"""


@pytest.fixture
def engines() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        server.script.pcm = (np.sin(np.arange(12_000) / 10) * 8_000).astype("<i2").tobytes()
        yield server


async def check(folder: Path, config: str, **environment: str) -> Ran:
    file = folder / "antiphon.toml"
    file.write_text(config)
    return await antiphon("check", "--config", file, "--data-dir", folder / "data", **environment)


def row(ran: Ran, name: str) -> str:
    (found,) = [line for line in ran.out.splitlines() if re.match(rf"(ok|FAILS) +{name}", line)]
    return found


async def test_every_engine_is_asked_by_itself(engines: OpenAIServer, tmp_path: Path) -> None:
    ran = await check(tmp_path, REMOTE.format(url=engines.base_url))
    assert ran.code == 0, ran.out + ran.err
    assert "hello there" in row(ran, "transcriber  ")
    assert "Spare ears." in row(ran, "transcriber spare")
    assert "Hello there." in row(ran, "model main")
    assert "Hello there." in row(ran, "model hears")
    assert "Spare words." in row(ran, "model spare")
    assert "0.50 s of sound" in row(ran, "voice remote")
    assert "SQLite, with 0 API keys" in row(ran, "database")
    assert "All 11 answered." in ran.out
    assert len(engines.requests) == 4, "one question each"
    (heard,) = [
        request.json["messages"]
        for request in engines.requests
        if isinstance(request.json.get("messages", [{}])[-1].get("content"), list)
    ]
    assert [part["type"] for part in heard[-1]["content"]] == ["input_audio"]


async def test_what_fails_says_why_and_the_others_are_asked_all_the_same(engines: OpenAIServer, tmp_path: Path) -> None:
    engines.script.status, engines.script.refuses = 401, "/v1/chat/completions"
    engines.script.refusal = {"error": {"message": "no such key sk-do-not-tell"}}
    ran = await check(tmp_path, REMOTE.format(url=engines.base_url))
    assert ran.code == 1
    failed = row(ran, "model main")
    assert failed.startswith("FAILS")
    assert "answered 401: no such key […]" in failed
    assert "see models.main in the configuration" in " ".join(ran.out.split())
    assert "sk-do-not-tell" not in ran.out + ran.err
    assert row(ran, "model spare").startswith("ok")
    assert row(ran, "voice remote").startswith("ok")
    assert "2 of 11 failed: model main, model hears" in ran.out


async def test_it_reads_well_at_80_columns(tmp_path: Path) -> None:
    ran = await check(tmp_path, REMOTE.format(url="http://127.0.0.1:1/v1"), COLUMNS="80")
    assert ran.code == 1
    assert max(map(len, ran.out.splitlines())) <= 80
    assert "cannot be reached (Connection refused)" in " ".join(ran.out.split())


async def test_missing_models_and_a_wrong_path_are_findings(tmp_path: Path) -> None:
    config = """
voice_activity = { engine = "silero" }
end_of_turn = { engine = "smart-turn", path = "none.onnx" }
transcriber = { engine = "scripted" }
models.a = { engine = "scripted" }
voices.v = { engine = "scripted" }
"""
    ran = await check(tmp_path, config, ANTIPHON_MODELS=str(tmp_path / "models"))
    assert ran.code == 1
    assert "antiphon models pull silero-vad" in " ".join(ran.out.split())
    assert "end_of_turn.path in the configuration: there is no file" in " ".join(ran.out.split())
    assert row(ran, "model a").startswith("ok")


async def test_a_database_and_a_folder_that_cannot_be_used_are_findings(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    config = f'database_url = "postgresql://me:secret@127.0.0.1:1/x"\n{REMOTE.format(url="http://127.0.0.1:1/v1")}'
    ran = await check(tmp_path, config)
    assert row(ran, "data folder").startswith("FAILS")
    assert row(ran, "database").startswith("FAILS")
    assert "see database_url" in " ".join(ran.out.split())
    assert "secret" not in ran.out


async def test_a_wrong_configuration_is_one_line(tmp_path: Path) -> None:
    complains(await check(tmp_path, "hots = 1"), "hots", "host")


@pytest.mark.server
async def test_it_can_be_run_beside_a_server(real_server: RealServer, tmp_path: Path) -> None:
    file = real_server.data_dir.parent / "antiphon.toml"
    ran = await antiphon("check", "--config", file, "--data-dir", real_server.data_dir)
    assert ran.code == 0, ran.out + ran.err
    assert "a server runs on it (process " in ran.out


@pytest.mark.models
async def test_the_embedded_engines_answer(tmp_path: Path) -> None:
    ran = await check(tmp_path, "")
    assert ran.code == 0, ran.out + ran.err
    assert "capital of France" in row(ran, "transcriber")
    assert "Paris" in row(ran, "model ultravox")


async def test_an_engine_that_hangs_or_breaks_is_a_finding() -> None:
    async def hangs() -> str:
        raise TimeoutError

    async def breaks() -> str:
        raise ZeroDivisionError("what the caller said")

    async def refuses() -> str:
        raise EngineError("answered 500")

    assert (await ask("a", hangs, 2.0)).answer == "no answer in 2 s"
    assert (await ask("a", breaks)).answer == "broke: ZeroDivisionError"
    assert (await ask("a", refuses)).answer == "answered 500"


def test_tables_that_are_alike_are_asked_once(tmp_path: Path) -> None:
    scripted: dict[str, Any] = {"engine": "scripted"}
    settings = EngineSettings.model_validate(
        {
            "voice_activity": scripted,
            "end_of_turn": {"engine": "none"},
            "transcriber": scripted,
            "models": {"a": scripted, "b": scripted, "c": {**scripted, "fallback": "a", "replies": ("x",)}},
            "voices": {"v": scripted},
        }
    )
    found = named(settings, registry.build(settings, tmp_path))
    assert [one.name for one in found] == ["voice activity", "transcriber", "model a", "model c", "voice v"]
    assert [one.key for one in found][2:] == ["models.a", "models.c", "voices.v"]
