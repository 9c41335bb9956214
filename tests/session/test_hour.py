"""An hour of call: two hundred turns, some of them interrupting, and nothing that grows but the history."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum

import numpy as np
import pytest

from antiphon.call.history import SpokenMessage
from antiphon.call.messages import Modality, Role
from antiphon.call.settings import CallSettings
from antiphon.engines.protocols import Samples
from antiphon.engines.scripted import (
    ScriptedEndOfTurn,
    ScriptedLanguageModel,
    ScriptedSpeaker,
    ScriptedTranscriber,
)
from antiphon.media.protocol import Audio
from antiphon.session.parts import CallEngines
from antiphon.testing.conversation import USER_FIRST, Conversation, MemoryRecorder
from antiphon.testing.reference_medium import ReferenceMedium

TURNS = 200
SECONDS_A_TURN = 18
FRAME_S = 0.1
REPLY = "That is a good question. I would say that it depends, but mostly on the weather."


NOT_OURS = (
    MemoryRecorder,
    SpokenMessage,
    CallEngines,
    ScriptedLanguageModel,
    ScriptedSpeaker,
    ScriptedTranscriber,
    ScriptedEndOfTurn,
)
"""Scripted engines keep what they were asked; an engine's memory is its own."""


class ForgetfulClient(ReferenceMedium):
    """Keeps nothing of what it is sent, and sends in frames of 100 ms."""

    def send_audio(self, data: bytes) -> None:
        self.heard_s = getattr(self, "heard_s", 0.0) + len(data) / 2 / self.output_rate

    async def turn(self, speech: tuple[float, float]) -> None:
        """One turn's time, with speech from and to some moment of it."""
        begun, size = self.now, int(FRAME_S * self.input_rate)
        for frame in range(round(SECONDS_A_TURN / FRAME_S)):
            level = 8_000 if speech[0] <= frame * FRAME_S < speech[1] else 0
            self._incoming.put_nowait(Audio(np.full(size, level, "<i2").tobytes()))
            await asyncio.sleep(max(0.0, begun + (frame + 1) * FRAME_S - self.now))


class StallingOpinion(ScriptedEndOfTurn):
    """Never answers every third time."""

    async def completeness(self, audio: Samples) -> float:
        self.asked += 1
        if self.asked % 3 == 0:
            await asyncio.Event().wait()
        return 1.0


def sizes(root: object, *, but: tuple[type, ...]) -> dict[str, int]:
    """Lengths of all collections that ``root`` is made of, by their paths; what ``but`` hold is not looked at."""
    found: dict[str, int] = {}
    seen: set[int] = set()

    def visit(path: str, item: object) -> None:
        module = type(item).__module__
        if id(item) in seen or isinstance(item, (str, bytes, int, float, Enum, np.ndarray, *but)):
            return
        seen.add(id(item))
        if isinstance(item, asyncio.Queue):
            found[path] = item.qsize()
        elif isinstance(item, Collection):
            found[path] = len(item)
            for value in list(item.values() if isinstance(item, Mapping) else item):
                visit(f"{path}[]", value)
        elif module.startswith("antiphon"):
            names = [field.name for field in fields(item)] if is_dataclass(item) else list(vars(item))
            for name in names:
                visit(f"{path}.{name}", getattr(item, name))

    visit("live", root)
    return found


@pytest.mark.parametrize("modality", list(Modality))
def test_an_hour_of_call_leaves_nothing_behind(modality: Modality) -> None:
    settings = CallSettings("call", 24_000, first_speaker=USER_FIRST, modality=modality, max_duration_s=7_200.0)
    scene = Conversation(settings, client=ForgetfulClient()).with_engines(
        model=ScriptedLanguageModel([REPLY], token_delay_s=0.02),
        speaker=ScriptedSpeaker(chunk_ms=500),
        end_of_turn=StallingOpinion(),
    )
    measured: list[tuple[dict[str, int], int]] = []

    async def caller(client: ReferenceMedium) -> None:
        assert isinstance(client, ForgetfulClient)
        for turn in range(TURNS):
            # Every fourth turn interrupts the answer to the third.
            await client.turn((15.5, 17.2) if turn % 4 == 2 else (1.0, 2.5))
            if turn % 40 == 39:
                gc.collect()
                scene.session._ask(lambda live: measured.append((sizes(live, but=NOT_OURS), len(asyncio.all_tasks()))))

    scene.run(caller)
    spoken = [message for message in scene.record.kept if message.role is Role.USER]
    assert len(spoken) == TURNS
    assert len([message for message in scene.record.kept if message.role is Role.AGENT]) >= TURNS * 3 // 4
    (before, tasks_before), (after, tasks_after) = measured[0], measured[-1]
    assert tasks_after == tasks_before
    grown = {path: (before.get(path, 0), size) for path, size in after.items() if size > before.get(path, 0) + 2}
    assert set(grown) == {"live.driver.core._talk.history._messages"}
    assert {"live.driver._inbox", "live._listener._utterances", "live._responder._work"} <= set(before)
