"""The whole of it, against real engines of small cost and a real server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

CONFIG = """
voice_activity = { engine = "silero" }
end_of_turn = { engine = "scripted" }
transcriber = { engine = "scripted", texts = ["Hello."] }
models.scripted = { engine = "scripted", replies = ["Hello to you, too."] }
voices.Mark = { engine = "scripted", character_ms = 20 }
"""


def test_the_command_measures_every_part(tmp_path: Path) -> None:
    file, out = tmp_path / "antiphon.toml", tmp_path / "figures" / "capacity.json"
    file.write_text(CONFIG)
    command = [sys.executable, "-m", "antiphon.cli", "capacity", "--config", str(file), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    costs = {part["name"]: part["cost"] for part in found["parts"]}
    assert list(costs) == [
        "sockets, pacing, the call",
        "voice activity",
        "end of turn",
        "transcriber",
        "language model",
        "voice",
    ]
    assert 0.001 < costs["sockets, pacing, the call"] < 0.2
    assert 0.0005 < costs["voice activity"] < 0.1
    assert costs["transcriber"] < costs["voice activity"]
    assert found["coreSecondsPerCallSecond"] == sum(costs.values())
    assert "carries about" in done.stdout
