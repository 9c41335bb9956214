"""WAV files in and out."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from antiphon.client import Wav, conversation, read_wav, write_wav
from antiphon.client.wav import peak_db
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


SPEECH = Path(conversation.__file__).parents[1] / "demo" / "capital.wav"


def level(samples: NDArray[np.int16], rate: int) -> NDArray[np.float64]:
    """Root mean square of each tenth of a second: what a listener would call the same sound."""
    whole = samples[: len(samples) // (rate // 10) * (rate // 10)].astype(np.float64)
    return np.asarray(np.sqrt((whole.reshape(-1, rate // 10) ** 2).mean(axis=1)), np.float64)


@pytest.mark.parametrize(
    ("container", "coding"),
    [
        *(("WAV", coding) for coding in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")),
        *(("WAVEX", coding) for coding in ("PCM_16", "PCM_24", "FLOAT")),
        *(("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("AIFF", "PCM_16")),
    ],
)
def test_every_usual_coding_is_heard_as_the_same_sound(tmp_path: Path, container: str, coding: str) -> None:
    original = read_wav(SPEECH)
    path = tmp_path / "question.wav"  # whatever its name says
    soundfile.write(path, original.samples / 32_768, original.rate, format=container, subtype=coding)
    heard = read_wav(path)
    assert heard.rate == original.rate
    expected, found = level(original.samples, original.rate), level(heard.samples, heard.rate)
    count = min(len(expected), len(found))
    assert np.corrcoef(expected[:count], found[:count])[0, 1] > 0.99
    assert found.max() == pytest.approx(expected.max(), rel=0.1)


@pytest.mark.parametrize(
    ("rate", "carried"),
    [(4_000, 8_000), (8_000, 8_000), (44_100, 44_100), (48_000, 48_000), (96_000, 48_000), (192_000, 48_000)],
)
def test_every_rate_becomes_one_that_a_call_carries(tmp_path: Path, rate: int, carried: int) -> None:
    path = tmp_path / "tone.wav"
    write_wav(path, Wav((8_000 * np.sin(np.arange(rate) * 2 * np.pi * 440 / rate)).astype(np.int16), rate))
    heard = read_wav(path)
    assert heard.rate == carried
    assert len(heard.samples) == pytest.approx(carried, abs=2)
    loudest = np.argmax(np.abs(np.fft.rfft(heard.samples)))
    assert loudest * carried / len(heard.samples) == pytest.approx(440, abs=2)


def test_what_is_too_loud_is_clipped_and_what_is_no_number_is_silence(tmp_path: Path) -> None:
    path = tmp_path / "loud.wav"
    soundfile.write(path, np.array([2.0, -2.0, np.nan, np.inf, 0.5]), 16_000, subtype="DOUBLE")
    assert read_wav(path).samples.tolist() == [32_767, -32_768, 0, 32_767, 16_384]


def test_a_file_that_is_cut_short_is_read_and_says_how_much_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "cut.wav"
    whole = SPEECH.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    heard, original = read_wav(path), read_wav(SPEECH)
    assert np.array_equal(heard.samples, original.samples[: len(heard.samples)])
    assert heard.missing_s == pytest.approx((len(original.samples) - len(heard.samples)) / 16_000, abs=0.01)
    assert original.missing_s == 0


def test_a_header_written_before_the_end_was_known_misses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "streamed.wav"
    whole = SPEECH.read_bytes()
    path.write_bytes(whole[:4] + b"\xff\xff\xff\xff" + whole[8:40] + b"\xff\xff\xff\xff" + whole[44:])
    heard = read_wav(path)
    assert np.array_equal(heard.samples, read_wav(SPEECH).samples)
    assert heard.missing_s == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"", "empty"),
        (b"RIFF", "ffmpeg"),
        (b"no wave file at all, but words", "ffmpeg"),
        (b"\0\0\0 ftypM4A " + bytes(100), "ffmpeg"),
        (SPEECH.read_bytes()[:20], "ffmpeg"),
        (SPEECH.read_bytes()[:44], "no sound"),
        (SPEECH.read_bytes()[:24] + b"\1\0\0\0" + SPEECH.read_bytes()[28:], "1 samples a second"),
    ],
)
def test_what_is_no_sound_is_named_in_one_line(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "sound.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SetupError, match=words) as caught:
        read_wav(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "BytesIO" not in str(caught.value)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="directory"):
        read_wav(tmp_path)


@pytest.mark.parametrize(("value", "db"), [(0, -np.inf), (32_767, 0), (-32_768, 0), (3_277, -20)])
def test_the_peak_is_in_decibels_of_full_scale(value: int, db: float) -> None:
    assert peak_db(np.array([0, value], np.int16)) == pytest.approx(db, abs=0.01)
