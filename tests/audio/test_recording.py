import asyncio
import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.audio.disk import DiskThread
from antiphon.audio.pcm import Samples, samples_from_bytes
from antiphon.audio.recording import AGENT_FILE, CALLER_FILE, META_FILE, RecordingWriter, read_meta
from antiphon.errors import StoreError


def noise(count: int, seed: int = 0) -> Samples:
    return np.random.default_rng(seed).integers(1, 30000, count).astype(np.int16)


def stored(folder: Path, name: str) -> Samples:
    return samples_from_bytes((folder / name).read_bytes())


def assert_set(event: threading.Event) -> None:
    assert event.wait(10)


def closed(writer: RecordingWriter) -> None:
    writer.close().result(10)


def test_the_caller_is_kept_as_it_came_in(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "new" / "call", 16000, 24000)
    samples = noise(50_003)
    for at in range(0, len(samples), 320):
        writer.caller(samples[at : at + 320])
    assert writer.caller_samples == len(samples)
    closed(writer)
    assert np.array_equal(stored(writer.folder, CALLER_FILE), samples)
    meta = read_meta(writer.folder)
    assert (meta.input_rate, meta.output_rate, meta.closed) == (16000, 24000, True)
    assert writer.lost_caller_samples == meta.lost_caller_samples == 0


def test_the_agent_is_placed_on_the_timeline_with_silence_between(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path, 8000, 8000)
    first, second = noise(3000, 1), noise(500, 2)
    for at in range(0, 3000, 160):
        writer.agent(first[at : at + 160], 1000 + at)
    writer.agent(second, 10_000)
    closed(writer)
    agent = stored(tmp_path, AGENT_FILE)
    assert len(agent) == 10_500
    assert np.array_equal(agent[1000:4000], first)
    assert np.array_equal(agent[10_000:], second)
    assert not agent[:1000].any()
    assert not agent[4000:10_000].any()


def test_what_was_not_heard_is_cut_off_and_stays_silent(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path, 8000, 8000)
    writer.agent(noise(5000), 0)
    writer.agent_cut(1234)
    writer.agent(noise(100, 3), 4000)
    writer.agent_cut(9999)
    closed(writer)
    agent = stored(tmp_path, AGENT_FILE)
    assert np.array_equal(agent[:1234], noise(5000)[:1234])
    assert not agent[1234:4000].any()
    assert np.array_equal(agent[4000:], noise(100, 3)), "a cut beyond the end adds nothing"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4000), st.integers(0, 9000)), max_size=20))
def test_any_order_of_writes_and_cuts(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[bool, int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("call")
    writer, model = RecordingWriter(folder, 8000, 8000), np.zeros(0, np.int16)
    for number, (cut, length, at) in enumerate(steps):
        if cut:
            writer.agent_cut(at)
            model = model[:at]
        else:
            samples = noise(length, number)
            writer.agent(samples, at)
            if length:
                model = np.pad(model, (0, max(at + length - len(model), 0)))
                model[at : at + length] = samples
    closed(writer)
    assert np.array_equal(stored(folder, AGENT_FILE), model)


def test_a_disk_too_slow_leaves_silence_in_place_and_is_counted(tmp_path: Path) -> None:
    disk, slow = DiskThread(limit_bytes=8000, gather_s=0), threading.Event()
    disk.run(lambda: assert_set(slow))
    writer = RecordingWriter(tmp_path, 8000, 8000, disk)
    samples = noise(8000)
    for at in range(0, 8000, 160):
        writer.caller(samples[at : at + 160])
    lost = writer.lost_caller_samples
    assert lost == 4800, "4000 samples fit in the queue, less what does not fill the last write"
    done = threading.Event()
    slow.set()
    disk.run(done.set)
    assert done.wait(10)
    writer.caller(noise(1600, 5))
    closed(writer)
    caller = stored(tmp_path, CALLER_FILE)
    assert np.array_equal(caller[:3200], samples[:3200])
    assert not caller[3200:8000].any()
    assert np.array_equal(caller[8000:], noise(1600, 5))
    assert read_meta(tmp_path).lost_caller_samples == lost


async def test_closing_can_be_awaited_and_nothing_is_taken_afterwards(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path, 8000, 8000)
    writer.caller(noise(100))
    await asyncio.wrap_future(writer.close())
    assert writer.close().done()
    writer.caller(noise(4000))
    writer.agent(noise(4000), 0)
    writer.agent_cut(0)
    assert (tmp_path / CALLER_FILE).stat().st_size == 200
    assert writer.lost_caller_samples == writer.lost_agent_samples == 4000


def test_a_folder_that_cannot_be_written_is_an_error_of_close_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    writer = RecordingWriter(tmp_path / "file" / "call", 8000, 8000)
    for _ in range(20):
        writer.caller(noise(1600))
    with pytest.raises(StoreError, match="cannot be written"):
        closed(writer)
    assert isinstance(writer.error, StoreError)


def test_one_bad_recording_does_not_touch_another(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    disk = DiskThread()
    bad = RecordingWriter(tmp_path / "file" / "call", 8000, 8000, disk)
    good = RecordingWriter(tmp_path / "good", 8000, 8000, disk)
    bad.caller(noise(3000))
    good.caller(noise(3000))
    bad.agent_cut(0)
    closed(good)
    assert len(stored(good.folder, CALLER_FILE)) == 3000
    with pytest.raises(StoreError):
        closed(bad)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"input_rate": "8000", "output_rate": 8000}', '{"input_rate": 0}'])
def test_a_damaged_meta_is_a_store_error(tmp_path: Path, text: str) -> None:
    (tmp_path / META_FILE).write_text(text)
    with pytest.raises(StoreError, match="damaged"):
        read_meta(tmp_path)


KILLED = """
import os, signal, sys
import numpy as np
from pathlib import Path
from antiphon.audio.recording import CALLER_FILE, RecordingWriter
folder = Path(sys.argv[1])
writer = RecordingWriter(folder, 16000, 8000)
writer.agent(np.full(8000, 7, np.int16), 4000)
at = 0
while not (folder / CALLER_FILE).exists() or (folder / CALLER_FILE).stat().st_size < 64000:
    writer.caller(np.full(320, 1 + at // 320 % 1000, np.int16))
    at += 320
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_after_kill_9_all_that_reached_the_disk_is_there(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], timeout=60, check=False)
    assert killed.returncode == -9
    caller = stored(tmp_path, CALLER_FILE)
    assert len(caller) >= 32000
    frames = caller[: len(caller) // 320 * 320].reshape(-1, 320)
    assert np.array_equal(frames[:, 0], 1 + np.arange(len(frames)) % 1000)
    assert (stored(tmp_path, AGENT_FILE)[4000:12000] == 7).all()
    assert not read_meta(tmp_path).closed
    assert json.loads((tmp_path / META_FILE).read_text())["input_rate"] == 16000
