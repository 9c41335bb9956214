"""Name the sockets and the folder by which the workers of one server find each other."""

from __future__ import annotations

METRICS = "metrics"
"""In the folder of the workers: what all of them have counted."""


def socket_path(folder: int, worker: int) -> str:
    """Where a worker listens for its like. ``folder``: a descriptor of the folder, whose own path may be too long."""
    return f"/proc/self/fd/{folder}/{worker}.sock"
