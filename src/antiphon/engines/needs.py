"""What the configured engines need of the disk: fetched models, and files of the operator's own.

Told by the settings alone, so that nobody has to import an engine to find out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from antiphon.engines import weights
from antiphon.engines.chains import chain
from antiphon.engines.settings import (
    EngineSettings,
    LlamaSettings,
    Settings,
    SileroSettings,
    SmartTurnSettings,
    WhisperSettings,
)
from antiphon.errors import ConfigError, ModelMissing

FETCHED: dict[type[Settings], str] = {
    SileroSettings: "silero-vad",
    SmartTurnSettings: "smart-turn",
    WhisperSettings: "whisper-base",
    LlamaSettings: "qwen2.5-1.5b",
}
"""The model that an embedded engine takes, by its name in the catalogue, where no ``path`` is given."""

WHISPER_FILES = ("model.bin", "tokenizer.json", "config.json")
"""What a folder with a Whisper model for CTranslate2 holds at least."""


def engines_in_use(settings: EngineSettings) -> Iterator[tuple[str, Settings]]:
    """Every engine that a server loads, with its key in the configuration."""
    yield "voice_activity", settings.voice_activity
    yield "end_of_turn", settings.end_of_turn
    yield "transcriber", settings.transcriber
    for name, transcriber in chain(settings.transcribers, settings.transcriber):
        yield f"transcribers.{_quoted(name)}", transcriber
    for name, model in settings.models.items():
        yield f"models.{_quoted(name)}", model
    for name, voice in settings.voices.items():
        yield f"voices.{_quoted(name)}", voice


def needed_models(settings: EngineSettings) -> tuple[str, ...]:
    """The models to fetch for these settings, each once; none where all engines are remote or have a ``path``."""
    wanted = (FETCHED.get(type(engine)) for _, engine in engines_in_use(settings) if _path(engine) is None)
    return tuple(dict.fromkeys(name for name in wanted if name is not None))


def check_paths(settings: EngineSettings) -> None:
    """Raise :class:`ConfigError`, which names the key, for a ``path`` where the file or the folder is not there."""
    for key, engine in engines_in_use(settings):
        check_path(key, engine)


def check_path(key: str, engine: Settings) -> None:
    """Do the same for one engine, whose table is ``key``."""
    path = _path(engine)
    if path is None:
        return
    problem = _folder_problem(path) if isinstance(engine, WhisperSettings) else _file_problem(path)
    if problem is not None:
        raise ConfigError(f"{key}.path in the configuration: {problem}")


@dataclass(slots=True)
class Fetched:
    """The weights that some engines want: fetched, or files of the operator's own, which ``settings`` name."""

    folder: Path
    settings: EngineSettings | None = None
    names: list[str] = field(default_factory=list)

    def file(self, settings: Settings) -> Path:
        """Where the (first) file of the fetched model lies; that it does is for :meth:`check` to find out."""
        name = FETCHED[type(settings)]
        if name not in self.names:
            self.names.append(name)
        return self.folder / name / weights.lookup(name).files[0].name

    def check(self) -> None:
        """Make sure that all that was asked for is there, and what was fetched whole.

        Raises :class:`ConfigError` for a file of the operator's own, else ``ModelMissing`` or ``ModelCorrupt``.
        """
        if self.settings is not None:
            check_paths(self.settings)
        self.check_fetched()

    def check_fetched(self) -> None:
        """Do the latter alone."""
        missing: list[str] = []
        for name in self.names:
            try:
                weights.check(name, self.folder)
            except ModelMissing:
                missing.append(name)
        if missing:
            names = " ".join(missing)
            raise ModelMissing(f"not in {self.folder}: {', '.join(missing)}; run `antiphon models pull {names}`")


def _path(engine: Settings) -> Path | None:
    path = getattr(engine, "path", None)
    return path if isinstance(path, Path) else None


def _file_problem(path: Path) -> str | None:
    if path.is_file():
        return None
    return f"{path} is a folder, and a file is wanted" if path.is_dir() else f"there is no file {path}"


def _folder_problem(path: Path) -> str | None:
    if not path.is_dir():
        what = "is a file, and a folder with a Whisper model for CTranslate2 is wanted" if path.exists() else ""
        return f"{path} {what}" if what else f"there is no folder {path}"
    missing = [name for name in WHISPER_FILES if not (path / name).is_file()]
    return f"{path} holds no Whisper model for CTranslate2: {', '.join(missing)} missing" if missing else None


def _quoted(name: str) -> str:
    return name if name.replace("-", "").replace("_", "").isalnum() else f'"{name}"'
