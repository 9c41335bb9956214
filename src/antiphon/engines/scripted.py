"""Engines without a model, for tests, benchmarks and servers that must start anywhere.

Every delay is an ``asyncio.sleep`` on the running loop, so a loop with virtual time drives them all.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from antiphon.call.prompt import Prompt
from antiphon.engines.protocols import Generated, Samples, TextDelta, ToolCall, Usage
from antiphon.engines.tool_script import Reply, items
from antiphon.engines.tuning import Tuning, check_speed
from antiphon.errors import EngineError

Replies: TypeAlias = Sequence[Reply] | Callable[[str], Reply]
"""Replies in the order of the model's turns (again from the start when used up), or made from the last user text."""

FRAME_MS = 20
"""Length of one marked frame of :class:`ScriptedSpeaker`."""


class ScriptedVoiceActivity:
    """Scores by loudness, or by a list.

    ``scores``: one per frame for each stream; after the last, 0. Without it a frame scores 1 from ``threshold``
    root mean square on, else 0. Scores are delivered from within ``push``.
    """

    def __init__(self, scores: Sequence[float] | None = None, *, threshold: float = 500.0) -> None:
        self._scores = scores
        self._threshold = threshold

    def open(self, on_score: Callable[[float], None]) -> ScriptedVoiceActivityStream:
        """A new stream, with the list from its start."""
        scores = None if self._scores is None else iter(self._scores)
        return ScriptedVoiceActivityStream(on_score, scores, self._threshold)


class ScriptedVoiceActivityStream:
    """One call's stream of a :class:`ScriptedVoiceActivity`."""

    def __init__(self, on_score: Callable[[float], None], scores: Iterator[float] | None, threshold: float) -> None:
        self._on_score: Callable[[float], None] | None = on_score
        self._scores = scores
        self._threshold = threshold

    def push(self, frame: Samples) -> None:
        """Score a frame at once."""
        if self._on_score is None:
            return
        if self._scores is not None:
            self._on_score(next(self._scores, 0.0))
        else:
            level = float(np.sqrt(np.mean(np.square(frame.astype(np.float64)))))
            self._on_score(1.0 if level >= self._threshold else 0.0)

    def close(self) -> None:
        """Deliver no more."""
        self._on_score = None


class ScriptedEndOfTurn:
    """Opinions in order (the last one for ever after), each after ``delay_s``."""

    def __init__(self, opinions: Iterable[float] = (1.0,), *, delay_s: float = 0.0) -> None:
        self._opinions = list(opinions)
        self._delay_s = delay_s
        self.asked = 0

    async def completeness(self, audio: Samples) -> float:
        """The next opinion, whatever ``audio`` holds."""
        opinion = self._opinions[min(self.asked, len(self._opinions) - 1)]
        self.asked += 1
        await asyncio.sleep(self._delay_s)
        return opinion


class ScriptedTranscriber:
    """Texts in the order of the utterances that had speech, or by a function of all samples fed.

    An utterance takes its place in the order when its text is first asked for, and keeps it; when the texts are
    used up they start again. An utterance in which nothing was likelier than not to be speech has no words.
    """

    def __init__(
        self,
        texts: Sequence[str] | Callable[[Samples], str] = ("Hello, can you hear me?",),
        *,
        delay_s: float = 0.0,
        failure: EngineError | None = None,
    ) -> None:
        self._texts = texts
        self._delay_s = delay_s
        self._failure = failure
        self._used = 0
        self.languages: list[str | None] = []

    def open(self, language: str | None) -> ScriptedTranscription:
        """Begin an utterance."""
        self.languages.append(language)
        return ScriptedTranscription(self)

    async def transcribe(self, utterance: ScriptedTranscription) -> str:
        """The words of ``utterance``; for its transcription only."""
        await asyncio.sleep(self._delay_s)
        if self._failure is not None:
            raise self._failure
        if not callable(self._texts):
            if utterance.place is None:
                utterance.place = self._used
                self._used += 1
            return self._texts[utterance.place % len(self._texts)]
        return self._texts(np.concatenate(utterance.frames))


class ScriptedTranscription:
    """One utterance of a :class:`ScriptedTranscriber`. ``place`` is its place among the texts."""

    def __init__(self, transcriber: ScriptedTranscriber) -> None:
        self._transcriber = transcriber
        self._spoken = False
        self._pending: set[asyncio.Task[str]] = set()
        self.frames: list[Samples] = []
        self.place: int | None = None

    def feed(self, frame: Samples, probability: float) -> None:
        """Keep a frame."""
        self.frames.append(frame)
        self._spoken = self._spoken or probability >= 0.5

    async def text(self) -> str:
        """The words, or ``""`` when nothing was speech."""
        if not self._spoken:
            return ""
        task = asyncio.ensure_future(self._transcriber.transcribe(self))
        self._pending.add(task)
        try:
            return await task
        finally:
            task.cancel()
            self._pending.discard(task)

    def close(self) -> None:
        """Stop a pending ``text``."""
        for task in self._pending:
            task.cancel()


@dataclass(frozen=True, slots=True)
class Trouble:
    """When something goes wrong: at which item (token, chunk) of each stream, and how.

    ``error`` is raised there; without one the stream stalls there for ever, until it is closed.
    """

    at: int
    error: EngineError | None = None


class ScriptedLanguageModel:
    """Streams given replies word by word, and their tool calls whole.

    It is the model's turn whenever the caller has spoken or tools have answered, so a reply with tool calls has the
    next one in ``replies`` to go on with once there are results. ``script`` makes replies from whole prompts instead.

    Afterwards ``prompts`` has every prompt that was generated from, ``primed`` those that were primed, ``heard``
    the audio that came with each generation, and ``stopped`` counts generations closed before their end.
    """

    def __init__(
        self,
        replies: Replies = ("Hello! I can hear you. How can I help?",),
        *,
        script: Callable[[Prompt], Reply] | None = None,
        first_token_delay_s: float = 0.0,
        token_delay_s: float = 0.0,
        audio_input: bool = False,
        trouble: Trouble | None = None,
    ) -> None:
        self.audio_input = audio_input
        self._replies = replies
        self._script = script
        self._first_token_delay_s = first_token_delay_s
        self._token_delay_s = token_delay_s
        self._trouble = trouble
        self.prompts: list[Prompt] = []
        self.primed: list[Prompt] = []
        self.heard: list[Samples | None] = []
        self.stopped = 0

    async def generate(self, prompt: Prompt, audio: Samples | None = None) -> AsyncIterator[Generated]:
        """Stream the reply to ``prompt``, a word (a token) with the space before it at a time, then the usage."""
        self.prompts.append(prompt)
        self.heard.append(audio)
        tokens = _tokens(self._reply(prompt, audio))[: prompt.output_tokens]
        finished = False
        try:
            for number, token in enumerate(tokens):
                await asyncio.sleep(self._first_token_delay_s if number == 0 else self._token_delay_s)
                await _meet(self._trouble, number)
                yield token
            await _meet(self._trouble, len(tokens))
            finished = True
            yield Usage(prompt_tokens=_words(prompt), cached_tokens=0, completion_tokens=len(tokens))
        finally:
            self.stopped += not finished

    async def prime(self, prompt: Prompt) -> None:
        """Note the prompt."""
        self.primed.append(prompt)

    def _reply(self, prompt: Prompt, audio: Samples | None) -> Reply:
        if self._script is not None:
            return self._script(prompt)
        if callable(self._replies):
            said = [message.text for message in prompt.messages if message.role == "user"]
            return self._replies(said[-1] if said else "")
        turn = _turns(prompt) + (audio is not None)
        return self._replies[max(0, turn - 1) % len(self._replies)]


def _tokens(reply: Reply) -> list[TextDelta | ToolCall]:
    tokens: list[TextDelta | ToolCall] = []
    for item in items(reply):
        if isinstance(item, ToolCall):
            tokens.append(item)
        else:
            tokens += [TextDelta(word) for word in re.findall(r"\s*\S+", item)]
    return tokens


def _turns(prompt: Prompt) -> int:
    """How often there has been something to answer: what comes without a word of the agent in between is one."""
    turns, answered = 0, True
    for message in prompt.messages:
        turns += answered and message.role in ("user", "tool")
        answered = message.role == "assistant" or (answered and message.role not in ("user", "tool"))
    return turns


def _words(prompt: Prompt) -> int:
    return len(prompt.system.split()) + sum(len(message.text.split()) for message in prompt.messages)


async def _meet(trouble: Trouble | None, number: int) -> None:
    if trouble is None or number != trouble.at:
        return
    if trouble.error is not None:
        raise trouble.error
    await asyncio.Event().wait()


class ScriptedSpeaker:
    """Speaks each character for the same time, in sound that says where it comes from.

    Every 20 ms frame of the ``n``-th call of ``speak`` (from 1) is filled with one value, see :func:`mark`, so
    whoever holds a frame knows the call and its place in it. A text of ``c`` characters is ``c * character_ms``
    milliseconds long, rounded up to a whole frame. ``spoken`` has the texts in order, ``stopped`` counts those
    closed before their end.

    ``speed_factor``: how many times faster than real time the sound is made; 0 is at once. ``chunk_ms``: length
    of one yielded piece, a multiple of 20. ``trouble`` counts such pieces. ``tunings``: what calls asked for, in
    order; what they are spoken in stands in ``spoken``, too.
    """

    speeds = (0.1, 10.0)
    takes_fields = True

    def __init__(
        self,
        *,
        sample_rate: int = 24_000,
        character_ms: int = 60,
        first_chunk_delay_s: float = 0.0,
        speed_factor: float = 0.0,
        chunk_ms: int = 200,
        trouble: Trouble | None = None,
    ) -> None:
        if chunk_ms < FRAME_MS or chunk_ms % FRAME_MS:
            raise ValueError(f"chunk_ms is a multiple of {FRAME_MS}, not {chunk_ms}")
        self.sample_rate = sample_rate
        self._character_ms = character_ms
        self._first_chunk_delay_s = first_chunk_delay_s
        self._speed_factor = speed_factor
        self._chunk_frames = chunk_ms // FRAME_MS
        self._trouble = trouble
        self.spoken: list[str] = []
        self.stopped = 0
        self.tunings: list[Tuning] = []

    def tuned(self, tuning: Tuning) -> ScriptedSpeaker:
        """The same at another speed."""
        check_speed(tuning.speed, self.speeds)
        self.tunings.append(tuning)
        tuned = ScriptedSpeaker(
            sample_rate=self.sample_rate,
            character_ms=max(1, round(self._character_ms / (tuning.speed or 1.0))),
            first_chunk_delay_s=self._first_chunk_delay_s,
            speed_factor=self._speed_factor,
            chunk_ms=self._chunk_frames * FRAME_MS,
            trouble=self._trouble,
        )
        tuned.spoken = self.spoken
        return tuned

    def frames(self, text: str) -> int:
        """How many 20 ms frames ``text`` takes."""
        return -(-len(text) * self._character_ms // FRAME_MS)

    def position(self, text: str, character: int) -> int:
        """The sample at which the ``character``-th of ``text`` begins; ``len(text)`` for its end."""
        if character >= len(text):
            return self.frames(text) * self.frame_samples
        return character * self._character_ms * self.sample_rate // 1000

    @property
    def frame_samples(self) -> int:
        """Samples of one marked frame."""
        return self.sample_rate * FRAME_MS // 1000

    async def speak(self, text: str) -> AsyncIterator[Samples]:
        """Stream ``text``."""
        self.spoken.append(text)
        utterance, total = len(self.spoken), self.frames(text)
        finished = False
        try:
            await asyncio.sleep(self._first_chunk_delay_s)
            for number, start in enumerate(range(0, total, self._chunk_frames)):
                await _meet(self._trouble, number)
                end = min(start + self._chunk_frames, total)
                if number and self._speed_factor:
                    await asyncio.sleep((end - start) * FRAME_MS / 1000 / self._speed_factor)
                marks = np.array([mark(utterance, frame) for frame in range(start, end)], np.int16)
                yield np.repeat(marks, self.frame_samples)
            finished = True
        finally:
            self.stopped += not finished


_BASE = 4096
_STEP = 4
_FRAMES = 512
_UTTERANCES = 12


def mark(utterance: int, frame: int) -> int:
    """The value that fills ``frame`` (from 0) of ``utterance`` (from 1): 4096 to 28668, in steps of 4.

    Never 0 (silence), far from clipping, and a constant, so it survives resampling (see :func:`unmark`). Frames
    repeat after 512 (10.24 s), utterances after 12.
    """
    return _BASE + _STEP * ((utterance % _UTTERANCES) * _FRAMES + frame % _FRAMES)


def unmark(value: int) -> tuple[int, int]:
    """``(utterance % 12, frame % 512)`` of a value of :func:`mark`, give or take 1; ``ValueError`` for any other."""
    steps, rest = divmod(value - _BASE + 1, _STEP)
    if rest > 2 or not 0 <= steps < _UTTERANCES * _FRAMES:
        raise ValueError(f"{value} is no mark")
    return divmod(steps, _FRAMES)
