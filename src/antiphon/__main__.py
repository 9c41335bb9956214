"""Where the `antiphon` command begins, and ``python -m antiphon``.

Its imports take a quarter of a second, more on a cold disk. Ctrl-C amid them would be a traceback of whatever was being
imported; until they are done it ends the process as it ends any other program.
"""

from __future__ import annotations

import signal


def main() -> None:
    """Import the command line, and run it."""
    asked = signal.getsignal(signal.SIGINT)
    if asked is signal.default_int_handler:  # and not ignored, as for a job in a script's background
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from antiphon.cli import main as run

    signal.signal(signal.SIGINT, asked)
    run()


if __name__ == "__main__":
    main()
