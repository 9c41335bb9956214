"""Whether the caller's words end a sentence, as it looks in conversations."""

from __future__ import annotations

import pytest

from antiphon.call import actions as act
from antiphon.call import events as ev
from antiphon.call.listening.completeness import Ending, ending
from antiphon.call.messages import UserStoppedSpeaking
from antiphon.call.settings import FirstSpeaker
from tests.support.stage import Engines, Stage, settings

SURE, UNSURE = 0.9, 0.4


@pytest.mark.parametrize(
    "text",
    [
        "I would like to book a table.",
        "Where are you from?",
        "When does it open?",
        "Yes, I am.",
        "No.",
        "When I press the button, nothing happens.",
        'He said "no."',
    ],
)
def test_whole_sentences(text: str) -> None:
    assert ending(text, SURE, english=True) is Ending.ENDED
    assert ending(text, None, english=True) is Ending.LIKELY


@pytest.mark.parametrize(
    "text",
    [
        "My name is",
        "I am calling because.",
        "I ordered a lamp and...",
        "It was red, um.",
        "I need a room with",
        "When I press the red button.",
        "Well, if it is possible",
        "That was all. But when I opened the box.",
        "No, wait -",
    ],
)
def test_sentences_that_are_to_go_on(text: str) -> None:
    assert ending(text, SURE, english=True) is Ending.OPEN


def test_a_stop_that_the_transcriber_doubts_is_doubted() -> None:
    assert ending("The conference will begin.", UNSURE, english=True) is Ending.DOUBTFUL


def test_figures_may_be_part_of_a_longer_number() -> None:
    assert ending("My number is 555.", SURE, english=True) is Ending.DOUBTFUL


def test_no_stop_means_something_only_of_a_transcriber_that_writes_stops() -> None:
    assert ending("password incorrect", 0.0, english=True) is Ending.BARE
    assert ending("password incorrect", None, english=True) is Ending.UNMARKED


@pytest.mark.parametrize("text", ["Ich kann das nicht so.", "Ist das die?", "Was.", "これは何ですか。"])
def test_english_words_say_nothing_of_other_languages(text: str) -> None:
    assert ending(text, SURE, english=False) is Ending.ENDED


def ended_after(
    text: str, ends: float | None, completeness: float | None, *, words_s: float = 0.3, **changes: object
) -> float:
    """Seconds from the last frame of speech until the turn is held to be over: the caller says ``text``."""
    engines = Engines(completeness=completeness, transcription_s=words_s, words=[text], ends=ends)
    first = FirstSpeaker(agent=False, greeting=None)
    stage = Stage(settings(first_speaker=first, **changes), engines).join().speech(1.0, 3.0).run(10.0)
    over = stage.time_of(lambda action: action == act.Emit(UserStoppedSpeaking()))
    return round(over - 3.0, 1)


PROMPT, PATIENT, WITHOUT_WORDS = 0.4, 1.2, 0.6


def test_a_whole_sentence_is_answered_although_it_did_not_sound_like_one() -> None:
    assert ended_after("The box was empty when I opened it.", SURE, 0.01) == PROMPT


def test_an_unfinished_sentence_is_waited_for_although_it_sounded_finished() -> None:
    assert ended_after("My name is", 0.0, 0.97) == PATIENT


def test_where_the_words_are_in_doubt_the_melody_decides() -> None:
    assert ended_after("The conference will begin.", UNSURE, 0.9) == PROMPT
    assert ended_after("The conference will begin.", UNSURE, 0.5) == PATIENT


def test_words_that_come_late_are_waited_for_but_not_for_long() -> None:
    assert ended_after("My name is", 0.0, 0.97, words_s=0.4) == PATIENT
    assert ended_after("My name is", 0.0, 0.97, words_s=2.0) == WITHOUT_WORDS


def test_a_transcriber_without_stops_leaves_the_melody_to_decide() -> None:
    assert ended_after("that is all i wanted", None, 0.6) == PROMPT
    assert ended_after("that is all i wanted", None, 0.4) == PATIENT


def test_a_transcriber_that_fails_leaves_the_melody_to_decide() -> None:
    engines = Engines(completeness=0.9, transcription_s=0.2, unheard_of={(1, 1): 1})
    first = FirstSpeaker(agent=False, greeting=None)
    stage = Stage(settings(first_speaker=first), engines).join().speech(1.0, 3.0).run(10.0)
    assert round(stage.time_of(lambda action: action == act.Emit(UserStoppedSpeaking())) - 3.0, 1) == PROMPT


def test_words_do_not_matter_where_nobody_is_asked_whether_the_caller_is_done() -> None:
    assert ended_after("My name is", 0.0, None, judges_turns=False) == PROMPT


def test_a_speech_model_does_not_wait_for_words() -> None:
    assert ended_after("What time is it?", SURE, 0.9, words_s=2.0, speech_model=True) == PROMPT


def test_another_language_is_not_measured_by_english_words() -> None:
    assert ended_after("Wo ist die an?", SURE, 0.1, language="de") == PROMPT
    assert ended_after("Was will man an.", SURE, 0.1, language="de-AT") == PROMPT


def test_words_of_an_earlier_pause_decide_nothing() -> None:
    engines = Engines(completeness=0.01, transcription_s=0.3, ends=0.9, words=["That is all."])
    first = FirstSpeaker(agent=False, greeting=None)
    stage = Stage(settings(first_speaker=first), engines).join().speech(1.0, 2.0).speech(2.25, 3.0)
    stage.at(3.2, lambda at: ev.Transcribed(at, 1, 1, "Well.", 0.9)).run(10.0)
    assert round(stage.time_of(lambda action: action == act.Emit(UserStoppedSpeaking())) - 3.0, 1) == PROMPT
    assert [action.revision for _, action in stage.log if isinstance(action, act.Transcribe)] == [1, 2]
