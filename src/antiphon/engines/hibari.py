"""Speech by hibari: one American English voice, 24 kHz, some hundred times faster than real time."""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import AsyncIterator, Iterator
from functools import partial

import numpy as np
from hibari import SAMPLE_RATE, Hibari

from antiphon.engines.protocols import Samples
from antiphon.engines.threads import Worker
from antiphon.engines.tuning import Tuning, check_speed
from antiphon.errors import EngineError

VOICE = "heart"
"""The one voice inside the wheel. hibari would download any other, so none is ever asked for."""

MAX_CLAUSE = 240
"""Characters spoken in one go; longer sentences are split at a clause, else at a word."""

_MAX_WORD = 40
_SEED = 20
_LOUD = 0.004
_MARGIN_MS = 20
_PAUSES_MS = ((".!?…", 260), (",;:—–", 140))
_NO_PAUSE_MS = 60
_LEAD_MS = 40
_URL = re.compile(r"\b(?:https?://|www\.)(?:www\.)?([^\s/?#]+)\S*", re.IGNORECASE)
_LONG_NUMBER = re.compile(r"\d{10,}")
_CLAUSE_END = re.compile(r"(?<=[,;:—–])\s+")
_SPOKEN_SYMBOLS = frozenset("$€£¥%&@+=°#½¼¾²³×÷/'\"()-–—.,;:!?…’‘“”")


def spoken(text: str) -> str:
    """``text`` with what this voice cannot say taken out: emoji, other scripts, mark-up; a URL keeps its host.

    Numbers of ten digits and more are read digit by digit: hibari fails beyond the decillions.
    """
    text = _URL.sub(lambda url: url[1].rstrip(".,;:!?)"), unicodedata.normalize("NFC", text))
    text = _LONG_NUMBER.sub(lambda number: " ".join(number[0]), text)
    kept = "".join(char if _speakable(char) else " " for char in text)
    return "\n".join(line for line in (" ".join(line.split()) for line in kept.split("\n")) if line)


def clauses(text: str) -> Iterator[str]:
    """Sentences of ``text``, or parts of long ones, to speak one after the other; none without a letter or digit."""
    for sentence in Hibari.split_sentences(spoken(text)):
        for clause in _split_long(sentence):
            if any(char.isalnum() for char in clause):
                yield clause


class _Model:
    """The voice, loaded once for all who speak with it, and the thread it works in."""

    def __init__(self) -> None:
        self.worker = Worker("hibari")
        self._voice: Hibari | None = None
        self._loading = threading.Lock()

    def load(self) -> Hibari:
        """The voice, loaded and warm. Blocking."""
        with self._loading:
            if self._voice is None:
                try:
                    voice = Hibari(voice=VOICE, threads=1)
                    voice("Hello there, nice to meet you.", seed=_SEED)
                except Exception as error:
                    raise EngineError(f"the voice hibari cannot be loaded: {error}", retryable=False) from None
                self._voice = voice
            return self._voice

    def close(self) -> None:
        """End the thread and free the voice."""
        if self.worker.close():
            with self._loading:
                self._voice = None


class HibariSpeaker:
    """The Speaker behind the built-in voice. The same text always sounds the same, to the sample."""

    sample_rate: int = SAMPLE_RATE
    speeds = (0.5, 2.0)
    takes_fields = False

    def __init__(self, speed: float = 1.0, *, model: _Model | None = None) -> None:
        """``speed``: 0.5 (slow) to 2.0, 1.0 as the voice was made."""
        check_speed(speed, self.speeds)
        self._speed = speed
        self._model = model or _Model()

    def tuned(self, tuning: Tuning) -> HibariSpeaker:
        """The same voice at another speed. It speaks English, whatever the language."""
        return HibariSpeaker(self._speed if tuning.speed is None else tuning.speed, model=self._model)

    def load(self) -> None:
        """Load and warm the voice. Blocking; done by the first words when nobody did it before."""
        self._model.load()

    async def speak(self, text: str) -> AsyncIterator[Samples]:
        """Yield ``text`` sentence by sentence as 24 kHz samples; nothing at all where there is nothing to say.

        Each piece has 40 ms of silence before its first sound, and after its last one the pause that its
        punctuation asks for. Closing the iterator stops before the next piece.
        """
        for clause in clauses(text):
            samples = await self._model.worker.run(partial(self._synthesize, clause))
            if samples.size:
                yield samples

    def stop(self) -> None:
        """Take no more work, and drop what has not begun."""
        self._model.worker.stop()

    def close(self) -> None:
        """End the thread and free the voice. Blocking; safe to call twice."""
        self._model.close()

    def _synthesize(self, clause: str) -> Samples:
        audio = np.asarray(self._model.load()(clause, speed=self._speed, seed=_SEED), np.float32)
        samples = np.round(np.clip(audio, -1.0, 1.0) * 32767.0).astype(np.int16)
        return _trim(samples, _pause_ms(clause))


def _speakable(char: str) -> bool:
    if char.isspace() or char in _SPOKEN_SYMBOLS:
        return True
    if char.isdigit():
        return char.isascii()
    return char.isalpha() and unicodedata.name(char, "").startswith("LATIN")


def _split_long(sentence: str) -> Iterator[str]:
    """``sentence`` in pieces of at most ``MAX_CLAUSE`` characters."""
    if len(sentence) <= MAX_CLAUSE:
        yield sentence
        return
    piece = ""
    for part in _CLAUSE_END.split(sentence):
        words = [part] if len(part) <= MAX_CLAUSE else list(_words(part))
        for word in words:
            if piece and len(piece) + 1 + len(word) > MAX_CLAUSE:
                yield piece
                piece = word
            else:
                piece = f"{piece} {word}" if piece else word
    if piece:
        yield piece


def _words(text: str) -> Iterator[str]:
    for word in text.split():
        for start in range(0, len(word), _MAX_WORD):
            yield word[start : start + _MAX_WORD]


def _pause_ms(clause: str) -> int:
    """Silence after a clause, by how it ends."""
    last = clause.rstrip("\"')”’ ")[-1:]
    return next((pause for ends, pause in _PAUSES_MS if last and last in ends), _NO_PAUSE_MS)


def _trim(samples: Samples, pause_ms: int) -> Samples:
    """Bring the silence before and after to size: hibari makes some 300 ms before and 400 ms after every sentence.

    Quiet sounds at the edges (an f, an s) are kept by a margin around what is clearly loud.
    """
    window = SAMPLE_RATE // 100
    whole = samples[: samples.size // window * window].reshape(-1, window).astype(np.float32) / 32767.0
    loud = np.flatnonzero(np.sqrt(np.square(whole).mean(axis=1)) > _LOUD)
    if not loud.size:
        return np.zeros(0, np.int16)
    per_ms = SAMPLE_RATE // 1000
    start = max(0, int(loud[0]) * window - (_LEAD_MS + _MARGIN_MS) * per_ms)
    end = (int(loud[-1]) + 1) * window + (pause_ms + _MARGIN_MS) * per_ms
    kept = samples[start:end]
    return np.concatenate([kept, np.zeros(max(0, end - samples.size), np.int16)])
