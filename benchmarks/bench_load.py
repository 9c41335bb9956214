"""What a call costs, and what it gets for it: many callers against a server on one core, Pipecat beside it.

The server under test runs alone on one core; callers and stand-ins for the engines (OpenAI's endpoints with fixed
delays) on another. The callers talk real speech on an absolute 20 ms schedule and interrupt; the agent's speech says
what it is every 20 ms, so that what is lost, doubled or stale is seen (`load/speech.py`). One line per run, a table
and ratios at the end; the figures as JSON and plots (SVG) in the folder `--out`.

    python -m benchmarks.bench_load --calls 10,40 --seconds 20
    python -m benchmarks.bench_load --calls 20 --pipecat 5 --seconds 30 --floor
"""

import sys
from pathlib import Path

if __package__:  # started with -m: the measurements import each other as neighbours
    sys.path.insert(0, str(Path(__file__).parent))

from load.main import main

if __name__ == "__main__":
    main()
