"""How much the server itself adds to a turn: scripted engines that take no time, real sockets, real time.

The turn ends, by the endpoint delay, with the twelfth silent 32 ms frame after the last one that had speech in
it. Whoever sent the packet that completes that frame knows when that was. What passes from there to the first
audio frame at the client is the server's doing (and the loopback's, and this program's).

    python benchmarks/bench_latency.py [TURNS]
"""

from __future__ import annotations

import asyncio
import math
import sys

import numpy as np
from stage import KEY, RATE, console, scripted_server, show, tone

from antiphon.client.caller import FRAME_S, Caller, join
from antiphon.client.rest import Api
from antiphon.client.voice import Voice

FRAME = 512
ENDPOINT_FRAMES = 12
GOAL_MS = 10.0
CALLERS = 4


async def turns(url: str, wanted: int, added_ms: list[float], whole_ms: list[float]) -> None:
    """One caller's turns, one after the other."""
    medium = {"serverWebSocket": {"inputSampleRate": RATE, "outputSampleRate": 24_000}}
    async with Api(url, KEY) as api:
        call = await api.create_call({"medium": medium, "firstSpeakerSettings": {"user": {}}})
    async with join(call["joinUrl"], Voice(RATE), input_rate=RATE, output_rate=24_000) as caller:
        for turn in range(wanted):
            await one_turn(caller, 0.6 + 0.007 * (turn % 13), added_ms, whole_ms)


async def one_turn(caller: Caller, length_s: float, added_ms: list[float], whole_ms: list[float]) -> None:
    heard = len(caller.chunks)
    said = await caller.say(tone(length_s))
    await caller.until(lambda: len(caller.chunks) > heard, 10.0)
    first = caller.chunks[heard].at
    last_speech_frame = math.ceil(round(said.ended_s * RATE) / FRAME) - 1
    complete_at = (last_speech_frame + 1 + ENDPOINT_FRAMES) * FRAME / RATE
    sent_at = math.ceil(complete_at / FRAME_S) * FRAME_S
    added_ms.append((first - sent_at) * 1000)
    whole_ms.append((first - said.ended_s) * 1000)
    await caller.until_message(
        lambda message: message.type == "state" and message.body["state"] == "listening", after_s=first, timeout_s=20
    )
    await asyncio.sleep(0.2)


async def main(wanted: int) -> None:
    added: list[float] = []
    whole: list[float] = []
    async with scripted_server() as url:
        await asyncio.gather(*(turns(url, wanted // CALLERS, added, whole) for _ in range(CALLERS)))
    rows = [
        [name, len(figures), *(f"{np.percentile(figures, q):.1f}" for q in (50, 95, 99, 100))]
        for name, figures in (
            ("added by the server, ms", added),
            ("end of speech to first audio, ms", whole),
        )
    ]
    show(f"Latency of a turn, scripted engines, {CALLERS} callers", ["", "turns", "p50", "p95", "p99", "max"], rows)
    console.print(f"goal: at most {GOAL_MS:.0f} ms added at p95")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100))
