"""The command line of `bench_load.py`."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console

from load import report, rest, servers
from load.activity import Activity, weights
from load.clips import Clips, prepared
from load.processes import NotStarted, precedence
from load.run import SETTLE_S, WARM_UP_S, AllRefused, Figures, Setting, cache_folder, judge, run
from load.servers import Place, Server
from load.standins import Delays

console = Console(width=None if sys.stdout.isatty() else 190)


def arguments() -> argparse.ArgumentParser:
    """What can be asked for."""
    parser = argparse.ArgumentParser(
        prog="bench_load",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        description="Calls, each a talking and interrupting virtual caller, against Antiphon and Pipecat on one core. "
        "Engines are stand-ins with fixed delays. Counts processor time per call, latency added, underruns, and audio "
        "lost, doubled or stale. A run whose own callers were late says so and counts for nothing.",
    )
    parser.add_argument("--calls", type=_numbers, default=[5, 20, 40], help="calls at once against Antiphon, by comma")
    parser.add_argument("--pipecat", type=_numbers, default=[], help="the same against Pipecat; fetched the first time")
    parser.add_argument("--seconds", type=float, default=30.0, help="measured per run, after 6 s to settle")
    parser.add_argument("--floor", action="store_true", help="also an echo server, and voice activity by itself")
    parser.add_argument("--end-of-turn", action="store_true", help="with Antiphon's end-of-turn model (Pipecat: off)")
    parser.add_argument("--rest", type=float, default=0.0, help="also every run again with so many requests a second")
    parser.add_argument(
        "--server-core",
        "--server-cores",
        dest="server_cores",
        type=_numbers,
        default=[0],
        help="the server's, by comma",
    )
    parser.add_argument("--load-core", type=int, default=1, help="the core of callers and stand-ins")
    parser.add_argument("--serve", default="", help="further arguments for `antiphon serve`, as one string")
    parser.add_argument(
        "--config", action="append", default=[], help="a further line of its configuration, such as turns.patience_s=1"
    )
    parser.add_argument("--nice", type=int, default=0, help="below 0: precedence of all on a shared machine (as root)")
    parser.add_argument("--out", type=Path, default=Path("out/bench_load"), help="folder for figures and plots")
    for name, default in Delays.__dataclass_fields__.items():
        words = name.replace("_", "-")
        parser.add_argument(f"--{words}", type=float, default=default.default, help=f"of the stand-ins: {name}")
    return parser


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part.strip()]


def main() -> None:
    options = arguments().parse_args()
    cores = os.sched_getaffinity(0)
    if options.server_cores == [options.load_core] or not {*options.server_cores, options.load_core} <= cores:
        sys.exit(f"the server and the load need a core each; there are {sorted(cores)}")
    if options.load_core in options.server_cores:
        console.print(f"[yellow]core {options.load_core} is the load's and the server's: latency is not comparable[/]")
    activity = Activity(weights())
    clips = prepared(cache_folder(), activity)
    python = None
    if options.pipecat:
        console.print("[dim]making sure of Pipecat's environment[/]")
        python = servers.pipecat_python(cache_folder())
    os.sched_setaffinity(0, {options.load_core})
    try:
        with precedence(options.nice):
            uvloop.run(_main(options, activity, clips, python))
    except (NotStarted, AllRefused) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


async def _main(options: argparse.Namespace, activity: Activity, clips: Clips, python: Path | None) -> None:
    delays = Delays(**{name: getattr(options, name) for name in Delays.__dataclass_fields__})
    console.print(f"[dim]{len(clips.questions)} questions, {len(clips.interruptions)} interruptions: {clips.source}[/]")
    runs: list[Figures] = []
    with tempfile.TemporaryDirectory(prefix="bench-load-") as name:
        folder = Path(name)
        async with servers.standins(delays, options.load_core, folder) as (engines, pid):
            place = Place(
                engines,
                delays,
                options.server_cores,
                folder,
                options.end_of_turn,
                tuple(shlex.split(options.serve)),
                "\n".join(options.config),
            )
            cores = (options.server_cores, options.load_core)
            setting = Setting(clips, activity, delays, engines, pid, *cores, options.seconds)
            for kind, calls, rate in _plan(options):
                async with _server(kind, place, python, runs) as server:
                    lasts_s = WARM_UP_S + SETTLE_S + options.seconds
                    beside = f", {rate:g} requests a second" if rate else ""
                    console.print(f"[dim]{kind}, {calls} calls{beside}, process {server.pid}, {lasts_s:.0f} s …[/]")
                    runs.append(await run(server, replace(setting, rest=rate), calls))
                    console.print(report.line(runs[-1]))
            costs = await _rest_alone(place) if options.rest else None
    floor = _floor(options.server_cores[0]) if options.floor else None
    judge(runs)
    report.tables(runs, floor, delays, console)
    for text in rest.told(runs, costs):
        console.print(text)
    report.write(runs, floor, vars(options), options.out, costs)
    console.print(f"[dim]figures and plots: {options.out}[/]")


async def _rest_alone(place: Place) -> rest.Figures:
    console.print("[dim]requests of each kind by themselves …[/]")
    async with servers.antiphon(place) as server:
        return await rest.alone(server)


def _plan(options: argparse.Namespace) -> list[tuple[str, int, float]]:
    """Ours and theirs in turn, so that the machine's mood falls on both alike."""
    rates = [0.0, options.rest] if options.rest else [0.0]
    ours = [("antiphon", calls, rate) for calls in options.calls for rate in rates]
    theirs = [("pipecat", calls, 0.0) for calls in options.pipecat]
    plan = [
        one
        for number in range(max(len(ours), len(theirs)))
        for side in (ours, theirs)
        for one in side[number : number + 1]
    ]
    return plan + ([("echo", calls, 0.0) for calls in options.calls] if options.floor else [])


@asynccontextmanager
async def _server(kind: str, place: Place, python: Path | None, runs: list[Figures]) -> AsyncIterator[Server]:
    started: AbstractAsyncContextManager[Server]
    if kind == "antiphon":
        started = servers.antiphon(place)
    elif kind == "pipecat":
        assert python is not None
        started = servers.pipecat(place, python)
    else:
        shares = [figures["spoken_share"] for figures in runs if figures["server"] == "antiphon"]
        started = servers.echo(place, sum(shares) / len(shares) if shares else 0.5)
    async with started as server:
        yield server


def _floor(core: int) -> report.Floor:
    return report.Floor(activity=_printed("load.activity", core), kernel=_printed("load.kernel", core))


def _printed(module: str, core: int) -> Any:
    command = [sys.executable, "-m", module, str(core)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)
