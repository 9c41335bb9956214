"""Who carries letters: messages to a thread, from the program around the call or from a tool."""

from __future__ import annotations

from dataclasses import replace

from antiphon.call.caller import Caller
from antiphon.call.conversation import Conversation
from antiphon.call.events import ForcedMessageReceived, UserTextReceived
from antiphon.call.prompt import ChatMessage
from antiphon.call.thread import Fork
from antiphon.call.tools import MAIN_THREAD, ForcedMessage, Letter, Posted, SpawnThread, UserText


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
            self.send(at, box[0].letter, box.pop(0))

    def send(self, at: float, letter: Letter, posted: Posted | None = None) -> None:
        """Deliver one; ``posted`` where it comes from a tool."""
        match letter:
            case SpawnThread():
                before = posted.before if posted is not None and posted.sender == letter.parent else None
                self._talk.threads.spawn(at, letter, self._fork(letter.parent, before))
            case UserText(thread=thread, text=text, urgency=urgency) if thread == MAIN_THREAD:
                self._caller.take_text(UserTextReceived(at, text, urgency))
            case ForcedMessage(thread=thread) if thread == MAIN_THREAD:
                self._caller.take_forced_message(
                    ForcedMessageReceived(
                        at, letter.text, letter.urgency, letter.uninterruptible, letter.wants, letter.known
                    )
                )
            case _:
                self._talk.threads.receive(at, letter)

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
