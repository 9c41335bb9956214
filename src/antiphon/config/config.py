"""The configuration: ``antiphon.toml``, the environment and the command line. Nothing else reads the environment.

What wins, strongest first: the command line, the environment, the file, the default. A wrong key is a
:class:`~antiphon.errors.ConfigError` whose one line names it, what was expected, and the nearest key there is.
"""

from __future__ import annotations

import ipaddress
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_core import PydanticCustomError

from antiphon.call.settings import ThreadSettings, TurnSettings
from antiphon.config.errors import explain
from antiphon.engines.settings import EngineSettings, Settings
from antiphon.errors import ConfigError
from antiphon.lifecycle.admission import LoadLimits

FILE = "antiphon.toml"

FolderPath: TypeAlias = Annotated[Path, BeforeValidator(lambda value: Path(value) if isinstance(value, str) else value)]
Strings: TypeAlias = Annotated[
    tuple[str, ...], BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)
]
Seconds: TypeAlias = Annotated[float, Field(gt=0, le=3600)]


def _networks(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        try:
            ipaddress.ip_network(value)
        except ValueError:
            message = 'has to hold addresses and networks such as "10.0.0.0/8"; {value} is neither'
            raise PydanticCustomError("network", message, {"value": f'"{value}"'}) from None
    return values


def _home(environment: Mapping[str, str], variable: str, otherwise: str) -> Path:
    """A folder of the XDG base directory specification, which ignores relative ones."""
    set_to = environment.get(variable, "")
    return Path(set_to) if os.path.isabs(set_to) else Path(environment.get("HOME") or "~").expanduser() / otherwise


_LOAD = LoadLimits()


class Limits(Settings):
    """What one server takes on."""

    max_calls: int = Field(
        default=200, ge=1, description="Live calls at most, of all workers together; creating more is answered by 503."
    )
    always_admit: int | None = Field(
        default=None,
        ge=0,
        description="Live calls, of all workers together, up to which a new one is let in however late and busy the "
        "server is. Default: 2 for each core it may use.",
    )
    max_waiting: int = Field(
        default=5_000,
        ge=1,
        le=100_000,
        description="Calls of one API key, of all workers together, that wait for their join; creating more is "
        "answered by 429.",
    )
    max_loop_share: float = Field(
        default=_LOAD.busy,
        gt=0,
        le=1,
        description="A new call is not let in (503) if the event loop or the processor would work for more than this "
        "share of its time, 0 to 1, with it. 1: never for that reason.",
    )
    max_lateness_ms: float = Field(
        default=_LOAD.late_s * 1000,
        gt=0,
        description="How late the sound of live calls may be, ms. When more than a twentieth of it in the last five "
        "seconds was later, no call is let in (503).",
    )
    keepalive_s: float = Field(
        default=5.0, ge=0.5, le=60, description="Seconds between two looks at whether a client is still there."
    )
    keepalive_timeout_s: float = Field(
        default=10.0, ge=0.5, le=60, description="Seconds without a sign of life, after one, that end a connection."
    )
    max_body_bytes: int = Field(
        default=1_048_576, ge=1024, le=1 << 30, description="Largest body of a REST request, bytes."
    )
    max_frame_bytes: int = Field(
        default=4_194_304, ge=65_536, le=1 << 28, description="Largest WebSocket frame from a client, bytes."
    )


class Tools(Settings):
    """Where HTTP tools and data connections may reach. Without any of this: the public internet and nothing nearer."""

    allow_private: bool = Field(
        default=False,
        description="Tools and data connections may reach loopback, private and link-local addresses too.",
    )
    allowed: Strings = Field(
        default=(), description="Host names, addresses and networks that they may reach although they are private."
    )


class Shutdown(Settings):
    """How the server stops, on SIGTERM or Ctrl-C."""

    drain_s: float = Field(
        default=300.0,
        ge=0,
        le=86_400,
        description="How long live calls go on before they are closed (1012), seconds; 0 closes them at once. No new "
        "calls are taken meanwhile, and the end of the last call ends the wait.",
    )


class Log(Settings):
    """What the server writes to standard error. Never what a caller or an agent said."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least severity written.")
    format: Literal["console", "json"] = Field(default="console", description="For people, or one JSON object a line.")


_TURNS = TurnSettings()


class Turns(Settings):
    """How the server takes turns. What a call may set itself is in its `vadSettings`."""

    speculation_delay_s: Seconds = Field(
        default=_TURNS.speculation_delay_s,
        description="Silence after which transcription and generation start on suspicion, seconds.",
    )
    completeness_threshold: float = Field(
        default=_TURNS.completeness_threshold,
        ge=0,
        le=1,
        description="Probability from which the end-of-turn model's opinion is that the caller is done.",
    )
    patience_s: Seconds = Field(
        default=_TURNS.patience_s,
        description="Longest silence waited out for a caller whose sentence seems unfinished, seconds.",
    )
    judgement_patience_s: Seconds = Field(
        default=_TURNS.judgement_patience_s,
        description="Longest wait, beyond the endpoint delay, for the end-of-turn model's opinion, seconds.",
    )
    first_words_patience_s: Seconds = Field(
        default=_TURNS.first_words_patience_s,
        description="Longest wait for engines that give no sign of life before a reply can be heard, seconds.",
    )
    first_sound_patience_s: Seconds = Field(
        default=_TURNS.first_sound_patience_s,
        description="Longest wait for a reply to be heard, however lively its engines are, seconds.",
    )
    reply_patience_s: Seconds = Field(
        default=_TURNS.reply_patience_s,
        description="Longest wait for engines that give no sign of life amid a reply, seconds.",
    )
    silence_patience_s: Seconds = Field(
        default=_TURNS.silence_patience_s,
        description="Longest silence amid a reply in all, however lively its engines are, seconds.",
    )
    transcription_patience_s: Seconds = Field(
        default=_TURNS.transcription_patience_s,
        description="Longest wait for the words of a turn that the caller has ended, seconds.",
    )
    last_words_patience_s: Seconds = Field(
        default=_TURNS.last_words_patience_s,
        description="Longest time that the end of a call waits for what the caller said last, seconds.",
    )
    farewell_patience_s: Seconds = Field(
        default=_TURNS.farewell_patience_s, description="Longest time that last words may take, seconds."
    )

    def settings(self) -> TurnSettings:
        """The same for the core."""
        return TurnSettings(**self.model_dump())


_THREADS = ThreadSettings()


class Threads(Settings):
    """What the side threads of a call may take."""

    at_once: int = Field(
        default=_THREADS.at_once,
        ge=1,
        le=64,
        description="Side generations of one call that run at the same time; others wait in order.",
    )
    most: int = Field(default=_THREADS.most, ge=1, le=10_000, description="Threads of one call that have not failed.")
    patience_s: Seconds = Field(
        default=_THREADS.patience_s,
        description="Longest wait for a model that gives no sign of life in a side generation, seconds.",
    )

    def settings(self) -> ThreadSettings:
        """The same for the core."""
        return ThreadSettings(**self.model_dump())


class Config(EngineSettings):
    """Everything an operator can set."""

    host: str = Field(default="127.0.0.1", min_length=1, description="Address to listen on; `0.0.0.0` is all.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    workers: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Processes that share the work: one for each core that is to serve calls. Each loads the embedded "
        "models for itself.",
    )
    public_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s/?#]+[^\s?#]*$",
        description="How clients reach the server, where a proxy stands before it: `https://calls.example.com`. "
        "By default what the request says, or a proxy of `trusted_proxies`.",
    )
    trusted_proxies: Annotated[Strings, AfterValidator(_networks)] = Field(
        default=("127.0.0.0/8", "::1"),
        description="Addresses and networks of the proxies whose `X-Forwarded-Proto`, `-Host` and `-For` are believed.",
    )
    data_dir: FolderPath = Field(
        default=Path("~/.local/share/antiphon"),
        description="Folder of the database and the recordings. Default: `$XDG_DATA_HOME/antiphon`, "
        "or `~/.local/share/antiphon`.",
    )
    models_dir: FolderPath = Field(
        default=Path("~/.cache/antiphon/models"),
        description="Folder of fetched model weights. Default: `$XDG_CACHE_HOME/antiphon/models`, "
        "or `~/.cache/antiphon/models`.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="`postgresql://user:password@host/name` (see operations.md for its driver); by default SQLite in "
        "`data_dir`.",
    )
    api_key: SecretStr | None = Field(
        default=None, description='An API key beside those in the database, for example "${ANTIPHON_KEY}".'
    )
    limits: Limits = Field(default=Limits(), description="What one server takes on.")
    shutdown: Shutdown = Field(default=Shutdown(), description="How the server stops, on SIGTERM or Ctrl-C.")
    log: Log = Field(default=Log(), description="What the server writes to standard error.")
    tools: Tools = Field(default=Tools(), description="Where HTTP tools and data connections may reach.")
    turns: Turns = Field(default=Turns(), description="How the server takes turns.")
    threads: Threads = Field(default=Threads(), description="What the side threads of a call may take.")

    @property
    def store_url(self) -> str:
        """The database to open."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir / 'antiphon.db'}"

    @property
    def database_file(self) -> Path | None:
        """The database's file; ``None`` where it is not SQLite."""
        kind, _, path = self.store_url.partition(":///")
        return Path(path.partition("?")[0]).absolute() if kind.startswith("sqlite") and path else None

    @property
    def recordings_dir(self) -> Path:
        """One folder a call in here, named by its id."""
        return self.data_dir / "recordings"


ENVIRONMENT = {
    "ANTIPHON_API_KEY": "api_key",
    "ANTIPHON_DATA_DIR": "data_dir",
    "ANTIPHON_MODELS": "models_dir",
}
"""Variables that set a key. ``ANTIPHON_CONFIG`` names the file."""


def with_environment(**variables: str) -> dict[str, str]:
    """The environment for a process that we start: ours, and ``variables``."""
    return {**os.environ, **variables}


def load_config(
    file: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
) -> Config:
    """The configuration; ``file`` and ``overrides`` (absent where ``None``) are the command line's.

    Without ``file``, ``ANTIPHON_CONFIG`` or else ``antiphon.toml`` in the working directory, if there is one.
    Raises :class:`ConfigError`.
    """
    environment = os.environ if environment is None else environment
    path = _find(file, environment)
    values: dict[str, Any] = {
        "data_dir": _home(environment, "XDG_DATA_HOME", ".local/share") / "antiphon",
        "models_dir": _home(environment, "XDG_CACHE_HOME", ".cache") / "antiphon" / "models",
    }
    sources: dict[str, str] = {}
    if path is not None:
        values |= _from_file(path, environment)
    for name, key in ENVIRONMENT.items():
        if environment.get(name):
            values[key], sources[key] = environment[name], f"environment variable {name}"
    for key, value in (overrides or {}).items():
        if value is not None:
            values[key], sources[key] = value, "command line"
    try:
        config = Config.model_validate(values, strict=True)
    except ValidationError as error:
        raise ConfigError(explain(error, Config, str(path) if path else "defaults", sources)) from None
    folders = {key: getattr(config, key).expanduser().absolute() for key in ("data_dir", "models_dir")}
    return config.model_copy(update=folders)


def _find(file: Path | None, environment: Mapping[str, str]) -> Path | None:
    if file is not None:
        return file
    if environment.get("ANTIPHON_CONFIG"):
        return Path(environment["ANTIPHON_CONFIG"])
    return Path(FILE) if Path(FILE).is_file() else None


def _from_file(path: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from None
    _fill_in(values, "", path, environment)
    _place(values, "", path.absolute().parent)
    return values


def _fill_in(table: dict[str, Any], where: str, path: Path, environment: Mapping[str, str]) -> None:
    """Replace ``"${NAME}"``, where a secret is wanted, by the environment's ``NAME``."""
    for key, value in table.items():
        if isinstance(value, dict):
            _fill_in(value, f"{where}{key}.", path, environment)
        elif key in ("api_key", "database_url") and isinstance(value, str) and value.startswith("${"):
            name = value[2:-1]
            if not value.endswith("}") or not environment.get(name):
                raise ConfigError(f"{path}: {where}{key}: the environment variable {name} is not set")
            table[key] = environment[name]


def _place(table: dict[str, Any], where: str, folder: Path) -> None:
    """Relative paths in a file are relative to that file; its strings become paths where paths are wanted."""
    for key, value in table.items():
        if isinstance(value, dict):
            _place(value, f"{where}{key}.", folder)
        elif isinstance(value, str) and (key in ("data_dir", "models_dir") if not where else key == "path"):
            table[key] = folder / Path(value).expanduser()
        elif key in ("texts", "replies") and isinstance(value, list):
            table[key] = tuple(value)
