"""What the hot paths of a call cost in instructions, which depend on the code alone: counted, not timed.

Each path runs under valgrind's callgrind: so many units, then twice as many; the difference is what they take. Nothing
else on the machine changes the figure, so a change of one in a hundred is a change of the code. What instructions are
not: time (a cache miss counts nothing) and the kernel's work (a system call counts as its own few instructions).

    python benchmarks/bench_counts.py
    python benchmarks/bench_counts.py --only packet --only quiet --json counts.json
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from counts import callgrind
from counts.figures import AGREEMENT, Figure, NotCounted, as_json, call_second, per_unit
from counts.hot_path import HotPath
from counts.paths import all_paths
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

CANNOT = 2
"""Exit code where nothing can be counted here."""

MOST_MORE = 4
"""Runs of those paths on which no two agree yet: where things lie in memory can make a difference of one or two in a
hundred, by a gap in the heap or a collision in Python's cache of methods."""

LAST_LINES = 15
"""Shown of what a run said that broke off."""

console = Console(width=None if sys.stdout.isatty() else 140)


class RunFailed(Exception):
    """Nothing was counted; the message says why."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of some paths counted, by label; what it depends on; why some were not counted, by name."""

    paths: frozenset[str]
    counted: dict[str, int]
    about: dict[str, str]
    failures: dict[str, str]


def arguments() -> argparse.ArgumentParser:
    """What can be asked for."""
    parser = argparse.ArgumentParser(
        prog="bench_counts",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Counts the instructions of what a call does many times a second, under valgrind's callgrind. "
        "The figures depend on the code\n(and on Python, numpy and what the processor offers), not on what else the "
        "machine does.",
        epilog="paths:\n" + "\n".join(f"  {path.name:<14} {path.title}" for path in all_paths()),
    )
    names = [path.name for path in all_paths()]
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help="a path; may be given again")
    parser.add_argument("--runs", type=_runs, default=2, help="how often all is counted (2); what differs, more often")
    parser.add_argument("--json", type=_writable, metavar="FILE", help="write the figures there, too")
    return parser


def _runs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 20:
        raise argparse.ArgumentTypeError(f"a number of runs from 1 to 20, not {text!r}")
    return int(text)


def _writable(text: str) -> Path:
    path = Path(text)
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {path.parent}")
    return path


def count(paths: Sequence[HotPath], on_done: Callable[[str], None]) -> Run:
    """Run each of them once under callgrind. Raises :class:`RunFailed`."""
    with tempfile.TemporaryDirectory(prefix="bench-counts-") as name, tempfile.TemporaryFile("w+") as said:
        folder = Path(name)
        program = [sys.executable, "-m", "counts.worker", *(path.name for path in paths)]
        environment = callgrind.environment(os.environ, Path(__file__).parent)
        about: dict[str, str] = {}
        failures: dict[str, str] = {}
        command = callgrind.command(program, folder)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True, env=environment) as process:
            assert process.stdout is not None
            for line in process.stdout:
                kind, _, rest = line.strip().partition(" ")
                if kind == "about":
                    about = json.loads(rest)
                elif kind in ("counted", "failed"):
                    path, _, why = rest.partition(": ")
                    on_done(path)
                    if why:
                        failures[path] = why
        if process.returncode or not about:
            said.seek(0)
            last = said.read().splitlines()[-LAST_LINES:]
            raise RunFailed("\n".join([*last, f"valgrind ended with {process.returncode}"]))
        return Run(frozenset(path.name for path in paths), callgrind.totals(folder), about, failures)


def figures(paths: Sequence[HotPath], runs: Sequence[Run]) -> tuple[list[Figure], dict[str, str]]:
    """The runs of each path together, and why there is no figure for the others."""
    found: list[Figure] = []
    failures = {name: why for run in runs for name, why in run.failures.items()}
    for path in paths:
        if path.name in failures:
            continue
        try:
            counts = tuple(per_unit(run.counted, path.name, path.units) for run in runs if path.name in run.paths)
        except NotCounted as error:
            failures[path.name] = str(error)
        else:
            found.append(Figure(path.name, path.title, path.unit, counts, path.a_second))
    return found, failures


def table(found: Sequence[Figure]) -> Table:
    """One line a path."""
    shown = Table(title="Instructions, by callgrind", title_justify="left")
    shown.add_column("path")
    shown.add_column("")
    for column in ("instructions", "per", "spread", "a call-second", "million"):
        shown.add_column(column, justify="left" if column == "per" else "right")
    for figure in found:
        spread = f"{figure.spread:.2%}" if len(figure.runs) > 1 else ""
        shown.add_row(
            figure.name,
            figure.title,
            f"{figure.instructions:,.0f}",
            figure.unit,
            spread if figure.repeats else f"[red]{spread}[/]",
            "" if figure.a_second is None else f"{figure.a_second:.3g} ×",
            "" if figure.call_second is None else f"{figure.call_second / 1e6:.2f}",
        )
    total = call_second(found)
    if total:
        shown.add_section()
        shown.add_row("", "all of these that make up a call-second", "", "", "", "", f"{total / 1e6:.2f}")
    return shown


def show(found: Sequence[Figure], about: dict[str, str], failures: dict[str, str]) -> None:
    """The table, and what it is true for."""
    if found:
        console.print(table(found))
    console.print(
        f"Python {about['python']}, numpy {about['numpy']}, BLAS: {about['blas']}, one thread. Valgrind knows no "
        "AVX-512: counts are for AVX2, and numpy, BLAS and the ONNX runtime may take fewer on a processor that has it. "
        "Neither the kernel's instructions are in it nor those of Python's garbage collector, which is off.",
        style="dim",
    )
    for name, why in failures.items():
        console.print(f"[red]{name} was not counted:[/] {escape(why)}")


def main() -> None:
    options = arguments().parse_args()
    if (why := callgrind.hindrance()) is not None:
        print(f"bench_counts: {why}", file=sys.stderr)
        sys.exit(CANNOT)
    paths = [path for path in all_paths() if not options.only or path.name in options.only]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            wanted = options.runs * len(paths)
            task = progress.add_task("starting", total=wanted)

            def on_done(name: str) -> None:
                progress.update(task, advance=1, description=name)

            runs = [count(paths, on_done) for _ in range(options.runs)]
            for _ in range(MOST_MORE):
                doubtful = {figure.name for figure in figures(paths, runs)[0] if not figure.repeats}
                if not doubtful:
                    break
                wanted += len(doubtful)
                progress.update(task, total=wanted, description="once more")
                runs.append(count([path for path in paths if path.name in doubtful], on_done))
    except RunFailed as error:
        sys.exit(f"bench_counts: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    found, failures = figures(paths, runs)
    show(found, runs[0].about, failures)
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(found, runs[0].about), indent=2) + "\n")
    unsteady = [figure.name for figure in found if not figure.repeats]
    if unsteady:
        print(f"bench_counts: no two runs agree within {AGREEMENT:.1%} on {', '.join(unsteady)}", file=sys.stderr)
    sys.exit(1 if unsteady or failures else 0)


if __name__ == "__main__":
    main()
