"""WAV files in and out: 16-bit PCM, given and taken as mono samples."""

from __future__ import annotations

import math
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from antiphon.client.files import cannot_write
from antiphon.errors import SetupError

Samples: TypeAlias = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Wav:
    """Mono int16 ``samples`` at ``rate`` Hz."""

    samples: Samples
    rate: int


def read_wav(path: Path) -> Wav:
    """The file's sound; several channels are averaged into one.

    Raises :class:`SetupError` where it cannot be read, or is not 16-bit PCM.
    """
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            data = file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or "it is cut short"
        raise SetupError(f"cannot read {path} as a WAV file: {reason}") from error
    if width != 2:
        raise SetupError(f"{path} has {8 * width}-bit samples; convert it to 16-bit PCM first")
    if not 8_000 <= rate <= 48_000:
        raise SetupError(f"{path} has {rate} samples a second; convert it to a rate of 8000 to 48000 first")
    samples = np.frombuffer(data[: len(data) // (2 * channels) * 2 * channels], "<i2").astype(np.int16)
    if channels > 1:
        samples = samples.reshape(-1, channels).mean(axis=1).astype(np.int16)
    return Wav(samples, rate)


def peak_db(samples: Samples) -> float:
    """Return the level of the loudest sample, dB of full scale; minus infinity for silence."""
    peak = int(np.abs(samples.astype(np.int32)).max(initial=0))
    return 20 * math.log10(peak / 32_768) if peak else -math.inf


def write_wav(path: Path, wav: Wav) -> None:
    """Write ``wav`` as 16-bit mono PCM, making the folder where there is none."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, wav.rate, 0, "NONE", "not compressed"))
            file.writeframes(wav.samples.astype("<i2").tobytes())
    except OSError as error:
        raise cannot_write(path, error) from None
