"""Stop a server while callers talk to its models, again and again, and look at what each stop leaves behind.

A stop is good when the process ends with status 0, writes neither a traceback nor an abort, closes every live call
with 1012, and has each of them on record: its end, its reason, the event `server_stopped`, and no file in `live/`.

    python benchmarks/stops.py --stops 20 --callers 12
    python benchmarks/stops.py --stops 5 --callers 12 --drain-s 10
    python benchmarks/stops.py --demos 20
    python benchmarks/stops.py --demos 100 --scripted
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from antiphon.client.caller import Caller, join
from antiphon.client.rest import Api
from antiphon.client.voice import Voice
from antiphon.client.wav import Samples
from antiphon.demo.scene import INPUT_RATE, OUTPUT_RATE, clip
from antiphon.demo.server_process import free_port
from antiphon.errors import CallEnded

KEY = "stopstop.0123456789abcdef0123456789abcdef"
CLIPS = ("capital", "story", "sum", "day")
EARLIEST_S, LATEST_S = 4.0, 9.0
"""Of talk before the stop."""
STOP_TIMEOUT_S = 60.0
"""Beyond the drain."""
DEMO_TIMEOUT_S = 600.0
READY_TIMEOUT_S = 240.0

CONFIG = """
api_key = "{key}"
limits = {{ max_loop_share = 1.0, max_lateness_ms = 60000.0 }}
shutdown = {{ drain_s = {drain_s} }}
"""
SCRIPTED = """
voice_activity = { engine = "scripted" }
end_of_turn = { engine = "scripted" }
transcriber = { engine = "scripted", texts = ["Can you tell me something?"] }
models.scripted = { engine = "scripted", replies = [
  "Once there was a fox who lived by a river, and every day it went to the water and looked for its own face.",
] }
"""
"""Engines that cost nothing; the voice is the built-in one, so that the demo's judge understands it.

Every reply is long enough to be interrupted: on a busy machine a reply that was begun on suspicion is dropped, and the
next in a list would come in its place.
"""

CALL: dict[str, Any] = {
    "systemPrompt": "You are a friendly assistant. Answer in two or three sentences.",
    "firstSpeakerSettings": {"user": {}},
    "recordingEnabled": True,
    "medium": {"serverWebSocket": {"inputSampleRate": INPUT_RATE, "outputSampleRate": OUTPUT_RATE}},
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What each stop is like. ``leaving``: callers who hang up during the drain."""

    callers: int = 12
    drain_s: float = 0.0
    workers: int = 1
    leaving: int = 0
    scripted: bool = False
    signals: int = 1
    earliest_s: float = EARLIEST_S
    latest_s: float = LATEST_S


@dataclass
class Stop:
    """One stop: how long it took, and all that was wrong with it."""

    seconds: float = 0.0
    status: int | None = None
    complaints: list[str] = field(default_factory=list)
    closed: Counter[int] = field(default_factory=Counter)


async def stopped(plan: Plan, folder: Path, dice: random.Random) -> Stop:
    """Start a server, have callers talk to it, stop it amid that, and look."""
    file, data, log, port = folder / "antiphon.toml", folder / "data", folder / "server.log", free_port()
    file.write_text(CONFIG.format(key=KEY, drain_s=plan.drain_s) + (SCRIPTED if plan.scripted else ""))
    arguments = ["--port", str(port), "--config", str(file), "--data-dir", str(data), "--workers", str(plan.workers)]
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "antiphon.cli", "serve", *arguments),
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
        )
    try:
        async with Api(f"http://127.0.0.1:{port}", KEY) as api:
            await _ready(process, api, log)
            stop = await _stop_amid_talk(plan, process, api, dice)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    stop.complaints += look(data, log)
    return stop


async def _ready(process: asyncio.subprocess.Process, api: Api, log: Path) -> None:
    async with asyncio.timeout(READY_TIMEOUT_S):
        while not await api.ready():
            if process.returncode is not None:
                raise SystemExit(f"the server did not start: {_end_of(log)}")
            await asyncio.sleep(0.1)


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]


async def _stop_amid_talk(plan: Plan, process: asyncio.subprocess.Process, api: Api, dice: random.Random) -> Stop:
    stop = Stop()
    async with AsyncExitStack() as stack:
        callers = []
        for _ in range(plan.callers):
            url = str((await api.create_call(CALL))["joinUrl"])
            joining = join(url, Voice(INPUT_RATE), input_rate=INPUT_RATE, output_rate=OUTPUT_RATE)
            callers.append(await stack.enter_async_context(joining))
        talking = [asyncio.create_task(_talk(caller, place)) for place, caller in enumerate(callers)]
        await asyncio.sleep(dice.uniform(plan.earliest_s, plan.latest_s))
        gone = [number for number, caller in enumerate(callers) if caller.closed is not None]
        stop.complaints += [f"call {number} ended before the stop: {callers[number].closed}" for number in gone]
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        leaving = [asyncio.create_task(_leave(caller, dice, plan.drain_s)) for caller in callers[: plan.leaving]]
        for _ in range(plan.signals - 1):
            await asyncio.sleep(dice.uniform(0.1, 1.0))
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S + plan.drain_s):
                stop.status = await process.wait()
        except TimeoutError:
            stop.complaints.append("it does not end")
        stop.seconds = time.monotonic() - began
        if stop.status:
            stop.complaints.append(f"it ended with status {stop.status}")
        for task in (*talking, *leaving):
            task.cancel()
        await asyncio.gather(*talking, *leaving, return_exceptions=True)
        for number, caller in enumerate(callers):
            code = caller.closed[0] if caller.closed is not None else 0
            stop.closed[code] += 1
            if code != 1012 and number >= plan.leaving:
                stop.complaints.append(f"call {number} was closed with {code}")
    return stop


async def _talk(caller: Caller, place: int) -> None:
    """Ask one thing after the other, whatever is answered; callers are spread over a second."""
    await asyncio.sleep(place / 12)
    for name in itertools.islice(itertools.cycle(CLIPS), place, None):
        with contextlib.suppress(CallEnded):
            await caller.say(_clip(name))
        if caller.closed is not None:
            return
        await asyncio.sleep(1.0)


async def _leave(caller: Caller, dice: random.Random, within_s: float) -> None:
    await asyncio.sleep(dice.uniform(0.2, 0.8) * within_s)
    await caller.hang_up()


_clips: dict[str, Samples] = {}


def _clip(name: str) -> Samples:
    if name not in _clips:
        _clips[name] = np.asarray(clip(name))
    return _clips[name]


def look(data: Path, log: Path) -> list[str]:
    """What is wrong with what a stopped server has left."""
    wrong = [f"left behind: {path.relative_to(data)}" for path in (data / "live").rglob("*.jsonl")]
    wrong += [f"left behind: {path.relative_to(data)}" for path in (data / "workers").glob("*.sock")]
    with contextlib.closing(sqlite3.connect(data / "antiphon.db")) as database:
        rows = database.execute(
            "SELECT call_id, ended, end_reason, (SELECT count(*) FROM events AS e"
            " WHERE e.call_id = c.call_id AND e.type = 'server_stopped') FROM calls AS c"
        ).fetchall()
    endless = sum(ended is None or reason is None for _, ended, reason, _ in rows)
    unexplained = sum(reason == "system_error" and events != 1 for _, _, reason, events in rows)
    if endless:
        wrong.append(f"{endless} calls have no end on record")
    if unexplained:
        wrong.append(f"{unexplained} calls ended as system_error without one event server_stopped")
    text = log.read_text(errors="replace")
    for sign in ("Traceback", "terminate called", "Aborted", "Segmentation fault", "Fatal Python error", "worker_gone"):
        if sign in text:
            wrong.append(f"it wrote: {next(line for line in text.splitlines() if sign in line)[:200]}")
    return wrong


async def demo(folder: Path, *, scripted: bool) -> Stop:
    """Run `antiphon demo` once."""
    file = folder / "antiphon.toml"
    file.write_text(SCRIPTED if scripted else "")
    arguments = ["demo", "--out", str(folder / "out"), "--config", str(file)]
    began, stop = time.monotonic(), Stop()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "antiphon.cli", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), DEMO_TIMEOUT_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    stop.seconds, stop.status = time.monotonic() - began, process.returncode
    if stop.status:
        stop.complaints += [f"it ended with status {stop.status}", *output.decode(errors="replace").splitlines()[-4:]]
    return stop


async def run(options: argparse.Namespace) -> int:
    """Run all of it; how many were not good."""
    dice, bad = random.Random(options.seed), 0
    plan = Plan(
        options.callers, options.drain_s, options.workers, options.leaving, options.scripted, signals=options.signals
    )
    works = [("stop", number) for number in range(options.stops)] + [("demo", n) for n in range(options.demos)]
    for what, number in works:
        with tempfile.TemporaryDirectory(prefix="antiphon-stops-") as name:
            folder = Path(name)
            done = stopped(plan, folder, dice) if what == "stop" else demo(folder, scripted=options.scripted)
            found = await done
            bad += bool(found.complaints)
            closed = ", ".join(f"{count} closed with {code}" for code, count in sorted(found.closed.items()))
            print(f"{what} {number + 1}: status {found.status} after {found.seconds:.1f} s", closed, flush=True)
            for complaint in found.complaints:
                print(f"  {complaint}", flush=True)
    print(f"{len(works) - bad} of {len(works)} good")
    return bad


def main() -> None:
    """Read the command line, run, and exit with 1 where anything was not good."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stops", type=int, default=0, help="servers to stop")
    parser.add_argument("--demos", type=int, default=0, help="runs of `antiphon demo`")
    parser.add_argument("--callers", type=int, default=12, help="who talk while the server is stopped")
    parser.add_argument("--leaving", type=int, default=0, help="callers who hang up during the drain")
    parser.add_argument("--drain-s", type=float, default=0.0, help="shutdown.drain_s of the server")
    parser.add_argument("--workers", type=int, default=1, help="processes of the server")
    parser.add_argument("--signals", type=int, default=1, help="SIGTERMs sent, up to a second apart")
    parser.add_argument("--scripted", action="store_true", help="scripted engines and the built-in voice")
    parser.add_argument("--seed", type=int, default=1, help="of when each stop comes")
    sys.exit(1 if asyncio.run(run(parser.parse_args())) else 0)


if __name__ == "__main__":
    main()
