"""Prompts that leave a model no room to answer are refused before a call, or a stage, begins with them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from antiphon.call.prompt import Prompt, ToolSpec
from antiphon.engines.candidates import Candidate, Candidates
from antiphon.engines.fallback import FallbackModel
from antiphon.engines.protocols import Size
from antiphon.engines.scripted import ScriptedLanguageModel
from antiphon.errors import EngineError, InvalidRequest
from antiphon.lifecycle import prompt_room
from antiphon.lifecycle.prompt_room import check_room
from antiphon.wire.call_request import parse_call_request
from antiphon.wire.call_settings import first_speaker

MOST = 100


@dataclass
class Words(ScriptedLanguageModel):
    """A token a word; what it has counted is kept."""

    fault: Exception | None = None
    seen: list[Prompt] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(["Yes."])

    async def size(self, prompt: Prompt) -> Size | None:
        self.seen.append(prompt)
        if self.fault is not None:
            raise self.fault
        texts = [prompt.system, *(message.text for message in prompt.messages), *(one.name for one in prompt.tools)]
        return Size(len(" ".join(texts).split()), MOST)


def said(role: str, words: int) -> dict[str, Any]:
    return {"role": f"MESSAGE_ROLE_{role}", "text": "word " * words}


LONG_TOOL = ToolSpec("long " * 200, "", {})


@pytest.mark.parametrize(
    ("body", "tools", "wrong"),
    [
        ({"systemPrompt": "a" * 400 + " word" * 74}, [], None),
        ({"systemPrompt": "a" * 400 + " word" * 99}, [], "systemPrompt"),
        ({"systemPrompt": "word " * 101}, [], "systemPrompt"),
        ({"systemPrompt": "word " * 60, "initialMessages": [said("USER", 40)]}, [], None),
        ({"systemPrompt": "word " * 60, "initialMessages": [said("USER", 41)]}, [], "systemPrompt"),
        ({"systemPrompt": "word " * 40, "initialMessages": [said("USER", 61)]}, [], "initialMessages"),
        ({"initialMessages": [said("USER", 51), said("USER", 51)]}, [], "initialMessages"),
        ({"initialMessages": [said("USER", 90), said("AGENT", 90), said("USER", 90)]}, [], None),
        ({"systemPrompt": "word " * 10, "initialMessages": [said("USER", 5), said("AGENT", 5000)]}, [], None),
        ({"systemPrompt": "word"}, [LONG_TOOL], "selectedTools"),
    ],
)
async def test_what_cannot_be_left_out_has_to_fit(
    body: dict[str, Any], tools: list[ToolSpec], wrong: str | None
) -> None:
    request = parse_call_request(body)
    if wrong is None:
        await check_room(Words(), "words", request, tools)
        return
    with pytest.raises(InvalidRequest, match=rf"1\d\d tokens, and {MOST} fit|2\d\d tokens, and {MOST} fit") as caught:
        await check_room(Words(), "words", request, tools)
    assert [one.path for one in caught.value.fields] == [wrong]


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"agent": {"prompt": "word " * 90}}, None),
        ({"agent": {"prompt": "word " * 91}}, "firstSpeakerSettings.agent.prompt"),
        ({"user": {"fallback": {"prompt": "word " * 91}}}, "firstSpeakerSettings.user.fallback.prompt"),
        ({"agent": {"text": "word " * 500}}, None),
        ({"user": {"fallback": {"text": "word " * 500}}}, None),
    ],
)
async def test_the_prompt_of_a_greeting_has_to_fit_beside_the_system_prompt(
    settings: dict[str, Any], wrong: str | None
) -> None:
    request = parse_call_request({"systemPrompt": "word " * 10, "firstSpeakerSettings": settings})
    greeting = first_speaker(request).greeting
    if wrong is None:
        await check_room(Words(), "words", request, [], greeting)
        return
    with pytest.raises(InvalidRequest, match=f"101 tokens, and {MOST} fit") as caught:
        await check_room(Words(), "words", request, [], greeting)
    assert [one.path for one in caught.value.fields] == [wrong]


async def test_a_model_that_cannot_tell_is_taken_to_have_room(monkeypatch: pytest.MonkeyPatch) -> None:
    request = parse_call_request({"systemPrompt": "word " * 500})
    await check_room(ScriptedLanguageModel(["Yes."]), "scripted", request, [])
    await check_room(Words(EngineError("it has died")), "words", request, [])
    monkeypatch.setattr(prompt_room, "PATIENCE_S", 0.01)
    monkeypatch.setattr(Words, "size", lambda self, prompt: asyncio.Event().wait())
    await check_room(Words(), "words", request, [])


async def test_of_a_model_with_a_fallback_the_first_one_counts() -> None:
    request = parse_call_request({"systemPrompt": "word " * 500})
    for row, refused in (
        ([Words(), ScriptedLanguageModel([""])], True),
        ([ScriptedLanguageModel([""]), Words()], False),
    ):
        model = FallbackModel(Candidates("model", [Candidate("m", one, 1.0) for one in row]))
        try:
            await check_room(model, "m", request, [])
        except InvalidRequest:
            assert refused
        else:
            assert not refused
