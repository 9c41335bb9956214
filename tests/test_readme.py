"""The README's programs do what the README says, run as they stand there."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.conftest import RealServer

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LONGEST_PROGRAM = 26


def program(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return str(found)


async def output(*command: str | Path, folder: Path, **environment: str) -> str:
    """What the program prints; it has to end well."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=os.environ | environment, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(120):
        printed = (await process.communicate())[0]
    assert process.returncode == 0
    return printed.decode().strip()


@pytest.mark.server
@pytest.mark.models
async def test_create_with_fetch_and_join_with_websockets(embedded_server: RealServer, tmp_path: Path) -> None:
    node = shutil.which("node")
    assert node is not None, "the README's first program needs node"
    (tmp_path / "create.mjs").write_text(program("js"), encoding="utf-8")
    (tmp_path / "join.py").write_text(program("python"), encoding="utf-8")

    join_url = await output(
        *(node, "create.mjs"),
        folder=tmp_path,
        ANTIPHON_URL=embedded_server.url,
        ANTIPHON_API_KEY=embedded_server.key,
    )
    assert join_url.startswith("ws://127.0.0.1:")

    question = ROOT / "src" / "antiphon" / "demo" / "capital.wav"
    printed = await output(sys.executable, "join.py", join_url, question, folder=tmp_path)
    said = dict(line.split(" said: ") for line in printed.splitlines())
    assert "capital" in said["user"].lower()
    assert "paris" in said["agent"].lower()
    assert (tmp_path / "answer.pcm").stat().st_size > 16_000, "the answer can be heard"


@pytest.mark.parametrize("language", ["js", "python"])
def test_the_programs_are_short(language: str) -> None:
    assert len(program(language).splitlines()) <= LONGEST_PROGRAM


def test_the_first_screen_has_the_two_commands() -> None:
    first_screen = "\n".join(README.splitlines()[:20])
    assert "make demo" in first_screen
    assert "make test" in first_screen
