"""What a call looks like on a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from antiphon.client import Received, Turn, Utterance
from antiphon.client.live import Live, turn_table


def printed(*messages: dict[str, Any]) -> list[str]:
    console = Console(width=100)
    with console.capture() as captured:
        live = Live(console)
        for message in messages:
            live.show(Received(1.0, message))
        live.end()
    return [" ".join(line.split()) for line in captured.get().splitlines()]


def agent(**fields: Any) -> dict[str, Any]:
    return {"type": "transcript", "role": "agent", "ordinal": 1, "final": False, **fields}


def test_the_agents_words_grow_on_one_line() -> None:
    assert printed(
        {"type": "transcript", "role": "user", "ordinal": 0, "final": True, "text": "Hello?"},
        {"type": "state", "state": "speaking"},
        agent(delta="Good"),
        agent(delta=" morning."),
        agent(final=True, text="Good morning."),
        {"type": "state", "state": "listening"},
    ) == ["1.00 caller Hello?", "1.00 (speaking)", "1.00 agent Good morning.", "1.00 (listening)"]


def test_an_interruption_is_shown_and_nothing_is_said_twice() -> None:
    assert printed(
        agent(delta="Once upon"),
        {"type": "playback_clear_buffer"},
        agent(final=True, text="Once upon"),
        agent(ordinal=3, final=True, text="Yes."),
    ) == ["1.00 agent Once upon", "1.00 (interrupted)", "1.00 agent Yes."]


def test_on_a_terminal_lines_break_between_words_and_are_indented() -> None:
    console = Console(width=40, force_terminal=True, color_system=None)
    with console.capture() as captured:
        live = Live(console)
        words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
        live.show(Received(1.0, {"type": "transcript", "role": "user", "final": True, "text": " ".join(words)}))
        for number, word in enumerate(words):
            live.show(Received(2.0, agent(delta=f" {word}" if number else word)))
        live.end()
    lines = captured.get().splitlines()
    assert [line[:16].strip() for line in lines] == ["1.00  caller", "", "2.00  agent", ""]
    assert [line[16:] for line in lines] == ["one two three four five", "six seven eight nine ten"] * 2


def test_a_message_is_one_line_whatever_is_in_it() -> None:
    assert printed(
        agent(delta="One:\n"),
        agent(delta="- two\x1b[2J"),
        agent(final=True, text="One:\n- two\x1b[2J\nthree"),
        {"type": "transcript", "role": "user", "ordinal": 2, "final": True, "text": "four\nfive"},
    ) == ["1.00 agent One: - two [2J three", "1.00 caller four five"]


def test_words_that_look_like_markup_are_words() -> None:
    assert printed(agent(final=True, text="[bold]loud[/]")) == ["1.00 agent [bold]loud[/]"]


def test_the_table_ends_with_the_medians_of_what_is_known() -> None:
    console = Console(width=100)
    turns = [Turn(Utterance(0, 1), "Hello?", "Yes.", False, 0.5, 0.6, audio) for audio in (0.7, None, 0.9)]
    with console.capture() as captured:
        console.print(turn_table(turns))
    last = next(line for line in captured.get().splitlines() if "median" in line)
    assert last.split() == ["median", "0.50", "0.60", "0.80"]
