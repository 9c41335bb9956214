"""The smallest load there is, against a real server; and the parts of it that need none."""

from __future__ import annotations

import json
import os
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from load import measure, report, servers
from load.activity import FRAME, Activity, weights
from load.analysis import turn_over
from load.clips import PACKET, RATE, Clip, Clips, shipped
from load.run import Setting, holds, judge, run
from load.servers import Place
from load.standins import Delays
from load.timetable import GRID_PACKETS, Wire, pipecat_audio, pipecat_message, sound, timetable
from rich.console import Console

CLIPS = Clips([Clip(samples) for samples in shipped()], [Clip(samples) for samples in shipped()], "shipped")

PATIENT = "limits.max_loop_share = 1.0\nlimits.max_lateness_ms = 60000.0"
"""A machine that runs tests is late for reasons of its own."""


@pytest.mark.server
@pytest.mark.models
async def test_two_calls_are_measured_and_nothing_is_wrong_with_what_they_heard(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    delays = Delays(transcript_s=0.02, first_token_s=0.02, speech_s=0.02)
    async with servers.standins(delays, core, tmp_path) as (engines, pid):
        setting = Setting(
            CLIPS, Activity(weights()), delays, engines, pid, [core], core, seconds=8.0, settle_s=1.0, warm_up_s=1.0
        )
        async with servers.antiphon(Place(engines, delays, [core], tmp_path, config=PATIENT)) as server:
            figures = await run(server, setting, 2)
    assert figures["cpu_ms_per_call_second"] > 0
    assert figures["response"]["count"] >= 1
    assert figures["added"]["p50"] > 0
    assert figures["frames"] > 50
    for name in ("lost", "doubled", "stale", "crossed", "torn_bytes", "refused"):
        assert figures[name] == 0, name
    assert figures["dropped_calls"] == []
    judge([figures])
    report.tables([figures], None, delays, Console(width=120, quiet=True))
    report.write([{**figures, "counts_for_nothing": []}], None, {"calls": [2]}, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "figures.json").read_text())["runs"][0]["calls"] == 2
    assert (tmp_path / "out" / "cost.svg").read_text().startswith("<svg")


def test_a_late_generator_counts_for_nothing() -> None:
    from load.run import _faults

    load = {"send_late_p99_ms": 1.0, "standins_late_p99_ms": 1.0, "cpu_of_a_core": 0.5}
    assert not _faults({"load": load})
    assert _faults({"load": {**load, "send_late_p99_ms": 6.0}})
    assert _faults({"load": {**load, "standins_late_p99_ms": 6.0}})
    assert _faults({"load": {**load, "cpu_of_a_core": 0.95}})


def test_a_server_holds_what_it_serves_without_fault() -> None:
    good = {
        **{
            "server": "antiphon",
            "calls": 5,
            "underruns": {"0": 9, "60": 0, "200": 0},
            "added": {"p50": 9, "p99": 99.0},
        },
        **{"lost": 0, "doubled": 0, "stale": 0, "crossed": 0, "torn_bytes": 0, "dropped_calls": []},
    }
    assert holds(good)
    for fault in (
        {"underruns": {"0": 0, "60": 1, "200": 0}},
        {"added": {"p50": 9, "p99": 101.0}},
        {"added": {"p50": None, "p99": None}},
        {"stale": 1},
        {"dropped_calls": ["1011"]},
    ):
        assert not holds({**good, **fault}), fault
    peer = {**good, "server": "pipecat", "added": {"p50": 95.0, "p99": 140.0}}
    runs = [good, {**peer, "calls": 2}, {**peer, "calls": 9, "added": {"p50": 120.0, "p99": 196.0}}]
    judge(runs)
    assert [run["holds"] for run in runs] == [True, True, False]


def test_the_timetable_is_the_same_every_time_and_falls_on_the_grid() -> None:
    said = timetable(3, 60.0, CLIPS)
    assert said == timetable(3, 60.0, CLIPS)
    assert any(utterance.interrupts for utterance in said)
    assert all(utterance.start % GRID_PACKETS == 0 for utterance in said)
    assert all(before.end <= after.start for before, after in pairwise(said))


def test_what_is_sent_is_what_the_analysis_believes_was_sent() -> None:
    said = timetable(5, 30.0, CLIPS)
    packets = Wire("antiphon").packets(said, 1500)
    sent = b"".join(packet[8:] for packet in packets)
    assert sent == sound(said, 1500).astype("<i2").tobytes()


def test_pipecats_messages_are_read_as_they_are_written() -> None:
    pcm = bytes(range(256)) * 5
    assert pipecat_message(pipecat_audio(pcm)) == (2, pcm)
    assert pipecat_message(b"\x2a\x02\x08\x07")[0] == 5


def test_a_turn_is_over_after_twelve_silent_frames() -> None:
    scores = np.zeros(100, np.float32)
    scores[10:30] = 0.9
    scores[30:33] = 0.2
    ended, paused = turn_over(scores, 10, 31, 0.1) or (0, 0)
    assert (ended, paused) == (32 + 12, 29 + 3)
    assert turn_over(scores, 10, 31, 0.7) == (29 + 12, 29 + 3)


@pytest.mark.models
def test_the_scores_of_a_clip_find_its_end() -> None:
    clip = CLIPS.questions[0]
    whole = np.concatenate([np.zeros(RATE, np.int16), clip.samples, np.zeros(RATE, np.int16)])
    scores = Activity(weights()).score(whole[np.newaxis, : whole.size // FRAME * FRAME])[0]
    found = turn_over(scores, RATE // FRAME, (RATE + clip.samples.size) // FRAME, 0.1)
    assert found is not None
    assert 0.2 < found[0] * FRAME / RATE - (1 + clip.samples.size / RATE) < 0.8
    assert clip.packets == -(-clip.samples.size // PACKET)


def test_the_load_is_not_charged_with_what_the_server_does() -> None:
    own = measure.cpu_s(os.getpid())
    assert measure.cpu_s(*measure.family(os.getpid())) >= own
    assert own <= time.process_time() + 0.05


async def test_a_process_is_pinned_and_ends_with_the_block(tmp_path: Path) -> None:
    core = max(os.sched_getaffinity(0))
    async with servers.echo(Place("", Delays(), [core], tmp_path), 0.5) as server:
        assert os.sched_getaffinity(server.pid) == {core}
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)
