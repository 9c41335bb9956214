from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from antiphon.call.settings import TurnSettings
from antiphon.config.config import Config, Turns, load_config
from antiphon.engines.settings import LlamaSettings, OpenAIModelSettings
from antiphon.errors import ConfigError

HOME = {"HOME": "/home/somebody"}

ISSUE_EXAMPLE = """
[transcriber]
engine = "openai"
base_url = "http://127.0.0.1:9000/v1"
model = "whisper-1"

[models."ultravox-v0.7"]
engine = "openai"
base_url = "http://127.0.0.1:9000/v1"
model = "some-model"
audio_input = false
api_key = "${MODEL_KEY}"

[voices.Mark]
engine = "openai"
base_url = "http://127.0.0.1:9000/v1"
model = "tts-1"
voice = "alloy"
sample_rate = 24000
"""


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "antiphon.toml"


def test_without_a_file_everything_has_a_default(written: Path) -> None:
    config = load_config(environment=HOME)
    assert (config.host, config.port, config.public_url) == ("127.0.0.1", 8000, None)
    assert config.data_dir == Path("/home/somebody/.local/share/antiphon")
    assert config.models_dir == Path("/home/somebody/.cache/antiphon/models")
    assert config.store_url == "sqlite:////home/somebody/.local/share/antiphon/antiphon.db"
    assert config.turns.settings() == TurnSettings()
    assert isinstance(config.models["ultravox-v0.7"], LlamaSettings)


def test_the_xdg_folders_are_respected(written: Path) -> None:
    config = load_config(environment={**HOME, "XDG_DATA_HOME": "/d", "XDG_CACHE_HOME": "/c"})
    assert (config.data_dir, config.models_dir) == (Path("/d/antiphon"), Path("/c/antiphon/models"))
    relative = load_config(environment={**HOME, "XDG_DATA_HOME": "d"})
    assert relative.data_dir == Path("/home/somebody/.local/share/antiphon")


def test_a_file_sets_engines_and_takes_secrets_from_the_environment(written: Path) -> None:
    written.write_text(ISSUE_EXAMPLE)
    config = load_config(environment={**HOME, "MODEL_KEY": "secret"})
    model = config.models["ultravox-v0.7"]
    assert isinstance(model, OpenAIModelSettings)
    assert model.api_key is not None
    assert model.api_key.get_secret_value() == "secret"
    assert "secret" not in repr(config)


def test_command_line_beats_environment_beats_file(written: Path, tmp_path: Path) -> None:
    written.write_text('port = 1\nhost = "a"\ndata_dir = "file"\n[turns]\npatience_s = 2\n')
    config = load_config(overrides={"port": 3, "host": None}, environment={**HOME, "ANTIPHON_DATA_DIR": "/env"})
    assert (config.port, config.host, config.data_dir, config.turns.patience_s) == (3, "a", Path("/env"), 2.0)
    assert load_config(environment=HOME).data_dir == tmp_path / "file"


def test_the_file_can_be_named_by_the_environment(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("port = 5")
    assert load_config(environment={**HOME, "ANTIPHON_CONFIG": str(tmp_path / "other.toml")}).port == 5


def test_a_models_path_is_relative_to_its_file(written: Path, tmp_path: Path) -> None:
    written.write_text('[models.own]\nengine = "llama"\npath = "own.gguf"')
    model = load_config(environment=HOME).models["own"]
    assert isinstance(model, LlamaSettings)
    assert model.path == tmp_path / "own.gguf"


def test_lists_of_addresses_are_taken_from_a_file(written: Path) -> None:
    written.write_text("trusted_proxies = ['10.0.0.0/8', '::1']\n[tools]\nallowed = ['10.1.2.3', 'inner.example']")
    config = load_config(environment=HOME)
    assert config.trusted_proxies == ("10.0.0.0/8", "::1")
    assert config.tools.allowed == ("10.1.2.3", "inner.example")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("hots = 'x'", "hots: is not a known key; did you mean host?"),
        ("port = '8000'", "port: expected a whole number, got a string"),
        ("port = 70000", "port: has to be less than or equal to 65535"),
        ("[limits]\nmax_cals = 1", "limits.max_cals: is not a known key; did you mean max_calls?"),
        ("[limits]\nmax_calls = 1.5", "limits.max_calls: expected a whole number, got a number"),
        ("[log]\nlevel = 'loud'", "log.level: has to be 'debug', 'info', 'warning' or 'error'"),
        ("models = 5", "models: expected a table, got a whole number"),
        ("data_dir = 5", "data_dir: expected a path, as a string, got a whole number"),
        ("public_url = 'ftp://a'", "public_url: has to be a URL that starts with http:// or https://"),
        ("[transcriber]\nmodel = 'x'", 'transcriber: engine is missing; it has to be one of "whisper", "openai"'),
        ("[transcriber]\nengine = 'x'", 'transcriber: engine has to be one of "whisper", "openai"'),
        ("[models.openai]\nengine = 'openai'\nmodel = 'm'", "models.openai.base_url: is missing"),
        (
            "[models.'a.b']\nengine = 'llama'\nthreds = 2",
            'models."a.b".threds: is not a known key; did you mean threads?',
        ),
        (
            "[models.a]\nengine = 'openai'\napi_key = '${NO}'",
            "models.a.api_key: the environment variable NO is not set",
        ),
        (
            "[aliases.voices]\n'Ana Maria' = 'Nobody'",
            'aliases.voices."Ana Maria": there is no "Nobody" among the voices; there are: Hibari',
        ),
        ("aliases.models.gpt = 'm'", 'aliases.models.gpt: there is no "m" among the models; there are: ultravox-v0.7'),
        (
            "trusted_proxies = ['10.0.0.0/8', 'proxy.example']",
            'trusted_proxies: has to hold addresses and networks such as "10.0.0.0/8"; "proxy.example" is neither',
        ),
        ("trusted_proxies = '10.0.0.1'", "trusted_proxies: expected an array, got a string"),
        ("x ==", "is not TOML"),
        ("[voices]", "voices: has to have at least one entry"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_the_key(written: Path, text: str, line: str) -> None:
    written.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(written, environment=HOME)
    assert str(caught.value).startswith(f"{written}: {line}")
    assert "\n" not in str(caught.value)


def test_a_wrong_value_is_blamed_on_where_it_came_from(written: Path) -> None:
    with pytest.raises(ConfigError, match=r"^command line: port: "):
        load_config(overrides={"port": -1}, environment=HOME)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_config(tmp_path / "no.toml", environment=HOME)


def test_every_turn_setting_of_the_core_can_be_set_and_every_key_is_described() -> None:
    assert {field.name for field in fields(TurnSettings)} == set(Turns.model_fields)
    assert all(field.description for field in Config.model_fields.values())
