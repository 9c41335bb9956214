"""Sound as servers send it: raw PCM or WAV, as it is or inside JSON, brought to one sample rate, mono.

WAV: RIFF (Microsoft and IBM, "Multimedia Programming Interface and Data Specifications 1.0", 1991). Streamed files
have no true length in their header; it is then 0 or close to 2**32, and taken as "until the end".
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from antiphon.audio.resampling import LiveResampler
from antiphon.engines.protocols import Samples

MAX_WAV_HEADER = 65_536
MAX_JSON_BYTES = 16_000_000
"""Of one answer: six minutes of sound at 16 kHz; to read it takes a tenth of a second, in which calls go on late."""
MAX_LINE_BYTES = 4_000_000

_ENDLESS = 0x7FFF_0000
_RATES = range(8_000, 192_001)
_SAMPLES = {(1, 16): "<i2", (1, 32): "<i4", (3, 32): "<f4"}
"""By a WAV's format tag and bits."""


class NotSound(ValueError):
    """What came cannot be played; the text follows the server's name."""


class SoundReader(Protocol):
    """Makes samples of an answer's bytes."""

    def push(self, data: bytes) -> Iterator[Samples]:
        """What is complete with ``data``. Raises :class:`NotSound`."""

    def finish(self) -> Iterator[Samples]:
        """The rest. Raises :class:`NotSound`."""


class PcmReader:
    """Raw s16le mono PCM at ``raw_rate``, or WAV (told by its first bytes), to ``rate``."""

    def __init__(self, rate: int, raw_rate: int | None) -> None:
        self._rate = rate
        self._raw_rate = raw_rate
        self._resampler: LiveResampler | None = None
        self._begin()

    def _begin(self) -> None:
        self._pending = b""
        self._known = False
        self._kind, self._channels, self._left = "<i2", 1, -1

    def begin_piece(self, data: bytes) -> None:
        """``data`` follows, a piece of sound by itself: it may have a WAV header of its own."""
        if data.startswith(b"RIFF"):
            self._begin()

    def push(self, data: bytes) -> Iterator[Samples]:
        """What is complete with ``data``."""
        self._pending += data
        if not self._known and not self._look():
            return
        if self._left >= 0:
            self._pending = self._pending[: self._left]
        size = self._channels * np.dtype(self._kind).itemsize
        whole = len(self._pending) // size * size
        if not whole or self._resampler is None:
            return
        taken, self._pending = self._pending[:whole], self._pending[whole:]
        if self._left >= 0:
            self._left -= whole
        samples = self._resampler.push(_mono(taken, self._kind, self._channels))
        if len(samples):
            yield samples

    def finish(self) -> Iterator[Samples]:
        """What the resampler held back."""
        if not self._known and self._pending.startswith(b"RIFF"):
            raise NotSound("sent a WAV without any sound")
        rest = self._resampler.flush() if self._resampler is not None else np.zeros(0, np.int16)
        if len(rest):
            yield rest

    def _look(self) -> bool:
        """Whether it is known by now what this is, and its samples come next."""
        if len(self._pending) < 4:
            return False
        if not self._pending.startswith(b"RIFF"):
            if self._raw_rate is None:
                raise NotSound("sent raw PCM, and responseSampleRate is not set")
            self._start(self._raw_rate)
            return True
        found = _wav_header(self._pending)
        if found is None:
            if len(self._pending) > MAX_WAV_HEADER:
                raise NotSound("sent a WAV without any sound")
            return False
        rate, self._kind, self._channels, length, start = found
        self._left = -1 if length == 0 or length >= _ENDLESS else length
        self._pending = self._pending[start:]
        self._start(rate)
        return True

    def _start(self, rate: int) -> None:
        self._known = True
        if self._resampler is None or self._resampler.from_rate != rate:
            self._resampler = LiveResampler(rate, self._rate)


class JsonReader:
    """A JSON object whose field at ``path`` holds the sound as text: base64, or hexadecimal."""

    def __init__(self, pcm: PcmReader, path: str, *, hexadecimal: bool) -> None:
        self._pcm = pcm
        self._path = path
        self._hexadecimal = hexadecimal
        self._body = bytearray()

    def push(self, data: bytes) -> Iterator[Samples]:
        """Nothing yet: the object is read at its end."""
        self._body += data
        if len(self._body) > MAX_JSON_BYTES:
            raise NotSound(f"answered with more than {MAX_JSON_BYTES} bytes of JSON")
        yield from ()

    def finish(self) -> Iterator[Samples]:
        """All of it."""
        pieces = self._pieces(bytes(self._body))
        if not pieces:
            raise NotSound(f"answered with JSON that has nothing at {self._path}")
        yield from self._sound(pieces)
        yield from self._pcm.finish()

    def _sound(self, pieces: list[str]) -> Iterator[Samples]:
        for piece in pieces:
            data = _bytes(piece, self._hexadecimal)
            self._pcm.begin_piece(data)
            yield from self._pcm.push(data)

    def _pieces(self, text: bytes) -> list[str]:
        try:
            return list(_at(json.loads(text), self._path.split(".")))
        except (ValueError, RecursionError):
            raise NotSound("answered with what is no JSON") from None


class JsonLinesReader(JsonReader):
    """Such an object in each line; a line without sound says something else."""

    def push(self, data: bytes) -> Iterator[Samples]:
        """The sound of the lines that are whole."""
        *lines, rest = (bytes(self._body) + data).split(b"\n")
        self._body[:] = rest
        if len(rest) > MAX_LINE_BYTES:
            raise NotSound(f"answered with a line of more than {MAX_LINE_BYTES} bytes")
        for line in lines:
            if line.strip():
                yield from self._sound(self._pieces(line))

    def finish(self) -> Iterator[Samples]:
        """The last line need not end."""
        if self._body.strip():
            yield from self._sound(self._pieces(bytes(self._body)))
        yield from self._pcm.finish()


def _at(value: Any, path: list[str]) -> Iterator[str]:
    """The texts at ``path``; a number in it is a place in an array, and an array without one is all that is in it."""
    if not path:
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, str):
                yield item
        return
    key, rest = path[0], path[1:]
    if isinstance(value, dict) and key in value:
        yield from _at(value[key], rest)
    elif isinstance(value, list):
        if key.isdecimal():
            yield from (text for item in value[int(key) : int(key) + 1] for text in _at(item, rest))
        else:
            yield from (text for item in value for text in _at(item, path))


def _bytes(text: str, hexadecimal: bool) -> bytes:
    try:
        return bytes.fromhex(text) if hexadecimal else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise NotSound(f"sent sound that is not {'hexadecimal' if hexadecimal else 'base64'}") from None


def _mono(data: bytes, kind: str, channels: int) -> Samples:
    """``data`` as 16 bits, the first channel of several."""
    samples = np.frombuffer(data, kind)[::channels]
    if kind == "<f4":
        samples = np.round(np.clip(np.nan_to_num(samples), -1.0, 1.0) * 32767.0)
    elif kind == "<i4":
        samples = samples >> 16
    mono: Samples = samples.astype(np.int16)
    return mono


def _wav_header(data: bytes) -> tuple[int, str, int, int, int] | None:
    """Rate, kind of sample, channels, length of the sound, where it starts; ``None`` where more has to come first."""
    if len(data) < 12:
        return None
    if data[8:12] != b"WAVE":
        raise NotSound("sent RIFF that is no WAV")
    form: tuple[int, str, int] | None = None
    at = 12
    while at + 8 <= len(data):
        name, length = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0]
        if name == b"data":
            if form is None:
                raise NotSound("sent a WAV that does not say what it holds")
            return (*form, length, at + 8)
        if at + 8 + length > len(data):
            return None
        if name == b"fmt ":
            form = _wav_format(data[at + 8 : at + 8 + length])
        at += 8 + length + length % 2
    return None


def _wav_format(chunk: bytes) -> tuple[int, str, int]:
    if len(chunk) < 16:
        raise NotSound("sent a WAV that does not say what it holds")
    tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == 0xFFFE and len(chunk) >= 26:
        tag = struct.unpack_from("<H", chunk, 24)[0]
    kind = _SAMPLES.get((tag, bits))
    if kind is None or not 1 <= channels <= 8 or rate not in _RATES:
        raise NotSound(
            f"sent a WAV of format {tag} with {bits} bits, {channels} channels and {rate} Hz; "
            "16 or 32 bits of PCM are possible"
        )
    return rate, kind, channels
