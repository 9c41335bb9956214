from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from counts import callgrind
from counts.call import Loop, masked
from counts.callgrind import Callgrind
from counts.figures import Figure, NotCounted, as_json, call_second, per_unit
from counts.hot_path import HotPath, NotDone, expect
from counts.paths import all_paths
from counts.worker import count

from antiphon.media.websocket.frames import audio_of

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "bench_counts.py"
OF_A_MODEL = ("judge", "onnx", "voices")

PATHS = [
    pytest.param(path, id=path.name, marks=[pytest.mark.models] if path.name.startswith(OF_A_MODEL) else [])
    for path in all_paths()
]


def bench_counts(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {**os.environ, **environment}
    return subprocess.run([sys.executable, PROGRAM, *arguments], capture_output=True, text=True, env=inherited)


# The arithmetic


def test_what_is_there_once_is_no_part_of_a_unit() -> None:
    starting, each = 123_456, 37
    counted = {"packet once": starting + 10 * each, "packet twice": starting + 20 * each}
    assert per_unit(counted, "packet", 10) == each


def test_a_count_that_is_missing_is_named() -> None:
    with pytest.raises(NotCounted, match="packet twice"):
        per_unit({"packet once": 1}, "packet", 10)


def test_two_runs_agree_within_half_of_one_in_a_hundred() -> None:
    assert Figure("a", "", "frame", (1000.0, 1004.0)).repeats
    assert not Figure("a", "", "frame", (1006.0, 1000.0)).repeats
    figure = Figure("a", "", "frame", (1020.0, 1001.0, 1000.0))
    assert figure.repeats
    assert figure.instructions == 1000.0
    assert figure.spread == pytest.approx(0.001)
    assert Figure("a", "", "frame", (1000.0,)).repeats


def test_a_call_second_is_made_of_those_paths_that_are_part_of_one() -> None:
    found = [
        Figure("a", "", "packet", (10.0,), 50.0),
        Figure("b", "", "frame", (7.0,)),
        Figure("c", "", "t", (4.0,), 2),
    ]
    assert call_second(found) == 508.0
    written = as_json(found, {"python": "3"})
    assert written["instructions_a_call_second"] == 508.0
    assert json.loads(json.dumps(written)) == written


def test_dumps_are_read_by_their_label_and_what_a_process_leaves_at_its_end_is_not(tmp_path: Path) -> None:
    head = "# callgrind format\nversion: 1\ndesc: Trigger: {}\nevents: Ir\nsummary: 9\nfn=x\n3 4\ntotals: {}\n"
    (tmp_path / "12.1").write_text(head.format("Client Request: packet once", 1_000))
    (tmp_path / "12.2").write_text(head.format("Client Request: packet twice", 2_000))
    (tmp_path / "12").write_text(head.format("Program termination", 3_000))
    (tmp_path / "13.1").write_text("cut off")
    assert callgrind.totals(tmp_path) == {"packet once": 1_000, "packet twice": 2_000}


# The paths


@pytest.mark.parametrize("path", PATHS)
def test_a_path_does_what_it_is_called(path: HotPath) -> None:
    """Each checks itself; what is counted while no valgrind looks is nothing."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(count(path, Callgrind()))


def test_paths_have_names_of_their_own() -> None:
    names = [path.name for path in all_paths()]
    assert len(set(names)) == len(names)


def test_what_was_not_done_is_noticed() -> None:
    expect(3, 3, "frames")
    with pytest.raises(NotDone, match="2 frames, where there should be 3"):
        expect(2, 3, "frames")


@pytest.mark.parametrize("size", [126, 640, 641, 1_920])
def test_packets_are_such_as_a_client_sends(size: int) -> None:
    payload = bytes(number % 251 for number in range(size))
    assert audio_of(masked(payload)) == [payload]


# The program


def test_without_valgrind_it_says_what_to_install(tmp_path: Path) -> None:
    done = bench_counts("--only", "tick", PATH=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.strip() == f"bench_counts: {callgrind.MISSING}"
    assert "apt-get install valgrind" in callgrind.MISSING


def test_on_another_machine_it_says_where_it_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert "x86-64 only; this is Linux on aarch64" in (callgrind.hindrance() or "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--only", "nothing"), "invalid choice: 'nothing' (choose from 'packet', "),
        (("--runs", "0"), "a number of runs from 1 to 20, not '0'"),
        (("--json", "/no/folder/counts.json"), "there is no folder /no/folder"),
    ],
)
def test_bad_arguments_are_explained(arguments: tuple[str, ...], said: str) -> None:
    done = bench_counts(*arguments)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed (apt-get install valgrind)")
def test_it_counts(tmp_path: Path) -> None:
    """The shortest path under a real callgrind, once: of the right size, and that is all a single run can show."""
    done = bench_counts("--only", "tick", "--runs", "1", "--json", str(tmp_path / "counts.json"))
    assert done.returncode == 0, done.stderr
    (path,) = json.loads((tmp_path / "counts.json").read_text())["paths"]
    assert path["name"] == "tick"
    assert 2_000 < path["instructions"] < 200_000
    assert f"{path['instructions']:,.0f}" in done.stdout
