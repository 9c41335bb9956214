"""A server that is about to be killed: prints each message once the ledger says that it is stored."""

from __future__ import annotations

import asyncio
import itertools
import sys

from antiphon.store.database import Database
from antiphon.store.ledger import Ledger
from antiphon.store.repositories import Repositories
from tests.store.samples import a_call, a_message, a_stage, at

LIVE_CALLS = 4


async def main(url: str) -> None:
    database = await Database.open(url)
    store = Repositories.of(database)
    async with Ledger(database) as ledger, asyncio.TaskGroup() as calls:
        for _ in range(LIVE_CALLS):
            calls.create_task(live(store, ledger))


async def live(store: Repositories, ledger: Ledger) -> None:
    call = a_call()
    stage = a_stage(call)
    await store.calls.create(call, [stage])
    await store.calls.mark_joined(call.call_id, at(1))
    for number in itertools.count():
        ledger.append_message(a_message(stage, number))
        await ledger.flush(call.call_id)
        print(call.call_id, number, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
