"""One side thread: a conversation beside the call, without a voice.

It takes what is sent to it, asks for a generation where there is something to answer, and uses tools, for ever: until
it fails, or is cancelled. What it does is a function of its parts: a tool under way, a generation, an answer owed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from antiphon.call.actions import Action, Emit, GenerateForThread, Invoke, StopForThread
from antiphon.call.events import ThreadTextEnded
from antiphon.call.history import add_message, add_tool_call
from antiphon.call.messages import (
    CallEvent,
    InvokingTool,
    Message,
    Severity,
    SideGenerationCompleted,
    SideGenerationDelta,
    ThreadTerminated,
    ToolsAnswered,
    ToolsWanted,
    ToolUsed,
)
from antiphon.call.prompt import ChatMessage, Prompt, ToolRequest, ToolSpec
from antiphon.call.threads.invocation_ids import Claims
from antiphon.call.threads.token_limits import Spending, characters_of
from antiphon.call.tools.invocations import Invocation, Phase, judge, refusal
from antiphon.call.tools.outcomes import (
    PARENT_THREAD,
    ForcedMessage,
    Posted,
    ResponseType,
    SpawnThread,
    ThreadMessage,
    ToolOutcome,
    UserText,
)

MOST_CHARACTERS = 1_048_576
"""That one thread may add to what it was forked from, and that may wait for it."""


class ThreadState(StrEnum):
    """What a thread is doing, as tools see it."""

    IDLE = "IDLE"
    GENERATING = "GENERATING"
    CALLING_TOOL = "CALLING_TOOL"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Fork:
    """What a thread begins with: a copy of its parent's prompt, conversation and tools, and of what tools keep."""

    prompt: Prompt
    state: Mapping[str, Any]


@dataclass(slots=True)
class Generation:
    """One side generation under way."""

    number: int
    prompt: Prompt
    alive_at: float
    text: str = ""
    wants: list[ToolRequest] = field(default_factory=list)

    @property
    def written(self) -> int:
        """Characters that the model has written."""
        return len(self.text) + sum(len(want.name) + len(str(want.arguments)) for want in self.wants)


class Thread:
    """``posted`` takes what its tools send to threads; ``claims`` are the ids of their invocations."""

    def __init__(self, spawn: SpawnThread, fork: Fork, out: list[Action], posted: list[Posted], claims: Claims) -> None:
        self.thread_id = spawn.thread
        self.parent = spawn.parent
        self.call_state = dict(fork.state)
        self.failed = False
        self.last_response: str | None = None
        self.generation: Generation | None = None
        self.uses: dict[str, Invocation] = {}
        self._out = out
        self._posted = posted
        self._claims = claims
        self._inherited = frozenset(tool.name for tool in fork.prompt.tools)
        tools = tuple(tool for tool in fork.prompt.tools if allows(spawn, tool.name))
        conversation = f"{fork.prompt.conversation.partition('/')[0]}/{spawn.thread}"
        self._prompt = replace(fork.prompt, conversation=conversation, tools=tools, messages=(), background=True)
        self._chat = list(fork.prompt.messages)
        self._spending = Spending(spawn.limits, characters_of(self._chat))
        self._queue: deque[UserText | ForcedMessage] = deque()
        self._characters = 0
        """Of what it has added to what it was forked from, or still has to."""
        self._owes = bool(self._chat) and self._chat[-1].role in ("user", "tool")

    @property
    def state(self) -> ThreadState:
        """What it is doing. A generation that waits for its turn is one."""
        if self.failed:
            return ThreadState.FAILED
        if self.uses:
            return ThreadState.CALLING_TOOL
        return ThreadState.GENERATING if self.generation or self._owes else ThreadState.IDLE

    @property
    def wants_generation(self) -> bool:
        """There is something to answer, and nothing in the way."""
        return self._owes and not self._busy and not self.failed

    @property
    def chat(self) -> tuple[ChatMessage, ...]:
        """Its conversation; tools that have not all answered yet are not in it."""
        return tuple(self._chat)

    @property
    def fork(self) -> Fork:
        """What a thread forked from this one begins with."""
        return Fork(replace(self._prompt, messages=self.chat), self.call_state)

    def deadline(self, patience_s: float) -> float | None:
        """When something is to be given up."""
        times = [one.give_up_at for one in self.uses.values() if one.under_way]
        if self.generation is not None:
            times.append(self.generation.alive_at + patience_s)
        return min(times, default=None)

    # What comes to it

    def receive(self, at: float, message: UserText | ForcedMessage) -> None:
        """A message for it, taken in once nothing is under way."""
        self._queue.append(message)
        self._characters += _length(message)
        if self._characters > MOST_CHARACTERS:
            self._exceed(f"{MOST_CHARACTERS} characters of messages")
        self._proceed(at)

    def generate(self, at: float, number: int) -> None:
        """It is this thread's turn to generate; it does, unless a limit forbids it."""
        limit = self._spending.forbids(self._chat)
        if self._characters > MOST_CHARACTERS:
            limit = f"{MOST_CHARACTERS} characters of messages"
        if limit is not None:
            self._exceed(limit)
            return
        self._owes = False
        prompt = replace(self._prompt, messages=self.chat, output_tokens=self._spending.output_bound)
        self.generation = Generation(number, prompt, at)
        self._out.append(GenerateForThread(number, prompt))

    def wrote(self, at: float, delta: str) -> None:
        """The model wrote; leading blanks are nobody's words."""
        assert self.generation is not None
        self.generation.alive_at = at
        delta = delta if self.generation.text else delta.lstrip()
        if delta:
            self.generation.text += delta
            self._emit(SideGenerationDelta(self.thread_id, delta))

    def requested(self, at: float, request: ToolRequest) -> None:
        """The model wants a tool; it is used once the model has written all."""
        assert self.generation is not None
        self.generation.alive_at = at
        self.generation.wants.append(replace(request, invocation=self._claims.claim(request.invocation)))

    def ended(self, counted: ThreadTextEnded) -> None:
        """The model has written all."""
        generation = self._close_generation()
        cost = self._spending.book(generation.prompt, generation.written, counted)
        if (limit := self._spending.wrote_too_much(cost)) is not None:
            self._note(Severity.WARNING, "side_generation.canceled", "It wrote more than it may.", **cost.extras())
            self._exceed(limit)
            return
        text = generation.text.strip()
        self._characters += generation.written
        add_message(self._chat, ChatMessage("assistant", text))
        self.last_response = text or self.last_response
        self._emit(SideGenerationCompleted(self.thread_id, text, tuple(generation.wants)))
        self._note(Severity.INFO, "side_generation.completed", "The thread's model has answered.", **cost.extras())
        if (limit := self._spending.read_too_much(cost)) is not None:
            self._exceed(limit)
            return
        self._use(counted.at, [(want, None) for want in generation.wants], spoke=bool(text))
        self._proceed(counted.at)

    def broke(self, reason: str) -> None:
        """The model failed."""
        generation = self._close_generation()
        cost = self._spending.book(generation.prompt, generation.written, None)
        self._note(Severity.ERROR, "side_generation.failed", reason, **cost.extras())
        self._fail(Severity.ERROR, "thread.failed", reason)

    def returned(self, at: float, invocation: str, outcome: ToolOutcome) -> bool:
        """Something came of a tool; ``False``: it had its outcome before."""
        one = self.uses[invocation]
        if not one.under_way:
            return False
        self._return(one, outcome)
        self._go_on_if_settled(at)
        return True

    # Time and ends

    def give_up(self, now: float, patience_s: float) -> None:
        """Whoever has given no sign of life by now gives none any more."""
        late = [one for one in self.uses.values() if one.under_way and now >= one.give_up_at]
        for one in late:
            text = f"{one.request.name} gave no answer in time."
            self._return(one, ToolOutcome(text, failed=True, error_details=text))
        if late:
            self._go_on_if_settled(now)
        generation = self.generation
        if generation is not None and now >= generation.alive_at + patience_s:
            self._out.append(StopForThread(generation.number))
            self.broke("The model gave no sign of life and was given up.")

    def cancel(self, reason: str) -> None:
        """It is over, as nobody wants it any more. Nothing is to be done with it afterwards."""
        if self.failed:
            return
        self._stop_generation("The thread was canceled.")
        self._fail(Severity.INFO, "thread.canceled", reason)

    def _exceed(self, limit: str) -> None:
        self._stop_generation("The thread reached a limit.")
        self._fail(Severity.WARNING, "thread.limit_reached", f"limit reached: {limit}")

    def _fail(self, severity: Severity, kind: str, reason: str) -> None:
        self.failed, self._owes = True, False
        self.uses.clear()
        self._queue.clear()
        self._chat.clear()
        self._note(severity, kind, reason, **self._spending.extras())
        self._emit(ThreadTerminated(self.thread_id, reason))

    def _stop_generation(self, why: str) -> None:
        if self.generation is not None:
            generation = self._close_generation()
            self._out.append(StopForThread(generation.number))
            cost = self._spending.book(generation.prompt, generation.written, None)
            self._note(Severity.INFO, "side_generation.canceled", why, **cost.extras())

    def _close_generation(self) -> Generation:
        generation, self.generation = self.generation, None
        assert generation is not None
        return generation

    # Its own work

    @property
    def _busy(self) -> bool:
        return bool(self.uses) or self.generation is not None

    def _proceed(self, at: float) -> None:
        while self._queue and not self._busy and not self.failed:
            self._take(at, self._queue.popleft())

    def _take(self, at: float, message: UserText | ForcedMessage) -> None:
        text = message.text.strip()
        if isinstance(message, UserText):
            add_message(self._chat, ChatMessage("user", text))
            self._owes = self._owes or bool(text)
            return
        if text:
            add_message(self._chat, ChatMessage("assistant", text))
            self.last_response, self._owes = text, False
        wants = [
            (replace(want, invocation=self._claims.claim(want.invocation)), message.known.get(want.invocation))
            for want in message.wants
        ]
        self._use(at, wants, spoke=bool(text), forced=True)

    def _use(
        self, at: float, wants: list[tuple[ToolRequest, ToolOutcome | None]], *, spoke: bool, forced: bool = False
    ) -> None:
        tools = self._prompt.tools
        if wants:
            self._emit(ToolsWanted(tuple(request for request, _ in wants), forced, self.thread_id))
        for request, known in wants:
            spec = next((tool for tool in tools if tool.name == request.name), None)
            self.uses[request.invocation] = Invocation(
                request, spec, 0, known=known, spoke=spoke, phase=Phase.RUNNING, begun=True, started_at=at
            )
        for one in list(self.uses.values()):
            outcome = one.known or self._unavailable(one.request) or refusal(one.request, one.spec, tools)
            if outcome is not None:
                self._return(one, outcome)
            elif one.spec is not None:
                self._run(one, one.spec)
        self._go_on_if_settled(at)

    def _run(self, one: Invocation, spec: ToolSpec) -> None:
        self._emit(InvokingTool(one.request.name, one.request.invocation))
        self._out.append(Invoke(one.request, spec, self.thread_id))
        if spec.static_response is not None:
            self._claims.answered_beforehand(one.request.invocation)
            self._return(one, ToolOutcome(spec.static_response))

    def _unavailable(self, request: ToolRequest) -> ToolOutcome | None:
        """A tool that the parent has, and this thread may not use."""
        usable = {tool.name for tool in self._prompt.tools}
        if request.name not in self._inherited - usable:
            return None
        text = f"The tool {request.name} is not available here."
        return ToolOutcome(text, failed=True, error_details=f"the thread's toolFilter leaves {request.name} out")

    def _return(self, one: Invocation, outcome: ToolOutcome) -> None:
        if outcome.response_type in (ResponseType.HANG_UP, ResponseType.NEW_STAGE) and not outcome.failed:
            outcome = self._unsupported(one, outcome.response_type)
        one.phase, one.outcome = Phase.RETURNED, outcome
        self.call_state.update(outcome.state_update or {})
        self._emit(ToolUsed(one.request.name, one.request.invocation))
        if outcome.failed:
            self._note(
                Severity.WARNING,
                "tool_failed",
                f"{one.request.name}: {outcome.text}",
                invocation_id=one.request.invocation,
                error_details=outcome.error_details,
            )
        if outcome.thread_message is not None:
            self._posted.append(Posted(self.thread_id, self._addressed(outcome.thread_message), self.chat))

    def _unsupported(self, one: Invocation, asked: ResponseType) -> ToolOutcome:
        name = one.request.name
        text = f"{name} asked for {asked}, which only the main conversation can do."
        self._note(Severity.WARNING, "thread_comms.unsupported_call_change", text, response_type=asked.value)
        return ToolOutcome(text, failed=True, error_details=f"{asked} from the side thread {self.thread_id}")

    def _addressed(self, thread_message: ThreadMessage) -> ThreadMessage:
        if isinstance(thread_message, SpawnThread):
            return (
                replace(thread_message, parent=self.parent)
                if thread_message.parent == PARENT_THREAD
                else thread_message
            )
        return replace(thread_message, thread=self.parent) if thread_message.thread == PARENT_THREAD else thread_message

    def _go_on_if_settled(self, at: float) -> None:
        if not self.uses or any(one.under_way for one in self.uses.values()):
            return
        settled = list(self.uses.values())
        self.uses.clear()
        answers = (replace(one.answer, call_ordinal=None, result_ordinal=None) for one in settled)
        self._emit(ToolsAnswered(tuple(answers), self.thread_id))
        verdict = judge(settled)
        for one in settled:
            add_tool_call(self._chat, one.request)
        for one in settled:
            text = one.outcome.text if one.outcome is not None else ""
            self._characters += len(text)
            self._chat.append(ChatMessage("tool", text, tool_call_id=one.request.invocation))
        self._owes = verdict.speaks
        self._proceed(at)

    def _note(self, severity: Severity, kind: str, text: str, **extras: Any) -> None:
        self._emit(CallEvent(severity, kind, text, {"thread_id": self.thread_id, **extras}))

    def _emit(self, message: Message) -> None:
        self._out.append(Emit(message))


def allows(spawn: SpawnThread, tool: str) -> bool:
    """Whether a thread may use a tool: of those allowed (all, where none are named) the ones not disallowed."""
    return (spawn.allowed is None or tool in spawn.allowed) and tool not in spawn.disallowed


def _length(message: UserText | ForcedMessage) -> int:
    """Characters that a message may come to."""
    if isinstance(message, UserText):
        return len(message.text)
    return len(message.text) + sum(len(want.name) + len(str(want.arguments)) for want in message.wants)
