"""What the kernel says of processes and cores, and what the server says of its loop."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_BUCKET = re.compile(r'^antiphon_event_loop_lateness_seconds_bucket\{le="([^"]+)"\} (\S+)$', re.MULTILINE)


def family(pid: int) -> list[int]:
    """The process and all its descendants."""
    found = [pid]
    for known in found:
        for task in Path(f"/proc/{known}/task").glob("*/children"):
            try:
                found += [int(child) for child in task.read_text().split()]
            except OSError:  # the thread has ended
                continue
    return found


def cpu_s(*pids: int) -> float:
    """Processor time of the processes so far, all threads, user and kernel."""
    total = 0
    for member in pids:
        try:
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def resident_bytes(pid: int) -> int:
    """Resident memory of the process and its descendants."""
    total = 0
    for member in family(pid):
        try:
            total += int(Path(f"/proc/{member}/statm").read_text().split()[1]) * _PAGE
        except OSError:
            continue
    return total


def busy_s(core: int) -> float:
    """How long a core has been busy so far, whoever with."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[:8])
            return (user + nice + system + irq + softirq + steal) / _TICKS
    raise ValueError(f"this machine has no core {core}")


@dataclass(frozen=True, slots=True)
class Usage:
    """What has been used up to a moment, seconds: by the server, the load, and each one's cores."""

    at: float
    server_s: float
    load_s: float
    server_core_s: float
    load_core_s: float

    @classmethod
    def now(cls, at: float, server: int, load: tuple[int, ...], server_cores: Sequence[int], load_core: int) -> Usage:
        """Ask the kernel. The server is all its processes."""
        server_core_s = sum(busy_s(core) for core in server_cores)
        return cls(at, cpu_s(*family(server)), cpu_s(*load), server_core_s, busy_s(load_core))


def loop_buckets(metrics: str) -> dict[float, float]:
    """The server's histogram of loop lateness: cumulative counts by upper bound, seconds."""
    return {float(bound): float(count) for bound, count in _BUCKET.findall(metrics)}


def loop_late_ms(before: dict[float, float], after: dict[float, float], share: float) -> float | None:
    """The bound, ms, that ``share`` of the wake-ups between two looks kept; None without any."""
    counts = {bound: after[bound] - before.get(bound, 0.0) for bound in sorted(after)}
    total = counts.get(float("inf"), 0.0)
    if not total:
        return None
    return next(bound for bound, count in counts.items() if count >= share * total) * 1000
