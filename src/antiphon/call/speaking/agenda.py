"""What the agent is going to do once the floor is free."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from antiphon.call.ends import EndReason
from antiphon.call.prompt import ToolRequest
from antiphon.call.settings import EndBehavior
from antiphon.call.tools.outcomes import ToolOutcome

APOLOGY = "Sorry, I'm having some trouble right now. Could you say that again?"


@dataclass(frozen=True, slots=True)
class Line:
    """Fixed words for the agent to say."""

    text: str
    interruptible: bool = True
    end: EndBehavior = EndBehavior.NOTHING
    over_caller: bool = False
    """Does not wait for the caller to finish."""
    wants: tuple[ToolRequest, ...] = ()
    """Tools to be used once the words are heard."""
    known: Mapping[str, ToolOutcome] = field(default_factory=dict)
    """Of those, by invocation, what is known to come of them: they are not used."""
    insists: bool = False
    """Is said later, if the caller interrupted it before a word of it was heard."""
    resumes: int | None = None
    """The reply, stopped for nothing, of which it is the rest."""
    apology: bool = False
    """Something of ours broke, and this says so."""
    written: bool = False
    """Is not spoken, whatever the modality of the call."""


@dataclass(slots=True)
class Agenda:
    """Lines to say, an answer owed, a greeting to come, an end to make."""

    lines: deque[Line] = field(default_factory=deque)
    answer_owed: bool = False
    answer_over_caller: bool = False
    greeting_due: float | None = None
    apology_due: float | None = None
    """When an apology that could not be spoken is tried again."""
    closing: EndReason | None = None
    close_by: float | None = None

    def owe_answer(self, *, over_caller: bool = False) -> None:
        """Something was said that wants an answer."""
        self.answer_owed = True
        self.answer_over_caller = self.answer_over_caller or over_caller

    def paid(self) -> None:
        """The answer is under way."""
        self.answer_owed = self.answer_over_caller = False

    def close(self, reason: EndReason, by: float) -> None:
        """End the call once all lines are said, at the latest at ``by``. The first reason stands."""
        if self.closing is None:
            self.closing, self.close_by = reason, by
        self.paid()
        self.greeting_due = None
