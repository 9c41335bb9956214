"""Events and actions of a call as lines to read."""

from __future__ import annotations

from antiphon.call import actions as act
from antiphon.call import events as ev
from antiphon.call.history import SpokenMessage
from antiphon.call.messages import CallEvent, StateChanged, Transcript

_LEFT_OUT = (ev.SpeechScored, ev.PlayoutAdvanced, act.Prime)


def line_of(what: object) -> str | None:
    """A line for an event (``>``: into the core) or an action (``<``: out of it); ``None``: not worth one."""
    match what:
        case act.Emit(message=StateChanged(state=state)):
            return f"<   ===== {state.value} ====="
        case act.Emit(message=Transcript(role=role, final=final, text=text, delta=delta, ordinal=ordinal)):
            words = f"{text!r}, all of it" if final else f"...{delta!r}"
            return f"<   {ordinal} {role.value}: {words}"
        case act.Emit(message=CallEvent(type=kind, text=text, extras=extras)):
            return f"<   note {kind}: {text} {extras or ''}"
        case act.Emit(message=message):
            return f"<   {_named(message)}"
        case act.Keep(message=SpokenMessage(ordinal=ordinal, role=role)):
            return f"<   on record: {ordinal} ({role.value})"
        case act.Keep(message=message):
            return f"<   on record: {message.ordinal} ({message.role.value}) {getattr(message, 'text', '')!r}"
        case act.Generate(reply=reply, prompt=prompt):
            last = prompt.messages[-1].text if prompt.messages else ""
            return f"<   Generate {reply} after {last[-60:]!r}"
    if isinstance(what, _LEFT_OUT):
        return None
    return ("> " if type(what).__module__ == ev.__name__ else "<   ") + _named(what)


def _named(what: object) -> str:
    fields = (name for name in getattr(what, "__dataclass_fields__", {}) if name != "at")
    return f"{type(what).__name__} " + ", ".join(f"{name}={_short(getattr(what, name))}" for name in fields)


def _short(value: object) -> str:
    text = getattr(value, "invocation", None) and f"{getattr(value, 'name', '')}#{getattr(value, 'invocation', '')}"
    return str(text or repr(value))[:90]
