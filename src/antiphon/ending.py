"""How a command ends: in order after Ctrl-C or SIGTERM, with its status, and whatever its threads still do."""

from __future__ import annotations

import asyncio
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, TypeVar

from antiphon.engines.threads import leave
from antiphon.errors import AntiphonError, CallEnded, NoAnswer

SIGNALLED = 128
"""A shell's exit status of a command that a signal ended is this and the signal's number."""

T = TypeVar("T")


def run_to_the_end(command: Callable[[], object]) -> NoReturn:
    """Run ``command`` and exit: 0, the status it exits with, 2 after one line for an error of ours (1 where it
    is of a call), or 1.
    """
    status = 0
    try:
        command()
    except AntiphonError as error:
        print("antiphon: " + " ".join(str(error).split()), file=sys.stderr)  # noqa: T201
        status = 1 if isinstance(error, CallEnded | NoAnswer) else 2
    except KeyboardInterrupt:
        status = SIGNALLED + signal.SIGINT
    except SystemExit as ending:
        status = _status(ending)
    except BaseException:
        traceback.print_exc()
        status = 1
    leave(status)
    sys.exit(status)


def run_stoppable(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` in an event loop. SIGTERM and SIGHUP cancel it, as Ctrl-C does, and then exit as a shell expects."""
    signals: list[int] = []

    async def stoppable() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def stop(signum: int) -> None:
            signals.append(signum)
            task.cancel()

        for signum in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(signum, stop, signum)
        return await work

    try:
        return asyncio.run(stoppable())
    except asyncio.CancelledError:
        raise SystemExit(SIGNALLED + signals[0] if signals else 1) from None


def _status(ending: SystemExit) -> int:
    if ending.code is None or isinstance(ending.code, int):
        return ending.code or 0
    print(ending.code, file=sys.stderr)  # noqa: T201
    return 1
