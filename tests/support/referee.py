"""What must hold of any call, checked as it happens: order, outcomes, words, rest.

``feeds`` sees every event before the core does, ``takes`` every action, ``settled`` the core between two events.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from antiphon.call import actions as act
from antiphon.call import events as ev
from antiphon.call.call import Call
from antiphon.call.history import KeptMessage, SpokenMessage, ToolMessage, ToolRole
from antiphon.call.messages import (
    AgentState,
    CallEvent,
    Modality,
    Role,
    SideGenerationCompleted,
    SideGenerationDelta,
    StateChanged,
    ThreadSpawned,
    ThreadTerminated,
    ToolUsed,
    Transcript,
)
from antiphon.call.speaking.agenda import APOLOGY
from antiphon.call.tools.outcomes import MAIN_THREAD
from tests.support.random_world import TOOLS, World

LONGEST_WAIT_S = 75.0
"""Nothing that the agent waits for while it thinks or speaks takes longer before something is done about it."""

_BUSY = (AgentState.THINKING, AgentState.SPEAKING)
_THREAD_BUSY = ("GENERATING", "CALLING_TOOL")
_PRECOMPUTABLE = {spec.name for spec in TOOLS if spec.precomputable}


@dataclass
class Reply:
    """What is known of one reply."""

    written: str = ""
    prompt: str | None = None
    """What it was written after; of fixed words ``None``."""
    clauses: dict[int, str] = field(default_factory=dict)
    samples: dict[int, int] = field(default_factory=dict)
    silent: set[int] = field(default_factory=set)
    """Clauses that the speaker is done with, and gave no sound of: they count as heard when it is their turn."""
    taken: bool = False
    """The state has changed since it was begun."""
    position: int = 0
    playing: bool = False
    stopped: bool = False
    writes_on: bool = False
    """Stopped, but for the model."""

    def begun_words(self) -> list[str]:
        """The words of all clauses of which something was heard."""
        words: list[str] = []
        before = 0
        for number, text in sorted(self.clauses.items()):
            if self.position <= before and number not in self.silent:
                break
            words += text.split()
            before += self.samples.get(number, 0)
        return words


class Referee:
    """Raises ``AssertionError`` on the first thing that is wrong."""

    def __init__(self, world: World, call: Call) -> None:
        self._world = world
        self._call = call
        self._state = AgentState.IDLE
        self._replies: dict[int, Reply] = {}
        self._playing = 0
        self._clear_due = self._ended = False
        self._unanswered = False
        """A ``Stop`` of what was being played has no answer (yet)."""
        self._moved_at = 0.0
        self._roles: dict[int, Role] = {}
        self._deltas: dict[int, str] = {}
        self._finals: dict[int, Transcript] = {}
        self._open: int | None = None
        self._kept: list[KeptMessage] = []
        self._invoked: Counter[str] = Counter()
        self._names: dict[str, str] = {}
        self._returned: dict[str, set[str]] = {}
        self._known: set[str] = set()
        self._of_threads: set[str] = set()
        """Invocations of side threads, which are not on record."""
        self._threads: set[str] = set()
        self._had_threads = False
        self._asides: dict[int, bool] = {}
        """Side generations, and whether each was stopped."""
        self._writing: set[int] = set()
        self._stage_begun = False
        self._used: Counter[str] = Counter()
        self._now = self._owed_at = 0.0
        self._owed = ""
        """What the caller said last that wants an answer, until one is begun."""
        self._user_texts: list[str] = []
        self._wrote: list[str] = []

    def check(self, holds: bool, otherwise: str) -> None:
        """Raises where it does not hold."""
        if not holds:
            raise AssertionError(
                f"{otherwise}\n  python -m tests.support.random_conversation --show --seed {self._world.seed}"
            )

    # What goes in

    def feeds(self, now: float, event: ev.Event) -> None:
        """An event is about to be given to the core."""
        blank = isinstance(event, ev.TextGenerated) and not event.delta.strip()
        if not blank and not isinstance(event, ev.SpeechScored):
            self._moved_at = now
        match event:
            case ev.TextGenerated(reply=number, delta=delta):
                self._reply(number).written += delta
            case ev.SpeechMade(reply=number, clause=clause, samples=samples, ended=ended):
                self._reply(number).samples[clause] = samples
                if ended and not samples:
                    self._reply(number).silent.add(clause)
            case ev.PlayoutAdvanced(reply=number, position=position):
                self._reply(number).position = position
            case ev.PlayoutStopped(reply=number, position=position, unplayed=unplayed):
                self._reply(number).position = position
                self._clear_due = unplayed > 0 and not self._ended
                self._unanswered = False
            case ev.ToolReturned(invocation=invocation, outcome=outcome):
                self._returned.setdefault(invocation, set()).add(outcome.text)
            case ev.ForcedMessageReceived(known=known):
                self._known |= {outcome.text for outcome in known.values()}
            case ev.ThreadTextEnded(generation=number) | ev.ThreadTextFailed(generation=number):
                self._writing.discard(number)
            case ev.StagePrepared(invocation=invocation, outcome=outcome):
                self._returned.setdefault(invocation, set()).add(outcome.text)
            case ev.UserTextReceived(text=text, thread=thread) if text and thread == MAIN_THREAD:
                talking = self._call.state is not AgentState.IDLE and not self._call._talk.ending
                self._wrote += [text] if talking else []

    # What comes out

    def takes(self, now: float, action: act.Action) -> None:
        """An action of the core is about to be carried out."""
        self.check(not self._ended, "something follows the end")
        self._now = now
        match action:
            case act.End():
                self._ended = True
                self.check(not self._clear_due, "the call ended with sound left in the client's buffer")
            case act.Generate(reply=number, prompt=prompt):
                self.check(number not in self._replies, "a reply is begun twice")
                before = self._reply(number).prompt = " ".join(message.text for message in prompt.messages)
                self.check(self._stage_begun or self._owed in before, "an answer to something else")
                self._owed = ""
            case act.Speak(reply=number, clause=clause, text=text):
                reply = self._live(number)
                self.check(clause not in reply.clauses, "a clause is spoken twice")
                reply.clauses[clause] = text
            case act.Play(reply=number):
                reply = self._live(number)
                self.check(not reply.playing, "a reply is played twice")
                self.check(self._state is AgentState.SPEAKING, "sound before the state is speaking")
                reply.playing, self._playing = True, number
            case act.Stop(reply=number, keep_writing=writes_on):
                reply = self._reply(number)
                if reply.stopped:
                    self.check(reply.writes_on and not writes_on, "a reply is stopped twice")
                else:
                    self._unanswered = reply.playing
                reply.stopped, reply.writes_on = True, writes_on
            case act.Invoke(request=request, thread=thread):
                self._invoked[request.invocation] += 1
                if thread != MAIN_THREAD:
                    self._of_threads.add(request.invocation)
                self._names[request.invocation] = request.name
                self.check(self._invoked[request.invocation] == 1, "a tool runs twice")
            case act.Keep(message=message):
                self._keep(message)
            case act.Emit(message=StateChanged(state=state)):
                self.check(state is not self._state, "a state is said twice")
                self.check(state is not AgentState.IDLE, "idle in the midst of a call")
                self.check(not self._clear_due, "the state changes before the client's buffer is cleared")
                self.check(self._open is None, "the state changes before the agent's words are final")
                self._taken(now, state)
                self._state, self._moved_at = state, now
                self._owed = "" if state is AgentState.THINKING else self._owed
            case act.ReplyCut(unplayed=unplayed) if unplayed != 0:
                self.check(self._clear_due or self._unanswered, "a clear without anything to be cleared")
                self._clear_due = False
            case act.Emit(message=Transcript() as transcript):
                self._transcript(transcript)
            case act.Emit(message=CallEvent(type="stuck", extras=extras)):
                ours = self._world.loses_stops and extras["waitingFor"] == "playout_stopped"
                self.check(ours, f"stuck in {extras}")
            case act.Emit(message=ToolUsed(invocation=invocation)):
                self._used[invocation] += 1
                self.check(self._used[invocation] == 1, "a tool is used up twice")
            case act.BeginStage():
                self._stage_begun = True
                self.check(not self._threads, "threads outlive their stage")
            case act.GenerateForThread(generation=number):
                self.check(number not in self._asides, "a side generation is begun twice")
                self._asides[number] = False
                self._writing.add(number)
                self.check(len(self._writing) <= self._world.settings.threads.at_once, "too many side generations")
            case act.StopForThread(generation=number):
                self.check(self._asides.get(number) is False, "a side generation is stopped that does not run")
                self._asides[number] = True
                self._writing.discard(number)
            case act.Emit(message=ThreadSpawned(thread=thread)):
                self.check(thread not in self._threads, "a thread is spawned while it lives")
                self._threads.add(thread)
                self._had_threads = True
            case act.Emit(message=ThreadTerminated(thread=thread)):
                self.check(thread in self._threads, "a thread ends that does not live")
                self._threads.discard(thread)
            case act.Emit(message=SideGenerationDelta(thread=thread) | SideGenerationCompleted(thread=thread)):
                self.check(thread in self._threads, "a thread speaks that does not live")

    def settled(self, now: float) -> None:
        """The core has nothing more to do for now."""
        call = self._call
        if call.ended:
            self.check(self._ended, "the end is not said")
            return
        if call.state is AgentState.IDLE or call._talk.ending:
            return
        self.check(call.state is self._state, f"the client believes {self._state.value}, it is {call.state.value}")
        if self._state in _BUSY:
            self.check(now - self._moved_at <= LONGEST_WAIT_S, f"stuck in {self._state.value}")
            by = call.deadline
            self.check(by is not None and by <= now + LONGEST_WAIT_S, f"nothing bounds the {self._state.value}")

    # At the end

    def rests(self, now: float) -> None:
        """Nothing has happened from outside for long: the call must be at rest."""
        self.check(self._call.state is AgentState.LISTENING, f"still {self._call.state.value} with nothing going on")
        self.check(not self._call._talk.caller_has_floor, "still the caller's floor, who has long fallen silent")
        busy = {name: state for name, state in self._call.threads.states().items() if state["state"] in _THREAD_BUSY}
        self.check(not busy, f"threads still at work with nothing going on: {busy}")
        self.check(not self._owed, f"{self._owed!r} is not answered")
        self._check_tools()

    def over(self, now: float) -> None:
        """The call was ended, and time enough has passed."""
        self.check(self._call.ended and self._ended, "the call does not end")
        self._check_tools()
        self.check(not self._threads, f"threads outlive the call: {self._threads}")
        kept = tuple(sorted(self._kept, key=lambda message: message.ordinal))
        self.check(self._call.messages == kept, "history is not what was put on record")
        ordinals = [message.ordinal for message in kept]
        self.check(len(ordinals) == len(set(ordinals)), "two messages in one place")
        spoken = {message.ordinal: message.text for message in kept if isinstance(message, SpokenMessage)}
        told = {ordinal: final.text for ordinal, final in self._finals.items() if final.text}
        self.check(spoken == told, "history is not what the client was told")
        self.check(set(self._deltas) <= set(self._finals), "words that never became final")
        for text in set(self._wrote):
            times = sum(text == heard for heard in self._user_texts)
            self.check(times == self._wrote.count(text), f"{text!r} was written and is {times} times in the history")
        late: tuple[ev.Event, ...] = (
            ev.UserTextReceived(now, "hello", ev.Urgency.IMMEDIATE),
            ev.ToolReturned(now, next(iter(self._invoked), "x"), self._world.outcome("x")),
            ev.SpeechScored(now, now, 0.9),
            ev.PlayoutStopped(now, self._playing, 10**9, 1),
        )
        for event in late:
            self._call.receive(event)
        self._call.tick(now + 1e6)
        self.check(not self._call.actions(), "an ended call does something")
        self.check(self._call.messages == kept, "history changes after the end")

    def _check_tools(self) -> None:
        halves = Counter((one.request.invocation, one.role) for one in self._kept if isinstance(one, ToolMessage))
        self.check(all(count == 1 for count in halves.values()), "half of an invocation is on record twice")
        calls = {invocation for invocation, role in halves if role is ToolRole.CALL}
        results = {invocation for invocation, role in halves if role is ToolRole.RESULT}
        self.check(calls == results, f"no outcome of {calls ^ results}")
        lost = {one for one in self._invoked if self._names[one] not in _PRECOMPUTABLE} - results - self._of_threads
        self.check(not lost, f"{lost} ran and is not on record")
        self.check(set(self._used) - self._of_threads >= results, "an outcome that is not told")
        unknown = set(self._used) - results - self._of_threads
        self.check(self._had_threads or not unknown, "an outcome told and not on record")

    # Small things

    def _taken(self, now: float, state: AgentState) -> None:
        """A state begins: where that is by an answer to what was just said, the answer is to that."""
        if not self._replies:
            return
        reply = self._replies[max(self._replies)]
        answers = state is AgentState.THINKING and self._owed and self._owed_at == now and not self._stage_begun
        if answers and reply.prompt is not None and not (reply.stopped or reply.taken):
            self.check(self._owed in reply.prompt, "a draft that answers something else")
        reply.taken = True

    def _reply(self, number: int) -> Reply:
        return self._replies.setdefault(number, Reply())

    def _live(self, number: int) -> Reply:
        reply = self._reply(number)
        self.check(not reply.stopped, "a stopped reply goes on")
        return reply

    def _keep(self, message: KeptMessage) -> None:
        self._kept.append(message)
        if isinstance(message, ToolMessage) and message.role is ToolRole.RESULT:
            invocation, name = message.request.invocation, message.request.name
            said = message.text in self._returned.get(invocation, set()) | self._known
            ours = message.text.startswith(
                (name, "There is no tool", "The tool was not used", "The call ended", "noted")
            )
            self.check(said or ours, f"{message.text!r} is nobody's answer to {invocation}")

    def _transcript(self, one: Transcript) -> None:
        self.check((one.text is None) != (one.delta is None), "a transcript has a text or a delta")
        if one.ordinal not in self._roles:
            in_order = one.role is Role.AGENT or not self._world.settings.speech_model  # whose words come when they do
            before = [place for place, role in self._roles.items() if role is one.role and in_order]
            self.check(one.ordinal > max(before, default=-1), "a turn takes its place after a later one")
        self.check(self._roles.setdefault(one.ordinal, one.role) is one.role, "an ordinal is one turn's")
        self.check(one.ordinal not in self._finals, "something follows a final transcript")
        if one.delta is not None:
            self.check(self._open in (None, one.ordinal), "two turns of the agent at a time")
            self.check(self._state is AgentState.SPEAKING, "words of the agent while it does not speak")
            self._open = one.ordinal
            self._deltas[one.ordinal] = self._deltas.get(one.ordinal, "") + one.delta
        if one.final:
            self._finals[one.ordinal] = one
            if one.role is Role.AGENT:
                self._open = None
                self._agent_said(one)
            else:
                self._user_said(one.text or "")

    def _agent_said(self, final: Transcript) -> None:
        words = (final.text or "").split()
        shown = self._deltas.get(final.ordinal, "").split()
        self.check(words[: len(shown)] == shown, f"{final.text!r} is not what was shown before")
        if final.modality is Modality.TEXT:
            texts = [reply.written for reply in self._replies.values()] + [*self._world.lines, APOLOGY]
            self.check(any(_within(words, text.split()) for text in texts), f"{final.text!r} was never written")
            return
        reply = self._replies[self._playing]
        generated = " ".join(text for _, text in sorted(reply.clauses.items())).split()
        self.check(generated[: len(words)] == words, f"{final.text!r} is no prefix of {' '.join(generated)!r}")
        self.check(len(words) <= len(reply.begun_words()), f"{final.text!r} is more than was heard")
        excused = self._world.trouble or self._call._talk.closing
        firm = " ".join(generated) in self._world.firm
        self.check(not firm or words == generated or bool(excused), f"{' '.join(generated)!r} was interrupted")

    def _user_said(self, text: str) -> None:
        self.check(bool(text.strip()), "a turn of the caller's without words")
        again = any(text.split()[0] == before.split()[0] for before in self._user_texts if text.startswith("u"))
        self.check(not again, f"{text!r} is heard twice")
        self._user_texts.append(text)
        heard_itself = self._world.settings.speech_model and text not in self._world.written
        if self._world.written.get(text) is not ev.Urgency.LATER and not heard_itself:
            self._owed, self._owed_at = text, self._now


def _within(words: list[str], text: list[str]) -> bool:
    """Whether ``words`` are a stretch of ``text`` (what is left of a resumed reply begins anywhere)."""
    return any(text[start : start + len(words)] == words for start in range(len(text) + 1))
