"""What a model is told that is to greet, where nothing in the conversation asks for words of the agent."""

from __future__ import annotations

MOST_OF_A_PROMPT = 300
"""Characters of the system prompt that are repeated: who the agent is stands at its beginning."""

_ENDS = (". ", "! ", "? ", "。", "\n")


def greeting_nudge(system_prompt: str) -> str:
    """The words, in place of the caller's, that have the agent greet in the role that its prompt gives it.

    A small model that is only asked to greet greets as a plain assistant, whatever stands in its prompt: so the
    beginning of that stands beside the wish. It is for the model alone and no part of the history. The wording is the
    best of those that were tried with Qwen2.5 1.5B: to be asked to keep to its instructions, to name itself, or to
    answer the telephone, made that greet less often in its role, or greet itself.
    """
    role = beginning(system_prompt)
    if not role:
        return "(The call has just begun. Greet me in one short sentence.)"
    wish = "Greet me, the caller, in one short sentence that nobody else but you in this role would say."
    return f"(The call has just begun. {role} {wish})"


def beginning(prompt: str) -> str:
    """What a prompt begins with, on one line: as many of its sentences as are short enough, else some of its words."""
    text = prompt.strip()[: MOST_OF_A_PROMPT + 1]
    if len(text) > MOST_OF_A_PROMPT:
        end = max(text.rfind(mark) for mark in _ENDS)
        text = text[: end + 1] if end > 0 else f"{text[:MOST_OF_A_PROMPT].rpartition(' ')[0]} …"
    return " ".join(text.split())
