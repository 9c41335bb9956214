"""Side generations on virtual time."""

from __future__ import annotations

import json
from dataclasses import replace

from antiphon.call.prompt import Prompt
from antiphon.call.settings import CallSettings, ThreadSettings
from antiphon.engines.scripted import ScriptedLanguageModel, Trouble
from antiphon.errors import EngineError
from antiphon.testing.conversation import USER_FIRST, Conversation
from antiphon.testing.reference_medium import ReferenceMedium

SETTINGS = CallSettings("call", 24_000, first_speaker=USER_FIRST, threads=ThreadSettings(patience_s=30.0))
SUM_UP = {"type": "user_text_message", "text": "Sum up."}


def reply(prompt: Prompt) -> str:
    return "A short summary." if prompt.background else "A long reply to the caller."


def spawn(thread: str = "side", **more: object) -> str:
    return json.dumps({"type": "spawn_thread", "newThreadId": thread, "additionalMessages": [SUM_UP], **more})


async def silence(client: ReferenceMedium, seconds: float) -> None:
    await client.speak("." * round(seconds * 10))


async def spawned(client: ReferenceMedium) -> None:
    client.say(spawn())
    await silence(client, 5)


def told(scene: Conversation, *kinds: str) -> list[str]:
    return [message["type"] for message in scene.client.messages() if message["type"] in kinds]


def test_a_thread_writes_while_the_caller_is_answered() -> None:
    async def caller(client: ReferenceMedium) -> None:
        await client.speak("#####.....")
        client.say(spawn())
        await silence(client, 10)

    model = ScriptedLanguageModel(script=reply, token_delay_s=0.5)
    scene = Conversation(replace(SETTINGS)).with_engines(model=model).run(caller)
    deltas = [message["delta"] for message in scene.client.messages("side_generation_delta")]
    assert deltas == ["A", " short", " summary."]
    assert scene.client.messages("side_generation_completed") == [
        {"type": "side_generation_completed", "threadId": "side", "text": "A short summary.", "toolCalls": []}
    ]
    finals = [message["text"] for message in scene.client.messages("transcript") if message["final"]]
    assert finals == ["one", "A long reply to the caller."]
    completed = [event for event in scene.record.noted if event.type == "side_generation.completed"]
    assert completed[0].extras["output_tokens"] == 3


def test_a_model_that_fails_or_breaks() -> None:
    for error in (EngineError("no power"), None):
        trouble = Trouble(1, error) if error is not None else None
        broken = ScriptedLanguageModel(script=(lambda prompt: 1 / 0) if trouble is None else reply, trouble=trouble)  # type: ignore[arg-type,return-value]
        scene = Conversation(SETTINGS).with_engines(model=broken).run(spawned)
        reason = "no power" if error is not None else "the model broke (ZeroDivisionError)"
        assert [message["reason"] for message in scene.client.messages("thread_terminated")] == [reason]


def test_a_model_that_stalls_is_given_up_and_its_work_stopped() -> None:
    async def caller(client: ReferenceMedium) -> None:
        client.say(spawn())
        await silence(client, 40)

    model = ScriptedLanguageModel(script=reply, trouble=Trouble(1))
    scene = Conversation(SETTINGS).with_engines(model=model).run(caller)
    assert told(scene, "thread_spawned", "thread_terminated") == ["thread_spawned", "thread_terminated"]
    assert model.stopped == 1


def test_a_thread_that_is_replaced_stops_its_work() -> None:
    async def caller(client: ReferenceMedium) -> None:
        client.say(spawn())
        await silence(client, 0.7)
        client.say(spawn(ifExists="replace"))
        await silence(client, 10)

    model = ScriptedLanguageModel(script=reply, token_delay_s=0.5)
    scene = Conversation(SETTINGS).with_engines(model=model).run(caller)
    assert model.stopped == 1
    assert told(scene, "thread_spawned", "thread_terminated", "side_generation_completed") == [
        "thread_spawned",
        "thread_terminated",
        "thread_spawned",
        "side_generation_completed",
        "thread_terminated",
    ]


def test_a_call_that_ends_leaves_nothing_of_its_threads_running() -> None:
    async def caller(client: ReferenceMedium) -> None:
        for number in range(5):
            client.say(spawn(f"side {number}"))
        await silence(client, 0.7)

    model = ScriptedLanguageModel(script=reply, token_delay_s=0.5)
    scene = Conversation(SETTINGS).with_engines(model=model).run(caller)
    assert model.stopped == 2
    assert scene.record.kinds().count("thread.canceled") == 5


def test_a_limit_reaches_the_model() -> None:
    model = ScriptedLanguageModel(script=reply)

    async def caller(client: ReferenceMedium) -> None:
        client.say(spawn(limits={"generationOutputTokenLimit": 2}))
        await silence(client, 1)
        client.say(spawn("other", limits={"generationOutputTokenLimit": 3}))
        await silence(client, 1)

    scene = Conversation(SETTINGS).with_engines(model=model).run(caller)
    assert [prompt.output_tokens for prompt in model.prompts] == [3, 4]
    assert [message["reason"] for message in scene.client.messages("thread_terminated")][:1] == [
        "limit reached: generationOutputTokenLimit (2)"
    ]
    assert [message["threadId"] for message in scene.client.messages("side_generation_completed")] == ["other"]
