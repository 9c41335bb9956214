"""``/api/tools``: the durable tools that calls can name, those of this server and those that every server has."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import JSONResponse, Response

from antiphon.api.body import parsed_body
from antiphon.api.builtin_tools import BUILTIN_TOOLS, BUILTIN_TOOLS_BY_ID
from antiphon.api.common import Cursor, PageSize, Serving, envelope, join_base, parse_id, require_key
from antiphon.api.openapi import TOOL_BODY, TOOL_TRIAL_BODY
from antiphon.api.services import Services
from antiphon.api.shapes import call_json, tool_json, tool_outcome_json
from antiphon.errors import FieldError, Forbidden, InvalidRequest, NotFound, WrongState
from antiphon.store.records import ToolRecord, ToolUse, new_id
from antiphon.store.tools import Ownership, ToolSort
from antiphon.tools import built_in, outcomes
from antiphon.tools.definition import BuiltIn, CallFacts, CallTool, HttpImplementation, Selected
from antiphon.tools.selection import DurableTool, check_definition, select
from antiphon.wire.tool_definitions import to_definition
from antiphon.wire.tool_request import ToolRequest, ToolTrial, parse_tool_request, parse_tool_trial
from antiphon.wire.tools import ToolDefinition

_NO_CALL = "00000000-0000-0000-0000-000000000000"
"""The call, and its stage, that a tool is tried in."""

_TRIAL = "trial"

router = APIRouter(prefix="/api/tools", tags=["tools"], dependencies=[Depends(require_key)])


@router.get("", response_model=dict[str, Any])
async def tools_list(
    request: Request,
    serving: Serving,
    ownership: Ownership | None = None,
    search: Annotated[str | None, Query(min_length=1)] = None,
    sort: Annotated[ToolSort, Query(alias="sortOrder")] = ToolSort.DEFAULT,
    cursor: Cursor = None,
    page_size: PageSize = None,
) -> Response:
    """The server's own tools and the public ones."""
    page = await serving.store.tools.page(
        BUILTIN_TOOLS, ownership=ownership, search=search, sort=sort, cursor=cursor, page_size=page_size
    )
    return await envelope(request, serving.config, page, tool_json)


@router.post("", status_code=201, openapi_extra=TOOL_BODY)
async def tools_create(request: Request, serving: Serving) -> Response:
    """Store a tool. 409 where there is one of this name; a public one's name may be used, and then means this one."""
    wanted = await _wanted(request, serving)
    tool = ToolRecord(new_id(), wanted.name, datetime.now(UTC), wanted.definition.to_json())
    await serving.store.tools.create(tool)
    return JSONResponse(tool_json(tool), 201)


@router.get("/{tool_id}")
async def tools_retrieve(serving: Serving, tool_id: str) -> dict[str, Any]:
    """One tool."""
    return tool_json(await _find(serving, tool_id))


@router.put("/{tool_id}", openapi_extra=TOOL_BODY)
async def tools_update(request: Request, serving: Serving, tool_id: str) -> dict[str, Any]:
    """Give a tool another name and definition. Calls that were created before keep what they have."""
    tool = await _own(serving, tool_id)
    wanted = await _wanted(request, serving)
    changed = replace(tool, name=wanted.name, definition=wanted.definition.to_json())
    if not await serving.store.tools.update(changed):
        raise _unknown(tool_id)
    return tool_json(changed)


@router.delete("/{tool_id}", status_code=204, response_class=Response)
async def tools_destroy(serving: Serving, tool_id: str) -> Response:
    """Delete a tool. Calls that were created before keep it."""
    tool = await _own(serving, tool_id)
    if not await serving.store.tools.delete(tool.tool_id):
        raise _unknown(tool_id)
    return Response(status_code=204)


@router.post("/{tool_id}/test", openapi_extra=TOOL_TRIAL_BODY)
async def tools_test_create(request: Request, serving: Serving, tool_id: str) -> dict[str, Any]:
    """Use a tool outside of any call, with the parameters of the body, and say what a call would make of its answer.

    That it failed is an answer, too. 422 for a tool that only the client, or the data connection, of a call can do.
    """
    record = await _find(serving, tool_id)
    trial = await parsed_body(
        request, serving.config.limits.max_body_bytes, lambda body: parse_tool_trial(body, _names(record))
    )
    tool = await asyncio.to_thread(_selected, record, trial)
    facts = CallFacts(_NO_CALL, _NO_CALL, trial.call_state, metadata=trial.metadata)
    match tool.implementation:
        case HttpImplementation():
            outcome = await serving.manager.http.call(tool, trial.parameters, facts)
        case BuiltIn():
            outcome = built_in.carry_out(tool, trial.parameters, facts).outcome
        case _ if tool.spec.static_response is not None:
            outcome = outcomes.static(tool)
        case _:
            raise WrongState(f"{record.name} is carried out at the other end of a call, and there is no call here")
    return tool_outcome_json(outcome)


@router.get("/{tool_id}/history", response_model=dict[str, Any])
async def tools_history_list(
    request: Request, serving: Serving, tool_id: str, cursor: Cursor = None, page_size: PageSize = None
) -> Response:
    """The calls that had the tool, newest first, and how often it failed there."""
    tool = await _find(serving, tool_id)
    page = await serving.store.tools.history(tool.tool_id, cursor=cursor, page_size=page_size)

    def shown(use: ToolUse) -> dict[str, Any]:
        call = call_json(use.call, serving.manager.join_url(use.call, join_base(request, serving.config)))
        return {"call": call, "errorCount": use.error_count}

    return await envelope(request, serving.config, page, shown)


def _names(record: ToolRecord) -> list[str]:
    """The parameters that a model fills in."""
    return [parameter["name"] for parameter in record.definition.get("dynamicParameters") or ()]


def _selected(record: ToolRecord, trial: ToolTrial) -> CallTool:
    """The tool as a call would have it. Raises ``InvalidRequest``."""
    selected = Selected(tool_id=record.tool_id, tokens=trial.auth_tokens, overrides=trial.parameter_overrides)
    durable = None
    if not record.public:
        durable = DurableTool(record.tool_id, to_definition(ToolDefinition.model_validate(record.definition)))
    try:
        (tool,) = select([selected], lambda _id, _name: durable, _TRIAL)
    except InvalidRequest as error:
        fields = [FieldError(field.path.removeprefix(f"{_TRIAL}.0."), field.message) for field in error.fields]
        raise InvalidRequest(f"{fields[0].path}: {fields[0].message}", fields) from None
    return tool


async def _wanted(request: Request, serving: Services) -> ToolRequest:
    if request.headers.get("content-type", "").lower().startswith("multipart/"):
        raise InvalidRequest(
            "OpenAPI documents are not taken on this server; send each tool's name and definition as JSON"
        )
    return await parsed_body(request, serving.config.limits.max_body_bytes, _checked)


def _checked(body: Any) -> ToolRequest:
    """A tool that a call can use. Raises ``InvalidRequest``."""
    wanted = parse_tool_request(body)
    check_definition(to_definition(wanted.definition), "definition")
    return wanted


async def _find(serving: Services, tool_id: str) -> ToolRecord:
    usual = parse_id(tool_id, "tool")
    tool = BUILTIN_TOOLS_BY_ID.get(usual) or await serving.store.tools.get(usual)
    if tool is None:
        raise _unknown(tool_id)
    return tool


async def _own(serving: Services, tool_id: str) -> ToolRecord:
    tool = await _find(serving, tool_id)
    if tool.public:
        raise Forbidden(
            f"{tool.name} comes with the server and cannot be changed; a tool of your own may have its name"
        )
    return tool


def _unknown(tool_id: str) -> NotFound:
    return NotFound(f"there is no tool {tool_id}")
