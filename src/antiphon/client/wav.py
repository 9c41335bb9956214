"""Sound files in, WAV files out: given and taken as mono samples of 16 bits."""

from __future__ import annotations

import io
import math
import re
import shlex
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from antiphon.client.files import cannot_write
from antiphon.errors import SetupError

Samples: TypeAlias = NDArray[np.int16]

LEAST_RATE, MOST_RATE = 8_000, 48_000
"""What a call carries, Hz."""

SLOWEST_RATE = 2_000
"""Below, no word can be understood: the header is wrong."""


@dataclass(frozen=True, slots=True)
class Wav:
    """Mono int16 ``samples`` at ``rate`` Hz."""

    samples: Samples
    rate: int
    missing_s: float = 0.0
    """How much longer the file's header says that it is: it was cut short."""


def read_wav(path: Path) -> Wav:
    """Return the sound of a WAV file of any coding, or of FLAC, OGG, MP3 or AIFF, several channels averaged into one.

    A rate that no call carries becomes the nearest one that does. Raises :class:`SetupError` where the file cannot be
    read or holds no sound.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SetupError(f"cannot read {path}: {error.strerror or error}") from None
    if not data:
        raise SetupError(f"cannot read {path}: the file is empty")
    try:
        # Not by its name: libsndfile would then go by the ending, and refuse a WAV that is called .raw.
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            rate, said = file.samplerate, str(file.extra_info)
            channels: NDArray[np.float32] = file.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise SetupError(
            f"cannot read {path} as sound: {error.error_string.strip(' .')}; what is read is WAV, FLAC, OGG, MP3 and "
            f"AIFF, and `ffmpeg -i {shlex.quote(path.name)} question.wav` makes a WAV of most others"
        ) from None
    if not len(channels):
        raise SetupError(f"{path} holds no sound: its header says that it has a length of 0")
    if rate < SLOWEST_RATE:
        raise SetupError(f"{path} has {rate} samples a second, which is too few for speech; record it at 8000 or more")
    missing_s = _missing(said) * len(channels) / rate
    # As integers libsndfile would give floats as 0 and 1, and wrap what is too loud.
    mono = np.nan_to_num(channels.mean(axis=1), posinf=1.0, neginf=-1.0)
    carried = min(max(rate, LEAST_RATE), MOST_RATE)
    if carried != rate:
        mono = soxr.resample(mono, rate, carried)
    samples = np.clip(np.rint(mono * 32_768), -32_768, 32_767).astype(np.int16)
    return Wav(samples, carried, missing_s)


def _missing(log: str) -> float:
    """Return how much more sound libsndfile's log says that a WAV's header promises, as a share of what is there.

    A header that promises the most there can be was written before the end was known.
    """
    found = re.search(r"data : (\d+) \(should be (\d+)\)", log)
    if found is None or int(found[1]) >= 2**31 - 2**16 or not int(found[2]):
        return 0.0
    return max(0.0, int(found[1]) / int(found[2]) - 1)


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
