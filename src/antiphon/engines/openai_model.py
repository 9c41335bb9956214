"""Any language model, or speech model, behind an OpenAI-compatible ``/v1/chat/completions``."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any, cast

import openai
from openai import AsyncStream
from openai.types.chat import ChatCompletionChunk

from antiphon.call.history import Prompt
from antiphon.engines.openai_client import Connection
from antiphon.engines.openai_transcriber import wav
from antiphon.engines.protocols import Generated, Samples, TextDelta, Usage
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
        with self._connection.failures():
            stream = await self._open(prompt, audio if self.audio_input else None)
            try:
                async for chunk in stream:
                    if chunk.usage is not None:
                        usage = _usage(chunk)
                    for choice in chunk.choices[:1]:
                        if choice.delta.content:
                            yield TextDelta(choice.delta.content)
                        for piece in choice.delta.tool_calls or ():
                            assembly.add(piece.to_dict(warnings=False))
                        finished = finished or choice.finish_reason is not None
            finally:
                await stream.close()
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

    async def _open(self, prompt: Prompt, audio: Samples | None) -> AsyncStream[ChatCompletionChunk]:
        request: dict[str, Any] = {
            "model": self._settings.model,
            "messages": chat_messages(prompt, audio),
            "temperature": prompt.temperature,
            "max_tokens": self._settings.max_tokens,
            "stream": True,
        }
        if not prompt.tools:
            return await self._create(request)
        try:
            return await self._create({**request, "tools": function_tools(prompt.tools)})
        except openai.APIStatusError as error:
            if error.status_code in _REFUSALS and "tool" in error.message.lower():
                what = f"refuses the call's tools (it answered {error.status_code}): its model has to be one with tools"
                raise self._connection.failure(what, retryable=False) from None
            raise

    async def _create(self, request: dict[str, Any]) -> AsyncStream[ChatCompletionChunk]:
        create = self._connection.client.chat.completions.create
        if self._asks_usage:
            try:
                stream = await create(**request, stream_options={"include_usage": True})
                return cast(AsyncStream[ChatCompletionChunk], stream)
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                if "stream_options" not in error.message:
                    raise
                self._asks_usage = False  # an older server: it does without
        return cast(AsyncStream[ChatCompletionChunk], await create(**request))


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


def _usage(chunk: ChatCompletionChunk) -> Usage:
    assert chunk.usage is not None
    details = chunk.usage.prompt_tokens_details
    return Usage(
        prompt_tokens=chunk.usage.prompt_tokens,
        cached_tokens=(details.cached_tokens or 0) if details is not None else 0,
        completion_tokens=chunk.usage.completion_tokens,
    )
