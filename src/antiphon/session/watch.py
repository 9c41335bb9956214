"""What a call finds out about its engines."""

from __future__ import annotations

from dataclasses import dataclass, field

from antiphon.call.messages import CallEvent
from antiphon.engines.condition import Condition, Watched
from antiphon.engines.current_call import current_call

MODEL, VOICE, TRANSCRIBER, END_OF_TURN = "model", "voice", "transcriber", "end of turn"


@dataclass(slots=True)
class EngineWatch:
    """One call's engines by stage, and how they do."""

    call_id: str = ""
    stages: dict[str, Watched] = field(default_factory=dict)

    def asks(self) -> None:
        """Begin a task that asks an engine for this call. To be called in the task itself."""
        current_call.set(self.call_id)

    def worked(self, stage: str) -> None:
        """The engine did its work."""
        watched = self._of(stage)
        if watched.alone:
            watched.condition.worked()

    def failed(self, stage: str, reason: str) -> None:
        """It did not, for that reason."""
        watched = self._of(stage)
        if watched.alone:
            watched.condition.failed(reason, call_id=self.call_id)

    def broke(self, stage: str, exception: Exception) -> str:
        """It has a mistake of its own; returns the reason to give, which quotes nobody."""
        reason = f"the {stage} broke ({type(exception).__name__})"
        watched = self._of(stage)
        if watched.alone:
            watched.condition.failed(reason, exception, call_id=self.call_id)
        return reason

    def noted(self, event: CallEvent) -> None:
        """Learn from an event of the call: an engine that gives no answer raises no error."""
        if event.type == "engine_stalled":
            watched = self._of(str(event.extras.get("stage", TRANSCRIBER)))
            watched.condition.failed(event.text, call_id=self.call_id)

    def _of(self, stage: str) -> Watched:
        return self.stages.setdefault(stage, Watched(Condition(stage)))
