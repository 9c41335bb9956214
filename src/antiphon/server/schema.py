"""``/api/schema/``: this server's own OpenAPI document."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

router = APIRouter(tags=["schema"])

JSON_TYPES = ("application/vnd.oai.openapi+json", "application/json")
YAML_TYPES = ("application/vnd.oai.openapi", "application/yaml")


@router.get("/api/schema/", response_class=Response)
@router.get("/api/schema", response_class=Response, include_in_schema=False)
async def schema_retrieve(
    request: Request,
    form: Annotated[Literal["json", "yaml"] | None, Query(alias="format")] = None,
) -> Response:
    """OpenAPI 3 as JSON or YAML, by ``?format=`` or by content negotiation; YAML without either."""
    media_type = _media_type(form, request.headers.get("accept", ""))
    # A JSON document is a YAML 1.2 document.
    return Response(json.dumps(request.app.openapi(), indent=2, ensure_ascii=False), media_type=media_type)


def _media_type(form: str | None, accept: str) -> str:
    if form is not None:
        return JSON_TYPES[0] if form == "json" else YAML_TYPES[0]
    for wanted in (part.split(";")[0].strip().lower() for part in accept.split(",")):
        if wanted in (*JSON_TYPES, *YAML_TYPES):
            return wanted
    return YAML_TYPES[0]
