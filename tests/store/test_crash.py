from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import defaultdict
from itertools import islice
from pathlib import Path

from antiphon.call.ends import EndReason
from antiphon.store.database import Database
from antiphon.store.repositories import Repositories
from tests.store.crash_writer import LIVE_CALLS
from tests.store.samples import at

ROOT = Path(__file__).parents[2]


async def test_what_was_flushed_survives_kill_9(url: str) -> None:
    stored: dict[str, set[int]] = defaultdict(set)
    paths = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
    with subprocess.Popen(  # noqa: ASYNC220 - nothing else runs on this loop
        [sys.executable, "-m", "tests.store.crash_writer", url],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
    ) as server:
        assert server.stdout is not None
        for line in islice(server.stdout, 200):
            call_id, number = line.split()
            stored[call_id].add(int(number))
        server.send_signal(signal.SIGKILL)
        # What it said before it died counts as well.
        for line in server.stdout:
            if line.endswith("\n"):
                call_id, number = line.split()
                stored[call_id].add(int(number))
    assert server.returncode == -signal.SIGKILL
    assert len(stored) == LIVE_CALLS

    database = await Database.open(url)
    store = Repositories.of(database)
    ended = await store.calls.end_abandoned(at(3600))
    assert {call.call_id for call in ended} == set(stored)
    for call in ended:
        assert call.end_reason is EndReason.SYSTEM_ERROR
        messages = await store.messages.of_call(call.call_id)
        ordinals = [message.ordinal for message in messages]
        assert ordinals == list(range(len(messages)))
        assert stored[call.call_id] <= set(ordinals)
        last = messages[-1].wall_span
        assert last is not None
        assert call.ended == at(1 + last.end_s)
    await database.close()
