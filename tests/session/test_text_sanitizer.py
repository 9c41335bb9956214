"""Text from engines, fit to be sent whatever it was."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from antiphon.call.messages import Role
from antiphon.engines.scripted import ScriptedLanguageModel, ScriptedTranscriber
from antiphon.session.text_sanitizer import TextSanitizer, mended
from antiphon.testing.conversation import Conversation, speaking

CHARACTERS = st.text(st.characters(codec=None), max_size=8)


@given(CHARACTERS)
def test_whatever_comes_can_be_encoded(text: str) -> None:
    mended(text).encode()
    assert "\0" not in mended(text)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_good_text_is_left_alone_and_halves_are_joined(text: str) -> None:
    assert mended(text) == text
    halves = [chr(unit) for unit in memoryview(text.encode("utf-16-le")).cast("H")]
    sanitizer = TextSanitizer()
    assert "".join(sanitizer.push(half) for half in halves) == text


@given(st.lists(CHARACTERS))
def test_whatever_comes_bit_by_bit_can_be_encoded(deltas: list[str]) -> None:
    sanitizer = TextSanitizer()
    "".join(sanitizer.push(delta) for delta in deltas).encode()


def test_halves_of_characters_do_not_silence_a_call() -> None:
    model = ScriptedLanguageModel(["I am glad \ud83d\ude00 and \ud83d lost\0 here."])
    scene = Conversation().with_engines(model=model, transcriber=ScriptedTranscriber(["hello \udc00\0"]))
    scene.run(speaking("." * 5 + "#" * 10 + "." * 80))
    assert [message.text for message in scene.record.kept] == ["hello \ufffd", "I am glad 😀 and \ufffd lost here."]
    for message in scene.client.messages():
        str(message).encode()
    assert scene.record.kept[1].role is Role.AGENT
