"""One of several processes that use the same join URLs at once: prints the ids of the calls that it got."""

from __future__ import annotations

import asyncio
import sys

from antiphon.store.database import Database
from antiphon.store.records import JoinClaim
from antiphon.store.repositories import Repositories
from tests.store.samples import a_call, at


async def main(url: str, worker: int, call_ids: list[str]) -> None:
    database = await Database.open(url, worker=worker)
    calls = Repositories.of(database).calls
    print("open", flush=True)
    sys.stdin.readline()
    for call_id in call_ids:
        if await calls.claim_join(call_id, a_call().join_token_hash, at(1)) is JoinClaim.JOINED:
            print(call_id, flush=True)
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
