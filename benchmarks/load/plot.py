"""Each figure against the number of calls, as SVG written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 480, 300, 60, 40, 45
COLOURS = {"antiphon": "#0b6e4f", "pipecat": "#c1440e", "echo": "#777777"}
WANTED = (
    ("cost", "Processor, ms per call-second", ("cpu_ms_per_call_second",)),
    ("core", "Share of the core", ("cpu_of_a_core",)),
    ("added_p50", "Added by the server, p50, ms", ("added", "p50")),
    ("added_p95", "Added by the server, p95, ms", ("added", "p95")),
    ("added_p99", "Added by the server, p99, ms", ("added", "p99")),
    ("interruption_p95", "Interruption to clear, p95, ms", ("interruption", "p95")),
    ("response_p50", "End of speech to sound, p50, ms", ("response", "p50")),
    ("response_p95", "End of speech to sound, p95, ms", ("response", "p95")),
    ("interruption_p50", "Interruption to clear, p50, ms", ("interruption", "p50")),
    ("underruns_0", "Underruns without a buffer", ("underruns", "0")),
    ("underruns_60", "Underruns with 60 ms of buffer", ("underruns", "60")),
    ("underruns_200", "Underruns with 200 ms of buffer", ("underruns", "200")),
    ("lost", "Frames lost", ("lost",)),
    ("doubled", "Frames doubled", ("doubled",)),
    ("stale", "Frames after a clear", ("stale",)),
    ("memory", "Resident memory, MB", ("resident_mb",)),
    ("loop_late_p99", "Loop late, p99, ms", ("loop_late_p99_ms",)),
)


def plots(runs: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The pictures by name; runs that count for nothing are left out."""
    pictures = {}
    for name, title, path in WANTED:
        lines: dict[str, list[tuple[float, float]]] = {}
        for run in runs:
            value: Any = run
            for key in path:
                value = value[key]
            if value is not None and not run["counts_for_nothing"]:
                lines.setdefault(run["server"], []).append((run["calls"], value))
        if lines:
            pictures[name] = _picture(title, {server: sorted(points) for server, points in lines.items()})
    return pictures


def _picture(title: str, lines: dict[str, list[tuple[float, float]]]) -> str:
    points = [point for line in lines.values() for point in line]
    most_x, most_y = _round_up(max(x for x, _ in points)), _round_up(max(y for _, y in points))

    def at(x: float, y: float) -> tuple[float, float]:
        across = LEFT + x / most_x * (WIDTH - LEFT - 20)
        return round(across, 1), round(HEIGHT - BOTTOM - y / most_y * (HEIGHT - BOTTOM - TOP), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/><text x="{LEFT}" y="18" font-size="14">{title}</text>',
        f'<text x="{WIDTH - 20}" y="{HEIGHT - 8}" text-anchor="end">calls at once</text>',
    ]
    for part in range(5):
        (x, bottom), (_, y) = at(most_x * part / 4, 0), at(0, most_y * part / 4)
        parts.append(f'<line x1="{LEFT}" y1="{y}" x2="{WIDTH - 20}" y2="{y}" stroke="#dddddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{most_y * part / 4:g}</text>')
        parts.append(f'<text x="{x}" y="{bottom + 16}" text-anchor="middle">{most_x * part / 4:g}</text>')
    for number, (server, line) in enumerate(lines.items()):
        colour = COLOURS.get(server, "black")
        places = [at(x, y) for x, y in line]
        parts.append(
            f'<polyline fill="none" stroke="{colour}" stroke-width="2" '
            f'points="{" ".join(f"{x},{y}" for x, y in places)}"/>'
        )
        parts += [f'<circle cx="{x}" cy="{y}" r="3.5" fill="{colour}"/>' for x, y in places]
        parts.append(f'<text x="{LEFT + number * 90}" y="34" fill="{colour}">{server}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _round_up(value: float) -> float:
    """The next of 1, 2, 4, 5, 8 times a power of ten, for an axis that ends there."""
    if value <= 0:
        return 1.0
    scale = 10.0 ** (len(f"{int(value)}") - 1) if value >= 1 else 0.1
    return next((step * scale for step in (1, 2, 4, 5, 8) if step * scale >= value), 10 * scale)
