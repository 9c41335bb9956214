"""Reading a call's recording as one stereo WAV, block by block, whatever state the call is in."""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import soxr

from antiphon.audio.pcm import BYTES_PER_SAMPLE, Samples, samples_from_bytes, silence
from antiphon.audio.recording import AGENT_FILE, CALLER_FILE, META_FILE, read_meta
from antiphon.errors import StoreError

_HEADER_BYTES: Final = 44
_CHANNELS: Final = 2
_BLOCKS_PER_SECOND: Final = 4
_LARGEST_SIZE: Final = 0xFFFFFFFF


def has_recording(folder: Path) -> bool:
    """True if there is at least one sample to be heard."""
    try:
        sizes = [(folder / name).stat().st_size for name in (CALLER_FILE, AGENT_FILE)]
        return (folder / META_FILE).is_file() and max(sizes) >= BYTES_PER_SAMPLE
    except OSError:
        return False


def stream_wav(folder: Path, rate: int | None = None) -> WavStream:
    """The recording as a stereo WAV: the caller left, the agent right, the shorter one followed by silence.

    ``rate`` in Hz, by default the higher of the two recorded ones. Of a running call it is what is there now.
    Reading blocks (a few ms a second of audio): iterate in a thread. Raises ``StoreError`` if there is
    no recording or it cannot be read.
    """
    return WavStream(folder, rate)


class WavStream(Iterator[bytes]):
    """An iterator over the bytes of a WAV; ``size_bytes`` of them in all, known before the first."""

    def __init__(self, folder: Path, rate: int | None = None) -> None:
        meta = read_meta(folder)
        self.rate = rate or max(meta.input_rate, meta.output_rate)
        self._folder = folder
        self._block = max(self.rate // _BLOCKS_PER_SECOND, 1)
        with ExitStack() as opened:
            self._sources = [
                _Source(opened.enter_context(_open(folder / name)), source_rate, self.rate)
                for name, source_rate in ((CALLER_FILE, meta.input_rate), (AGENT_FILE, meta.output_rate))
            ]
            self._files = opened.pop_all()
        self.frames = max(source.frames for source in self._sources)
        self.size_bytes = _HEADER_BYTES + self.frames * _CHANNELS * BYTES_PER_SAMPLE
        self._blocks = self._read()

    def __next__(self) -> bytes:
        return next(self._blocks)

    def close(self) -> None:
        """Close the files. Reading to the end does it too."""
        self._blocks.close()
        self._files.close()

    def _read(self) -> Generator[bytes, None, None]:
        with self._files:
            yield _header(self.rate, self.frames)
            for at in range(0, self.frames, self._block):
                count = min(self._block, self.frames - at)
                try:
                    channels = [source.take(count) for source in self._sources]
                except OSError as error:
                    raise StoreError(f"the recording in {self._folder} cannot be read: {error}") from error
                yield np.column_stack(channels).astype("<i2", copy=False).tobytes()


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise StoreError(f"the recording in {path.parent} cannot be read: {error}") from error


def _header(rate: int, frames: int) -> bytes:
    """The 44 bytes of a canonical PCM WAV. Beyond 4 GB (six hours at 48 kHz) the format can only say "very long"."""
    frame_bytes = _CHANNELS * BYTES_PER_SAMPLE
    data_bytes = min(frames * frame_bytes, _LARGEST_SIZE - _HEADER_BYTES)
    form = struct.pack("<HHIIHH", 1, _CHANNELS, rate, rate * frame_bytes, frame_bytes, 8 * BYTES_PER_SAMPLE)
    return (
        struct.pack("<4sI4s4sI", b"RIFF", 36 + data_bytes, b"WAVE", b"fmt ", 16)
        + form
        + struct.pack("<4sI", b"data", data_bytes)
    )


class _Source:
    """One channel: a raw file, resampled as it is read, silent beyond its end."""

    def __init__(self, file: BinaryIO, from_rate: int, to_rate: int) -> None:
        samples = file.seek(0, 2) // BYTES_PER_SAMPLE
        file.seek(0)
        self.frames = -(-samples * to_rate // from_rate)
        """Samples at ``to_rate``."""
        self._file = file
        self._left = samples
        self._piece = max(from_rate // _BLOCKS_PER_SECOND, 1)
        self._resampler = soxr.ResampleStream(from_rate, to_rate, 1, "int16") if from_rate != to_rate else None
        self._ready = silence(0)

    def take(self, count: int) -> Samples:
        """The next ``count`` samples at ``to_rate``."""
        while len(self._ready) < count and self._left:
            self._ready = np.concatenate((self._ready, self._next()))
        taken, self._ready = self._ready[:count], self._ready[count:]
        return np.concatenate((taken, silence(count - len(taken)))) if len(taken) < count else taken

    def _next(self) -> Samples:
        # A running call may have been cut shorter since its size was taken: then this comes up short, and ends.
        data = self._file.read(min(self._piece, self._left) * BYTES_PER_SAMPLE)
        samples = samples_from_bytes(data[: len(data) & ~1])
        self._left = self._left - len(samples) if len(samples) else 0
        if self._resampler is None:
            return samples
        return np.asarray(self._resampler.resample_chunk(samples, last=self._left == 0), np.int16)
