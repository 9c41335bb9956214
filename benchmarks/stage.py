"""What the measurements share: a server with scripted engines, callers whose speech is a tone, tables."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from antiphon.client.wav import Samples
from antiphon.demo.server_process import free_port, server_process

RATE = 16_000
KEY = "benchmark-key-of-one-run"
SCRIPTED = f"""
api_key = "{KEY}"
voice_activity = {{ engine = "scripted" }}
end_of_turn = {{ engine = "scripted" }}
transcriber = {{ engine = "scripted", texts = ["Hello, can you hear me?"] }}
models.scripted = {{ engine = "scripted", replies = ["Hello! I can hear you. How can I help?"] }}
voices.Mark = {{ engine = "scripted", character_ms = 20 }}
"""

console = Console()


PATIENT = "limits = { max_loop_share = 1.0, max_lateness_ms = 60000.0 }"
"""Lets every call in: admission is measured by bench_load.py alone."""


@asynccontextmanager
async def scripted_server(config: str = SCRIPTED) -> AsyncIterator[str]:
    """``antiphon serve`` in a process of its own, without any model; the block begins when it is ready."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "antiphon.toml").write_text(f"{PATIENT}\n{config}")
        arguments = ["--config", str(folder / "antiphon.toml"), "--data-dir", str(folder / "data")]
        async with server_process(free_port(), folder / "server.log", arguments) as url:
            yield url


def tone(seconds: float) -> Samples:
    """What scripted voice activity takes for speech."""
    times = np.arange(int(seconds * RATE)) / RATE
    return (8_000 * np.sin(2 * np.pi * 440 * times)).astype(np.int16)


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table."""
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console.print(table)
