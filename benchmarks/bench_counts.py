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
from pathlib import Path

from counts import callgrind
from counts.figures import AGREEMENT, Figure, NotCounted, as_json, call_second, per_unit
from counts.hot_path import HotPath
from counts.paths import all_paths
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

CANNOT = 2
"""Exit code where nothing can be counted here."""

LAST_LINES = 15
"""Shown of what a failed run said."""

console = Console(width=None if sys.stdout.isatty() else 140)


class RunFailed(Exception):
    """Not all paths were counted; the message says which, and why."""


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
    parser.add_argument("--runs", type=_runs, default=2, help="how often all is counted, to see the spread (2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    return parser


def _runs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 20:
        raise argparse.ArgumentTypeError(f"a number of runs from 1 to 20, not {text!r}")
    return int(text)


def count(paths: Sequence[HotPath], on_counted: Callable[[str], None]) -> tuple[dict[str, int], dict[str, str]]:
    """One run of all: what was counted, by label, and what it depends on. Raises :class:`RunFailed`."""
    with tempfile.TemporaryDirectory(prefix="bench-counts-") as name:
        folder = Path(name)
        program = [sys.executable, "-m", "counts.worker", *(path.name for path in paths)]
        environment = callgrind.environment(os.environ, Path(__file__).parent)
        about: dict[str, str] = {}
        failures: list[str] = []
        said = folder.with_suffix(".log")
        try:
            with (
                said.open("w+") as errors,
                subprocess.Popen(
                    callgrind.command(program, folder),
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                    env=environment,
                ) as process,
            ):
                assert process.stdout is not None
                for line in process.stdout:
                    kind, _, rest = line.strip().partition(" ")
                    if kind == "counted":
                        on_counted(rest)
                    elif kind == "failed":
                        failures.append(rest)
                    elif kind == "about":
                        about = json.loads(rest)
            if process.returncode or failures or not about:
                last = said.read_text(errors="replace").splitlines()[-LAST_LINES:]
                raise RunFailed("\n".join([*last, *failures] or [f"valgrind ended with {process.returncode}"]))
        finally:
            said.unlink(missing_ok=True)
        return callgrind.totals(folder), about


def figures(paths: Sequence[HotPath], runs: Sequence[dict[str, int]]) -> list[Figure]:
    """The runs of each path together. Raises :class:`NotCounted`."""
    return [
        Figure(
            path.name,
            path.title,
            path.unit,
            tuple(per_unit(counted, path.name, path.units) for counted in runs),
            path.a_second,
        )
        for path in paths
    ]


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


def main() -> None:
    options = arguments().parse_args()
    if (why := callgrind.hindrance()) is not None:
        print(f"bench_counts: {why}", file=sys.stderr)
        sys.exit(CANNOT)
    paths = [path for path in all_paths() if not options.only or path.name in options.only]
    runs: list[dict[str, int]] = []
    about: dict[str, str] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("starting", total=options.runs * len(paths))

            def on_counted(name: str) -> None:
                progress.update(task, advance=1, description=f"counted {name}")

            for _ in range(options.runs):
                counted, about = count(paths, on_counted)
                runs.append(counted)
        found = figures(paths, runs)
    except (RunFailed, NotCounted) as error:
        sys.exit(f"bench_counts: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    show(found, about)
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(found, about), indent=2) + "\n")
    unsteady = [figure.name for figure in found if not figure.repeats]
    if unsteady:
        sys.exit(f"bench_counts: runs differ by more than {AGREEMENT:.1%} in {', '.join(unsteady)}")


def show(found: Sequence[Figure], about: dict[str, str]) -> None:
    """The table, and what it is true for."""
    console.print(table(found))
    console.print(
        f"Python {about['python']}, numpy {about['numpy']}, BLAS: {about['blas']}, one thread. Valgrind knows no "
        "AVX-512: numpy, BLAS and the ONNX runtime take what they have for AVX2, and a processor with AVX-512 executes "
        "fewer in them. The kernel's instructions are not in it, nor is the collector of garbage, which is off.",
        style="dim",
    )


if __name__ == "__main__":
    main()
