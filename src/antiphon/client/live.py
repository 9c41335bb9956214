"""A call on the terminal while it happens, and its turns in a table afterwards."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from statistics import median

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from antiphon.client.caller import Received
from antiphon.client.turns import Turn

_INDENT = 16
"""Columns before the words: the time and who speaks."""


class Live:
    """Prints messages as they come: states, the caller's words, and the agent's as they grow.

    On a terminal, lines break between words and go on under the words before. Elsewhere a message is one line.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._width = max(20, console.width - _INDENT) if console.is_terminal else None
        self._column = 0
        """Of the line that is being written, after its indent."""
        self._growing: int | None = None
        """Ordinal of the agent's transcript whose line is not finished yet."""
        self._said: dict[int, str] = {}
        """What was printed of each of the agent's transcripts."""

    def show(self, message: Received) -> None:
        """Print ``message``, where it is one that a person wants to see."""
        body = message.body
        match message.type:
            case "transcript" if body.get("role") == "agent":
                self._agent(message)
            case "transcript" if body.get("final"):
                self._line(message.at, "caller", str(body.get("text", "")), "bold cyan")
            case "state":
                self._line(message.at, "", f"({body.get('state')})", "dim")
            case "playback_clear_buffer":
                self._line(message.at, "", "(interrupted)", "yellow")
            case "debug":
                self._line(message.at, "debug", str(body.get("message", "")), "dim")

    def note(self, at: float, text: str) -> None:
        """Print something that is no message."""
        self._line(at, "", text, "dim")

    def end(self) -> None:
        """Finish the line that is being written."""
        if self._growing is not None:
            self._console.print()
            self._growing = None

    def _agent(self, message: Received) -> None:
        body = message.body
        ordinal = int(body.get("ordinal", 0))
        before = self._said.get(ordinal, "")
        words = _plain(str(body.get("delta") or ""))
        if body.get("text") is not None:  # all so far: print what is new of it
            text = _plain(str(body["text"]))
            words = text.removeprefix(before) if text.startswith(before) else ""
        self._said[ordinal] = before + words
        if words.strip() or self._growing == ordinal:
            if self._growing != ordinal:
                self.end()
                self._console.print(_prefix(message.at, "agent"), end=" ")
                self._growing, self._column, words = ordinal, 0, words.lstrip()
            self._console.print(Text(self._grown(words), "bold green"), end="", soft_wrap=True)
        if body.get("final"):
            self.end()

    def _line(self, at: float, who: str, text: str, style: str) -> None:
        self.end()
        text = _plain(text)
        if self._width is not None:
            text = f"\n{' ' * _INDENT}".join(textwrap.wrap(text, self._width))
        self._console.print(_prefix(at, who), Text(text, style), soft_wrap=True)

    def _grown(self, words: str) -> str:
        """Return ``words`` with line breaks where a word would not fit on the line any more."""
        if self._width is None:
            return words
        written = ""
        for space, word in re.findall(r"(\s*)(\S*)", words):
            if self._column and self._column + len(space) + len(word) > self._width and space:
                written += f"\n{' ' * _INDENT}"
                self._column, space = 0, ""
            written += space + word
            self._column += len(space) + len(word)
        return written


def _plain(text: str) -> str:
    """Return ``text`` without line breaks and whatever else would move a terminal's cursor."""
    return "".join(character if character.isprintable() else " " for character in text)


def _prefix(at: float, who: str) -> Text:
    return Text(f"{at:7.2f}  {who:6}", "dim")


def turn_table(turns: Sequence[Turn]) -> Table:
    """One row a turn, the medians last; all times in seconds from the end of the caller's speech."""
    title = "Seconds from the end of the caller's speech to"
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("turn")
    table.add_column("caller")
    for heading in ("transcript", "first token", "first audio"):
        table.add_column(heading, justify="right")
    for number, turn in enumerate(turns, 1):
        times = (turn.transcript_s, turn.token_s, turn.audio_s)
        table.add_row(str(number), turn.user_text or "–", *map(_seconds, times), end_section=number == len(turns))
    columns = zip(*((turn.transcript_s, turn.token_s, turn.audio_s) for turn in turns), strict=True)
    table.add_row("", "median", *(_seconds(middle(column)) for column in columns), style="bold")
    return table


def middle(values: Sequence[float | None]) -> float | None:
    """The median of those that are there."""
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
