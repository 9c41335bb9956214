"""What a call says: to the client, to further participants, and to its own record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from antiphon import metrics
from antiphon.call.messages import CallEvent, CallStarted, Message, PlaybackClearBuffer
from antiphon.session.parts import CallRecorder
from antiphon.session.watch import EngineWatch
from antiphon.wire.outgoing import EnabledDataMessages, to_json

InvocationKind: TypeAlias = Literal["client_tool_invocation", "data_connection_tool_invocation"]


class Participant:
    """Somebody who takes part in a call by data messages: the client, or the far end of the data connection.

    ``send(message)`` neither waits nor raises. ``enabled`` says which messages this one is sent. ``withdraw`` takes an
    invocation back that still waits to be sent, and says whether it did.
    """

    def __init__(
        self,
        send: Callable[[dict[str, Any]], None],
        enabled: EnabledDataMessages,
        *,
        is_client: bool = True,
        withdraw: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._send = send
        self._enabled = enabled
        self.is_client = is_client
        self.withdraw = withdraw
        self.rejected = 0
        """Messages of theirs that could not be taken."""

    def tell(self, message: Message) -> None:
        """Send ``message``, where it is wanted."""
        if self._enabled.allows(message):
            self._send(to_json(message))

    def wants(self, kind: InvocationKind) -> bool:
        """Whether this one is told of such invocations."""
        if kind == "client_tool_invocation":
            return self._enabled.client_tool_invocation
        return self._enabled.data_connection_tool_invocation

    def ask(self, kind: InvocationKind, name: str, invocation: str, parameters: dict[str, Any]) -> None:
        """Ask for a tool to be used."""
        self._send({"type": kind, "toolName": name, "invocationId": invocation, "parameters": parameters})


class Participants:
    """Says what the core wants said, to each participant what it asked for, and puts events on record.

    What answers one participant's message (a pong, for one) goes to that one alone, by ``Participant.tell``.
    """

    def __init__(
        self,
        client: Participant,
        recorder: CallRecorder,
        now: Callable[[], float],
        watch: EngineWatch | None = None,
    ) -> None:
        self.client = client
        self._others: list[Participant] = []
        self._recorder = recorder
        self._now = now
        self._watch = watch or EngineWatch()
        self.joined_at = 0.0
        """When the call began, on the call's clock."""
        self.audio_s = 0.0
        """How much of the caller's audio has been heard."""

    def add(self, participant: Participant) -> None:
        """One more takes part."""
        self._others.append(participant)

    def emit(self, message: Message) -> None:
        """Say it to everybody who wants it."""
        if isinstance(message, CallEvent):
            self.note(message)
        elif isinstance(message, CallStarted):
            self.client.tell(message)  # whoever connects otherwise is told then, each time
        else:
            self._tell_all(message)

    def reply_cut(self) -> None:
        """Tell everybody beside the client that a reply was cut: the client's medium tells the client."""
        for participant in self._others:
            participant.tell(PlaybackClearBuffer())

    def note(self, event: CallEvent) -> None:
        """Put an event on record, and tell those who want events."""
        metrics.observe(event)
        self._watch.noted(event)
        self._recorder.note(event, self.audio_s, self._now() - self.joined_at)
        self._tell_all(event)

    def ask(self, kind: InvocationKind, name: str, invocation: str, parameters: dict[str, Any]) -> None:
        """Ask all who are told of such invocations to use a tool; the first answer counts."""
        for participant in (self.client, *self._others):
            if participant.wants(kind):
                participant.ask(kind, name, invocation, parameters)

    def withdraw(self, kind: InvocationKind, invocation: str) -> bool:
        """Nobody is to use the tool any more. True where nobody was ever sent the invocation."""
        asked = [participant for participant in (self.client, *self._others) if participant.wants(kind)]
        withdrawn = [participant.withdraw(invocation) for participant in asked]
        return all(withdrawn)

    @property
    def has_data_connection(self) -> bool:
        """Whether somebody takes part beside the client."""
        return bool(self._others)

    def reaches(self, kind: InvocationKind) -> bool:
        """Whether anybody is told of such invocations."""
        return any(participant.wants(kind) for participant in (self.client, *self._others))

    def _tell_all(self, message: Message) -> None:
        self.client.tell(message)
        for participant in self._others:
            participant.tell(message)
