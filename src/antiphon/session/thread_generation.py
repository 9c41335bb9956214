"""Side generations: what threads without a voice have a model write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from antiphon.call import events as ev
from antiphon.call.prompt import Prompt
from antiphon.engines.candidates import FellBack
from antiphon.engines.fallback import for_call
from antiphon.engines.protocols import Generated, LanguageModel, TextDelta, ToolCall, Usage
from antiphon.errors import EngineError
from antiphon.session.model_stream import closing, tool_request
from antiphon.session.text_sanitizer import TextSanitizer
from antiphon.session.watch import MODEL, EngineWatch

ALIVE_EVERY_S = 1.0
"""How often it is told that a model lives that has nothing to show, at most."""

_log = structlog.get_logger(__name__)


class ThreadGeneration:
    """Carries out ``GenerateForThread`` and ``StopForThread``; reports events by ``report``."""

    def __init__(
        self,
        model: LanguageModel,
        tasks: asyncio.TaskGroup,
        report: Callable[[ev.Event], None],
        now: Callable[[], float],
        watch: EngineWatch | None = None,
    ) -> None:
        self._model = for_call(model, self._fell_back)
        self._tasks = tasks
        self._report = report
        self._now = now
        self._watch = watch or EngineWatch()
        self._writing: dict[int, asyncio.Task[None]] = {}

    def generate(self, generation: int, prompt: Prompt) -> None:
        """Start writing."""
        task = self._tasks.create_task(self._write(generation, prompt))
        self._writing[generation] = task
        task.add_done_callback(lambda _: self._writing.pop(generation, None))

    def stop(self, generation: int) -> None:
        """Stop all work on it."""
        if (task := self._writing.pop(generation, None)) is not None:
            task.cancel()

    def _fell_back(self, what: FellBack) -> None:
        self._report(ev.EngineFellBack(self._now(), what.stage, what.engine, what.fallback, what.reason))

    async def _write(self, generation: int, prompt: Prompt) -> None:
        sanitizer = TextSanitizer()
        usage: Usage | None = None
        told_at = self._now()
        self._watch.asks()
        try:
            async with closing(self._model.generate(prompt)) as generated:
                async for item in generated:
                    told_at = self._take(generation, item, sanitizer, told_at)
                    usage = item if isinstance(item, Usage) else usage
        except EngineError as error:
            self._watch.failed(MODEL, str(error))
            self._report(ev.ThreadTextFailed(self._now(), generation, str(error)))
        except Exception as error:
            self._report(ev.ThreadTextFailed(self._now(), generation, self._watch.broke(MODEL, error)))
        else:
            self._watch.worked(MODEL)
            self._report(_ended(self._now(), generation, usage))

    def _take(self, generation: int, item: Generated, sanitizer: TextSanitizer, told_at: float) -> float:
        """Tell what came; returns when something was told last."""
        now = self._now()
        if isinstance(item, ToolCall):
            self._report(ev.ThreadToolRequested(now, generation, tool_request(item)))
        elif isinstance(item, TextDelta) and (delta := sanitizer.push(item.text)):
            self._report(ev.ThreadTextWritten(now, generation, delta))
        elif now >= told_at + ALIVE_EVERY_S:
            self._report(ev.ThreadTextWritten(now, generation, ""))
        else:
            return told_at
        return now


def _ended(at: float, generation: int, usage: Usage | None) -> ev.ThreadTextEnded:
    if usage is None:
        return ev.ThreadTextEnded(at, generation)
    return ev.ThreadTextEnded(at, generation, usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens)
