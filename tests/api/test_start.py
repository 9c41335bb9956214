"""What a user sees while the server starts with its own models, and directly after it says that it is ready."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import httpx
import pytest

from antiphon.demo.server_process import free_port
from tests.support.workers import CALL, until

pytestmark = [pytest.mark.server, pytest.mark.models]

KEY = "testtest.0123456789abcdef0123456789abcdef"
POLL_S = 0.02
LONGEST_ANSWER_S = 1.0
"""A quarter of a second on a machine that has nothing else to do. It was four to nine seconds."""


async def test_it_answers_all_through_the_start_and_ready_means_ready(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "server.log"
    config = tmp_path / "antiphon.toml"
    config.write_text(f'api_key = "{KEY}"\n')
    command = (sys.executable, "-m", "antiphon.cli", "serve", "--port", str(port), "--config", str(config))
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(*command, "--data-dir", str(tmp_path / "data")), stdout=output, stderr=asyncio.subprocess.STDOUT
        )
    try:
        await until(lambda: "http://" in log.read_text())
        base = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=base, headers={"X-API-Key": KEY}, trust_env=False, timeout=30) as client:
            answers_s = list[float]()
            loop = asyncio.get_running_loop()
            while (await client.get("/readyz")).status_code != 200:
                began = loop.time()
                assert (await client.get("/healthz")).status_code == 200
                answers_s.append(loop.time() - began)
                await asyncio.sleep(POLL_S)
            assert len(answers_s) > 20, "there was something to wait for"
            assert max(answers_s) < LONGEST_ANSWER_S, sorted(answers_s)[-5:]
            call = {name: value for name, value in CALL.items() if name != "model"}
            creates = [client.post("/api/calls", json=call) for _ in range(20)]
            statuses = [response.status_code for response in await asyncio.gather(*creates)]
            assert statuses == [201] * 20
            assert await _memory_told(client) > 1e9, "the language model's process counts"
        assert "event_loop_late" not in log.read_text()
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 30) == 0


async def _memory_told(client: httpx.AsyncClient) -> float:
    """Wait for the first figure of what the engines' processes hold."""
    async with asyncio.timeout(10):
        while True:
            for line in (await client.get("/metrics")).text.splitlines():
                if line.startswith("antiphon_engine_resident_bytes ") and (told := float(line.split()[1])):
                    return told
            await asyncio.sleep(POLL_S)
