"""The embedded language model, with the real one."""

from __future__ import annotations

import asyncio
import json
import os
import re
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from antiphon.call.greeting import greeting_nudge
from antiphon.call.prompt import ChatMessage, Prompt, ToolRequest, ToolSpec
from antiphon.engines import weights
from antiphon.engines.llama import LlamaModel
from antiphon.engines.protocols import Alive, TextDelta, ToolCall, Usage
from antiphon.errors import EngineError, ModelCorrupt, ModelMissing

pytestmark = pytest.mark.models

FOLDER = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "antiphon" / "models"
SYSTEM = (
    "You are Ada, who answers the telephone of a bakery called Crumbs. You speak in short, plain sentences. "
    "The bakery opens at seven in the morning and closes at six in the evening. It sells sourdough for four dollars, "
    "rye for five dollars and cinnamon rolls for three dollars."
)


def _weights() -> Path:
    return weights.find("qwen2.5-1.5b", FOLDER)  # `make test` has fetched it


@pytest.fixture(scope="module")
def model() -> Iterator[LlamaModel]:
    caught = _caught_signals()
    engine = LlamaModel(_weights(), threads=2, context_tokens=1024, parallel=2, max_tokens=40)
    engine.load()
    assert _caught_signals() == caught  # llama.cpp's server has taken handlers of its own before now
    yield engine
    engine.close()
    ours = [thread for thread in threading.enumerate() if thread.name.startswith("llama-")]
    for thread in ours:  # one that has done its work may still be on its way out
        thread.join(1.0)
    assert not [thread.name for thread in ours if thread.is_alive()]


def _caught_signals() -> str:
    return next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("SigCgt"))


def ask(conversation: str, *texts: str, system: str = SYSTEM) -> Prompt:
    roles = ("user", "assistant")
    return Prompt(conversation, system, tuple(ChatMessage(roles[n % 2], text) for n, text in enumerate(texts)))


async def answer(model: LlamaModel, prompt: Prompt) -> tuple[str, Usage]:
    items = [item async for item in model.generate(prompt)]
    usage = items.pop()
    assert isinstance(usage, Usage)
    assert len(items) > 1
    return "".join(item.text for item in items if isinstance(item, TextDelta)), usage


async def begun(model: LlamaModel, conversation: str, task: asyncio.Future[Any]) -> None:
    """Wait until something is computed for ``conversation``."""
    while not any(run.prompt.conversation == conversation for run in set(model._runs)):
        await asyncio.wait([task], timeout=0.01)


async def test_greetings_are_made_in_the_role_of_the_prompt(model: LlamaModel) -> None:
    """To a wish for a greeting alone it answered each of these with "Hello! How can I assist you today?"."""
    roles = {
        "You are Dr. Donut, the drive-through voice of a donut shop. Take orders.": "donut",
        "You are the receptionist of Maple Street Dental. You book appointments.": "maple|dental",
        "You are Lena, a customer service agent of Northwind Bank. Be brief and polite.": "northwind|lena",
    }
    in_role = []
    for role, heard in roles.items():
        prompt = Prompt(f"greeting-{heard}", role, (ChatMessage("user", greeting_nudge(role)),))
        text, _ = await answer(model, prompt)
        if re.search(heard, text, re.IGNORECASE):
            in_role.append(text)
    assert len(in_role) >= 2, in_role


async def test_a_conversation_of_three_turns_reads_only_what_is_new(model: LlamaModel) -> None:
    hello = "Good morning. How much is the rye, please?"
    first, usage = await answer(model, ask("turns", hello))
    assert re.search(r"\b(5|five)\b", first, re.IGNORECASE)
    assert usage.completion_tokens <= 40

    more = "And the sourdough?"
    second, again = await answer(model, ask("turns", hello, first, more))
    assert re.search(r"\b(4|four)\b", second, re.IGNORECASE)
    assert again.cached_tokens >= usage.prompt_tokens
    assert again.prompt_tokens - again.cached_tokens < 20

    # The caller cuts in: of the second reply only the beginning was heard.
    words = second.split()
    heard = " ".join(words[: len(words) // 2])
    _, cut = await answer(model, ask("turns", hello, first, more, heard, "Sorry, when do you close?"))
    assert cut.cached_tokens >= again.prompt_tokens
    assert cut.prompt_tokens - cut.cached_tokens < 25

    # The same question has the same answer.
    assert (await answer(model, ask("turns", hello)))[0] == first


async def test_it_gives_signs_of_life_while_it_reads(model: LlamaModel) -> None:
    async with aclosing(model.generate(ask("long", "Bread is good. " * 80))) as reply:  # type: ignore[type-var]
        signs = 0
        while await anext(reply) == Alive():
            signs += 1
    assert signs >= 4  # one for every 64 tokens


async def test_priming_reads_ahead(model: LlamaModel) -> None:
    await model.prime(ask("primed", "I would like to know when you"))
    _, usage = await answer(model, ask("primed", "I would like to know when you open in the morning."))
    assert usage.prompt_tokens - usage.cached_tokens < 16
    await model.prime(ask("primed", "I would like to know when you open in the morning.", "At seven."))


async def test_a_later_prime_ends_an_earlier_one(model: LlamaModel) -> None:
    early = asyncio.ensure_future(model.prime(ask("twice", "Hello. " * 100)))
    await begun(model, "twice", early)
    await model.prime(ask("twice", "Hello. " * 4))
    await early
    _, usage = await answer(model, ask("twice", "Hello. " * 4))
    assert usage.prompt_tokens - usage.cached_tokens < 4


async def test_priming_gives_way_and_is_taken_up_again(model: LlamaModel) -> None:
    long = ask("patient", "Tell me about bread. " * 60)
    await answer(model, ask("urgent", "Are you open today?"))
    priming = asyncio.ensure_future(model.prime(long))
    await begun(model, "patient", priming)
    async with aclosing(model.generate(ask("urgent", "Are you open today?"))) as reply:  # type: ignore[type-var]
        while (item := await anext(reply)) == Alive():
            pass
        assert isinstance(item, TextDelta)
        assert not priming.done()
    await priming
    _, usage = await answer(model, long)
    assert usage.prompt_tokens - usage.cached_tokens < 4


async def test_closing_a_reply_frees_the_model(model: LlamaModel) -> None:
    async with aclosing(model.generate(ask("closing", "Count slowly from one to a hundred."))) as reply:  # type: ignore[type-var]
        await anext(reply)
        started = time.monotonic()
    assert time.monotonic() - started < 0.1
    index = await asyncio.wait_for(model._slots.take("closing"), 2)
    model._slots.release(index)


async def test_closing_while_the_prompt_is_read_frees_the_model(model: LlamaModel) -> None:
    prompt = ask("reading", "Tell me about bread. " * 100)
    reply = asyncio.ensure_future(answer(model, prompt))
    await begun(model, "reading", reply)
    reply.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reply
    index = await asyncio.wait_for(model._slots.take("reading"), 15)  # 64 tokens, on however slow a machine
    model._slots.release(index)


async def test_more_calls_than_slots_find_their_prompts_again(model: LlamaModel) -> None:
    calls = [ask(f"call-{n}", "When do you close?", system=f"You are agent {n}. {SYSTEM}") for n in range(3)]
    first = await asyncio.gather(*(answer(model, call) for call in calls))
    for call, (text, _) in zip(calls, first, strict=True):
        again, usage = await answer(model, call)
        assert again == text
        assert usage.prompt_tokens - usage.cached_tokens < 8


async def test_a_call_that_outgrows_the_context_forgets_its_beginning(model: LlamaModel) -> None:
    texts = []
    for number in range(12):
        texts += [f"Number {number}. " + "I like bread, cake and rolls very much indeed. " * 8, "That is nice to hear."]
    _, usage = await answer(model, ask("long", *texts, "When do you close, please?"))
    assert usage.prompt_tokens < 1024
    assert usage.prompt_tokens > 100
    _, again = await answer(model, ask("long", *texts, "When do you close, please?", "At six.", "Thank you."))
    assert again.prompt_tokens - again.cached_tokens < 30


async def test_a_prompt_that_can_never_fit_is_refused(model: LlamaModel) -> None:
    with pytest.raises(EngineError, match="do not fit") as error:
        await answer(model, ask("huge", "Hello?", system="Be brief, and kind. " * 400))
    assert not error.value.retryable


async def test_a_prompt_is_counted_as_the_model_reads_it(model: LlamaModel) -> None:
    for prompt in (
        ask("count", "Hello?", "Yes?", "Are you open?", system=SYSTEM * 4),
        replace(ask("count-tools", "Hello?", system=SYSTEM * 4), tools=TOOLS),
        ask("count-letters", "Grüße, 漢字 und 🍞! " * 40),
    ):
        size = await model.size(prompt)
        assert size is not None
        _, usage = await answer(model, prompt)
        assert (size.tokens, size.most) == (usage.prompt_tokens, 1024 - 40)


async def test_what_surely_fits_is_not_counted_and_what_does_not_is_at_once(model: LlamaModel) -> None:
    assert await model.size(ask("short", "Hello?")) is None
    assert await model.size(Prompt("empty", "", ())) is None
    busy = [asyncio.ensure_future(answer(model, ask(f"busy-{n}", "Count to a hundred, please."))) for n in range(2)]
    size = await model.size(ask("long", "Hello?", system="Be brief, and kind. " * 1_500))  # 30,000 characters
    assert not any(one.done() for one in busy)  # it took no slot
    assert size is not None
    assert size.tokens > 6_000
    await asyncio.gather(*busy)


TOOLS = (
    ToolSpec(
        "placeOrder",
        "Orders goods for the caller.",
        {
            "type": "object",
            "properties": {"item": {"enum": ["sourdough", "rye", "cinnamon roll"]}, "quantity": {"type": "integer"}},
            "required": ["item", "quantity"],
        },
    ),
    ToolSpec(
        "checkOrder", "Finds an order and says how it stands.", {"properties": {"orderNumber": {"pattern": "(("}}}
    ),
)


async def test_a_tool_is_used_where_one_is_needed_and_its_result_is_told(model: LlamaModel) -> None:
    asked = replace(ask("tools", "I would like to order three rye breads, please."), tools=TOOLS)
    await model.prime(asked)
    items = [item async for item in model.generate(asked)]
    (call,) = [item for item in items if isinstance(item, ToolCall)]
    assert (call.name, json.loads(call.arguments)) == ("placeOrder", {"item": "rye", "quantity": 3})
    usage = items[-1]
    assert isinstance(usage, Usage)
    assert usage.prompt_tokens - usage.cached_tokens < 4  # primed with the tools

    said = "".join(item.text for item in items if isinstance(item, TextDelta))
    used = ChatMessage("assistant", said, (ToolRequest("i1", call.name, json.loads(call.arguments)),))
    result = ChatMessage("tool", "Ordered; it will be ready at eleven.", tool_call_id="i1")
    told = [item async for item in model.generate(replace(asked, messages=(*asked.messages, used, result)))]
    assert "eleven" in "".join(item.text for item in told if isinstance(item, TextDelta))
    again = told[-1]
    assert isinstance(again, Usage)
    # The call lies there as the model wrote it.
    assert again.cached_tokens >= usage.prompt_tokens + usage.completion_tokens - 3


async def test_words_are_said_at_once_where_no_tool_is_needed(model: LlamaModel) -> None:
    asked = replace(ask("words", "When do you close today?"), tools=TOOLS)
    items = [item async for item in model.generate(asked) if item != Alive()]
    assert all(isinstance(item, TextDelta) for item in items[:-1])
    assert len(items) > 3
    text = "".join(item.text for item in items if isinstance(item, TextDelta))
    assert re.search(r"\b(6|six)\b", text, re.IGNORECASE)
    assert not re.search(r"[{}`]", text)


def test_nobody_else_can_reach_the_model(model: LlamaModel) -> None:
    """llama.cpp insists on serving HTTP: it may not do so on a port."""
    own = {os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_link(fd)}
    listening = {
        f"socket:[{fields[9]}]"
        for table in ("tcp", "tcp6")
        for fields in (line.split() for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:])
        if fields[3] == "0A"
    }
    assert not own & listening


def _is_link(fd: str) -> bool:
    return os.path.islink(f"/proc/self/fd/{fd}")


def test_weights_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"nothing\.gguf"):
        LlamaModel(tmp_path / "nothing.gguf").load()


def test_weights_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "wrong.gguf"
    path.write_bytes(b"GGUF but not really" * 100)
    with pytest.raises(ModelCorrupt, match=r"wrong\.gguf"):
        LlamaModel(path).load()


def aside(conversation: str, *texts: str) -> Prompt:
    return replace(ask(conversation, *texts), background=True)


async def test_what_is_written_in_the_background_gives_way_and_is_given_out_once(model: LlamaModel) -> None:
    question = "Count from one to ten, in words."
    undisturbed, _ = await answer(model, ask("undisturbed", question))
    await answer(model, ask("call", "Are you open today?"))
    pieces: list[str] = []
    take = pieces.append

    async def write() -> None:
        async for item in _words(model.generate(aside("call/side", question))):
            take(item.text)

    writing = asyncio.ensure_future(write())
    while len(pieces) < 5:
        await asyncio.wait([writing], timeout=0.01)
    async with aclosing(model.generate(ask("call", "Are you open today?"))) as reply:  # type: ignore[type-var]
        assert isinstance(await anext(aiter(_words(reply))), TextDelta)
        assert not [run for run in model._runs if run.prompt.background and not run.stopped.is_set()]
        given = len(pieces)
    assert len(pieces) == given
    await writing
    assert "".join(pieces) == undisturbed


async def test_a_long_prompt_in_the_background_hardly_delays_a_reply(model: LlamaModel) -> None:
    await answer(model, ask("call", "Are you open today?"))
    reading = asyncio.ensure_future(answer(model, aside("call/long", "Tell me about bread. " * 50)))
    await begun(model, "call/long", reading)
    async with aclosing(model.generate(ask("call", "Are you open today?"))) as reply:  # type: ignore[type-var]
        assert isinstance(await anext(aiter(_words(reply))), TextDelta)
        assert not reading.done()
    text, usage = await reading
    assert text
    assert usage.prompt_tokens > 200


async def test_a_prompt_may_bound_its_answer(model: LlamaModel) -> None:
    _, usage = await answer(model, replace(ask("bound", "Count from one to ten."), output_tokens=3))
    assert usage.completion_tokens == 3


async def _words(reply: AsyncIterator[Any]) -> AsyncIterator[TextDelta]:
    async for item in reply:
        if isinstance(item, TextDelta):
            yield item
