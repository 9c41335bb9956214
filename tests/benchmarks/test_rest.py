"""REST beside calls, asked of a real server: of one process, and of several."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from load import measure, report, rest, servers
from load.activity import Activity, weights
from load.clips import Clip, Clips, shipped
from load.main import _plan, arguments
from load.run import Setting, judge, run
from load.servers import Place
from load.standins import Delays
from rich.console import Console

CLIPS = Clips([Clip(samples) for samples in shipped()], [Clip(samples) for samples in shipped()], "shipped")
PATIENT = "limits.max_loop_share = 1.0\nlimits.max_lateness_ms = 60000.0"


def own_mb(pid: int) -> float:
    """Resident memory of one process, without its descendants."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.server
@pytest.mark.models
async def test_requests_beside_calls_of_two_workers_are_answered_and_counted(tmp_path: Path) -> None:
    cores = sorted(os.sched_getaffinity(0))
    delays = Delays(transcript_s=0.02, first_token_s=0.02, speech_s=0.02)
    async with servers.standins(delays, cores[-1], tmp_path) as (engines, pid):
        setting = Setting(CLIPS, Activity(weights()), delays, engines, pid, cores, cores[-1], 6.0, 1.0, 1.0, rest=16.0)
        async with servers.antiphon(
            Place(engines, delays, cores, tmp_path, False, ("--workers", "2"), PATIENT)
        ) as server:
            figures = await run(server, setting, 4)
            assert len(measure.family(server.pid)) >= 3, "the front and its workers"
            front_mb = own_mb(server.pid)
    assert figures["shared_cores"]
    assert any("not comparable" in remark for remark in figures["remarks"])
    assert set(figures["calls_by_worker"]) == {"1", "2"}
    assert sum(figures["calls_by_worker"].values()) == 4
    assert figures["resident_mb"] > 2 * front_mb, "all processes count"
    for name in ("lost", "doubled", "stale", "crossed", "torn_bytes", "refused"):
        assert figures[name] == 0, name
    asked = figures["rest"]["kinds"]
    assert all(not asked[kind]["errors"] for kind in rest.KINDS), asked
    assert sum(asked[kind]["count"] for kind in rest.KINDS) == figures["rest"]["requests"]
    assert all(asked[kind]["count"] for kind in rest.KINDS), "every kind was asked"
    assert 0 < asked["call"]["p50"] <= asked["call"]["p99"]
    assert figures["cpu_of_a_core"] > figures["idle_cpu_of_a_core"]
    judge([figures])
    written = io.StringIO()
    report.tables([figures], None, delays, Console(file=written, width=160))
    assert "REST: create a call" in written.getvalue()


@pytest.mark.server
@pytest.mark.models
async def test_what_requests_cost_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "ALONE_REQUESTS", 8)
    core = min(os.sched_getaffinity(0))
    async with servers.antiphon(Place("http://127.0.0.1:9/v1", Delays(), [core], tmp_path, config=PATIENT)) as server:
        costs = await rest.alone(server)
    assert set(rest.KINDS) <= set(costs)
    assert sum(cost["processor_ms"] for cost in costs.values()) > 0
    assert rest.told([], costs)[0].startswith("a request by itself")


def figures_of(calls: int, cpu: float, asked: dict[str, Any] | None) -> dict[str, Any]:
    return {"server": "antiphon", "calls": calls, "cpu_of_a_core": cpu, "seconds": 10.0, "rest": asked}


def test_a_request_costs_what_the_calls_alone_do_not() -> None:
    runs = [figures_of(5, 0.1, None), figures_of(5, 0.15, {"requests": 100}), figures_of(9, 0.3, {"requests": 100})]
    told = rest.told(runs, None)
    assert len(told) == 1, "nothing is said of calls that were not measured without requests"
    assert told[0].startswith("5 calls: 5.0 ms of a core per request")


def test_each_number_of_calls_is_run_without_and_with_requests() -> None:
    options = arguments().parse_args(["--calls", "3,5", "--rest", "20", "--server-cores", "0,1"])
    assert _plan(options) == [
        ("antiphon", 3, 0.0),
        ("antiphon", 3, 20.0),
        ("antiphon", 5, 0.0),
        ("antiphon", 5, 20.0),
    ]
    assert options.server_cores == [0, 1]
    assert arguments().parse_args(["--server-core", "1"]).server_cores == [1]


def test_the_mix_is_a_production_programs() -> None:
    assert len(rest.MIX) == 8
    assert [rest.MIX.count(kind) for kind in rest.KINDS] == [2, 2, 2, 1, 1]
