"""Two ordinary calls that go on all the while, in a process of their own, and write down what they notice.

``python -m tests.hostile.witness URL KEY FILE`` until its input ends. One line of JSON for each silence in the
middle of a reply, for each reply and for each turn without one; ``at`` is CLOCK_MONOTONIC, which all processes
share. It is a process of its own so that what a hostile client does in the tests' process is not seen in here,
and two calls half a turn apart, so that one of them listens nearly always.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from antiphon.client import Api, Caller, Playback, Received, Voice, join
from antiphon.errors import CallEnded
from tests.hostile.sound import RATE, tone

ANSWER_TIMEOUT_S = 10.0
CALLS = 2
HALF_A_TURN_S = 1.7

BODY: dict[str, Any] = {
    "model": "witness",
    "firstSpeakerSettings": {"user": {}},
    "medium": {"serverWebSocket": {"inputSampleRate": RATE, "clientBufferSizeMs": 60}},
}


class Witness:
    """One call, listened to."""

    def __init__(self, number: int, file: Path) -> None:
        self._number = number
        self._file = file
        self._gaps = 0

    def write(self, **what: Any) -> None:
        """Add a line."""
        with self._file.open("a") as file:
            file.write(json.dumps({"at": time.monotonic(), "call": self._number, **what}) + "\n")

    async def hold(self, url: str) -> None:
        """Take turns for ever."""
        async with join(url, Voice(RATE), input_rate=RATE, output_rate=RATE) as caller:

            def on_message(message: Received) -> None:
                if message.body.get("state") == "speaking":
                    caller.playback = Playback(RATE)
                    self._gaps = 0

            caller.on_message = on_message
            caller.on_audio = lambda _: self._listen(caller)
            try:
                while True:
                    await self._take_turn(caller)
            except CallEnded as ended:
                self.write(ended=f"{ended.close_code} {ended.reason}")

    def _listen(self, caller: Caller) -> None:
        gaps = caller.playback.gaps_s(0.0, caller.now + 1.0)
        for gap in gaps[self._gaps :]:
            self.write(gap_s=round(gap, 4))
        self._gaps = len(gaps)

    async def _take_turn(self, caller: Caller) -> None:
        since = caller.now
        utterance = await caller.say(tone(0.3))
        try:
            speaking = await caller.until_message(
                lambda m: m.body.get("state") == "speaking", after_s=since, timeout_s=ANSWER_TIMEOUT_S
            )
            await caller.until_message(
                lambda m: m.body.get("state") == "listening", after_s=speaking.at, timeout_s=ANSWER_TIMEOUT_S
            )
        except TimeoutError:
            self.write(unanswered=True)
        else:
            self.write(answered_after_s=round(speaking.at - utterance.ended_s, 3), heard_s=caller.playback.held_s(0.0))


async def _main(url: str, key: str, file: Path) -> None:
    witnesses = [Witness(number, file) for number in range(CALLS)]
    async with Api(url, key) as api:
        calls = [await api.create_call(BODY) for _ in witnesses]

    async def hold(number: int) -> None:
        await asyncio.sleep(number * HALF_A_TURN_S)
        await witnesses[number].hold(str(calls[number]["joinUrl"]))

    holding = asyncio.gather(*(hold(number) for number in range(CALLS)))
    await asyncio.to_thread(sys.stdin.read)
    holding.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await holding


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
