import io
import threading
import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from antiphon.audio.disk import DiskThread
from antiphon.audio.pcm import Samples, int16_from_float
from antiphon.audio.recording import AGENT_FILE, CALLER_FILE, META_FILE, RecordingWriter
from antiphon.audio.recording_wav import has_recording, stream_wav
from antiphon.errors import StoreError


def tone(hertz: float, rate: int, seconds: float) -> Samples:
    signal = 10000 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)
    return int16_from_float(signal / 32768)


def recorded(folder: Path, input_rate: int, output_rate: int, caller: Samples, agent: Samples, at: int) -> None:
    writer = RecordingWriter(folder, input_rate, output_rate)
    writer.caller(caller)
    writer.agent(agent, at)
    writer.close().result(10)


def read(folder: Path, rate: int | None = None) -> tuple[int, NDArray[np.int16]]:
    stream = stream_wav(folder, rate)
    data = b"".join(stream)
    assert len(data) == stream.size_bytes
    with wave.open(io.BytesIO(data)) as reader:
        assert (reader.getnchannels(), reader.getsampwidth()) == (2, 2)
        frames = reader.getnframes()
        samples = np.frombuffer(reader.readframes(frames + 1), "<i2").reshape(-1, 2)
        assert len(samples) == frames == stream.frames
        return reader.getframerate(), samples


def test_a_real_reader_finds_the_caller_left_and_the_agent_right(tmp_path: Path) -> None:
    caller, agent = tone(440, 16000, 2.5), tone(880, 16000, 1.0)
    recorded(tmp_path, 16000, 16000, caller, agent, 8000)
    rate, samples = read(tmp_path)
    assert rate == 16000
    assert np.array_equal(samples[:, 0], caller)
    assert np.array_equal(samples[8000:24000, 1], agent)
    assert not samples[:8000, 1].any()
    assert not samples[24000:, 1].any()


@pytest.mark.parametrize(
    ("input_rate", "output_rate", "rate"),
    [(8000, 24000, None), (48000, 16000, None), (44100, 8000, None), (16000, 48000, 8000), (8001, 11025, 22050)],
)
def test_different_rates_meet_on_one_timeline(
    tmp_path: Path, input_rate: int, output_rate: int, rate: int | None
) -> None:
    recorded(tmp_path, input_rate, output_rate, tone(440, input_rate, 3), tone(700, output_rate, 1), output_rate)
    got, samples = read(tmp_path, rate)
    assert got == (rate or max(input_rate, output_rate))
    assert abs(len(samples) - 3 * got) <= 1
    for channel, hertz, begins, ends in ((0, 440, 0.2, 2.8), (1, 700, 1.2, 1.8)):
        at = np.arange(int(begins * got), int(ends * got))
        error = samples[at, channel] - 10000 * np.sin(2 * np.pi * hertz * (at / got - (1 if channel else 0)))
        assert np.sqrt(np.mean(error**2)) < 100, "same tone, same place"
    assert np.abs(samples[: int(0.9 * got), 1]).max() <= 1
    assert np.abs(samples[int(2.1 * got) :, 1]).max() <= 1


def test_the_agents_tail_beyond_the_caller_is_kept(tmp_path: Path) -> None:
    recorded(tmp_path, 8000, 8000, tone(440, 8000, 0.5), tone(440, 8000, 1), 4000)
    _, samples = read(tmp_path)
    assert len(samples) == 12000
    assert not samples[4000:, 0].any()


def test_blocks_are_small_and_the_header_comes_first(tmp_path: Path) -> None:
    recorded(tmp_path, 16000, 24000, tone(440, 16000, 5), tone(440, 24000, 5), 0)
    blocks = list(stream_wav(tmp_path))
    assert len(blocks[0]) == 44
    assert max(map(len, blocks)) <= 24000


def test_a_running_call_can_be_read_and_goes_on(tmp_path: Path) -> None:
    disk, written = DiskThread(), threading.Event()
    writer = RecordingWriter(tmp_path, 8000, 8000, disk)
    writer.caller(tone(440, 8000, 1))
    disk.run(written.set)
    assert written.wait(10)
    _, samples = read(tmp_path)
    assert np.array_equal(samples[:, 0], tone(440, 8000, 1))
    writer.caller(tone(440, 8000, 1))
    writer.close().result(10)
    assert len(read(tmp_path)[1]) == 16000


def test_a_cut_while_it_is_read_leaves_the_promised_length(tmp_path: Path) -> None:
    recorded(tmp_path, 8000, 8000, tone(440, 8000, 2), tone(440, 8000, 4), 0)
    stream = stream_wav(tmp_path)
    parts = [next(stream), next(stream)]
    with (tmp_path / AGENT_FILE).open("r+b") as file:
        file.truncate(8000)
    assert len(b"".join([*parts, *stream])) == stream.size_bytes


def test_a_write_torn_in_mid_sample_is_read_to_the_last_whole_one(tmp_path: Path) -> None:
    recorded(tmp_path, 8000, 8000, tone(440, 8000, 1), tone(440, 8000, 0.5), 0)
    with (tmp_path / CALLER_FILE).open("ab") as file:
        file.write(b"\x01")
    assert np.array_equal(read(tmp_path)[1][:, 0], tone(440, 8000, 1))


def test_a_recording_without_a_sample_is_none(tmp_path: Path) -> None:
    assert not has_recording(tmp_path / "nowhere")
    RecordingWriter(tmp_path, 8000, 8000).close().result(10)
    assert not has_recording(tmp_path)
    assert len(read(tmp_path)[1]) == 0
    recorded(tmp_path, 8000, 8000, tone(440, 8000, 1), tone(440, 8000, 0), 0)
    assert has_recording(tmp_path)


def test_no_recording_is_a_store_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no recording"):
        stream_wav(tmp_path)
    recorded(tmp_path, 8000, 8000, tone(440, 8000, 1), tone(440, 8000, 1), 0)
    (tmp_path / CALLER_FILE).unlink()
    with pytest.raises(StoreError, match="cannot be read"):
        stream_wav(tmp_path)
    (tmp_path / META_FILE).write_text("{")
    with pytest.raises(StoreError, match="damaged"):
        stream_wav(tmp_path)


def test_reading_can_be_given_up(tmp_path: Path) -> None:
    recorded(tmp_path, 8000, 8000, tone(440, 8000, 1), tone(440, 8000, 1), 0)
    stream = stream_wav(tmp_path)
    next(stream)
    stream.close()
    assert list(stream) == []
