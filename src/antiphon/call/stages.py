"""A stage: a stretch of the call with one prompt, voice, language and set of tools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from antiphon.call.prompt import ChatMessage, ToolSpec


@dataclass(frozen=True, slots=True)
class Stage:
    """What a stage has, whole: what its maker left open is filled from the stage before.

    ``messages``: the conversation that it begins with, in place of what was said before; ``None``: that goes on.
    ``state``: the call's state from now on; ``None``: it stays. Its voice is known by ``stage_id`` to whoever
    speaks.
    """

    stage_id: str
    system_prompt: str
    temperature: float
    language: str | None
    tools: tuple[ToolSpec, ...] = ()
    messages: tuple[ChatMessage, ...] | None = None
    state: Mapping[str, Any] | None = None
