"""The caller's side of a session: bytes in, scored frames to the core, utterances to the transcriber."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import structlog

from antiphon import metrics
from antiphon.audio.loudness import NoiseFloor
from antiphon.audio.pcm import Framer, OddByteJoiner, Samples
from antiphon.audio.resampling import LiveResampler
from antiphon.engines.protocols import ACTIVITY_FRAME, LISTENING_RATE, Transcriber, Transcription, VoiceActivity
from antiphon.session.watch import TRANSCRIBER, EngineWatch

PRE_ROLL_FRAMES = 10
"""Frames (0.32 s) kept from before an utterance: the first sounds of a word score low."""

NOISE_BELOW = 0.1
"""Probability of speech below which a frame belongs to the noise of the line."""

LONGEST_LEAD_S = 10.0
"""Audio that may come in ahead of real time; what is beyond it is dropped."""

LONGEST_UTTERANCE_S = 120.0
"""Audio kept of one utterance for whoever wants to hear it again; older audio of it is let go."""


_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Utterance:
    """One stretch of the caller's speech: its audio and its words under way (``None``: the transcriber broke)."""

    transcription: Transcription | None
    watch: EngineWatch
    frames: deque[Samples] = field(
        default_factory=lambda: deque(maxlen=int(LONGEST_UTTERANCE_S * LISTENING_RATE / ACTIVITY_FRAME))
    )

    def feed(self, frame: Samples, probability: float) -> None:
        """The next frame of it."""
        self.frames.append(frame)
        if self.transcription is not None:
            try:
                self.transcription.feed(frame, probability)
            except Exception as error:
                self.watch.broke(TRANSCRIBER, error)
                self.close()

    def close(self) -> None:
        """No more words are wanted of it."""
        if self.transcription is not None:
            transcription, self.transcription = self.transcription, None
            transcription.close()

    def audio(self) -> Samples:
        """All of it that is kept, 16 kHz."""
        return np.concatenate(list(self.frames)) if self.frames else np.zeros(0, np.int16)


class Listener:
    """Resamples, frames and scores what the caller says.

    ``on_frame(audio_s, probability)`` is called on the event loop for every 32 ms frame, in order; ``audio_s`` is
    the frame's end on the caller's audio clock. The frame then goes to the utterance that is open.
    """

    def __init__(
        self,
        input_rate: int,
        activity: VoiceActivity,
        transcriber: Transcriber,
        language: str | None,
        on_frame: Callable[[float, float], None],
        watch: EngineWatch | None = None,
    ) -> None:
        self._input_rate = input_rate
        self._joiner = OddByteJoiner()
        self._resampler = LiveResampler(input_rate, LISTENING_RATE) if input_rate != LISTENING_RATE else None
        self._framer = Framer(ACTIVITY_FRAME)
        self._stream = activity.open(self._scored)
        self._transcriber = transcriber
        self.language = language
        """What the caller speaks, as far as is known: for utterances from now on."""
        self._on_frame = on_frame
        self._watch = watch or EngineWatch()
        self._floor = NoiseFloor()
        self.rise_db = 0.0
        """How far the frame that ``on_frame`` is told of is above the noise of the line."""
        self._unscored: deque[Samples] = deque()
        self._recent: deque[tuple[Samples, float]] = deque(maxlen=PRE_ROLL_FRAMES)
        self._score_came = asyncio.Event()
        self._utterances: dict[int, Utterance] = {}
        self._growing: Utterance | None = None
        self._frames_scored = 0
        self._samples_taken = 0
        self.samples_dropped = 0

    def hear(self, data: bytes, call_age_s: float) -> Samples:
        """Take one binary frame; return the samples taken (input rate). What is too far ahead is dropped."""
        samples = self._joiner.push(data)
        self._samples_taken += len(samples)
        room = int((call_age_s + LONGEST_LEAD_S) * self._input_rate)
        if self._samples_taken > room:
            samples = self._without_last(samples, self._samples_taken - room)
        heard = samples if self._resampler is None else self._resampler.push(samples)
        for frame in self._framer.push(heard):
            self._unscored.append(frame)
            self._stream.push(frame)
        return samples

    def _without_last(self, samples: Samples, excess: int) -> Samples:
        dropped = min(excess, len(samples))
        self._samples_taken -= dropped
        self.samples_dropped += dropped
        metrics.AUDIO_DROPPED.labels("caller").inc(dropped / self._input_rate)
        return samples[: len(samples) - dropped]

    async def all_scored(self) -> None:
        """Wait until all that was taken has been scored."""
        while self._unscored:
            self._score_came.clear()
            await self._score_came.wait()

    def open_utterance(self, number: int) -> None:
        """Begin to keep audio, from a little before the last scored frame on. Earlier utterances get no more."""
        utterance = Utterance(self._open_transcription(), self._watch)
        for frame, probability in self._recent:
            utterance.feed(frame, probability)
        self._utterances[number] = self._growing = utterance

    def _open_transcription(self) -> Transcription | None:
        try:
            return self._transcriber.open(self.language)
        except Exception as error:
            self._watch.broke(TRANSCRIBER, error)
            return None

    def utterance(self, number: int) -> Utterance | None:
        """The utterance, while it is open."""
        return self._utterances.get(number)

    def close_utterance(self, number: int) -> None:
        """Its audio is of no further use."""
        utterance = self._utterances.pop(number, None)
        if utterance is not None:
            utterance.close()
            if self._growing is utterance:
                self._growing = None

    def close(self) -> None:
        """Stop listening."""
        self._stream.close()
        for number in list(self._utterances):
            self.close_utterance(number)

    def _scored(self, probability: float) -> None:
        frame = self._unscored.popleft()
        self._recent.append((frame, probability))
        growing = self._growing
        self._frames_scored += 1
        self.rise_db = self._floor.rise_db(frame, speech=probability >= NOISE_BELOW)
        self._on_frame(self._frames_scored * ACTIVITY_FRAME / LISTENING_RATE, probability)
        if growing is not None and growing is self._growing:  # else the frame is the next utterance's
            growing.feed(frame, probability)
        if not self._unscored:
            self._score_came.set()
