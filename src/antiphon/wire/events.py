"""Data messages from the client → events of the core."""

from __future__ import annotations

import uuid

from antiphon.call import events as ev
from antiphon.call.tools import ToolOutcome, ToolRequest
from antiphon.tools import outcomes
from antiphon.wire import incoming


def event_of(message: incoming.Incoming, at: float) -> ev.Event | None:
    """The core's event for ``message``, known at ``at``; ``None`` for what a call does not take (yet)."""
    match message:
        case incoming.Ping(timestamp=timestamp):
            return ev.PingReceived(at, timestamp)
        case incoming.UserTextMessage(text=text, urgency=urgency, thread_id=incoming.MAIN_THREAD):
            return ev.UserTextReceived(at, text, urgency)
        case incoming.SetOutputMedium(medium=medium):
            return ev.OutputMediumSet(at, medium)
        case incoming.HangUp(message=text):
            return ev.HangUpReceived(at, text)
        case incoming.ForcedAgentMessage(content=text, urgency=urgency, thread_id=incoming.MAIN_THREAD):
            wants = tuple(
                ToolRequest(call.id or str(uuid.uuid4()), call.name, call.arguments) for call in message.tool_calls
            )
            known = {result.invocation_id: outcome_of(result) for result in message.known_tool_results}
            return ev.ForcedMessageReceived(at, text, urgency, message.uninterruptible, wants, known)
        case _:
            return None


def outcome_of(result: incoming.ToolResult, name: str = "") -> ToolOutcome:
    """What a client says came of the tool ``name``."""
    return outcomes.from_result(
        name,
        result=result.result,
        response_type=result.response_type,
        agent_reaction=result.agent_reaction,
        error_type=result.error_type,
        error_message=result.error_message,
        update_call_state=result.update_call_state,
    )
