"""Data messages from the client → events of the core."""

from __future__ import annotations

from antiphon.call import events as ev
from antiphon.call.tools.outcomes import ForcedMessage, SpawnThread
from antiphon.wire import incoming
from antiphon.wire.thread_messages import thread_message_of


def event_of(message: incoming.Incoming, at: float) -> ev.Event | None:
    """The core's event for ``message``, known at ``at``; ``None`` for what a call does not take (yet)."""
    match message:
        case incoming.SetOutputMedium(medium=medium):
            return ev.OutputMediumSet(at, medium)
        case incoming.HangUp(message=text):
            return ev.HangUpReceived(at, text)
        case incoming.UserTextMessage(text=text, urgency=urgency, thread_id=thread):
            return ev.UserTextReceived(at, text, urgency, thread)
        case incoming.ForcedAgentMessage() | incoming.SpawnThread():
            match thread_message_of(message):
                case ForcedMessage() as forced:
                    return ev.ForcedMessageReceived(
                        at,
                        forced.text,
                        forced.urgency,
                        forced.uninterruptible,
                        forced.wants,
                        forced.known,
                        forced.thread,
                    )
                case SpawnThread() as spawn:
                    return ev.SpawnRequested(at, spawn)
    return None
