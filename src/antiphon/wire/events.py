"""Data messages from the client → events of the core."""

from __future__ import annotations

from antiphon.call import events as ev
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
            return ev.ForcedMessageReceived(at, text, urgency, message.uninterruptible)
        case _:
            return None
