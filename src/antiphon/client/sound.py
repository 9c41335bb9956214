"""The microphone and the loudspeaker of this machine, through the optional `sounddevice` package."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from antiphon.client.wav import Samples
from antiphon.errors import SetupError

_MOST_HELD_S = 0.2
"""A microphone that runs ahead of the sender is cut to this, so that delay does not pile up."""


class Microphone:
    """What the microphone hears, as a :class:`~antiphon.client.voice.Source`; keeps all that was read."""

    def __init__(self, rate: int) -> None:
        self._most = int(rate * _MOST_HELD_S) * 2
        self._held = bytearray()
        self._lock = threading.Lock()
        self._read: list[Samples] = []

    def heard(self, data: bytes) -> None:
        """Take what the device recorded; called in the device's own thread."""
        with self._lock:
            self._held += data
            if len(self._held) > self._most:
                del self._held[: len(self._held) - self._most]

    def read(self, count: int) -> Samples:
        """The next ``count`` samples, padded with silence."""
        with self._lock:
            data = bytes(self._held[: 2 * count])
            del self._held[: 2 * count]
        frame = np.zeros(count, np.int16)
        frame[: len(data) // 2] = np.frombuffer(data, np.int16)
        self._read.append(frame)
        return frame

    def said(self) -> Samples:
        """Everything read so far."""
        return np.concatenate(self._read) if self._read else np.zeros(0, np.int16)


class Loudspeaker:
    """Plays what it is given, silence otherwise."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._lock = threading.Lock()

    def play(self, data: bytes) -> None:
        """Queue s16le samples."""
        with self._lock:
            self._held += data

    def clear(self) -> None:
        """Drop what is unplayed."""
        with self._lock:
            self._held.clear()

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes for the device; called in the device's own thread."""
        with self._lock:
            data = bytes(self._held[:size])
            del self._held[:size]
        return data.ljust(size, b"\0")


@contextmanager
def devices(input_rate: int, output_rate: int) -> Iterator[tuple[Microphone, Loudspeaker]]:
    """Open the default microphone and loudspeaker, mono, 16 bit.

    Raises :class:`SetupError` where the package or a device is missing.
    """
    try:
        import sounddevice
    except ImportError:
        raise SetupError(
            f"the microphone needs a package: {sys.executable} -m pip install sounddevice; "
            "or speak from a file with --wav"
        ) from None
    except OSError:  # the package is there, the library under it is not
        raise SetupError(
            "the microphone needs PortAudio: apt-get install libportaudio2, or your system's package of it; "
            "or speak from a file with --wav"
        ) from None
    microphone, loudspeaker = Microphone(input_rate), Loudspeaker()

    def record(data: Any, frames: int, time: Any, status: Any) -> None:
        microphone.heard(bytes(data))

    def play(data: Any, frames: int, time: Any, status: Any) -> None:
        data[:] = loudspeaker.take(len(data))

    common = {"channels": 1, "dtype": "int16"}
    with ExitStack() as stack:
        try:
            what = "microphone"
            stack.enter_context(sounddevice.RawInputStream(samplerate=input_rate, callback=record, **common))
            what = "loudspeaker"
            stack.enter_context(sounddevice.RawOutputStream(samplerate=output_rate, callback=play, **common))
        except sounddevice.PortAudioError as error:
            raise SetupError(
                f"no usable {what} (PortAudio: {error}); try another --rate, or speak from a file with --wav"
            ) from None
        yield microphone, loudspeaker
