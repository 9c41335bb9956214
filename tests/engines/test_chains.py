"""A fallback that is not there, or leads back, is told by the key that names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from antiphon.config.config import Config, load_config
from antiphon.engines.chains import chain
from antiphon.errors import ConfigError

SCRIPTED = '{{ engine = "scripted"{} }}'


def read(folder: Path, text: str) -> Config:
    file = folder / "antiphon.toml"
    file.write_text(text, encoding="utf-8")
    return load_config(file, environment={})


def models(**fallbacks: str | None) -> str:
    lines = []
    for name, fallback in fallbacks.items():
        more = f', fallback = "{fallback}"' if fallback else ""
        lines.append(f"models.{name} = {SCRIPTED.format(more)}")
    return "\n".join(lines)


def test_a_chain_is_asked_in_its_order(tmp_path: Path) -> None:
    tables = read(tmp_path, models(a="b", b="c", c=None)).models
    assert [name for name, _ in chain(tables, tables["a"])] == ["b", "c"]
    assert chain(tables, tables["c"]) == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (models(a="x", b=None), 'models.a.fallback: there is no "x" to fall back on; there are: a, b'),
        (models(a="a"), "models.a.fallback: falls back on itself: a → a"),
        (models(a="b", b="c", c="a"), "models.a.fallback: falls back on itself: a → b → c → a"),
        (models(a="b", b="c", c="b"), "models.b.fallback: falls back on itself: b → c → b"),
        (
            'transcriber = { engine = "scripted", fallback = "x" }',
            'transcriber.fallback: there is no "x" to fall back on; there are: none',
        ),
        (
            'transcribers.a = { engine = "scripted", fallback = "b" }\ntranscribers.b = { engine = "whisper" }\n'
            'transcriber = { engine = "scripted", fallback = "c" }',
            'transcriber.fallback: there is no "c" to fall back on; there are: a, b',
        ),
        (
            'transcribers.a = { engine = "scripted", fallback = "a" }',
            "transcribers.a.fallback: falls back on itself: a → a",
        ),
        (
            'voices.a = { engine = "hibari", fallback = "Mark" }',
            'voices.a.fallback: there is no "Mark" to fall back on; there are: a',
        ),
        (
            'models.a = { engine = "scripted", audio_input = true, fallback = "b" }\nmodels.b = { engine = "llama" }',
            'models.a.fallback: "a" hears the caller itself, so has "b" to; its audio_input is false',
        ),
        (
            'models.a = { engine = "scripted", fallback = 1 }',
            "models.a.fallback: expected a string, got a whole number",
        ),
        (
            'models.a = { engine = "scripted", first_answer_patience_s = 0 }',
            "models.a.first_answer_patience_s: has to be greater than 0",
        ),
    ],
)
def test_a_wrong_fallback_is_named(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(tmp_path, text)
    assert str(error.value) == f"{tmp_path / 'antiphon.toml'}: {line}"
