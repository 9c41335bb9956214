"""Whether a prompt leaves the model room to answer: looked at before a call, or a stage of it, begins with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from antiphon.call.greeting import greeting_nudge
from antiphon.call.history import History
from antiphon.call.prompt import ChatMessage, Prompt, ToolSpec
from antiphon.call.settings import Greeting
from antiphon.engines.protocols import LanguageModel, Measures, Size
from antiphon.errors import EngineError, InvalidRequest
from antiphon.wire.call_request import CallRequest
from antiphon.wire.initial_messages import chat_messages

PATIENCE_S = 10.0
"""Longest wait for a model to count. What it cannot count is taken to fit."""


async def check_room(
    model: LanguageModel,
    name: str,
    request: CallRequest,
    tools: Sequence[ToolSpec],
    greeting: Greeting | None = None,
) -> None:
    """Refuse what no reply could be made from: what stays in the prompt when all else is left out is too long.

    That is the system prompt, the tools, and what the model is to answer first: words at the end of the initial
    messages, the prompt of the ``greeting``, or else a sentence or two of the caller's.

    Raises:
        InvalidRequest: with the tokens it has and those that fit; it names the field that has most of them.

    """
    if not isinstance(model, Measures):
        return
    system, owed = request.system_prompt or "", _owed(request)
    nudge = greeting.prompt if greeting is not None and not greeting.text else None
    if nudge is None and not owed:
        nudge = greeting_nudge(system)  # of what the caller may say, it has about the length
    asked = (*owed, ChatMessage("user", nudge)) if nudge else owed
    size = await _size(model, Prompt("", system, asked, tools=tuple(tools)))
    if size is None or size.tokens <= size.most:
        return
    prompts = "user.fallback" if request.user_speaks_first else "agent"
    lengths = {
        ("systemPrompt", "the system prompt"): len(system),
        ("initialMessages", "the last of the initial messages"): sum(len(message.text) for message in owed),
        (f"firstSpeakerSettings.{prompts}.prompt", "the prompt of the greeting"): len(nudge or ""),
        ("selectedTools", "the tools"): sum(map(_length, tools)),
    }
    field, what = max(lengths, key=lambda part: lengths[part])
    raise InvalidRequest.of(
        field,
        f"the prompt has {size.tokens} tokens, and {size.most} fit into the context of the model {name} beside its "
        f"reply; most of them are {what}",
    )


def _owed(request: CallRequest) -> tuple[ChatMessage, ...]:
    """Words at the end of the initial messages that the model is to answer."""
    chat = History("", "", chat_messages(request.initial_messages)).chat() if request.initial_messages else ()
    return chat[-1:] if chat and chat[-1].role != "assistant" else ()


def _length(tool: ToolSpec) -> int:
    return len(tool.name) + len(tool.description) + len(json.dumps(dict(tool.parameters)))


async def _size(model: Measures, prompt: Prompt) -> Size | None:
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await model.size(prompt)
    except (EngineError, TimeoutError):
        return None
