"""The agent's side of the floor: every reply is heard or read, and nothing else is on record."""

from __future__ import annotations

from antiphon.call import events as ev
from antiphon.call.messages import AgentState, Modality, Role
from antiphon.call.settings import FirstSpeaker, Greeting
from tests.support.stage import Engines, Stage, settings

USER_FIRST = FirstSpeaker(agent=False, greeting=None)


def test_fixed_words_are_written_too() -> None:
    greeting = FirstSpeaker(True, Greeting(text="Welcome"))
    stage = Stage(settings(modality=Modality.TEXT, first_speaker=greeting)).join()
    stage.at(1.0, lambda at: ev.ForcedMessageReceived(at, "A word from us", ev.Urgency.SOON, uninterruptible=False))
    stage.at(2.0, lambda at: ev.HangUpReceived(at, "Good bye")).run(5.0)
    assert [m.text for m in stage.finals(Role.AGENT)] == ["Welcome", "A word from us", "Good bye"]
    assert [m.text for m in stage.call.messages] == ["Welcome", "A word from us", "Good bye"]


def test_a_draft_that_is_whole_before_the_caller_is_done_is_written() -> None:
    engines = Engines(transcription_s=0.01, first_text_s=0.01, a_word_s=0.001)
    stage = Stage(settings(modality=Modality.TEXT, first_speaker=USER_FIRST), engines).join().speech(1.0, 2.0).run(5.0)
    assert stage.wire()[1:] == [
        "user: utterance 1",
        "thinking",
        "speaking",
        "agent: You said utterance 1. That is fine with me.",
        "listening",
    ]


def test_what_the_speaker_never_spoke_is_not_on_record() -> None:
    engines = Engines(replies=lambda _: "The first is spoken. The second breaks. The third never comes.", breaks_at=1)
    stage = Stage(settings(first_speaker=USER_FIRST), engines).join().speech(1.0, 2.0).run(15.0)
    # The apology for it breaks at its second sentence, too, and is not apologised for.
    said = ["The first is spoken.", "Sorry, I'm having some trouble right now."]
    assert [m.text for m in stage.finals(Role.AGENT)] == said
    assert [m.text for m in stage.call.messages[1:]] == said
    assert stage.call.state is AgentState.LISTENING


def test_a_speaker_that_falls_silent_in_mid_reply_is_given_up() -> None:
    engines = Engines(replies=lambda _: "The first is spoken. The second never comes.", silent_from=(1, 1))
    stage = Stage(settings(first_speaker=USER_FIRST), engines).join().speech(1.0, 2.0).run(60.0)
    assert stage.events("engine_stalled")
    assert stage.finals(Role.AGENT)[0].text == "The first is spoken."
    assert stage.call.state is AgentState.LISTENING


def test_words_once_shown_as_heard_stay_so() -> None:
    """A clause that turns out much longer than it was thought moves words behind the position again."""
    stage = Stage(settings(first_speaker=USER_FIRST), Engines(stalls=True)).join().speech(1.0, 2.0).run(2.5)
    stage.feed(ev.TextGenerated(stage.now, 1, "one two three four five six seven. "))
    stage.feed(ev.SpeechMade(stage.now, 1, 0, 20_000, ended=False))
    stage.feed(ev.PlayoutAdvanced(stage.now, 1, 19_000))
    stage.feed(ev.SpeechMade(stage.now, 1, 0, 200_000, ended=True))
    shown = "".join(m.delta or "" for m in stage.transcripts(Role.AGENT))
    assert shown
    stage.feed(ev.UserTextReceived(stage.now, "", ev.Urgency.IMMEDIATE))
    assert (stage.finals(Role.AGENT)[0].text or "").startswith(shown.strip())
