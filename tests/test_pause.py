"""Others have their turn while something long is worked on, and nothing waits where it is short."""

from __future__ import annotations

import asyncio

import pytest

from antiphon import pause
from antiphon.pause import LONGEST_S, Pause


async def test_others_have_their_turn_between_stretches_of_work(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 7.0
    monkeypatch.setattr(pause, "perf_counter", lambda: now)
    turns = 0

    def other() -> None:
        nonlocal turns
        turns += 1
        asyncio.get_running_loop().call_soon(other)

    asyncio.get_running_loop().call_soon(other)
    work = Pause()
    await work.when_due()
    assert turns == 0, "nothing has been worked yet"
    for stretch in range(1, 4):
        now += LONGEST_S * 1.1
        await work.when_due()
        assert turns == stretch
        now += LONGEST_S * 0.9
        await work.when_due()
        assert turns == stretch, "it was others' turn just now"
