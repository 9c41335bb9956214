"""Both sides of a recording on the caller's audio clock."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from antiphon.audio.pcm import Samples
from antiphon.audio.recording import AGENT_FILE, CALLER_FILE, RecordingWriter
from antiphon.session.recording_track import RecordingTrack

RATE = 8_000


def sound(seconds: float, value: int = 1_000) -> Samples:
    return np.full(round(seconds * RATE), value, np.int16)


class Reel:
    """A tape in a folder; ``agent`` reads where the agent's sound lies, in seconds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writer = RecordingWriter(folder, RATE, RATE)
        self.recording_track = RecordingTrack(self.writer, "call")

    def agent(self) -> list[tuple[float, float]]:
        """Beginning and end of each stretch of sound."""
        self.recording_track.close()
        self.writer.close().result(5)
        heard = np.fromfile(self.folder / AGENT_FILE, np.int16) != 0
        edges = np.flatnonzero(np.diff(np.concatenate(([0], heard.astype(np.int8), [0]))))
        return [(begin / RATE, end / RATE) for begin, end in zip(edges[::2], edges[1::2], strict=True)]


def test_the_agent_is_where_the_callers_audio_was_when_it_was_heard(tmp_path: Path) -> None:
    """The caller's first audio comes three seconds after the join: a browser asked for the microphone."""
    reel = Reel(tmp_path)
    for frame in range(200):
        now = 3.0 + (frame + 1) * 0.02
        reel.recording_track.caller(sound(0.02, 5), now)
        if 100 <= frame < 150:
            reel.recording_track.agent(sound(0.02), now)
    ((begin, end),) = reel.agent()
    assert begin == pytest.approx(2.0, abs=0.021)
    assert end - begin == pytest.approx(1.0)


@pytest.mark.parametrize("burst_s", [0.2, 1.0])
def test_a_caller_in_bursts_does_not_break_the_agents_sound(tmp_path: Path, burst_s: float) -> None:
    reel = Reel(tmp_path)
    for tick in range(1, 300):
        now = tick * 0.02
        if tick % round(burst_s / 0.02) == 0:
            reel.recording_track.caller(sound(burst_s, 5), now)
        if tick > 120 and tick <= 220:
            reel.recording_track.agent(sound(0.02), now)
    ((begin, end),) = reel.agent()
    assert begin == pytest.approx(2.4, abs=0.041)
    assert end - begin == pytest.approx(2.0)


def test_a_caller_who_sends_nothing_while_the_agent_speaks_overwrites_nothing(tmp_path: Path) -> None:
    reel = Reel(tmp_path)
    reel.recording_track.caller(sound(1.0, 5), 1.0)
    for tick in range(250):
        reel.recording_track.agent(sound(0.02), 1.0 + (tick + 1) * 0.02)
    reel.recording_track.caller(sound(1.0, 5), 10.0)
    for tick in range(50):
        reel.recording_track.agent(sound(0.02), 10.0 + (tick + 1) * 0.02)
    stretches = reel.agent()
    assert sum(end - begin for begin, end in stretches) == pytest.approx(6.0)
    assert stretches[0][0] == pytest.approx(1.0, abs=0.021)
    assert len(np.fromfile(tmp_path / CALLER_FILE, np.int16)) == 2 * RATE


def test_what_could_not_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with capture_logs() as logs:
        writer = RecordingWriter(tmp_path / "file" / "call", RATE, RATE)
        RecordingTrack(writer, "call").close()
        with pytest.raises(Exception, match="cannot be written"):
            writer.close().result(5)
        # The callback was added first, hence has run.
    assert [(line["event"], line["call_id"]) for line in logs] == [("recording_failed", "call")]
