"""Runs hot paths under callgrind, each in a process of its own: what one leaves behind is nothing to the next.

    python -m counts.worker NAME...

Says ``counted NAME`` for each, or ``failed NAME: why``, and at last ``about JSON``. Started by bench_counts.py.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import platform
import sys
import traceback
from collections.abc import Sequence

import numpy as np
import threadpoolctl

from antiphon.errors import AntiphonError
from counts.call import Loop
from counts.callgrind import Callgrind
from counts.figures import ONCE, TWICE, label
from counts.hot_path import HotPath
from counts.paths import all_paths

GAPS_OF_A_SIZE = 8
LARGEST_GAP = 20_000


def fill_gaps() -> None:
    """Take memory in all sizes and never give it back: it fills the gaps that starting has left.

    Where those are differs from process to process; finding a place for a packet costs up to 900 instructions, or 20.
    """
    allocate = ctypes.CDLL(None).malloc
    for _ in range(GAPS_OF_A_SIZE):
        for size in range(LARGEST_GAP, 0, -16):
            allocate(size)


async def count(path: HotPath, callgrind: Callgrind) -> None:
    """Some rounds to warm up, some that are counted, and twice as many."""
    async with path.open() as work:
        fill_gaps()
        for times, rounds in (("", path.rounds), (ONCE, path.rounds), (TWICE, 2 * path.rounds)):
            await work.ready(rounds)
            gc.collect()
            if times:
                callgrind.begin()
            await work.run(rounds)
            if times:
                callgrind.end(label(path.name, times))
            work.check(rounds)


def count_apart(path: HotPath, callgrind: Callgrind) -> bool:
    """In a child process. Whether it went well."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    failed = 1
    try:
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(count(path, callgrind))
        failed = 0
    except AntiphonError as error:  # a model that has not been fetched, say
        print(f"failed {path.name}: {error}", flush=True)
    except BaseException as error:
        traceback.print_exc()
        print(f"failed {path.name}: {type(error).__name__}: {error}", flush=True)
    os._exit(failed)


def about() -> dict[str, str]:
    """What counts depend on beside our code."""
    blas = [library for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": ", ".join(f"{one['internal_api']} for {one['architecture']}" for one in blas) or "none",
    }


def main(names: Sequence[str]) -> None:
    callgrind = Callgrind()
    if not callgrind.running:
        sys.exit("this is no valgrind; start bench_counts.py instead")
    gc.disable()
    gc.freeze()
    for path in all_paths():
        if path.name in names and count_apart(path, callgrind):
            print(f"counted {path.name}", flush=True)
    print(f"about {json.dumps(about())}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
