"""``/api/calls``: create, list, look at, delete, and speak into a live call."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from antiphon.api.body import json_body, parsed_body
from antiphon.api.common import Cursor, Json, PageSize, Serving, envelope, find_call, join_base, parse_id, require_key
from antiphon.api.openapi import JSON_BODY, START_CALL_BODY
from antiphon.api.services import Services
from antiphon.api.shapes import call_json, message_json
from antiphon.errors import InvalidRequest, MessageError, WrongState
from antiphon.store.call_filter import CallFilter
from antiphon.store.messages import MessageMode
from antiphon.store.records import CallRecord
from antiphon.wire import json_text
from antiphon.wire.call_json import with_last_stage, with_voice
from antiphon.wire.continuation import continued
from antiphon.wire.durations import format_duration, parse_duration
from antiphon.wire.incoming import ForcedAgentMessage, HangUp, UserTextMessage, parse_object
from antiphon.wire.offered import parse_new_call

LONGEST_FILTER_S = 1_000_000_000.0
"""For ``durationMin`` and ``durationMax``: 32 years. Some programs write nines for "no limit"."""

router = APIRouter(prefix="/api/calls", tags=["calls"], dependencies=[Depends(require_key)])


@router.post("", status_code=201, openapi_extra=START_CALL_BODY)
async def calls_create(
    request: Request,
    serving: Serving,
    greeting_prompt: Annotated[bool, Query(alias="enableGreetingPrompt")] = True,
    prior_call_id: Annotated[UUID | None, Query(alias="priorCallId")] = None,
    throttle: Annotated[str | None, Query()] = None,
) -> Response:
    """Create a call; its ``joinUrl`` is dialled next.

    With ``priorCallId`` it takes over what the body leaves open from that call, its messages, and the state in which
    its tools left it.
    """
    if throttle is not None:
        raise InvalidRequest.of("throttle", "is not possible on this server yet")
    complete = await _continuation(serving, prior_call_id)
    wanted = await parsed_body(
        request,
        serving.config.limits.max_body_bytes,
        lambda body: parse_new_call(complete(body), serving.manager.media.kinds),
        much=prior_call_id is not None,
    )
    serving.readiness.require()
    call = await serving.manager.create(wanted, greeting_prompt=greeting_prompt, key=request.state.key)
    return Json(_shown(request, serving, call), 201)


@router.get("", response_model=dict[str, Any])
async def calls_list(
    request: Request,
    serving: Serving,
    cursor: Cursor = None,
    page_size: PageSize = None,
    from_date: Annotated[str | None, Query(alias="fromDate")] = None,
    to_date: Annotated[str | None, Query(alias="toDate")] = None,
    time_of_day_start: Annotated[time | None, Query(alias="timeOfDayStart")] = None,
    time_of_day_end: Annotated[time | None, Query(alias="timeOfDayEnd")] = None,
    duration_min: Annotated[str | None, Query(alias="durationMin")] = None,
    duration_max: Annotated[str | None, Query(alias="durationMax")] = None,
    voice_id: Annotated[UUID | None, Query(alias="voiceId")] = None,
    agent_ids: Annotated[list[UUID] | None, Query(alias="agentIds")] = None,
    search: Annotated[str | None, Query(min_length=1)] = None,
    sort: Annotated[str | None, Query(pattern="^-?created$")] = None,
) -> Response:
    """Calls, newest first. ``metadata.key=value`` selects by metadata."""
    if nameless := [name for name in request.query_params if name == "metadata" or name.startswith("metadata[")]:
        raise InvalidRequest.of(nameless[0][:64], "expected a key, as in metadata.key=value")
    where = CallFilter(
        from_date=_instant("fromDate", from_date, time.min),
        to_date=_instant("toDate", to_date, time.max),
        time_of_day_start=time_of_day_start,
        time_of_day_end=time_of_day_end,
        duration_min_s=_seconds("durationMin", duration_min),
        duration_max_s=_seconds("durationMax", duration_max),
        metadata={
            key.removeprefix("metadata."): value
            for key, value in request.query_params.items()
            if key.startswith("metadata.")
        },
        voice_ids=_voice_ids(serving, voice_id),
        agent_ids=tuple(str(agent_id) for agent_id in agent_ids or ()),
        search=search,
    )
    page = await serving.store.calls.page(where, sort=sort, cursor=cursor, page_size=page_size)
    return await envelope(request, serving.config, page, lambda call: _shown(request, serving, call))


@router.get("/{call_id}", response_model=dict[str, Any])
async def calls_retrieve(request: Request, serving: Serving, call_id: str) -> Json:
    """One call."""
    return Json(_shown(request, serving, await find_call(serving, call_id)))


@router.delete("/{call_id}", status_code=204, response_class=Response)
async def calls_destroy(serving: Serving, call_id: str) -> Response:
    """Delete a call that has ended, with its stages, messages, events and recording, or that waits for its join."""
    await serving.manager.delete(parse_id(call_id, "call"))
    return Response(status_code=204)


@router.post("/{call_id}/send_data_message", status_code=204, response_class=Response, openapi_extra=JSON_BODY)
async def send_data_message_to_call(request: Request, serving: Serving, call_id: str) -> Response:
    """Hand a live call a ``forced_agent_message``, ``hang_up`` or ``user_text_message``."""
    parse_id(call_id, "call")
    body = await json_body(request, serving.config.limits.max_body_bytes)
    if not isinstance(body, dict):
        raise InvalidRequest(f"expected a JSON object, got {json_text.kind(body)}")
    message = parse_object(body)
    if not isinstance(message, ForcedAgentMessage | HangUp | UserTextMessage):
        raise MessageError("type: has to be forced_agent_message, hang_up or user_text_message")
    call = await find_call(serving, call_id)
    if not serving.manager.is_live(call.call_id):
        if serving.forwarding is not None and not call.ended:
            answer = await serving.forwarding.ask(request, call.call_id, body)
            if answer is not None:
                return answer
        raise WrongState("the call has ended" if call.ended or call.joined else "the call is not joined yet")
    serving.manager.send(call.call_id, message)
    return Response(status_code=204)


async def _continuation(serving: Services, prior_call_id: UUID | None) -> Callable[[Any], Any]:
    """What fills a request's body up from an earlier call."""
    if prior_call_id is None:
        return lambda body: body
    await serving.manager.settle(str(prior_call_id))
    prior = await serving.store.calls.get(str(prior_call_id))
    if prior is None:
        raise InvalidRequest.of("priorCallId", f"there is no call {prior_call_id}")
    messages = await serving.store.messages.of_call(prior.call_id, MessageMode.LAST_STAGE)
    stage = with_last_stage(prior.request, prior.latest)
    last = {**with_voice(stage, prior.voice if prior.latest is None else None), "model": prior.model}
    began_with = (prior.latest or prior.request).get("initialState")
    # What was said before the stage began is among its messages, but its state then is what it began with.
    changed = (one.call_state for one in reversed(messages) if one.ordinal is not None and one.call_state is not None)
    state = next(changed, began_with)
    return lambda body: continued(body, last, [message_json(message) for message in messages], state)


def _shown(request: Request, serving: Services, call: CallRecord) -> dict[str, Any]:
    """The call, with its join URL for as long as that serves."""
    return call_json(call, serving.manager.join_url(call, join_base(request, serving.config)))


def _voice_ids(serving: Services, voice_id: UUID | None) -> tuple[str, ...]:
    """The ids of the voice that is meant: an alias has one of its own, and calls have that of the voice."""
    if voice_id is None:
        return ()
    with contextlib.suppress(InvalidRequest):
        return str(voice_id), str(serving.engines.voice(str(voice_id)).voice_id)
    return (str(voice_id),)


def _instant(name: str, text: str | None, otherwise: time) -> datetime | None:
    """A date, at ``otherwise``, or a date and time; UTC where no zone is named."""
    if text is None:
        return None
    try:
        if len(text) == len("2024-01-01"):
            return datetime.combine(date.fromisoformat(text), otherwise, UTC)
        # A "+" in a query is a space once decoded.
        found = datetime.fromisoformat(text.replace(" ", "+") if text.count(" ") == 1 and "T" in text else text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidRequest.of(name, "expected a date such as 2024-01-31, or a date and time") from None


def _seconds(name: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = parse_duration(text if text.endswith("s") else f"{text}s")
    except ValueError as error:
        raise InvalidRequest.of(name, str(error)) from None
    if seconds > LONGEST_FILTER_S:
        raise InvalidRequest.of(name, f"expected a duration of at most {format_duration(LONGEST_FILTER_S)}")
    return seconds
