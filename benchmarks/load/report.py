"""What a person reads of the runs: a line each, the tables, the ratios; and what programs read: JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from rich.console import Console
from rich.table import Table

from load.plot import plots
from load.standins import Delays

Figures: TypeAlias = dict[str, Any]
WRONG = ("lost", "doubled", "stale", "crossed")

DIFFERENCES = (
    "Both: 16 kHz in, 24 kHz out, Silero at 31 frames a second, 0.384 s of silence ends a turn, no end-of-turn model "
    "(unless --end-of-turn), no recording, no metrics of the call's own. Each is measured against the best that its "
    "own order of work allows.",
    "Antiphon asks its engines after 96 ms of silence, on suspicion, so that its answers come earlier; Pipecat when "
    "the turn is over. Antiphon takes 0.1 for speech, Pipecat 0.7 (its default, with its default volume gate).",
    "Antiphon sends 60 ms ahead, in 20 ms frames; Pipecat 40 ms at a time (its default) as they are due, so that a "
    "player without a buffer runs dry. Antiphon sends transcripts and states, too, and keeps messages in SQLite; "
    "Pipecat keeps nothing, and its RTVI messages, turn tracking and silence between replies are off.",
    "A clear is Antiphon's playback_clear_buffer, and Pipecat's InterruptionFrame in its protobuf serializer.",
)


def line(figures: Figures) -> str:
    """One run in short."""
    added, late = figures["added"], figures["load"]["send_late_p99_ms"]
    parts = [
        f"{figures['cpu_ms_per_call_second']:.1f} ms of a core per call-second",
        f"added p50 {_ms(added['p50'])} p95 {_ms(added['p95'])}",
        f"underruns at 60 ms {figures['underruns']['60']}",
        f"wrong {sum(figures[name] for name in WRONG)}",
        f"callers late p99 {late:.1f} ms",
    ]
    if figures["refused"]:
        parts.insert(0, f"{figures['refused']} calls refused, {figures['calls']} held")
    text = "  " + ", ".join(parts)
    for fault in figures["counts_for_nothing"]:
        text += f"\n  [red]counts for nothing: {fault}[/]"
    for remark in figures["remarks"]:
        text += f"\n  [yellow]{remark}[/]"
    return text


def tables(runs: Sequence[Figures], alone: Mapping[str, float] | None, delays: Delays, console: Console) -> None:
    """All runs side by side, the floor, and the ratios."""
    table = Table(title="Calls at once, a core each for the server and for the load", title_justify="left")
    table.add_column("")
    for figures in runs:
        mark = " (void)" if figures["counts_for_nothing"] else ""
        table.add_column(f"{figures['server']} {figures['calls']}{mark}", justify="right")
    for name, cell in _ROWS:
        table.add_row(name, *(cell(figures) for figures in runs))
    console.print(table)
    console.print(
        f"[dim]The engines take {delays.engines_s * 1000:.0f} ms from the end of a turn to the first sound; the "
        "endpoint delay is 384 ms. Latencies in ms; underruns and frames counted over the whole run.[/]"
    )
    for text in [*_floor(runs, alone), *ratios(runs)]:
        console.print(text)
    if any(figures["server"] == "pipecat" for figures in runs):
        for text in DIFFERENCES:
            console.print(f"[dim]{text}[/]")


def ratios(runs: Sequence[Figures]) -> list[str]:
    """Pipecat's cost, latency and capacity by ours, of runs that count."""
    sides = {
        kind: [run for run in runs if run["server"] == kind and not run["counts_for_nothing"]]
        for kind in ("antiphon", "pipecat")
    }
    ours, theirs = sides["antiphon"], sides["pipecat"]
    if not ours or not theirs:
        return []
    cost = [min(run["cpu_ms_per_call_second"] for run in side) for side in (ours, theirs)]
    texts = [
        f"cost of a call, the best run of each: Pipecat {cost[1]:.1f} ms, ours {cost[0]:.1f} ms: "
        f"{cost[1] / cost[0]:.1f} ×"
    ]
    added = [min((run["added"]["p50"] for run in side if run["added"]["p50"]), default=None) for side in (ours, theirs)]
    if added[0] and added[1]:
        texts.append(f"added at p50: Pipecat {added[1]:.0f} ms, ours {added[0]:.0f} ms: {added[1] / added[0]:.1f} ×")
    held = [max((run["calls"] for run in side if run["holds"]), default=0) for side in (ours, theirs)]
    texts.append(
        f"most calls of these runs with no underrun at 60 ms, p99 under 100 ms and nothing wrong: "
        f"Pipecat {held[1]}, ours {held[0]}"
    )
    return texts


def write(runs: Sequence[Figures], alone: Mapping[str, float] | None, options: Mapping[str, Any], out: Path) -> None:
    """``figures.json`` and the plots."""
    out.mkdir(parents=True, exist_ok=True)
    given = {name: value if isinstance(value, int | float | list) else str(value) for name, value in options.items()}
    whole = {"options": given, "voice_activity_alone_ms": alone, "ratios": ratios(runs), "runs": list(runs)}
    (out / "figures.json").write_text(json.dumps(whole, indent=1) + "\n")
    for name, picture in plots(runs).items():
        (out / f"{name}.svg").write_text(picture)


def _floor(runs: Sequence[Figures], alone: Mapping[str, float] | None) -> list[str]:
    if alone is None:
        return []
    texts = ["voice activity alone, ms per call-second, by calls scored at a time: "]
    texts[0] += ", ".join(f"{batch}: {cost:.2f}" for batch, cost in alone.items())
    floors = {
        run["calls"]: run["cpu_ms_per_call_second"] + min(alone.values()) for run in runs if run["server"] == "echo"
    }
    for run in runs:
        if run["server"] == "antiphon" and run["calls"] in floors:
            floor, cost = floors[run["calls"]], run["cpu_ms_per_call_second"]
            texts.append(
                f"{run['calls']} calls: {cost:.1f} ms is {cost / floor:.1f} × the floor of {floor:.1f} ms "
                "(echo server, and voice activity at its cheapest)"
            )
    return texts


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"


def _spread(name: str) -> Any:
    def cell(figures: Figures) -> str:
        of = figures[name]
        if not of["of"]:
            return "–"
        return f"{_ms(of['p50'])} / {_ms(of['p95'])} / {_ms(of['p99'])}"

    return cell


_ROWS: tuple[tuple[str, Any], ...] = (
    ("processor, ms per call-second", lambda f: f"{f['cpu_ms_per_call_second']:.1f}"),
    ("calls refused", lambda f: str(f["refused"])),
    ("share of the core with no call", lambda f: f"{f['idle_cpu_of_a_core']:.1%}"),
    ("share of the core", lambda f: f"{f['cpu_of_a_core']:.0%}"),
    ("end of speech to sound, p50 / p95 / p99", _spread("response")),
    ("added by the server, p50 / p95 / p99", _spread("added")),
    ("answered, of", lambda f: f"{f['response']['count']} of {f['response']['of']}"),
    ("answered too early", lambda f: str(f["early"])),
    ("interruption to clear, p50 / p95 / p99", _spread("interruption")),
    ("yielded, of", lambda f: f"{f['interruption']['count']} of {f['interruption']['of']}"),
    ("underruns with 0 / 60 / 200 ms", lambda f: " / ".join(str(n) for n in f["underruns"].values())),
    ("frames lost / doubled / stale", lambda f: " / ".join(str(f[name]) for name in WRONG[:3])),
    ("frames of another call, torn bytes", lambda f: f"{f['crossed']}, {f['torn_bytes']}"),
    ("calls that broke off", lambda f: str(len(f["dropped_calls"]))),
    ("memory, MB (per call)", lambda f: f"{f['resident_mb']:.0f} ({f['resident_mb_per_call']:.1f})"),
    ("loop late, p99 / most, ms", lambda f: f"{_ms(f['loop_late_p99_ms'])} / {_ms(f['loop_late_most_ms'])}"),
    (
        "callers late, p99 / most, ms",
        lambda f: f"{f['load']['send_late_p99_ms']:.1f} / {f['load']['send_late_most_ms']:.0f}",
    ),
    ("stand-ins late, p99, ms", lambda f: f"{f['load']['standins_late_p99_ms']:.1f}"),
    ("load's share of its core", lambda f: f"{f['load']['cpu_of_a_core']:.0%}"),
    (
        "other programs, server's / load's core",
        lambda f: f"{f['foreign_of_server_core']:.0%} / {f['foreign_of_load_core']:.0%}",
    ),
    ("holds (60 ms, p99 < 100 ms, nothing wrong)", lambda f: "yes" if f["holds"] else "no"),
)
