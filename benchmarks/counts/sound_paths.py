"""Paths of the caller's sound: a packet to its frame, a frame to its score, a score to what follows from it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import numpy as np

from antiphon.call.settings import CallSettings, FirstSpeaker, Greeting, TurnSettings, VadSettings
from antiphon.config.config import load_config
from antiphon.engines import weights
from antiphon.engines.protocols import ACTIVITY_FRAME
from antiphon.engines.silero import SileroVoiceActivity
from antiphon.engines.silero_network import CONTEXT, FRAME, STATE, SileroNetwork, Workspace
from counts.call import OUTPUT_RATE, CountedCall, letters, until
from counts.hot_path import HotPath, Work, expect

PACKETS_A_SECOND = 50.0
FRAMES_A_SECOND = 31.25
SPEECH = 0.4
"""Part of the time that a caller speaks, and as much the agent."""

QUIET_SCORE, SPEECH_SCORE = 0.02, 0.9
FOR_EVER_S = 1e6
LISTENING = FirstSpeaker(False, None)
TALE = " ".join(
    (
        "Thank you for calling, it is good to hear from you again.",
        "The train to the coast leaves at ten past nine from the third platform.",
        "It takes two hours and a half, and there is a seat for you by the window.",
        "Lunch is served from noon on, as soon as the river has been crossed.",
    )
)
"""Eighteen seconds of greeting."""


def talking(interruption_s: float = 0.09) -> CallSettings:
    """A call in which the agent begins, and whose patience with engines that stand still has no end."""
    return CallSettings(
        "call",
        OUTPUT_RATE,
        first_speaker=FirstSpeaker(True, Greeting(TALE)),
        vad=VadSettings(minimum_interruption_s=interruption_s),
        turns=TurnSettings(reply_patience_s=FOR_EVER_S, silence_patience_s=FOR_EVER_S),
    )


async def begin_playing(call: CountedCall) -> Callable[[float], None]:
    """Until all of the agent's sound is there; returns whom to ask for it."""
    await until(lambda: call.speaker.letters == letters(TALE), "all that the agent says has been made")
    assert call.pacer.ask is not None
    return call.pacer.ask


@asynccontextmanager
async def packets(rate: int) -> AsyncIterator[Work]:
    """From the beat of the clock: epoll, reading, the frame's head and mask, resampling, cutting."""
    async with CountedCall(CallSettings("call", OUTPUT_RATE, first_speaker=LISTENING), rate) as call:
        take_in, clock, frames = call.pacer.batch_reader.take_in, call.clock, call.activity.frames

        async def ready(rounds: int) -> None:
            frames.clear()
            for _ in range(rounds):
                call.wire.packet(call.packet)

        async def run(rounds: int) -> None:
            for _ in range(rounds):
                clock[0] += 0.02
                take_in()

        def check(rounds: int) -> None:
            expect(len(frames), rounds * 5 // 8, "frames")

        call.hear(8)  # what the resampler holds back comes out of these
        yield Work(run, ready, check)


def silero() -> Path:
    """Silero's file. Raises ``ModelMissing``, which says how to get it."""
    return weights.find("silero-vad", load_config().models_dir)


def _sound(batch: int) -> tuple[np.ndarray, np.ndarray]:
    noise = np.random.default_rng(2).standard_normal((batch, CONTEXT + FRAME)) * 0.05
    return noise.astype(np.float32), np.zeros((batch, 2, STATE), np.float32)


@asynccontextmanager
async def judged(batch: int) -> AsyncIterator[Work]:
    """Our own network, in batches of this size."""
    network, workspace = SileroNetwork(silero()), Workspace(24)
    sound, state = _sound(batch)

    async def run(rounds: int) -> None:
        nonlocal state
        for _ in range(rounds):
            _, state = network.run(sound, state, workspace)

    yield Work(run)


@asynccontextmanager
async def judged_by_onnx(batch: int) -> AsyncIterator[Work]:
    """The ONNX runtime on the same file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(silero(), options, providers=["CPUExecutionProvider"])
    sound, state = _sound(batch)
    state = np.ascontiguousarray(state.transpose(1, 0, 2))
    rate = np.array(16_000, np.int64)

    async def run(rounds: int) -> None:
        nonlocal state
        for _ in range(rounds):
            _, state = session.run(None, {"input": sound, "state": state, "sr": rate})

    yield Work(run)


@asynccontextmanager
async def judged_for_calls(calls: int) -> AsyncIterator[Work]:
    """What is around the network, too: frames of as many calls in, a score to each of them."""
    activity = SileroVoiceActivity(silero())
    activity.load()
    scores: list[float] = []
    streams = [activity.open(scores.append) for _ in range(calls)]
    frame = np.random.default_rng(3).integers(-300, 300, ACTIVITY_FRAME, np.int16)

    async def ready(_: int) -> None:
        scores.clear()

    async def run(rounds: int) -> None:
        for _ in range(rounds):
            for stream in streams:
                stream.push(frame)
            await asyncio.sleep(0)

    yield Work(run, ready, lambda rounds: expect(len(scores), rounds * calls, "scores"))


@asynccontextmanager
async def scored(settings: CallSettings, probability: float) -> AsyncIterator[Work]:
    """From the score of a frame through listener, session and core to what is done about it."""
    async with CountedCall(settings) as call:
        ask = await begin_playing(call) if settings.first_speaker.agent else None
        assert call.activity.score is not None
        clock, score = call.clock, call.activity.score

        async def ready(rounds: int) -> None:
            if ask is not None:
                ask(clock[0])
            before = clock[0]
            call.hear(-(-rounds * 8 // 5))
            clock[0] = before

        async def run(rounds: int) -> None:
            for _ in range(rounds):
                clock[0] += 0.032
                score(probability)

        def check(_: int) -> None:
            expect(sum(b"playback_clear_buffer" in data for data in call.wire.sent), 0, "interruptions")

        yield Work(run, ready, check)


def sound_paths() -> list[HotPath]:
    """In the order of the way through the server."""
    quiet = CallSettings("call", OUTPUT_RATE, first_speaker=LISTENING)
    over_reply = talking(FOR_EVER_S)
    frames = FRAMES_A_SECOND
    return [
        HotPath("packet", "20 ms of 16 kHz, socket to frame", "packet", partial(packets, 16_000), 64,
                a_second=PACKETS_A_SECOND),
        HotPath("packet-8k", "20 ms of 8 kHz, socket to frame", "packet", partial(packets, 8_000), 64),
        HotPath("packet-48k", "20 ms of 48 kHz, socket to frame", "packet", partial(packets, 48_000), 64),
        HotPath("judge-1", "voice activity, one frame at a time", "frame", partial(judged, 1), 10),
        HotPath("judge-8", "voice activity, 8 at a time", "frame", partial(judged, 8), 2, 8),
        HotPath("judge-24", "voice activity, 24 at a time", "frame", partial(judged, 24), 2, 24),
        HotPath("onnx-1", "the ONNX runtime on the same, one at a time", "frame", partial(judged_by_onnx, 1), 10),
        HotPath("onnx-8", "the ONNX runtime, 8 at a time", "frame", partial(judged_by_onnx, 8), 2, 8),
        HotPath("onnx-24", "the ONNX runtime, 24 at a time", "frame", partial(judged_by_onnx, 24), 2, 24),
        HotPath("voices", "frame to score, of 8 calls together", "frame", partial(judged_for_calls, 8), 3, 8,
                a_second=frames),
        HotPath("quiet", "score to what follows: quiet", "frame", partial(scored, quiet, QUIET_SCORE), 200,
                a_second=frames * (1 - SPEECH)),
        HotPath("speech", "score to what follows: speech", "frame", partial(scored, quiet, SPEECH_SCORE), 200,
                a_second=frames * SPEECH),
        HotPath("overlap", "score to what follows: speech over a reply", "frame",
                partial(scored, over_reply, SPEECH_SCORE), 120),
    ]  # fmt: skip
