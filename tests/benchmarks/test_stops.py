"""The program that stops servers amid talk: a short run, with the default engines."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from stops import Plan, stopped


@pytest.mark.models
@pytest.mark.server
async def test_a_server_that_is_stopped_while_twelve_callers_talk_ends_well(tmp_path: Path) -> None:
    stop = await stopped(Plan(callers=12, earliest_s=3.0, latest_s=5.0), tmp_path, random.Random(4))
    assert stop.complaints == []
    assert stop.status == 0
    assert stop.closed == {1012: 12}
