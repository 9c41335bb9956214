"""Whether calls leave anything behind: resident memory of the server over many short calls, scripted engines.

python benchmarks/bench_memory.py [CALLS]
"""

from __future__ import annotations

import asyncio
import sys

import numpy as np
from stage import KEY, RATE, console, scripted_server, show, tone

from antiphon.client.caller import join
from antiphon.client.rest import Api
from antiphon.client.voice import Voice

AT_ONCE = 20
WARM_UP = 200
"""SQLite fills its page caches for so long; what comes after is what a call leaves behind."""


async def one_call(url: str) -> None:
    """One turn, recorded, then good-bye."""
    medium = {"serverWebSocket": {"inputSampleRate": RATE}}
    async with Api(url, KEY) as api:
        body = {"medium": medium, "firstSpeakerSettings": {"user": {}}, "recordingEnabled": True}
        call = await api.create_call(body)
    async with join(call["joinUrl"], Voice(RATE), input_rate=RATE, output_rate=RATE) as caller:
        said = await caller.say(tone(0.5))
        for state in ("speaking", "listening"):
            await caller.until_message(
                lambda message, state=state: message.body.get("state") == state,  # type: ignore[misc]
                after_s=said.ended_s,
                timeout_s=30,
            )


async def main(calls: int) -> None:
    measured: list[tuple[int, float]] = []
    async with scripted_server() as url:
        for done in range(AT_ONCE, WARM_UP + calls + 1, AT_ONCE):
            await asyncio.gather(*(one_call(url) for _ in range(AT_ONCE)))
            async with Api(url, KEY) as api:
                resident = await api.metric("process_resident_memory_bytes") or 0.0
                live = await api.metric("antiphon_live_calls")
            if done >= WARM_UP:
                measured.append((done - WARM_UP, resident / 1e6))
    counts, megabytes = np.array(measured).T
    slope = np.polyfit(counts, megabytes, 1)[0]
    rows = [[int(count), f"{megabyte:.1f}"] for count, megabyte in measured]
    show(f"Resident memory, {AT_ONCE} calls at once, after {WARM_UP} to warm up", ["calls", "MB"], rows)
    console.print(f"slope: {slope * 1000:.1f} kB a call; calls still live at the end: {live:.0f}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200))
