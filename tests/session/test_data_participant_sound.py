"""What the far end of a data connection hears, beside the recording of the same call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.session.test_data_participant import TURN, call
from tests.support.far_end import far_end


def stretches(samples: Any, rate: int) -> list[tuple[float, float]]:
    """Where it is not silent, in seconds; pauses under 50 ms count as sound."""
    loud = np.flatnonzero(np.abs(samples.astype(int)) > 100)
    if not len(loud):
        return []
    cuts = np.flatnonzero(np.diff(loud) > 0.05 * rate)
    begins, ends = loud[[0, *(cuts + 1)]], loud[[*cuts, -1]]
    return [(begin / rate, end / rate) for begin, end in zip(begins, ends, strict=True)]


@pytest.mark.parametrize("mode", ["CHANNEL_MODE_SEPARATED", "CHANNEL_MODE_MIXED"])
async def test_both_sides_are_heard_as_in_the_recording(mode: str, tmp_path: Path) -> None:
    rate = 8_000
    audio = {"audioConfig": {"sampleRate": rate, "channelMode": mode}}
    async with far_end() as end:
        async with call(end.url, recording=tmp_path / "call", connection=audio) as live:
            await live.client.speak(TURN + "." * 15)
            await live.until(lambda: live.texts("agent"))
        frames, came = end.audio(), [item.at for item in end.came if isinstance(item.data, bytes)]
    caller = stretches(np.fromfile(tmp_path / "call" / "caller.s16le", "<i2"), live.client.input_rate)
    agent = stretches(np.fromfile(tmp_path / "call" / "agent.s16le", "<i2"), live.client.output_rate)
    assert caller[0] == pytest.approx((0.5, 1.5), abs=0.001)
    heard = np.frombuffer(b"".join(frames), "<i2")
    if mode == "CHANNEL_MODE_SEPARATED":
        left, right = heard.reshape(-1, 2).T
        assert stretches(left, rate)[0] == pytest.approx(caller[0], abs=0.002)
        assert stretches(right, rate)[0] == pytest.approx(agent[0], abs=0.041)
    else:
        assert stretches(heard, rate)[0] == pytest.approx(caller[0], abs=0.002)
        assert stretches(heard, rate)[1] == pytest.approx(agent[0], abs=0.041)
    assert {len(frame) for frame in frames} == {rate // 50 * 2 * (2 if mode == "CHANNEL_MODE_SEPARATED" else 1)}
    pace = np.diff(came[5:-5])
    assert np.median(pace) == pytest.approx(0.02, abs=0.004)
    assert len(frames) * 0.02 == pytest.approx(5.5, abs=0.3)


async def test_a_call_that_is_not_recorded_and_a_caller_who_only_writes() -> None:
    async with far_end() as end:
        async with call(end.url, connection={"audioConfig": {}}) as live:
            live.ask()
            await live.until(lambda: live.texts("agent"))
            await live.until(lambda: len(end.audio()) > 60)
        left, right = np.frombuffer(b"".join(end.audio()), "<i2").reshape(-1, 2).T
    assert not left.any()
    ((begins, ends),) = stretches(right, 16_000)
    assert ends - begins == pytest.approx(len("A reply that lasts a while.") * 0.04, abs=0.03)


async def test_without_audio_config_no_audio_is_sent() -> None:
    async with far_end() as end:
        async with call(end.url) as live:
            live.ask()
            await live.until(lambda: live.texts("agent"))
        assert end.audio() == []
