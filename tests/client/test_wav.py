"""WAV files in and out."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from antiphon.client import Wav, read_wav, write_wav
from antiphon.errors import SetupError


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "sound.wav"
    samples = np.arange(-500, 500, dtype=np.int16)
    write_wav(path, Wav(samples, 24_000))
    again = read_wav(path)
    assert again.rate == 24_000
    assert np.array_equal(again.samples, samples)


def test_two_channels_become_one(tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, 16_000, 0, "NONE", "not compressed"))
        file.writeframes(np.array([100, 300, -100, -300], "<i2").tobytes())
    assert read_wav(path).samples.tolist() == [200, -200]


@pytest.mark.parametrize("content", [b"", b"RIFF", b"no wave file at all, but words", None])
def test_what_is_no_wav_file_is_named_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "sound.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SetupError) as caught:
        read_wav(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("width", "rate", "said"), [(1, 16_000, "8-bit"), (2, 4_000, "4000 samples")])
def test_what_a_call_cannot_carry_is_refused(tmp_path: Path, width: int, rate: int, said: str) -> None:
    path = tmp_path / "sound.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, width, rate, 0, "NONE", "not compressed"))
        file.writeframes(bytes(100))
    with pytest.raises(SetupError, match=said):
        read_wav(path)
