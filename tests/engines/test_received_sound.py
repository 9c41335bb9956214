"""Sound as servers send it: every shape, cut anywhere."""

from __future__ import annotations

import base64
import io
import json
import struct
import wave
from collections.abc import Callable

import numpy as np
import pytest

from antiphon.audio.resampling import LiveResampler
from antiphon.engines.protocols import Samples
from antiphon.engines.received_sound import (
    MAX_LINE_BYTES,
    MAX_WAV_HEADER,
    JsonLinesReader,
    JsonReader,
    NotSound,
    PcmReader,
    SoundReader,
)

RATE = 24_000
SOUND = (np.sin(np.arange(3_000) / 7) * 12_000).astype(np.int16)
RAW = SOUND.astype("<i2").tobytes()


def wav(data: bytes = RAW, *, rate: int = RATE, channels: int = 1, width: int = 2) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(width)
        writer.setframerate(rate)
        writer.writeframes(data)
    return file.getvalue()


def read(reader: SoundReader, data: bytes, chunk: int = 1_000) -> Samples:
    pieces: list[Samples] = []
    for start in range(0, len(data), chunk):
        pieces += reader.push(data[start : start + chunk])
    pieces += reader.finish()
    return np.concatenate(pieces) if pieces else np.zeros(0, np.int16)


def pcm(raw_rate: int | None = RATE) -> PcmReader:
    return PcmReader(RATE, raw_rate)


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("chunk", [1, 3, 4, 11, 44, 45, 999, 10_000])
def test_raw_and_wav_come_out_the_same_however_they_are_cut(chunk: int) -> None:
    for data in (RAW, wav()):
        assert (read(pcm(), data, chunk) == SOUND).all()


def test_a_wav_says_its_rate_itself_and_is_brought_to_ours() -> None:
    other = read(pcm(None), wav(rate=16_000))
    resampler = LiveResampler(16_000, RATE)
    assert (other == np.concatenate([resampler.push(SOUND), resampler.flush()])).all()
    assert len(other) == len(SOUND) * 3 // 2


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF, 0x7FFFFFFF])
def test_a_streamed_wav_has_no_true_length(length: int) -> None:
    whole = wav()
    assert (read(pcm(), whole[:40] + struct.pack("<I", length) + RAW) == SOUND).all()


def test_what_follows_the_sound_of_a_wav_is_no_sound() -> None:
    assert (read(pcm(), wav() + b"LIST" + bytes(500)) == SOUND).all()


def test_chunks_before_the_sound_are_passed_over() -> None:
    whole = wav()
    padded = whole[:12] + b"JUNK" + struct.pack("<I", 5) + bytes(6) + whole[12:]
    assert (read(pcm(), padded, 7) == SOUND).all()


def test_of_several_channels_the_first_is_heard() -> None:
    both = np.stack([SOUND, SOUND // 2], axis=1).astype("<i2").tobytes()
    assert (read(pcm(), wav(both, channels=2), 5) == SOUND).all()


def test_samples_of_32_bits() -> None:
    whole = wav((SOUND.astype("<i4") << 16).tobytes(), width=4)
    assert (read(pcm(), whole, 6) == SOUND).all()
    floats = (SOUND / 32767.0).astype("<f4").tobytes()
    header = whole[:20] + struct.pack("<H", 3) + whole[22:44]
    assert np.abs(read(pcm(), header + floats, 6).astype(int) - SOUND).max() <= 1
    wild = np.array([np.nan, np.inf, -np.inf, 2.0], "<f4").tobytes()
    assert read(pcm(), header + wild).tolist() == [0, 32767, -32767, 32767]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (RAW, "responseSampleRate is not set"),
        (wav(width=1), "8 bits"),
        (wav(rate=1_000), "1000 Hz"),
        (b"RIFF" + bytes(100), "no WAV"),
        (wav()[:30], "without any sound"),
        (b"RIFF\0\0\0\0WAVE" + b"JUNK" + struct.pack("<I", 2**31) + bytes(MAX_WAV_HEADER), "without any sound"),
        (b"RIFF\0\0\0\0WAVEdata" + struct.pack("<I", 4) + bytes(4), "does not say what it holds"),
        (b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<I", 4) + bytes(40), "does not say what it holds"),
    ],
)
def test_what_cannot_be_played_says_why(data: bytes, says: str) -> None:
    with pytest.raises(NotSound, match=says):
        read(pcm(None), data)


@pytest.mark.parametrize("data", [b"", b"\x01"])
def test_next_to_nothing_is_no_sound(data: bytes) -> None:
    assert not len(read(pcm(), data))


def reader(path: str, *, lines: bool = False, hexadecimal: bool = False) -> SoundReader:
    return (JsonLinesReader if lines else JsonReader)(pcm(), path, hexadecimal=hexadecimal)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"audioContent": text(wav())}, "audioContent"),
        ({"result": {"audioContent": text(RAW)}}, "result.audioContent"),
        ({"audios": [text(RAW[:2_001]), text(RAW[2_001:])]}, "audios"),
        ({"audios": [{"data": text(wav(RAW[:2_000]))}, {"data": text(wav(RAW[2_000:]))}]}, "audios.data"),
        ({"audios": [{"data": "?"}, {"data": text(RAW)}]}, "audios.1.data"),
    ],
)
def test_sound_within_json(value: object, path: str) -> None:
    assert (read(reader(path), json.dumps(value).encode(), 37) == SOUND).all()


def test_sound_as_hexadecimal() -> None:
    assert (read(reader("a", hexadecimal=True), json.dumps({"a": RAW.hex()}).encode()) == SOUND).all()


@pytest.mark.parametrize("encode", [lambda data: data, wav], ids=["raw", "wav"])
@pytest.mark.parametrize("end", [b"\n", b"", b"\r\n\r\n"])
def test_a_line_of_json_after_the_other(encode: Callable[[bytes], bytes], end: bytes) -> None:
    pieces = [RAW[start : start + 1_000] for start in range(0, len(RAW), 1_000)]
    lines = [{"info": "begins"}, *({"a": text(encode(piece))} for piece in pieces)]
    data = b"\r\n".join(json.dumps(line).encode() for line in lines) + end
    assert (read(reader("a", lines=True), data, 50) == SOUND).all()


def test_a_line_is_heard_before_the_next_one_comes() -> None:
    taking = reader("a", lines=True)
    line = json.dumps({"a": text(RAW)}).encode() + b"\n"
    assert sum(map(len, taking.push(line + line[:10]))) == len(SOUND)


@pytest.mark.parametrize(
    ("data", "lines", "says"),
    [
        (b'{"b": 1}', False, "nothing at a"),
        (b'{"a": 1}', False, "nothing at a"),
        (b"[[[", False, "no JSON"),
        (b"[" * 100_000, False, "no JSON"),
        (b"", False, "no JSON"),
        (b'{"a": "=="}', False, "not base64"),
        (b"x\n", True, "no JSON"),
        (b"x" * (MAX_LINE_BYTES + 1_000), True, "a line of more than"),
    ],
)
def test_json_that_cannot_be_played_says_why(data: bytes, lines: bool, says: str) -> None:
    with pytest.raises(NotSound, match=says):
        read(reader("a", lines=lines), data, 100_000)
