"""Any language model, or speech model, behind an OpenAI-compatible ``/v1/chat/completions``."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp

from antiphon.call.prompt import Prompt
from antiphon.engines.openai_client import Connection, Refused, events
from antiphon.engines.openai_transcriber import wav
from antiphon.engines.protocols import Alive, Generated, Samples, TextDelta, Usage
from antiphon.engines.settings import OpenAIModelSettings
from antiphon.engines.tool_messages import ToolCallAssembly, function_messages, function_tools

_REFUSALS = frozenset({400, 404, 422, 501})


class OpenAIModel:
    """Streams replies. With ``audio_input`` it is a speech model, as vLLM serves Ultravox weights."""

    def __init__(self, settings: OpenAIModelSettings) -> None:
        self.audio_input = settings.audio_input
        self._settings = settings
        self._connection = Connection(settings, "language model")
        self._asks_usage = True

    async def generate(self, prompt: Prompt, audio: Samples | None = None) -> AsyncIterator[Generated]:
        """Stream the reply, its tool calls last. Closing the iterator closes the connection, at which servers stop."""
        usage: Usage | None = None
        assembly = ToolCallAssembly(prompt.tools)
        finished = False
        with self._connection.failures(lambda: words_of(prompt)):
            async with self._open(prompt, audio if self.audio_input else None) as response:
                async for chunk in events(response):
                    usage = _usage(chunk) or usage
                    for choice in (chunk.get("choices") or ())[:1]:
                        delta = choice.get("delta") or {}
                        # Without words it begins, thinks, or writes a tool call.
                        yield TextDelta(_text(delta["content"])) if delta.get("content") else Alive()
                        for piece in delta.get("tool_calls") or ():
                            assembly.add(piece)
                        finished = finished or choice.get("finish_reason") is not None
        if not finished:
            raise self._connection.failure("ended its answer before its end")
        for call in assembly.calls():
            if not call.name:
                raise self._connection.failure("sent a tool call without a name")
            yield call
        if usage is not None:
            yield usage

    async def aclose(self) -> None:
        """Close all connections."""
        await self._connection.aclose()

    @asynccontextmanager
    async def _open(self, prompt: Prompt, audio: Samples | None) -> AsyncIterator[aiohttp.ClientResponse]:
        request: dict[str, Any] = {
            "model": self._settings.model,
            "messages": chat_messages(prompt, audio),
            "temperature": prompt.temperature,
            "max_tokens": min(self._settings.max_tokens, prompt.output_tokens or self._settings.max_tokens),
            "stream": True,
        }
        if prompt.tools:
            request["tools"] = function_tools(prompt.tools)
        async with AsyncExitStack() as stack:
            try:
                response = await self._create(stack, request)
            except Refused as error:
                if prompt.tools and error.status in _REFUSALS and "tool" in error.text.lower():
                    told = self._connection.why(error.text, words_of(prompt))
                    what = "refuses the call's tools; its model has to be one with tools"
                    raise self._connection.failure(
                        f"{what} (it answered {error.status}{told})", retryable=False
                    ) from None
                raise
            yield response

    async def _create(self, stack: AsyncExitStack, request: dict[str, Any]) -> aiohttp.ClientResponse:
        post = self._connection.post
        if self._asks_usage:
            try:
                told = {**request, "stream_options": {"include_usage": True}}
                return await stack.enter_async_context(post("chat/completions", json=told))
            except Refused as error:
                if error.status not in (400, 422) or "stream_options" not in error.text:
                    raise
                self._asks_usage = False  # an older server: it does without
        return await stack.enter_async_context(post("chat/completions", json=request))


def chat_messages(prompt: Prompt, audio: Samples | None) -> list[dict[str, Any]]:
    """The messages of a request: system, history, and the caller's last utterance as sound, where there is one."""
    messages: list[dict[str, Any]] = []
    if prompt.system:
        messages.append({"role": "system", "content": prompt.system})
    messages += function_messages(prompt.messages)
    if audio is not None:
        sound = {
            "type": "input_audio",
            "input_audio": {"data": base64.b64encode(wav(audio)).decode("ascii"), "format": "wav"},
        }
        parts: list[dict[str, Any]] = [sound]
        if messages and messages[-1]["role"] == "user":  # neighbours of one role are one message
            parts.insert(0, {"type": "text", "text": messages.pop()["content"]})
        messages.append({"role": "user", "content": parts})
    return messages


def words_of(prompt: Prompt) -> Iterator[str]:
    """What a prompt says, so that no error quotes it."""
    yield prompt.system
    for message in prompt.messages:
        yield message.text
        for call in message.tool_calls:
            yield json.dumps(dict(call.arguments), ensure_ascii=False, default=str)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("words that are no string")
    return value


def _usage(chunk: dict[str, Any]) -> Usage | None:
    usage = chunk.get("usage")
    if not usage:
        return None
    return Usage(
        prompt_tokens=int(usage.get("prompt_tokens") or 0),
        cached_tokens=int((usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0),
        completion_tokens=int(usage.get("completion_tokens") or 0),
    )
