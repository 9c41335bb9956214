"""Whether a prompt leaves the model room to answer: looked at before a call, or a stage of it, begins with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from antiphon.call.history import History
from antiphon.call.prompt import Prompt, ToolSpec
from antiphon.engines.protocols import LanguageModel, Measures, Size
from antiphon.errors import EngineError, InvalidRequest
from antiphon.wire.call_request import CallRequest
from antiphon.wire.initial_messages import chat_messages

PATIENCE_S = 10.0
"""Longest wait for a model to count. What it cannot count is taken to fit."""


async def check_room(model: LanguageModel, name: str, request: CallRequest, tools: Sequence[ToolSpec]) -> None:
    """Refuse what no reply could be made from: what stays in the prompt when all else is left out is too long.

    That is the system prompt, the tools, and words at the end of the initial messages that the model is to answer.

    Raises:
        InvalidRequest: with the tokens it has and those that fit; it names the field that has most of them.

    """
    if not isinstance(model, Measures):
        return
    prompt = _least(request, tools)
    size = await _size(model, prompt)
    if size is not None and size.tokens > size.most:
        field, what = _largest(prompt)
        raise InvalidRequest.of(
            field,
            f"the prompt has {size.tokens} tokens, and {size.most} fit into the context of the model {name} beside its "
            f"reply; most of them are {what}",
        )


def _least(request: CallRequest, tools: Sequence[ToolSpec]) -> Prompt:
    """The prompt of a call whose history has been left out as far as it can be."""
    chat = History("", "", chat_messages(request.initial_messages)).chat() if request.initial_messages else ()
    owed = chat[-1:] if chat and chat[-1].role != "assistant" else ()
    return Prompt("", request.system_prompt or "", owed, tools=tuple(tools))


async def _size(model: Measures, prompt: Prompt) -> Size | None:
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await model.size(prompt)
    except (EngineError, TimeoutError):
        return None


def _largest(prompt: Prompt) -> tuple[str, str]:
    lengths = {
        ("systemPrompt", "the system prompt"): len(prompt.system),
        ("initialMessages", "the last of the initial messages"): sum(len(message.text) for message in prompt.messages),
        ("selectedTools", "the tools"): sum(
            len(tool.name) + len(tool.description) + len(json.dumps(dict(tool.parameters))) for tool in prompt.tools
        ),
    }
    return max(lengths, key=lambda part: lengths[part])
