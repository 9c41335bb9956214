"""What happened in a call: ``/messages``, ``/stages``, ``/events``, ``/tools`` and ``/recording``."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response, StreamingResponse

from antiphon.api.common import Cursor, PageSize, Serving, envelope, find_call, parse_id, require_key
from antiphon.api.services import Services
from antiphon.api.shapes import call_tool_json, event_json, message_json, stage_json
from antiphon.audio.recording_wav import has_recording, stream_wav
from antiphon.call.messages import Severity
from antiphon.errors import NotFound
from antiphon.store.messages import MessageMode
from antiphon.store.records import StageRecord

router = APIRouter(prefix="/api/calls/{call_id}", tags=["calls"], dependencies=[Depends(require_key)])


@router.get("/messages", response_model=dict[str, Any])
async def calls_messages_list(
    request: Request,
    serving: Serving,
    call_id: str,
    mode: MessageMode = MessageMode.LAST_STAGE,
    cursor: Cursor = None,
    page_size: PageSize = None,
) -> Response:
    """What was said, in order: all of the last stage, or ``in_call`` of all stages without their initial messages."""
    call = await find_call(serving, call_id)
    page = await serving.store.messages.page(call.call_id, mode, cursor=cursor, page_size=page_size)
    return await envelope(request, serving.config, page, message_json)


@router.get("/stages", response_model=dict[str, Any])
async def calls_stages_list(
    request: Request, serving: Serving, call_id: str, cursor: Cursor = None, page_size: PageSize = None
) -> Response:
    """The call's stages, first to last."""
    call = await find_call(serving, call_id)
    page = await serving.store.stages.page(call.call_id, cursor=cursor, page_size=page_size)
    return await envelope(request, serving.config, page, stage_json)


@router.get("/stages/{call_stage_id}")
async def calls_stages_retrieve(serving: Serving, call_id: str, call_stage_id: str) -> dict[str, Any]:
    """One stage."""
    return stage_json(await _find_stage(serving, call_id, call_stage_id))


@router.get("/stages/{call_stage_id}/messages", response_model=dict[str, Any])
async def calls_stages_messages_list(
    request: Request,
    serving: Serving,
    call_id: str,
    call_stage_id: str,
    cursor: Cursor = None,
    page_size: PageSize = None,
) -> Response:
    """All messages of a stage, initial ones among them."""
    stage = await _find_stage(serving, call_id, call_stage_id)
    page = await serving.store.messages.page_of_stage(stage.call_id, stage.stage_id, cursor=cursor, page_size=page_size)
    return await envelope(request, serving.config, page, message_json)


@router.get("/events", response_model=dict[str, Any])
async def calls_events_list(
    request: Request,
    serving: Serving,
    call_id: str,
    minimum_severity: Severity = Severity.INFO,
    type: Annotated[str | None, Query(min_length=1)] = None,  # noqa: A002 - its name in the API
    cursor: Cursor = None,
    page_size: PageSize = None,
) -> Response:
    """What is worth knowing about the call, in order."""
    call = await find_call(serving, call_id)
    page = await serving.store.events.page(
        call.call_id, minimum_severity=minimum_severity, type=type, cursor=cursor, page_size=page_size
    )
    stages = () if call.current_stage_id else await serving.store.stages.of_call(call.call_id)
    stage_id = call.current_stage_id or (stages[-1].stage_id if stages else call.call_id)
    return await envelope(request, serving.config, page, lambda event: event_json(event, stage_id))


@router.get("/tools")
async def calls_tools_list(serving: Serving, call_id: str) -> list[dict[str, Any]]:
    """All tools that the call had in any of its stages."""
    call = await find_call(serving, call_id)
    return [call_tool_json(tool) for tool in await serving.store.call_tools.of_call(call.call_id)]


@router.get("/stages/{call_stage_id}/tools")
async def calls_stages_tools_list(serving: Serving, call_id: str, call_stage_id: str) -> list[dict[str, Any]]:
    """The tools of a stage."""
    stage = await _find_stage(serving, call_id, call_stage_id)
    tools = await serving.store.call_tools.of_stage(stage.call_id, stage.stage_id)
    return [call_tool_json(tool) for tool in tools]


@router.get("/recording", response_class=StreamingResponse, responses={200: {"content": {"audio/wav": {}}}})
async def calls_recording_retrieve(serving: Serving, call_id: str) -> StreamingResponse:
    """The call as a stereo WAV, the caller left, the agent right; of a live call, what there is so far."""
    call = await find_call(serving, call_id)
    folder = serving.manager.recording_folder(call.call_id)
    if not call.recording_enabled:
        raise NotFound("the call was not recorded: recordingEnabled was not set")
    if not await asyncio.to_thread(has_recording, folder):
        raise NotFound("there is no recording of the call (yet)")
    sound = await asyncio.to_thread(stream_wav, folder)
    headers = {
        "Content-Length": str(sound.size_bytes),
        "Content-Disposition": f'attachment; filename="{call.call_id}.wav"',
    }
    return StreamingResponse(sound, media_type="audio/wav", headers=headers)


async def _find_stage(serving: Services, call_id: str, stage_id: str) -> StageRecord:
    call = await find_call(serving, call_id)
    stage = await serving.store.stages.get(call.call_id, parse_id(stage_id, "stage"))
    if stage is None:
        raise NotFound(f"there is no stage {stage_id} in this call")
    return stage
