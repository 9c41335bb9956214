"""What `--help` looks like on a terminal of 80 columns."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import pytest

COMMANDS = [
    *([], ["serve"], ["call"], ["demo"], ["capacity"], ["check"], ["models"], ["models", "list"], ["models", "pull"]),
    *(["keys"], ["keys", "create"], ["keys", "list"], ["keys", "revoke"]),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_fits_80_columns_without_stray_words(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ran = subprocess.run(
        [sys.executable, "-m", "antiphon.cli", *command, "--help"], capture_output=True, text=True, check=True
    )
    lines = [line.rstrip() for line in ran.stdout.splitlines()]
    assert max(map(len, lines)) <= 80
    prose = [line if line[:1] not in "╭│╰" else "" for line in lines]
    assert [line for line, following in pairwise(prose) if following and 0 < len(line) < 50] == []
