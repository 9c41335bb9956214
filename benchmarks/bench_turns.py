"""How well turns are taken: interruptions, sounds of listening, pauses inside a sentence, and answers.

A real server process with Silero, smart-turn and Whisper; the language model and the agent's voice are scripted,
so that the agent's reply is known, is made at once and lasts 12 s. Callers are clients on real sockets; each clip is
a call of its own, with the server's default settings. The set is `turn_set.py`'s.

- An interruption is yielded to when `playback_clear_buffer` comes within 0.4 s of its first loud sample, the reply is
  not resumed, and what was said becomes a turn of the caller's.
- The agent keeps talking after a sound of listening when it resumes the reply (or never stopped it) and there is no
  turn of the caller's.
- A caller who pauses is cut in on when any of the agent's sound comes before the end of what was being said.
- An answer is prompt when its first sound comes at most 0.25 s after the endpoint delay, counted from the last loud
  10 ms.

Needs the fetched models (`antiphon models pull`) and Debian's packages:
`apt-get install pocketsphinx-testdata flite espeak-ng`.

    python benchmarks/bench_turns.py [--quick] [--callers N] [--prompt-only]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from stage import KEY, console, scripted_server, show
from turn_set import RATE, Clip, interruptions, listening, with_pause, without_pause

from antiphon.client.caller import Caller, Received, join
from antiphon.client.rest import Api
from antiphon.client.voice import Voice

OUTPUT_RATE = 24_000
CALLERS = 3
"""At once. They share the machine with the server; on a machine that is busy otherwise every time is too long."""
YIELD_S = 0.4
CLEAR_GOAL_MS = 140.0
ENDPOINT_S = 0.384
PROMPT_S = ENDPOINT_S + 0.25
POINTS_S = (1.0, 2.3, 3.6, 5.2, 8.1)
"""Where in the reply a caller speaks; a little later each time, so that every place in a frame is met."""
REPLY = (
    "The museum opens at nine in the morning and closes at six in the evening. "
    "On Thursdays it stays open until ten. "
    "The old paintings are on the first floor and the new ones are in the garden house, past the cafe."
)
CONFIG = f"""
api_key = "{KEY}"
voice_activity = {{ engine = "silero" }}
end_of_turn = {{ engine = "smart-turn" }}
transcriber = {{ engine = "whisper" }}
models.scripted = {{ engine = "scripted", replies = ["{REPLY}", "Very well."] }}
voices.Mark = {{ engine = "scripted", character_ms = {round(12_000 / len(REPLY))} }}
"""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a clip.

    ``seconds``: to the clear, or to the answer; ``None`` where it did not come. ``decided_s``: from the end of the
    clip until the server held the turn to be over; what it needs then is the transcriber's time.
    """

    clip: Clip
    good: bool
    seconds: float | None
    text: str
    why: str = ""
    decided_s: float | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One row of the table. ``judged``: with smart-turn; without it nothing has to meet the goal."""

    name: str
    goal: float
    judged: bool
    results: list[Result]

    @property
    def good(self) -> int:
        return sum(result.good for result in self.results)

    @property
    def share(self) -> float:
        return self.good / len(self.results)

    @property
    def met(self) -> bool:
        return self.share >= self.goal


Trial: TypeAlias = Callable[[Caller, Clip, int], Awaitable[Result]]


def is_state(name: str) -> Callable[[Received], bool]:
    return lambda message: message.type == "state" and message.body["state"] == name


def said_turn(message: Received) -> bool:
    """A turn of the caller's, spoken and on record."""
    body = message.body
    return message.type == "transcript" and body["role"] == "user" and body["medium"] == "voice" and body["final"]


def resumed(message: Received) -> bool:
    return message.type == "call_event" and message.body["callEvent"]["type"] == "resumed"


def cleared(message: Received) -> bool:
    return message.type == "playback_clear_buffer"


def after(caller: Caller, since_s: float, matches: Callable[[Received], bool]) -> list[Received]:
    return [message for message in caller.received if message.at >= since_s and matches(message)]


def words(caller: Caller, since_s: float) -> str:
    return " / ".join(str(message.body["text"]) for message in after(caller, since_s, said_turn))


async def quietly(waiting: Awaitable[object]) -> bool:
    """Whether it came in time."""
    try:
        await waiting
    except TimeoutError:
        return False
    return True


async def over_reply(caller: Caller, clip: Clip, number: int) -> tuple[float, float, float | None]:
    """Say ``clip`` into the reply: when it began and ended, and the seconds from its first loud sample to the clear."""
    await caller.send({"type": "user_text_message", "text": "When is the museum open?"})
    await caller.until(lambda: bool(caller.chunks), 10)
    point_s = caller.chunks[0].at + POINTS_S[number % len(POINTS_S)] + 0.007 * (number % 9)
    await asyncio.sleep(point_s - caller.now)
    spoken = await caller.say(clip.samples)
    start_s, end_s = spoken.started_s, spoken.started_s + clip.samples.size / RATE
    decided = lambda: bool(after(caller, start_s, lambda m: said_turn(m) or resumed(m)))  # noqa: E731
    never_stopped = not await quietly(
        caller.until_message(cleared, after_s=start_s, timeout_s=max(0.1, end_s + 0.5 - caller.now))
    )
    await quietly(caller.until(decided, 2.0 if never_stopped else 8.0))
    # A second decision against the first would come with a second pause.
    await asyncio.sleep(max(1.0, end_s + 1.0 - caller.now))
    clears = after(caller, start_s, cleared)
    return start_s, end_s, clears[0].at - start_s - clip.onset_s if clears else None


async def interrupt(caller: Caller, clip: Clip, number: int) -> Result:
    start_s, _, seconds = await over_reply(caller, clip, number)
    text = words(caller, start_s)
    why = ""
    if seconds is None:
        why = "not stopped"
    elif after(caller, start_s, resumed):
        why = "resumed"
    elif not text:
        why = "no turn"
    elif seconds > YIELD_S:
        why = f"stopped after {seconds:.2f} s"
    return Result(clip, not why, seconds, text, why)


async def listen(caller: Caller, clip: Clip, number: int) -> Result:
    start_s, end_s, seconds = await over_reply(caller, clip, number)
    text = words(caller, start_s)
    back = after(caller, start_s, resumed)
    why = ""
    if text:
        why = "taken for a turn"
    elif seconds is not None and not back:
        why = "stopped for good"
    elif not any(chunk.at >= (back[-1].at if back else end_s) for chunk in caller.chunks):
        why = "silent"
    return Result(clip, not why, seconds, text, why)


async def speak(caller: Caller, clip: Clip) -> tuple[float, float, float | None, str]:
    """Say ``clip`` to an agent that waits: its begin and end, the agent's first sound, the words."""
    await asyncio.sleep(0.4)
    spoken = await caller.say(clip.samples)
    start_s, end_s = spoken.started_s, spoken.started_s + clip.samples.size / RATE
    await quietly(caller.until(lambda: any(chunk.at >= end_s for chunk in caller.chunks), 6.0))
    first = next((chunk.at for chunk in caller.chunks if chunk.at >= start_s), None)
    return start_s, end_s, first, words(caller, start_s)


async def pause(caller: Caller, clip: Clip, number: int) -> Result:
    start_s, end_s, first, text = await speak(caller, clip)
    cut_in = first is not None and first < end_s
    resumes_s = start_s + clip.resumes_s
    before = "before the pause" if first is not None and first < resumes_s - 1.0 else "in the pause"
    return Result(
        clip, not cut_in, None, text, (before if first < resumes_s else "after it") if cut_in and first else ""
    )


async def answer(caller: Caller, clip: Clip, number: int) -> Result:
    _, end_s, first, text = await speak(caller, clip)
    if first is None or first < end_s:
        return Result(clip, False, None, text, "no answer" if first is None else "cut in on")
    seconds = first - end_s
    stops = after(caller, end_s, lambda message: message.type == "user_stopped_speaking")
    decided_s = stops[0].at - end_s if stops else None
    why = "" if seconds <= PROMPT_S else f"after {seconds:.2f} s, turn held to be over after {decided_s or 0:.2f} s"
    return Result(clip, not why, seconds, text, why, decided_s)


async def trials(url: str, trial: Trial, clips: Sequence[Clip], *, judged: bool = True) -> list[Result]:
    """Each clip in a call of its own, ``CALLERS`` at once."""
    free = asyncio.Semaphore(CALLERS)
    medium = {
        "serverWebSocket": {
            "inputSampleRate": RATE,
            "outputSampleRate": OUTPUT_RATE,
            "dataMessages": {"callEvent": True, "userStoppedSpeaking": True},
        }
    }
    body = {
        "medium": medium,
        "firstSpeakerSettings": {"user": {}},
        "experimentalSettings": {"endOfTurn": judged},
    }

    async def one(number: int, clip: Clip) -> Result:
        async with free, Api(url, KEY) as api:
            call = await api.create_call(body)
            async with join(call["joinUrl"], Voice(RATE), input_rate=RATE, output_rate=OUTPUT_RATE) as caller:
                return await trial(caller, clip, number)

    return await asyncio.gather(*(one(number, clip) for number, clip in enumerate(clips)))


def row(part: Part) -> list[object]:
    cells = [part.name, len(part.results), part.good, f"{part.share:.0%}", f"≥ {part.goal:.0%}"]
    return [*cells, "yes" if part.met else "NO", *_times(part.results)]


def _times(results: Sequence[Result]) -> list[str]:
    times = [result.seconds * 1000 for result in results if result.seconds is not None]
    return [f"{np.percentile(times, q):.0f}" for q in (50, 95)] if times else ["", ""]


def show_times(name: str, seconds: Sequence[float | None]) -> float:
    """Print p50 and p95; the latter in ms."""
    times = [one * 1000 for one in seconds if one is not None] or [float("inf")]
    p50, p95 = np.percentile(times, (50, 95))
    console.print(f"{name}: p50 {p50:.0f}, p95 {p95:.0f} ms ({len(times)} clips)")
    return float(p95)


def show_misses(part: Part) -> None:
    console.print(f"{part.name}: {part.good} of {len(part.results)}")
    for result in part.results:
        if not result.good:
            said = f"transcribed {result.text!r}" if result.text else "no words on record"
            line = f"  {result.clip.name} · {result.clip.text!r} · {result.why} · {said}"
            console.print(line, style="dim", markup=False, soft_wrap=True)


async def measured(url: str, sets: Sequence[Sequence[Clip]]) -> list[Part]:
    """All parts, one after the other, the misses shown as they come."""
    interrupting, only_listening, paused, whole = sets
    plan: list[tuple[str, float, Trial, Sequence[Clip], bool]] = [
        ("yields to interruptions", 0.95, interrupt, interrupting, True),
        ("talks on after sounds of listening", 0.8, listen, only_listening, True),
        ("waits out a pause inside", 0.8, pause, paused, True),
        ("answers promptly", 0.9, answer, whole, True),
        ("waits, smart-turn off", 0.8, pause, paused, False),
        ("answers promptly, smart-turn off", 0.9, answer, whole, False),
    ]
    parts = []
    await trials(url, answer, whole[:CALLERS])  # nothing is measured cold
    for name, goal, trial, clips, judged in plan:
        parts.append(Part(name, goal, judged, await trials(url, trial, clips, judged=judged)))
        show_misses(parts[-1])
    return parts


async def main(sets: Sequence[Sequence[Clip]]) -> bool:
    async with scripted_server(CONFIG) as url:
        parts = await measured(url, sets)
    columns = ["", "clips", "good", "%", "goal", "met", "p50 ms", "p95 ms"]
    show(f"Taking turns, {CALLERS} callers at once", columns, [row(part) for part in parts])
    console.print("ms: to the clear in the first two rows, to the first sound of the answer in the others", style="dim")
    interrupted, _, _, answered, _, answered_off = (part.results for part in parts)
    human = [result.seconds for result in interrupted if result.clip.name.startswith("human")]
    late = show_times("first overlapping loud sample to clear, human speech", human)
    show_times("the same, all voices", [one.seconds for one in interrupted])
    for name, results in (("smart-turn on", answered), ("off", answered_off)):
        show_times(f"end of speech to the turn being held to be over, {name}", [one.decided_s for one in results])
    console.print(f"goal {CLEAR_GOAL_MS:.0f} ms to the clear at p95; load of the machine {os.getloadavg()[1]:.1f}")
    return all(part.met for part in parts if part.judged) and late <= CLEAR_GOAL_MS


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How turns are taken, on clips of many voices; about seven minutes.")
    parser.add_argument("--quick", action="store_true", help="every fourth clip")
    parser.add_argument("--callers", type=int, default=3, help="calls at once, which share the transcriber")
    parser.add_argument("--prompt-only", action="store_true", help="only how promptly whole sentences are answered")
    return parser.parse_args()


async def prompt_only(clips: Sequence[Clip]) -> bool:
    async with scripted_server(CONFIG) as url:
        await trials(url, answer, clips[:CALLERS])
        part = Part("answers promptly", 0.9, True, await trials(url, answer, clips))
    show_misses(part)
    return part.met


if __name__ == "__main__":
    chosen = options()
    every, CALLERS = 4 if chosen.quick else 1, chosen.callers
    if chosen.prompt_only:
        sys.exit(0 if asyncio.run(prompt_only(without_pause()[::every])) else 1)
    clips = [made()[::every] for made in (interruptions, listening, with_pause, without_pause)]
    sys.exit(0 if asyncio.run(main(clips)) else 1)
