"""One run: so many callers against one server, and all that can be said of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any, TypeAlias

import httpx
import numpy as np

from load import measure
from load.activity import Activity
from load.analysis import Talk, talk
from load.callers import Caller, Schedule
from load.clips import PACKET_S, Clips
from load.rest import Rest
from load.servers import JOINS_AT_ONCE, Server
from load.standins import Delays
from load.timetable import Wire, timetable

SETTLE_S = 6.0
"""Before anything counts: the callers have all spoken, and the first have been answered."""
TAIL_S = 0.5
WARM_UP_S = 7.0
IDLE_S = 1.0
MOST_LATE_MS = 5.0
"""The generator's p99; beyond it the run counts for nothing."""
MOST_BUSY = 0.9
"""Of the load's core, likewise."""
MOST_FOREIGN = 0.05
"""Of either core, used by programs that have nothing to do with the run: worth a remark."""
HOLDS_ADDED_MS = 100.0

Figures: TypeAlias = dict[str, Any]


class AllRefused(Exception):
    """There is nothing to measure."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What all runs share. ``engines``: the stand-ins' address; ``rest``: requests a second beside the calls."""

    clips: Clips
    activity: Activity
    delays: Delays
    engines: str
    standins_pid: int
    server_cores: Sequence[int]
    load_core: int
    seconds: float
    settle_s: float = SETTLE_S
    warm_up_s: float = WARM_UP_S
    rest: float = 0.0


async def warmed(server: Server, setting: Setting) -> tuple[int, float]:
    """One call, so that everything that is made once is there. The server's resident bytes and load afterwards."""
    await _speak(server, setting, 1, setting.warm_up_s, lambda _callers, _started: asyncio.sleep(0))
    await asyncio.sleep(IDLE_S)
    before = measure.cpu_s(*measure.family(server.pid))
    await asyncio.sleep(IDLE_S)
    return measure.resident_bytes(server.pid), (measure.cpu_s(*measure.family(server.pid)) - before) / IDLE_S


async def run(server: Server, setting: Setting, calls: int) -> Figures:
    """Drive ``calls`` callers for the setting's seconds."""
    idle = await warmed(server, setting)
    window: dict[str, Any] = {}

    async def look(callers: Sequence[Caller], started: float) -> None:
        await asyncio.sleep(started + setting.settle_s - monotonic())
        await _standins_stats(setting)
        window["metrics"] = [await server.metrics()]
        window["usage"] = [_usage(server, setting, monotonic())]
        window["frames"] = -sum(caller.account.frames for caller in callers)
        window["workers"] = server.calls_by_worker()
        rest = Rest(server, [caller.call for caller in callers], setting.rest) if setting.rest else None
        asking = asyncio.ensure_future(rest.run(monotonic(), setting.seconds)) if rest is not None else None
        await asyncio.sleep(started + setting.settle_s + setting.seconds - monotonic())
        if asking is not None:
            await asking
        window["usage"].append(_usage(server, setting, monotonic()))
        window["frames"] += sum(caller.account.frames for caller in callers)
        window["resident"] = measure.resident_bytes(server.pid)
        window["metrics"].append(await server.metrics())
        window["standins"] = await _standins_stats(setting)
        window["rest"] = None if rest is None else rest.figures()

    seconds = setting.settle_s + setting.seconds + TAIL_S
    callers, schedule, packets = await _speak(server, setting, calls, seconds, look)
    refused, calls = calls - len(callers), len(callers)
    since = callers[0].started + setting.settle_s
    heard = talk(server.kind, callers, packets, setting.activity, setting.delays, since)
    return {**_figures(server.kind, calls, setting, window, heard, schedule, idle), "refused": refused}


async def _speak(
    server: Server, setting: Setting, calls: int, seconds: float, meanwhile: Callable[[Sequence[Caller], float], Any]
) -> tuple[list[Caller], Schedule, int]:
    packets = round(seconds / PACKET_S)
    wire = Wire(server.kind)
    callers: list[Caller] = []
    for number in range(calls):
        said = timetable(number, seconds - 1.0, setting.clips) if server.kind != "echo" else []
        callers.append(Caller(number, server.kind, wire.packets(said, packets), said))
    invited = zip(callers, await server.join_tokens(range(calls)), strict=True)
    admitted = [(caller, url) for caller, url in invited if url is not None]
    if not admitted:
        raise AllRefused(f"the server refused all {calls} calls")
    for first in range(0, len(admitted), JOINS_AT_ONCE):
        await asyncio.gather(*(caller.join(url) for caller, url in admitted[first : first + JOINS_AT_ONCE]))
    callers = [caller for caller, _ in admitted]
    schedule = Schedule(callers, packets)
    started = monotonic() + 0.2
    watching = asyncio.ensure_future(meanwhile(callers, started))
    await schedule.run(started)
    await watching
    for caller in callers:
        caller.settle(monotonic())
    return await _hung_up(callers), schedule, packets


async def _hung_up(callers: list[Caller]) -> list[Caller]:
    for caller in callers:
        if caller.socket is not None and caller.socket.closed is None:
            caller.socket.close()
    await asyncio.sleep(0)
    return callers


def _usage(server: Server, setting: Setting, at: float) -> measure.Usage:
    return measure.Usage.now(
        at, server.pid, (os.getpid(), setting.standins_pid), setting.server_cores, setting.load_core
    )


async def _standins_stats(setting: Setting) -> Figures:
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:
        figures: Figures = (await client.get(setting.engines.removesuffix("/v1") + "/stats")).json()
        return figures


def _figures(
    kind: str, calls: int, setting: Setting, window: Figures, heard: Talk, schedule: Schedule, idle: tuple[int, float]
) -> Figures:
    before, after = window["usage"]
    lasted = after.at - before.at
    late = np.percentile(schedule.late_s, [50, 99, 100]) * 1000
    buckets = [measure.loop_buckets(text) for text in window["metrics"]]
    server_s, load_s = after.server_s - before.server_s, after.load_s - before.load_s
    foreign = _foreign(before, after, setting)
    figures: Figures = {
        "server": kind,
        "calls": calls,
        "seconds": round(lasted, 2),
        "cpu_ms_per_call_second": round(server_s / lasted / calls * 1000, 2),
        "cpu_of_a_core": round(server_s / lasted, 4),
        "idle_cpu_of_a_core": round(idle[1], 4),
        "spoken_share": round(window["frames"] / (calls * lasted * 50), 4),
        **asdict(heard),
        "resident_mb": round(window["resident"] / 1e6, 1),
        "resident_mb_per_call": round((window["resident"] - idle[0]) / calls / 1e6, 2),
        "loop_late_p99_ms": measure.loop_late_ms(buckets[0], buckets[1], 0.99),
        "loop_late_most_ms": measure.loop_late_ms(buckets[0], buckets[1], 1.0),
        "load": {
            "send_late_p50_ms": round(float(late[0]), 2),
            "send_late_p99_ms": round(float(late[1]), 2),
            "send_late_most_ms": round(float(late[2]), 2),
            "standins_late_p50_ms": round(window["standins"]["late_s"][0] * 1000, 2),
            "standins_late_p99_ms": round(window["standins"]["late_s"][1] * 1000, 2),
            "standins_requests": window["standins"]["requests"],
            "cpu_of_a_core": round(load_s / lasted, 4),
        },
        "foreign_of_server_core": foreign["server"],
        "foreign_of_load_core": foreign["load"],
        "shared_cores": setting.load_core in setting.server_cores,
        "calls_by_worker": window["workers"],
        "rest": window["rest"],
    }
    figures["counts_for_nothing"] = _faults(figures)
    figures["remarks"] = _remarks(figures)
    return figures


def _foreign(before: measure.Usage, after: measure.Usage, setting: Setting) -> dict[str, float]:
    """Share of the server's cores, and of the load's, that programs took that have nothing to do with the run."""
    lasted, server_s, load_s = after.at - before.at, after.server_s - before.server_s, after.load_s - before.load_s
    used = {"server": server_s, "load": load_s}
    busy = {"server": after.server_core_s - before.server_core_s, "load": after.load_core_s - before.load_core_s}
    if setting.load_core in setting.server_cores:
        # Nobody says how long the server was on which of its cores: the figure is that of all of them.
        used = dict.fromkeys(used, server_s + load_s)
        busy["load"] = busy["server"]
    return {whose: round(max(0.0, (busy[whose] - used[whose]) / lasted), 3) for whose in busy}


def _faults(figures: Figures) -> list[str]:
    load = figures["load"]
    faults = [
        f"the load was late itself: {name} {load[name]} (most {MOST_LATE_MS})"
        for name in ("send_late_p99_ms", "standins_late_p99_ms")
        if load[name] > MOST_LATE_MS
    ]
    if load["cpu_of_a_core"] > MOST_BUSY:
        faults.append(f"the load filled its own core: {load['cpu_of_a_core']:.0%}")
    return faults


def _remarks(figures: Figures) -> list[str]:
    remarks = []
    for core in ("server", "load"):
        foreign = figures[f"foreign_of_{core}_core"]
        if foreign > MOST_FOREIGN:
            remarks.append(f"other programs took {foreign:.0%} of the {core}'s core")
    if figures["shared_cores"]:
        remarks.append("the server shares a core with the load: latency is not comparable with that of other runs")
    if figures["calls_by_worker"]:
        spread = ", ".join(f"{count} at {worker}" for worker, count in figures["calls_by_worker"].items())
        remarks.append(f"calls by worker: {spread}")
    if figures["dropped_calls"]:
        remarks.append(f"calls broke off: {', '.join(sorted(set(figures['dropped_calls'])))}")
    return remarks


def judge(runs: Sequence[Figures]) -> None:
    """Say of each run whether its server ``holds`` so many calls.

    What Pipecat adds with the fewest calls (p50) is how it works, and not held against it.
    """
    peers = [run for run in runs if run["server"] == "pipecat" and run["added"]["p50"] is not None]
    fewest = min(peers, key=lambda run: int(run["calls"]), default=None)
    for figures in runs:
        own_ms = fewest["added"]["p50"] if fewest is not None and figures["server"] == "pipecat" else 0.0
        figures["holds"] = holds(figures, own_ms)


def holds(figures: Figures, own_ms: float = 0.0) -> bool:
    """No underrun with 60 ms of buffer, less than 100 ms beyond ``own_ms`` added at p99, and nothing wrong."""
    added = figures["added"]["p99"]
    wrong = sum(figures[name] for name in ("lost", "doubled", "stale", "crossed", "torn_bytes"))
    return bool(
        figures["underruns"]["60"] == 0
        and added is not None
        and added - own_ms < HOLDS_ADDED_MS
        and not wrong
        and not figures["dropped_calls"]
    )


def cache_folder() -> Path:
    """Where clips and Pipecat's environment are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "antiphon" / "benchmarks"
