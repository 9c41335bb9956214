from __future__ import annotations

import pytest

from antiphon.call.history import History
from antiphon.call.prompt import ChatMessage


@pytest.mark.parametrize(("role", "natural"), [("user", True), ("tool", True), ("assistant", False)])
def test_a_model_answers_a_caller_or_a_result_without_being_asked(role: str, natural: bool) -> None:
    initial = (ChatMessage("user", "Hello."), ChatMessage(role, "This."))
    assert History("call", "", initial).ends_with_user() is natural
    assert History("call", "", ()).ends_with_user() is False
