"""Whole sessions on virtual time: scripted engines, a virtual client that plays in real time."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from antiphon.call.actions import End
from antiphon.call.call import Call
from antiphon.call.ends import EndReason
from antiphon.call.messages import Role
from antiphon.call.settings import CallSettings, FirstSpeaker, Greeting
from antiphon.engines.scripted import ScriptedLanguageModel, ScriptedTranscriber, unmark
from antiphon.testing.conversation import REPLY, USER_FIRST, Conversation
from antiphon.testing.reference_medium import ReferenceMedium


def play(
    caller: Callable[[ReferenceMedium], Awaitable[None]],
    *,
    client_buffer_ms: int = 60,
    output_rate: int = 24_000,
    first: FirstSpeaker = USER_FIRST,
) -> Conversation:
    """Serve one call in which ``caller`` does its part and then leaves."""
    settings = CallSettings("call", output_rate, first_speaker=first)
    client = ReferenceMedium(output_rate=output_rate, client_buffer_ms=client_buffer_ms)
    return Conversation(settings, client).run(caller)


async def one_turn(client: ReferenceMedium) -> None:
    await client.speak("." * 5 + "#" * 10 + "." * 120)


async def interrupted(client: ReferenceMedium) -> None:
    await client.speak("." * 5 + "#" * 10 + "." * 30 + "#" * 5 + "." * 100)


def kinds(client: ReferenceMedium) -> list[str]:
    """Messages and audio in order, runs of audio and deltas as one."""
    seen: list[str] = []
    for sent in client.received:
        if sent.audio is not None:
            kind = "audio"
        else:
            message = sent.message or {}
            kind = message["type"]
            if kind == "state":
                kind = message["state"]
            elif kind == "transcript":
                kind = f"{message['role']}-{'final' if message['final'] else 'delta'}"
        if kind == "agent-delta":
            continue
        if not seen or seen[-1] != kind or kind != "audio":
            seen.append(kind)
    return seen


def test_a_turn_in_the_order_of_the_protocol() -> None:
    scene = play(one_turn)
    expected = ["call_started", "listening", "user-final", "thinking", "speaking", "audio", "agent-final", "listening"]
    assert kinds(scene.client) == expected
    assert scene.client.messages("transcript")[-1]["text"] == REPLY
    assert scene.end == End(EndReason.HANGUP, 1000, "the client left")


@pytest.mark.parametrize("rate", [8_000, 11_025, 24_000, 44_100, 48_000])
def test_small_buffers_get_audio_in_time_and_never_far_ahead(rate: int) -> None:
    scene = play(one_turn, output_rate=rate)
    assert scene.client.gaps() == []
    assert scene.client.most_ahead_s <= 0.060 + 0.020 + 1e-6
    spoken = sum(scene.speaker.frames(text) for text in scene.speaker.spoken) * 0.02
    assert len(scene.client.heard_samples()) / rate == pytest.approx(spoken, abs=0.01)


def test_a_large_buffer_gets_the_whole_reply_as_fast_as_it_is_made() -> None:
    scene = play(one_turn, client_buffer_ms=30_000)
    audio = [sent for sent in scene.client.received if sent.audio is not None]
    assert audio[-1].at - audio[0].at < 0.05
    final = next(s for s in scene.client.received if s.message and s.message.get("text") == REPLY)
    length_s = sum(len(sent.audio) for sent in audio if sent.audio is not None) / 24_000
    assert final.at == pytest.approx(audio[0].at + length_s, abs=0.03)


@pytest.mark.parametrize("client_buffer_ms", [0, 60, 30_000])
def test_an_interruption_leaves_nothing_stale_and_what_was_heard_is_right(client_buffer_ms: int) -> None:
    scene = play(interrupted, client_buffer_ms=client_buffer_ms)
    client = scene.client
    clear = next(i for i, s in enumerate(client.received) if s.message and s.message["type"] == "playback_clear_buffer")
    after = client.received[clear:]
    states = [i for i, s in enumerate(after) if s.message and s.message.get("state") == "speaking"]
    assert not [s for s in after[: states[0]] if s.audio is not None]
    first_reply_texts = [m.text for m in scene.record.kept if m.role is Role.AGENT]
    assert REPLY.startswith(first_reply_texts[0])
    clear_at = client.received[clear].at
    begun = next(s.at for s in client.received if s.audio is not None)
    heard_s = clear_at - begun
    assert len(first_reply_texts[0]) * 0.06 == pytest.approx(heard_s, abs=0.75)
    assert len(first_reply_texts[0]) * 0.06 <= heard_s + 0.04


def test_what_is_made_is_heard_once_and_in_order() -> None:
    scene = play(one_turn)
    heard = scene.client.heard_samples()
    frames = heard[: len(heard) // 480 * 480].reshape(-1, 480)
    marks = [unmark(int(np.median(frame))) for frame in frames]
    expected = [
        (number % 12, frame % 512)
        for number, text in enumerate(scene.speaker.spoken, 1)
        for frame in range(scene.speaker.frames(text))
    ]
    assert marks == expected


def test_what_makes_nothing_possible_asks_for_no_new_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float | None] = []
    deadline: Callable[[Call], float | None] = vars(Call)["deadline"].fget

    def look(call: Call) -> float | None:
        looks.append(deadline(call))
        return looks[-1]

    monkeypatch.setattr(Call, "deadline", property(look))
    scene = play(one_turn)
    assert scene.client.messages("transcript")[-1]["text"] == REPLY
    assert len(looks) < 30, "of 135 frames and 100 reports of words, sound and playout"


def test_the_answer_adds_almost_nothing_to_the_endpoint_delay() -> None:
    scene = play(one_turn)
    first = next(s.at for s in scene.client.received if s.audio is not None)
    assert first - 1.5 <= 0.384 + 0.032 + 0.010


def test_bad_messages_do_not_end_the_call() -> None:
    async def caller(client: ReferenceMedium) -> None:
        for text in ("", "nonsense", "[]", "{}", '{"type": 5}', '{"type": "ping"}', "[" * 100_000):
            client.say(text)
        client.say(json.dumps({"type": "ping", "timestamp": 7.5}))
        await client.speak("." * 10)

    scene = play(caller)
    assert scene.client.messages("pong") == [{"type": "pong", "timestamp": 7.5}]
    assert len([event for event in scene.record.noted if event.type == "message_rejected"]) == 7
    assert scene.end == End(EndReason.HANGUP, 1000, "the client left")


def test_hang_up_closes_after_the_last_word() -> None:
    async def caller(client: ReferenceMedium) -> None:
        await client.speak("." * 5)
        client.say('{"type": "hang_up", "message": "Good bye."}')
        await client.speak("." * 40)

    scene = play(caller)
    assert scene.client.closed == (1000, "agent_hangup")
    assert scene.end is not None
    assert scene.end.reason is EndReason.AGENT_HANGUP
    assert scene.client.messages("transcript")[-1]["text"] == "Good bye."


def test_a_greeting_comes_first_when_the_agent_begins() -> None:
    async def caller(client: ReferenceMedium) -> None:
        await client.speak("." * 50)

    scene = play(caller, first=FirstSpeaker(True, Greeting(text="Hello there, caller.")))
    assert kinds(scene.client) == ["call_started", "thinking", "speaking", "audio", "agent-final", "listening"]


@pytest.mark.parametrize(("said", "stopped", "asked"), [("Mm-hmm.", 0, 1), ("No, wait.", 1, 2)])
def test_the_model_writes_on_until_it_is_known_whether_the_caller_only_listened(
    said: str, stopped: int, asked: int
) -> None:
    reply = "Let me tell you all about it, from the beginning. It is a long story, and it has no end that I know of."
    model = ScriptedLanguageModel([reply, "Well."], token_delay_s=0.2)
    scene = Conversation(CallSettings("call", 24_000, first_speaker=USER_FIRST), ReferenceMedium(output_rate=24_000))
    scene = scene.with_engines(model=model, transcriber=ScriptedTranscriber(["tell me", said]))

    async def caller(client: ReferenceMedium) -> None:
        await client.speak("." * 5 + "#" * 10 + "." * 30 + "#" * 5 + "." * 150)

    scene.run(caller)
    heard = [m["text"] for m in scene.client.messages("transcript") if m["final"] and m["role"] == "agent"]
    assert model.stopped == stopped
    assert len(model.prompts) == asked
    if said == "Mm-hmm.":
        assert " ".join(heard) == reply
        assert len(heard) == 2
    else:
        assert heard[-1] == "Well."
