"""Engines are closed in order, whatever one of them does."""

from __future__ import annotations

import threading

from antiphon.engines.closing import close_all


class Engine:
    def __init__(self, name: str, story: list[str], gate: threading.Event | None = None) -> None:
        self._name = name
        self._story = story
        self._gate = gate

    def stop(self) -> None:
        self._story.append(f"stop {self._name}")

    def close(self) -> None:
        if self._gate is not None:
            self._gate.wait(10)
        self._story.append(f"close {self._name}")


class Remote:
    def __init__(self, story: list[str]) -> None:
        self._story = story

    async def aclose(self) -> None:
        self._story.append("close remote")
        raise OSError("the connection broke")


async def test_all_are_stopped_before_the_first_is_waited_for_and_a_failure_stops_nobody() -> None:
    story: list[str] = []
    await close_all([("a", Engine("a", story)), ("remote", Remote(story)), ("b", Engine("b", story)), ("plain", None)])
    assert story == ["stop a", "stop b", "close a", "close remote", "close b"]


async def test_an_engine_that_does_not_come_back_is_left_behind_and_the_others_are_closed() -> None:
    story: list[str] = []
    gate = threading.Event()
    await close_all([("stuck", Engine("stuck", story, gate)), ("other", Engine("other", story))], 0.05)
    gate.set()
    for thread in threading.enumerate():
        if thread.name.startswith("close "):
            thread.join(10)
    assert story[:2] == ["stop stuck", "stop other"]
    assert sorted(story[2:]) == ["close other", "close stuck"]
