"""Real speech and real models for the engines' tests."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np

import antiphon.demo
from antiphon.audio.resampling import resample_file
from antiphon.client.wav import read_wav
from antiphon.config.config import load_config
from antiphon.engines import weights
from antiphon.engines.hibari import HibariSpeaker
from antiphon.engines.protocols import ACTIVITY_FRAME, LISTENING_RATE, Samples
from antiphon.engines.silero import SileroVoiceActivity


def fetched(name: str) -> Path:
    """The model's first file; `make test` has fetched it, and without it the error says how."""
    return weights.find(name, load_config().models_dir)


def clip(name: str) -> Samples:
    """A clip of the demonstration: a man's voice, 16 kHz."""
    wav = read_wav(Path(antiphon.demo.__file__).parent / f"{name}.wav")
    return resample_file(wav.samples, wav.rate, LISTENING_RATE)


async def spoken(text: str) -> Samples:
    """``text`` in the built-in woman's voice, 16 kHz."""
    speaker = HibariSpeaker()
    pieces = [piece async for piece in speaker.speak(text)]
    speaker.close()
    return resample_file(np.concatenate(pieces), speaker.sample_rate, LISTENING_RATE)


def silence(seconds: float) -> Samples:
    return np.zeros(int(seconds * LISTENING_RATE), np.int16)


def frames(samples: Samples) -> list[Samples]:
    """Whole frames of 512 samples."""
    return list(samples[: samples.size // ACTIVITY_FRAME * ACTIVITY_FRAME].reshape(-1, ACTIVITY_FRAME))


class Scores(list[float]):
    """Scores of one stream as they come; ``reached`` waits for so many."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = asyncio.Event()

    def take(self, score: float) -> None:
        self.append(score)
        self._changed.set()

    async def reached(self, count: int) -> None:
        while len(self) < count:
            self._changed.clear()
            await self._changed.wait()


async def scored(activity: SileroVoiceActivity, samples: Samples) -> list[tuple[Samples, float]]:
    """Every frame with its score."""
    scores = Scores()
    stream = activity.open(scores.take)
    pieces = frames(samples)
    for count, piece in enumerate(pieces):
        stream.push(piece)
        await scores.reached(count - 100)  # well under what a stream may have waiting
    await scores.reached(len(pieces))
    stream.close()
    return list(zip(pieces, scores, strict=True))
