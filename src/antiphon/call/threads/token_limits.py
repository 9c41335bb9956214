"""What a side thread takes of the model, counted against its limits.

Output is what its model wrote. Input is what the thread itself has added: what it was forked from, and what one
generation has read already, is not counted again. Both are tokens as the engine counts them; where it does not,
four characters are taken for one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from antiphon.call.events import ThreadTextEnded
from antiphon.call.prompt import ChatMessage, Prompt
from antiphon.call.tools.outcomes import ThreadLimits

CHARACTERS_A_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Cost:
    """Tokens of one generation."""

    input_tokens: int
    output_tokens: int

    def extras(self) -> dict[str, Any]:
        """As events tell it."""
        return {"input_tokens": self.input_tokens, "output_tokens": self.output_tokens}


def characters_of(messages: Iterable[ChatMessage]) -> int:
    """Length of messages, what tools were used with included."""
    return sum(
        len(message.text) + sum(len(call.name) + len(str(call.arguments)) for call in message.tool_calls)
        for message in messages
    )


class Spending:
    """One thread's. ``read``: the characters of what it was forked from."""

    def __init__(self, limits: ThreadLimits, read: int) -> None:
        self._limits = limits
        self._read = read
        self.generations = 0
        self.input_tokens = 0
        self.output_tokens = 0

    @property
    def output_bound(self) -> int | None:
        """What the next generation may write: one token over its limits, so that it shows when they are not kept."""
        left = None if self._limits.output_tokens is None else self._limits.output_tokens - self.output_tokens
        bounds = [bound for bound in (left, self._limits.generation_output_tokens) if bound is not None]
        return max(1, min(bounds) + 1) if bounds else None

    def forbids(self, messages: Iterable[ChatMessage]) -> str | None:
        """The limit that one more generation, from these messages, would exceed."""
        limits, new = self._limits, _tokens(characters_of(messages) - self._read)
        return _first(
            ("generationLimit", self.generations + 1, limits.generations),
            ("threadOutputTokenLimit", self.output_tokens + 1, limits.output_tokens),
            ("generationFuzzyInputTokenLimit", new, limits.generation_input_tokens),
            ("threadFuzzyInputTokenLimit", self.input_tokens + new, limits.input_tokens),
        )

    def book(self, prompt: Prompt, written: int, counted: ThreadTextEnded | None) -> Cost:
        """Count a generation from ``prompt`` that has written so many characters; ``counted`` by the engine, or not."""
        characters = characters_of(prompt.messages)
        new = max(0, characters - self._read)
        input_tokens, output_tokens = _tokens(new), _tokens(written)
        if counted is not None and counted.prompt_tokens is not None:
            whole = characters + len(prompt.system) + sum(_length(tool) for tool in prompt.tools)
            share = -(-counted.prompt_tokens * new // max(1, whole))
            input_tokens = min(share, max(0, counted.prompt_tokens - counted.cached_tokens))
        if counted is not None and counted.written_tokens is not None:
            output_tokens = counted.written_tokens
        self._read = max(self._read, characters)
        self.generations += 1
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens
        return Cost(input_tokens, output_tokens)

    def wrote_too_much(self, cost: Cost) -> str | None:
        """The limit on output that the generation just booked has exceeded: what it wrote was cut short."""
        return _first(
            ("generationOutputTokenLimit", cost.output_tokens, self._limits.generation_output_tokens),
            ("threadOutputTokenLimit", self.output_tokens, self._limits.output_tokens),
        )

    def read_too_much(self, cost: Cost) -> str | None:
        """The limit on input that the generation just booked has exceeded."""
        return _first(
            ("generationFuzzyInputTokenLimit", cost.input_tokens, self._limits.generation_input_tokens),
            ("threadFuzzyInputTokenLimit", self.input_tokens, self._limits.input_tokens),
        )

    def extras(self) -> dict[str, Any]:
        """As events tell it."""
        return {
            "total_input_tokens": self.input_tokens,
            "total_output_tokens": self.output_tokens,
            "total_generations": self.generations,
        }


def _first(*uses: tuple[str, int, int | None]) -> str | None:
    return next((f"{name} ({limit})" for name, used, limit in uses if limit is not None and used > limit), None)


def _tokens(characters: int) -> int:
    return -(-max(0, characters) // CHARACTERS_A_TOKEN)


def _length(tool: Any) -> int:
    return len(tool.name) + len(tool.description) + len(str(tool.parameters))
