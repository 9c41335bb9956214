"""Speech to text by Whisper, as the words come.

A long utterance is cut at its pauses while the caller goes on, and each piece transcribed behind; what is left at
its end is never more than some nine seconds. ``text`` may be asked for as often as one likes: the same speech is
transcribed once, and silence after it changes nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from antiphon.engines.protocols import ACTIVITY_FRAME, LISTENING_RATE, Samples
from antiphon.engines.threads import Job, Priority, Worker
from antiphon.engines.whisper_model import WhisperModel
from antiphon.engines.written import Written, ends_of

SPEECH = 0.1
"""Probability from which a frame counts as speech here: the lowest activation threshold in ordinary use."""


def _frames(seconds: float) -> int:
    return round(seconds * LISTENING_RATE / ACTIVITY_FRAME)


PIECE = _frames(6.0)
"""From this length on, the first good pause ends a piece."""
LONGEST_PIECE = _frames(9.5)
"""At this length a piece ends at the least bad spot."""
_SHORTEST_PIECE = _frames(2.0)
_PAUSE = 5
_STILL = 0.3
_EDGE = _frames(0.3)
"""Silence kept before the first and after the last frame of speech."""


class WhisperTranscriber:
    """Whisper from ``folder`` (``model.bin``, ``config.json``, ``tokenizer.json``, ``vocabulary.txt``).

    One job at a time on ``threads`` cores; what somebody waits for goes before what is done ahead.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self._folder = folder
        self._threads = threads
        self._model: WhisperModel | None = None
        self._loading = threading.Lock()
        self.worker = Worker("whisper")

    def load(self) -> None:
        """Load and warm the model. Blocking; done by the first words when nobody did it before."""
        with self._loading:
            if self._model is None:
                model = WhisperModel(self._folder, self._threads)
                model.transcribe(np.zeros(LISTENING_RATE, np.int16), "en")
                self._model = model

    def open(self, language: str | None) -> WhisperTranscription:
        """Begin an utterance. ``language`` is a BCP-47 hint; English without one."""
        return WhisperTranscription(self, language)

    def knows(self, language: str) -> bool:
        """Whether a BCP-47 hint is of any use. To be asked once loaded; before that it is taken to be."""
        return self._model is None or self._model.known_language(language) is not None

    def known_languages(self) -> tuple[str, ...]:
        """The languages that the model knows, by its own codes. None before it is loaded."""
        return () if self._model is None else self._model.languages

    def transcribe(self, audio: Samples, language: str | None) -> str:
        """The words in ``audio`` (16 kHz, at most 26 s). Blocking; for the worker's thread."""
        self.load()
        assert self._model is not None
        return self._model.transcribe(audio, self._model.language(language))

    def stop(self) -> None:
        """Take no more work, and drop what has not begun."""
        self.worker.stop()

    def close(self) -> None:
        """End the thread and free the model. Blocking; safe to call twice."""
        if self.worker.close():
            with self._loading:
                self._model = None


class WhisperTranscription:
    """One utterance. Frames are counted from its beginning; those before ``_start`` are cut off into pieces."""

    def __init__(self, transcriber: WhisperTranscriber, language: str | None) -> None:
        self._transcriber = transcriber
        self._language = language
        self._start = 0
        self._audio: list[Samples] = []
        self._probabilities: list[float] = []
        self._pieces: list[Job[str]] = []
        self._latest: tuple[tuple[int, int], Job[str]] | None = None

    def feed(self, frame: Samples, probability: float) -> None:
        """Take the next 512 samples and the probability that they are speech."""
        self._audio.append(frame)
        self._probabilities.append(probability)
        if len(self._audio) >= PIECE and (cut := self._cut()) is not None:
            self._cut_off(cut)

    async def text(self) -> str:
        """The words of all that was fed until now."""
        jobs = list(self._pieces)
        if (latest := self._transcribe(len(self._audio), Priority.ASKED)) is not None:
            jobs.append(latest)
        for job in jobs:
            self._transcriber.worker.promote(job)
        pieces = [await job.result() for job in jobs]
        last = next((piece for piece in reversed(pieces) if piece), "")
        return Written(joined(pieces), ends_of(last))

    def close(self) -> None:
        """Drop what has not begun; what runs is left to end unheard."""
        for job in self._pieces:
            job.future.cancel()
        self._drop_latest()
        self._pieces, self._audio, self._probabilities = [], [], []

    def _cut(self) -> int | None:
        """Where the part not yet cut off should end, in frames from its beginning; None to wait for more.

        The latest spot about as quiet as the quietest one, if that is a pause or there is no time left to wait for one.
        """
        length = len(self._probabilities)
        loudness = np.convolve(self._probabilities, np.full(_PAUSE, 1 / _PAUSE), mode="same")
        loudness = loudness[_SHORTEST_PIECE : length - _PAUSE]
        quiet = max(float(loudness.min()) + 0.05, SPEECH)
        if quiet > _STILL and length < LONGEST_PIECE:
            return None
        return _SHORTEST_PIECE + int(np.flatnonzero(loudness <= quiet)[-1])

    def _cut_off(self, cut: int) -> None:
        piece = self._transcribe(cut, Priority.AHEAD)
        if piece is not None:
            self._pieces.append(piece)
        if self._latest is not None and self._latest[1] is piece:
            self._latest = None
        self._drop_latest()
        self._start += cut
        del self._audio[:cut]
        del self._probabilities[:cut]

    def _transcribe(self, end: int, priority: Priority) -> Job[str] | None:
        """The job for the part not yet cut off, up to frame ``end``: the latest one if it heard the same speech."""
        speech = [index for index in range(end) if self._probabilities[index] >= SPEECH]
        if not speech:
            return None
        key = (self._start, self._start + speech[-1])
        if self._latest is not None:
            if self._latest[0] == key and not _failed(self._latest[1]):
                return self._latest[1]
            self._drop_latest()
        audio = np.concatenate(self._audio[max(0, speech[0] - _EDGE) : min(end, speech[-1] + 1 + _EDGE)])
        work = partial(self._transcriber.transcribe, audio, self._language)
        job = self._transcriber.worker.submit(work, priority)
        self._latest = (key, job)
        return job

    def _drop_latest(self) -> None:
        """Forget the last answer; more was said since. Not begun yet, it never will be."""
        if self._latest is not None:
            self._latest[1].abandon()
            self._latest = None


def joined(pieces: Iterable[str]) -> str:
    """The words of successive pieces as one text; a full stop where the next piece goes on in lower case was none."""
    text = ""
    for piece in pieces:
        if text and piece[:1].islower():
            text = text.removesuffix(".")
        text = f"{text} {piece}".strip()
    return text


def _failed(job: Job[str]) -> bool:
    return job.future.cancelled() or (job.future.done() and job.future.exception() is not None)
