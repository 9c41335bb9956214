"""What breaks in a session, at any moment, ends in words, in a reason, or in nothing the caller notices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest
from structlog.testing import capture_logs

from antiphon.call.actions import End
from antiphon.call.ends import EndReason
from antiphon.call.messages import Role
from antiphon.call.prompt import Prompt
from antiphon.call.settings import CallSettings, TimedMessage
from antiphon.engines.protocols import Samples
from antiphon.engines.scripted import (
    ScriptedEndOfTurn,
    ScriptedLanguageModel,
    ScriptedSpeaker,
    ScriptedTranscriber,
    ScriptedTranscription,
    ScriptedVoiceActivity,
    ScriptedVoiceActivityStream,
    Trouble,
)
from antiphon.errors import EngineError
from antiphon.media.protocol import Incoming
from antiphon.session.session import Session
from antiphon.testing.conversation import REPLY, USER_FIRST, Conversation, speaking
from antiphon.testing.reference_medium import ReferenceMedium
from antiphon.testing.virtual_clock import run_virtual
from antiphon.wire.incoming import UserTextMessage

ONE_TURN = "." * 5 + "#" * 10 + "." * 120
BROKE = End(EndReason.SYSTEM_ERROR, 1011, "the server failed")
LEFT = End(EndReason.HANGUP, 1000, "the client left")


def agent_words(scene: Conversation) -> list[str]:
    return [message.text for message in scene.record.kept if message.role is Role.AGENT]


# Engines


class BadTranscription(ScriptedTranscription):
    def feed(self, frame: Samples, probability: float) -> None:
        raise ValueError("a bug")


class BadTranscriber(ScriptedTranscriber):
    """Breaks at ``where``, in ways the Protocol does not foresee."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self._where = where

    def open(self, language: str | None) -> ScriptedTranscription:
        if self._where == "open":
            raise ValueError("a bug")
        return BadTranscription(self) if self._where == "feed" else super().open(language)

    async def transcribe(self, utterance: ScriptedTranscription) -> str:
        if self._where == "cancelled":
            raise asyncio.CancelledError
        raise ValueError("a bug")


@pytest.mark.parametrize("where", ["open", "feed", "text", "cancelled"])
def test_a_transcriber_that_breaks_is_apologised_for(where: str) -> None:
    with capture_logs():
        scene = Conversation().with_engines(transcriber=BadTranscriber(where)).run(speaking(ONE_TURN + "." * 60))
    assert agent_words(scene) == ["Sorry, I'm having some trouble right now. Could you say that again?"]
    assert scene.end == LEFT


class BadPriming(ScriptedLanguageModel):
    async def prime(self, prompt: Prompt) -> None:
        raise ValueError("a bug")


def test_a_model_that_cannot_read_ahead_still_answers() -> None:
    with capture_logs() as logs:
        scene = Conversation().with_engines(model=BadPriming([REPLY])).run(speaking(ONE_TURN))
    assert agent_words(scene) == [REPLY]
    assert scene.end == LEFT
    assert logs


class StalledOpinion(ScriptedEndOfTurn):
    """Never has one."""

    waiting = 0

    async def completeness(self, audio: Samples) -> float:
        self.waiting += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.waiting -= 1
        raise AssertionError


def test_opinions_that_never_come_do_not_pile_up() -> None:
    opinions = StalledOpinion()
    most = 0

    async def caller(client: ReferenceMedium) -> None:
        nonlocal most
        for _ in range(5):
            await client.speak("##########........")
            most = max(most, opinions.waiting)

    scene = Conversation().with_engines(end_of_turn=opinions).run(caller)
    assert scene.end == LEFT
    assert most <= 2
    assert opinions.waiting == 0


@pytest.mark.parametrize("stage", ["model", "speaker"])
@pytest.mark.parametrize("at", [0, 2])
@pytest.mark.parametrize("error", [EngineError("gone"), None])
def test_trouble_of_an_engine_at_any_moment_leaves_no_work_behind(
    stage: str, at: int, error: EngineError | None
) -> None:
    trouble = Trouble(at, error)
    model = ScriptedLanguageModel([REPLY], token_delay_s=0.05, trouble=trouble if stage == "model" else None)
    speaker = ScriptedSpeaker(trouble=trouble if stage == "speaker" else None)
    scene = Conversation().with_engines(model=model, speaker=speaker).run(speaking(ONE_TURN + "." * 200))
    assert scene.end is not None
    heard = "".join(agent_words(scene))
    assert heard == "" or heard.startswith("The") or "Sorry" in heard
    # Nobody goes on to write what nobody will speak.
    assert stage == "model" or model.stopped == len(model.prompts) or error is None


# Our own mistakes


def breaking(scene: Conversation, break_it: Callable[[Session], None], script: str) -> Conversation:
    async def caller(client: ReferenceMedium) -> None:
        await client.speak("." * 5)
        break_it(scene.session)
        await client.speak(script)

    return scene.run(caller)


def boom(*_: object) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize("method", ["tick", "receive"])
def test_a_mistake_in_the_core_ends_the_call_with_a_line_in_the_log(method: str) -> None:
    """Whoever called: a timer, the voice activity, the pacer."""
    with capture_logs() as logs:
        scene = Conversation(
            CallSettings("call", 24_000, first_speaker=USER_FIRST, inactivity=(TimedMessage(3.0, "Hello?"),))
        )
        breaking(scene, lambda session: session._ask(lambda live: setattr(live.driver.core, method, boom)), "." * 60)
    assert scene.end == BROKE
    assert scene.client.closed == (1011, "the server failed")
    assert [line["event"] for line in logs] == ["session_broke"]
    assert logs[0]["exc_info"]
    (event,) = [event for event in scene.record.noted if event.type == "session_failed"]
    assert event.text == "The server failed (ZeroDivisionError); the call cannot go on."


class BrokenPipe(ReferenceMedium):
    """A medium that cannot send audio after a while, and says so by raising."""

    def send_audio(self, data: bytes) -> None:
        if self.now > 3.0:
            raise ConnectionResetError
        super().send_audio(data)


def test_a_medium_that_raises_while_the_pacer_plays_ends_that_call_and_no_other() -> None:
    good, bad = Conversation(), Conversation(client=BrokenPipe())
    good.pacer = bad.pacer

    async def both() -> None:
        await asyncio.gather(bad.serve(speaking(ONE_TURN)), good.serve(speaking(ONE_TURN)))

    async def with_pacer() -> None:
        pacing = asyncio.create_task(good.pacer.run())
        await both()
        assert not pacing.done()
        pacing.cancel()
        with suppress(asyncio.CancelledError):
            await pacing

    with capture_logs() as logs:
        run_virtual(with_pacer())
    assert bad.end == BROKE
    assert good.end == LEFT
    assert agent_words(good) == [REPLY]
    assert {line["event"] for line in logs} == {"session_broke"}


class Unreadable(ReferenceMedium):
    async def receive(self) -> Incoming:
        raise RuntimeError("the socket was never accepted")


def test_a_medium_that_breaks_at_once_ends_the_call() -> None:
    async def caller(client: ReferenceMedium) -> None:
        await asyncio.sleep(0.1)

    with capture_logs() as logs:
        scene = Conversation(client=Unreadable()).run(caller)
    assert scene.end is not None
    assert scene.end.reason is EndReason.CONNECTION_ERROR
    assert [line["event"] for line in logs] == ["medium_broke"]


# The server


def test_a_message_that_comes_before_the_call_has_begun_is_not_lost() -> None:
    scene = Conversation()

    async def caller(client: ReferenceMedium) -> None:
        await client.speak("." * 100)

    scene.before = lambda session: session.receive(UserTextMessage("first of all"))
    scene.run(caller)
    assert scene.client.messages()[0]["type"] == "call_started"
    assert [message.text for message in scene.record.kept] == ["first of all", REPLY]
    assert scene.record.kept[0].wall_span.start_s >= 0


def test_a_call_that_is_to_end_before_it_has_begun_ends() -> None:
    scene = Conversation(leaves=False)
    scene.before = lambda session: session.end(EndReason.SYSTEM_ERROR, 1012, "the server is stopping")
    scene.run(speaking(""))
    assert scene.end == End(EndReason.SYSTEM_ERROR, 1012, "the server is stopping")


def test_what_was_heard_is_on_record_when_the_server_cancels_the_call() -> None:
    scene = Conversation()

    async def cancelled() -> None:
        pacing = asyncio.create_task(scene.pacer.run())
        running = asyncio.create_task(scene.start().run())
        await scene.client.speak("." * 5 + "#" * 10 + "." * 40)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        assert running.cancelled()
        pacing.cancel()
        with suppress(asyncio.CancelledError):
            await pacing
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(cancelled())
    assert len(agent_words(scene)) == 1
    assert REPLY.startswith(agent_words(scene)[0])
    assert scene.model.stopped == 0


class DyingVoiceActivity(ScriptedVoiceActivity):
    """Scores for a second and a half."""

    def open(self, on_score: Callable[[float], None]) -> ScriptedVoiceActivityStream:
        stream, frames = super().open(on_score), 0
        push = stream.push

        def dying(frame: Samples) -> None:
            nonlocal frames
            frames += 1
            if frames > 47:
                raise EngineError("the voice activity is gone", retryable=False)
            push(frame)

        stream.push = dying  # type: ignore[method-assign]
        return stream


class DeafTranscriber(ScriptedTranscriber):
    async def transcribe(self, utterance: ScriptedTranscription) -> str:
        await asyncio.Event().wait()
        raise AssertionError


def test_a_call_that_breaks_while_the_caller_speaks_waits_for_nobody() -> None:
    scene = Conversation().with_engines(voice_activity=DyingVoiceActivity(), transcriber=DeafTranscriber())
    with capture_logs() as logs:
        scene.run(speaking("." * 5 + "#" * 30))
    assert scene.end == BROKE
    assert [line["event"] for line in logs] == ["session_broke"]
