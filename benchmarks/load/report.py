"""What a person reads of the runs: a line each, the tables, the ratios; and what programs read: JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

from rich.console import Console
from rich.table import Table

from load import rest
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
    'What Pipecat adds with the fewest calls of these runs (p50) is not held against it where it says "holds".',
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


@dataclass(frozen=True, slots=True)
class Floor:
    """What is under any server: voice activity, ms per call-second by calls at a time and by who computes it, and the
    kernel's microseconds for a packet.
    """

    activity: Mapping[str, Mapping[str, float]]
    kernel: Mapping[str, float]


def tables(runs: Sequence[Figures], floor: Floor | None, delays: Delays, console: Console) -> None:
    """All runs side by side, the floor, and the ratios."""
    table = Table(
        title="Calls at once, cores of their own for the server and for the load where nothing else is said",
        title_justify="left",
    )
    table.add_column("ms, where nothing else is said", no_wrap=True)
    talking = [figures for figures in runs if figures["server"] != "echo"]
    runs = [figures for figures in runs if not figures["rest"]]
    for figures in talking:
        mark = " void" if figures["counts_for_nothing"] else ""
        mark = " + REST" + mark if figures["rest"] else mark
        table.add_column(f"{figures['server']} {figures['calls']}{mark}", justify="right", no_wrap=True)
    asked = any(figures["rest"] for figures in talking)
    for name, cell in (*_ROWS, *(rest.ROWS if asked else ())):
        table.add_row(name, *(cell(figures) for figures in talking))
    console.print(table)
    console.print(
        f"[dim]The engines take {delays.engines_s * 1000:.0f} ms from the end of a turn to the first sound; the "
        "endpoint delay is 384 ms. Underruns and frames are counted over the whole run. A void run counts for nothing: "
        "its own callers or stand-ins were late.[/]"
    )
    for text in [*_floor(runs, floor), *ratios(runs)]:
        console.print(text)
    if any(figures["server"] == "pipecat" for figures in runs):
        for text in DIFFERENCES:
            console.print(f"[dim]{text}[/]")


def ratios(runs: Sequence[Figures]) -> list[str]:
    """Pipecat's cost, latency and capacity beside ours, of runs that count."""
    ours, theirs = (
        [run for run in runs if run["server"] == kind and not run["counts_for_nothing"]]
        for kind in ("antiphon", "pipecat")
    )
    if not ours or not theirs:
        return []
    texts = []
    for name, figure in _COMPARED:
        best = [
            min(((figure(run), run["calls"]) for run in side if figure(run)), default=None) for side in (ours, theirs)
        ]
        if best[0] and best[1]:
            (our, our_calls), (their, their_calls) = best[0], best[1]
            texts.append(
                f"{name}, the best run of each: Pipecat {their:.1f} ms (at {their_calls} calls), "
                f"Antiphon {our:.1f} ms (at {our_calls}): {their / our:.1f} ×"
            )
    held = [max((run["calls"] for run in side if run["holds"]), default=0) for side in (ours, theirs)]
    texts.append(
        'most calls among these runs with no underrun at 60 ms, p99 within 100 ms and nothing wrong ("holds"): '
        f"Pipecat {held[1]}, Antiphon {held[0]}"
    )
    return texts


def write(
    runs: Sequence[Figures],
    floor: Floor | None,
    options: Mapping[str, Any],
    out: Path,
    rest_alone: Mapping[str, Figures] | None = None,
) -> None:
    """``figures.json`` and the plots."""
    out.mkdir(parents=True, exist_ok=True)
    given = {name: value if isinstance(value, int | float | list) else str(value) for name, value in options.items()}
    plain = [figures for figures in runs if not figures["rest"]]
    whole: Figures = {"options": given, "floor": floor and asdict(floor), "rest_alone": rest_alone}
    whole |= {"ratios": ratios(plain), "runs": list(runs)}
    (out / "figures.json").write_text(json.dumps(whole, indent=1) + "\n")
    for name, picture in plots(plain).items():
        (out / f"{name}.svg").write_text(picture)


def _floor(runs: Sequence[Figures], floor: Floor | None) -> list[str]:
    if floor is None:
        return []
    taken, sent = floor.kernel["taken_us"], floor.kernel["sent_us"]
    spoken = [run["spoken_share"] for run in runs if run["server"] == "antiphon"]
    out = 50 * (sum(spoken) / len(spoken) if spoken else 1.0)
    packets_ms = (50 * taken + out * sent) / 1000
    texts = [
        f"the kernel alone: {taken:.1f} µs for a packet taken, {sent:.1f} for one sent; "
        f"{packets_ms:.2f} ms per call-second for 50 in and {out:.0f} out"
    ]
    for who in next(iter(floor.activity.values())):
        costs = ", ".join(f"{batch}: {cost[who]:.2f}" for batch, cost in floor.activity.items())
        texts.append(f"voice activity alone ({who}), ms per call-second, by calls scored at a time: {costs}")
    echoes = [run for run in runs if run["server"] == "echo"]
    costs = ", ".join(f"{run['calls']} calls: {run['cpu_ms_per_call_second']:.2f}" for run in echoes)
    texts.append(f"a bare echo server, as many frames in and out, ms per call-second: {costs}")
    cheapest = min(cost for by_whom in floor.activity.values() for cost in by_whom.values())
    floors = {run["calls"]: run["cpu_ms_per_call_second"] + cheapest for run in echoes}
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


_COMPARED: tuple[tuple[str, Any], ...] = (
    ("cost of a call-second", lambda f: f["cpu_ms_per_call_second"]),
    ("added at p50", lambda f: f["added"]["p50"]),
    ("interruption to clear at p50", lambda f: f["interruption"]["p50"]),
)
_ROWS: tuple[tuple[str, Any], ...] = (
    ("processor per call-second", lambda f: f"{f['cpu_ms_per_call_second']:.1f}"),
    ("share of the core (with no call)", lambda f: f"{f['cpu_of_a_core']:.0%} ({f['idle_cpu_of_a_core']:.0%})"),
    ("end of speech to sound, p50 / p95 / p99", _spread("response")),
    ("added by the server, p50 / p95 / p99", _spread("added")),
    ("interruption to clear, p50 / p95 / p99", _spread("interruption")),
    ("answered, of", lambda f: f"{f['response']['count']} of {f['response']['of']}"),
    ("too early", lambda f: str(f["early"])),
    ("yielded, of", lambda f: f"{f['interruption']['count']} of {f['interruption']['of']}"),
    ("underruns, buffer of 0 / 60 / 200 ms", lambda f: " / ".join(str(n) for n in f["underruns"].values())),
    ("frames lost / doubled / stale", lambda f: " / ".join(str(f[name]) for name in WRONG[:3])),
    ("frames of other calls / torn bytes", lambda f: f"{f['crossed']} / {f['torn_bytes']}"),
    ("calls refused / broken off", lambda f: f"{f['refused']} / {len(f['dropped_calls'])}"),
    ("memory, MB (more per call)", lambda f: f"{f['resident_mb']:.0f} ({f['resident_mb_per_call']:.1f})"),
    ("loop late, p99 / most", lambda f: f"{_ms(f['loop_late_p99_ms'])} / {_ms(f['loop_late_most_ms'])}"),
    (
        "callers late, p99 / most",
        lambda f: f"{f['load']['send_late_p99_ms']:.1f} / {f['load']['send_late_most_ms']:.0f}",
    ),
    ("stand-ins late, p99", lambda f: f"{f['load']['standins_late_p99_ms']:.1f}"),
    ("load's share of its core", lambda f: f"{f['load']['cpu_of_a_core']:.0%}"),
    (
        "others on the server's / load's core",
        lambda f: f"{f['foreign_of_server_core']:.0%} / {f['foreign_of_load_core']:.0%}",
    ),
    ("holds (60 ms, p99 < 100 ms, nothing wrong)", lambda f: "yes" if f["holds"] else "no"),
)
