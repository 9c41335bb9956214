"""One server for the whole folder, and a witness in it that must never notice what is done to the server."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.house import KEY, House, running

LONGEST_GAP_S = 0.25
"""Of silence in a reply that a witness may hear, beside the time for which the server and the witnesses, ready to run,
had to wait for a processor: that is the machine's doing. What a hostile client does to others is either far longer,
or shorter than what the tests' own work on the same two processors does to them."""

LONGEST_ANSWER_S = 3.0
"""From the end of a witness's speech to its answer: 0.384 s are the endpoint delay."""

JOIN_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Account:
    """What the witnesses wrote."""

    file: Path
    processes: tuple[int, ...]

    def waited_s(self) -> float:
        """For how long the processes that a witness's audio depends on have waited for a processor, ever."""
        stats = [Path(f"/proc/{pid}/schedstat").read_text().split() for pid in self.processes]
        return sum(int(waited_ns) for _, waited_ns, _ in stats) / 1e9

    def since(self, at: float) -> list[dict[str, Any]]:
        """The lines from ``at`` on, CLOCK_MONOTONIC."""
        lines = [json.loads(line) for line in self.file.read_text().splitlines() if line.endswith("}")]
        return [line for line in lines if line["at"] >= at]

    def check(self, at: float, waited_s: float) -> None:
        """Fail where a witness noticed something since ``at``; ``waited_s`` as it was then."""
        waited = self.waited_s() - waited_s
        for line in self.since(at):
            told = f"{line}, of which {waited:.3f} s may be the machine's"
            assert line.get("gap_s", 0.0) <= LONGEST_GAP_S + waited, f"a silence in another call: {told}"
            assert line.get("answered_after_s", 0.0) <= LONGEST_ANSWER_S + waited, f"a late answer elsewhere: {told}"
            assert "unanswered" not in line, f"another call was not answered: {line}"
            assert "ended" not in line, f"another call ended: {line}"


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The server that everything is done to."""
    with running(tmp_path_factory.mktemp("hostile")) as house:
        yield house
    assert house.process.returncode == 0, house.log.read_text()
    assert "Traceback" not in house.log.read_text()


@pytest.fixture(scope="session")
def witnesses(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """Two calls that go on for as long as the tests do."""
    file = tmp_path_factory.mktemp("witness") / "account.jsonl"
    file.touch()
    command = [sys.executable, "-m", "tests.hostile.witness", house.url, KEY, str(file)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    account = Account(file, (house.process.pid, process.pid))
    deadline = time.monotonic() + JOIN_TIMEOUT_S
    while len({line["call"] for line in account.since(0.0)}) < 2:
        assert process.poll() is None, "the witness has gone"
        assert time.monotonic() < deadline, "the witnesses heard nothing"
        time.sleep(0.05)
    started = time.monotonic()
    yield account
    lasted = time.monotonic() - started
    process.communicate(b"")
    assert process.returncode == 0
    answers = [line for line in account.since(started) if "answered_after_s" in line]
    assert not [line for line in account.since(started) if "unanswered" in line or "ended" in line]
    assert len(answers) >= 2 * (lasted // 6), "the witnesses had fewer turns than fit into the time"
    gaps = sorted(line["gap_s"] for line in account.since(0.0) if "gap_s" in line)
    print(f"witnesses: {len(answers)} answers in {lasted:.0f} s, {len(gaps)} silences, the longest {gaps[-1:]} s")


@pytest.fixture(autouse=True)
def undisturbed(witnesses: Account) -> Iterator[None]:
    """After each test: the other calls did not notice it."""
    started, waited_s = time.monotonic(), witnesses.waited_s()
    yield
    witnesses.check(started, waited_s)
