"""Engines with a fallback: where the first one fails, or shows no sign of life, the next one does the work.

What has been given out stands. A model that breaks off amid its words, or a voice amid a clause, has failed for good,
as without a fallback: two halves by two engines would make no sense. Only where a fallback is configured is any of
this in the way of an engine's answer.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import TypeVar, cast

import numpy as np

from antiphon.audio.resampling import LiveResampler
from antiphon.call.prompt import Prompt
from antiphon.engines.candidates import Candidate, Candidates, Note
from antiphon.engines.protocols import (
    Alive,
    Generated,
    KnowsLanguages,
    LanguageModel,
    Measures,
    Primable,
    Samples,
    Size,
    Speaker,
    TextDelta,
    ToolCall,
    Transcriber,
    Transcription,
)
from antiphon.engines.tuning import Tunable, Tuning, check_speed
from antiphon.errors import EngineError

STAYS_S = 20.0
"""How long a call stays with the voice, or the transcriber, that stood in."""

_NOTHING_YET: Samples = np.zeros(0, np.int16)
"""Says that a voice is at work."""

E = TypeVar("E")
I = TypeVar("I")  # noqa: E741


class FallbackModel:
    """Language models, best first."""

    def __init__(self, models: Candidates[LanguageModel]) -> None:
        self.candidates = models
        self.audio_input = models.row[0].engine.audio_input

    def for_call(self, note: Note) -> FallbackModel:
        """The same for one call."""
        return FallbackModel(self.candidates.for_call(note))

    async def generate(self, prompt: Prompt, audio: Samples | None = None) -> AsyncIterator[Generated]:
        """Stream the reply of the first model that has something to say."""
        for attempt in self.candidates.attempts():
            with attempt:
                heard = audio if attempt.engine.audio_input else None
                async with _closing(attempt.engine.generate(prompt, heard)) as stream:
                    while (item := await attempt.next(stream)) is not None:
                        attempt.useful = attempt.useful or _useful(item)
                        yield item
                return
            yield Alive()  # another one begins

    async def size(self, prompt: Prompt) -> Size | None:
        """The size of ``prompt`` for the model that is asked first; ``None`` where it cannot tell."""
        first = self.candidates.row[0].engine
        return await first.size(prompt) if isinstance(first, Measures) else None

    async def prime(self, prompt: Prompt) -> None:
        """Let the model that is asked first now read ahead, where it can."""
        model = self.candidates.best.engine
        if isinstance(model, Primable):
            await model.prime(prompt)


def _useful(item: Generated) -> bool:
    return isinstance(item, ToolCall) or (isinstance(item, TextDelta) and bool(item.text.strip()))


class FallbackSpeaker:
    """Voices, best first. All sound has the sample rate of the first."""

    def __init__(self, speakers: Candidates[Speaker]) -> None:
        self.candidates = speakers
        first = speakers.row[0].engine
        self.sample_rate = first.sample_rate
        self.speeds = first.speeds if isinstance(first, Tunable) else (1.0, 1.0)
        self.takes_fields = isinstance(first, Tunable) and first.takes_fields

    def for_call(self, note: Note) -> FallbackSpeaker:
        """The same for one call, which does not go to and fro between voices."""
        return FallbackSpeaker(self.candidates.for_call(note))

    def tuned(self, tuning: Tuning) -> FallbackSpeaker:
        """The same, spoken so by the first, and by the others as nearly as they can."""
        check_speed(tuning.speed, self.speeds)
        first, *others = self.candidates.row
        row = [replace(first, engine=_tuned(first.engine, tuning))]
        row += [replace(other, engine=_nearly(other.engine, tuning)) for other in others]
        return FallbackSpeaker(self.candidates.of(row))

    async def speak(self, text: str) -> AsyncIterator[Samples]:
        """Stream ``text`` in the first voice that gives any sound of it."""
        for attempt in self.candidates.attempts():
            with attempt:
                rate = attempt.engine.sample_rate
                resampler = None if rate == self.sample_rate else LiveResampler(rate, self.sample_rate)
                async with _closing(attempt.engine.speak(text)) as sound:
                    while (samples := await attempt.next(sound)) is not None:
                        attempt.useful = attempt.useful or len(samples) > 0
                        yield samples if resampler is None else resampler.push(samples)
                if not attempt.useful and any(character.isalnum() for character in text):
                    raise EngineError(f"{attempt.candidate.name} made no sound")
                if resampler is not None:
                    yield resampler.flush()
                return
            yield _NOTHING_YET  # another one begins


def _tuned(speaker: Speaker, tuning: Tuning) -> Speaker:
    return speaker.tuned(tuning) if isinstance(speaker, Tunable) else speaker


def _nearly(speaker: Speaker, tuning: Tuning) -> Speaker:
    """Without what is meant for the server behind another voice, and not faster or slower than this one can."""
    if not isinstance(speaker, Tunable):
        return speaker
    slowest, fastest = speaker.speeds
    speed = None if tuning.speed is None else min(max(tuning.speed, slowest), fastest)
    return speaker.tuned(Tuning(speed, tuning.language))


class FallbackTranscriber:
    """Transcribers, best first."""

    def __init__(self, transcribers: Candidates[Transcriber]) -> None:
        self.candidates = transcribers

    def for_call(self, note: Note) -> FallbackTranscriber:
        """The same for one call."""
        return FallbackTranscriber(self.candidates.for_call(note))

    def knows(self, language: str) -> bool:
        """Whether the transcriber that is asked first can be told this language."""
        first = self.candidates.row[0].engine
        return not isinstance(first, KnowsLanguages) or first.knows(language)

    def known_languages(self) -> tuple[str, ...]:
        """The languages that the transcriber that is asked first can be told; none where it cannot say."""
        first = self.candidates.row[0].engine
        return first.known_languages() if isinstance(first, KnowsLanguages) else ()

    def open(self, language: str | None) -> FallbackTranscription:
        """Begin an utterance."""
        return FallbackTranscription(self.candidates, language)


class FallbackTranscription:
    """One utterance. Only the transcriber that is asked first hears it as it comes, the others once they are asked."""

    def __init__(self, transcribers: Candidates[Transcriber], language: str | None) -> None:
        self._candidates = transcribers
        self._language = language
        self._frames: list[tuple[Samples, float]] = []
        self._open: dict[str, Transcription] = {}
        self._closed = False

    def feed(self, frame: Samples, probability: float) -> None:
        """Keep a frame, and pass it on."""
        if not self._frames:
            self._listen(self._candidates.best)
        self._frames.append((frame, probability))
        for name, transcription in list(self._open.items()):
            try:
                transcription.feed(frame, probability)
            except Exception:  # whoever asks it for words meets the same and goes on to the next
                self._open.pop(name).close()

    async def text(self) -> str:
        """The words of all that was fed until now."""
        for attempt in self._candidates.attempts():
            with attempt:
                return await attempt.result(self._of(attempt.candidate).text())
        raise AssertionError("the last attempt ends with words or an error")

    def close(self) -> None:
        """Stop work on it."""
        self._closed = True
        for transcription in self._open.values():
            transcription.close()
        self._open.clear()
        self._frames.clear()

    def _listen(self, candidate: Candidate[Transcriber]) -> None:
        try:
            self._of(candidate)
        except Exception:
            self._open.pop(candidate.name, None)

    def _of(self, candidate: Candidate[Transcriber]) -> Transcription:
        """Its ear on the utterance, which has heard all of it."""
        if self._closed:
            raise EngineError("the utterance is closed", retryable=False)
        transcription = self._open.get(candidate.name)
        if transcription is None:
            transcription = candidate.engine.open(self._language)
            for frame, probability in self._frames:
                transcription.feed(frame, probability)
            self._open[candidate.name] = transcription
        return transcription


def for_call(engine: E, note: Note) -> E:
    """The engine as one call is to have it: where there is a fallback, ``note`` hears when that stands in."""
    if isinstance(engine, FallbackModel | FallbackSpeaker | FallbackTranscriber):
        return cast(E, engine.for_call(note))
    return engine


def _closing(stream: AsyncIterator[I]) -> aclosing[AsyncGenerator[I, None]]:
    """Engines give async generators; their Protocol promises only an iterator."""
    return aclosing(cast("AsyncGenerator[I, None]", stream))
