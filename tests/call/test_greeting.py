"""A greeting that the model makes up is made up in the role that the prompt gives it."""

from __future__ import annotations

from antiphon.call.greeting import MOST_OF_A_PROMPT, beginning, greeting_nudge
from antiphon.call.prompt import ChatMessage
from antiphon.call.settings import FirstSpeaker, Greeting
from tests.support.stage import Engines, Stage, settings

PIRATE = "You are a pirate captain. Speak like one."


def asked(stage: Stage) -> list[tuple[str, str]]:
    """What the model was given to answer first."""
    return [(message.role, message.text) for message in stage.prompts[0].prompt.messages]


def test_who_is_asked_to_greet_is_told_again_who_it_is() -> None:
    stage = Stage(settings(system_prompt=PIRATE)).join().run(10.0)
    ((role, text),) = asked(stage)
    assert role == "user"
    assert PIRATE in text
    assert stage.prompts[0].prompt.system == PIRATE


def test_it_is_told_so_after_messages_that_the_call_brought_and_no_part_of_the_history() -> None:
    brought = (ChatMessage("user", "I am Steve."), ChatMessage("assistant", "Hello, Steve."))
    engines = Engines(replies=lambda _: "Ahoy")
    stage = Stage(settings(system_prompt=PIRATE, initial_messages=brought), engines).join().run(10.0)
    assert [role for role, _ in asked(stage)] == ["user", "assistant", "user"]
    assert PIRATE in asked(stage)[-1][1]
    stage.speech(11.0, 12.0).run(20.0)
    assert PIRATE not in str(stage.prompts[-1].prompt.messages)


def test_a_greeting_with_a_prompt_of_its_own_and_one_without_any_are_left_alone() -> None:
    own = FirstSpeaker(True, Greeting(prompt="Say hello to Steve."))
    assert asked(Stage(settings(system_prompt=PIRATE, first_speaker=own)).join().run(10.0)) == [
        ("user", "Say hello to Steve.")
    ]
    assert asked(Stage(settings(system_prompt=PIRATE, greeting_prompt=False)).join().run(10.0)) == []
    waiting = (ChatMessage("user", "Are you there?"),)
    stage = Stage(settings(system_prompt=PIRATE, initial_messages=waiting)).join().run(10.0)
    assert asked(stage) == [("user", "Are you there?")]


def test_without_a_prompt_there_is_no_role_to_tell_of() -> None:
    assert greeting_nudge(" \n ") == "(The call has just begun. Greet me in one short sentence.)"


def test_of_a_long_prompt_its_first_sentences_are_told() -> None:
    long = "You are Dr. Donut!\nYou sell donuts. " + "Many rules follow here, one after the other. " * 50
    told = beginning(long)
    assert told.startswith("You are Dr. Donut! You sell donuts. Many rules")
    assert told.endswith("other.")
    assert len(told) <= MOST_OF_A_PROMPT
    endless = beginning("word " * 1_000)
    assert endless.endswith("word …")
    assert len(endless) <= MOST_OF_A_PROMPT + 2
    assert beginning("Kurz") == "Kurz"
    assert len(beginning("x" * 5_000)) <= MOST_OF_A_PROMPT
