"""Who carries letters: messages to a thread, from the program around the call or from a tool."""

from __future__ import annotations

from dataclasses import replace

from antiphon.call.events import ForcedMessageReceived, UserTextReceived
from antiphon.call.prompt import ChatMessage
from antiphon.call.rules.caller_input import Caller
from antiphon.call.rules.next_reply import Conversation
from antiphon.call.threads.thread import Fork
from antiphon.call.tools.outcomes import MAIN_THREAD, ForcedMessage, Posted, SpawnThread, ThreadMessage, UserText


class Post:
    """What is for the main thread goes to ``caller``, as if it came from outside the call."""

    def __init__(self, conversation: Conversation, caller: Caller) -> None:
        self._talk = conversation
        self._caller = caller

    @property
    def waiting(self) -> bool:
        """Tools have sent something."""
        return bool(self._talk.tools.posted or self._talk.threads.posted)

    def collect(self, at: float) -> None:
        """Deliver what tools have sent, until they have sent nothing more."""
        while self.waiting and not self._talk.ending:
            box = self._talk.tools.posted or self._talk.threads.posted
            self.send(at, box[0].thread_message, box.pop(0))

    def send(self, at: float, thread_message: ThreadMessage, posted: Posted | None = None) -> None:
        """Deliver one; ``posted`` where it comes from a tool."""
        match thread_message:
            case SpawnThread():
                before = posted.before if posted is not None and posted.sender == thread_message.parent else None
                self._talk.threads.spawn(at, thread_message, self._fork(thread_message.parent, before))
            case UserText(thread=thread, text=text, urgency=urgency) if thread == MAIN_THREAD:
                self._caller.take_text(UserTextReceived(at, text, urgency))
            case ForcedMessage(thread=thread) if thread == MAIN_THREAD:
                self._caller.take_forced_message(
                    ForcedMessageReceived(
                        at,
                        thread_message.text,
                        thread_message.urgency,
                        thread_message.uninterruptible,
                        thread_message.wants,
                        thread_message.known,
                    )
                )
            case _:
                self._talk.threads.receive(at, thread_message)

    def _fork(self, parent: str, before: tuple[ChatMessage, ...] | None) -> Fork | None:
        """A copy of what ``parent`` is, with the conversation ``before`` where that is another than now."""
        if parent == MAIN_THREAD:
            fork = Fork(self._talk.prompt(), self._talk.tools.state)
        else:
            thread = self._talk.threads.find(parent)
            if thread is None or thread.failed:
                return None
            fork = thread.fork
        return fork if before is None else replace(fork, prompt=replace(fork.prompt, messages=before))
