"""``/api/schema/``: this server's own OpenAPI document."""

from __future__ import annotations

import asyncio
import functools
import json
from typing import Annotated, Literal

import yaml
from fastapi import APIRouter, FastAPI, Query, Request
from starlette.responses import Response

router = APIRouter(tags=["schema"])

_Dumper: type[yaml.SafeDumper] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

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
    # In a thread: making it takes longer than a frame of somebody's call lasts.
    text = await asyncio.to_thread(_text, request.app, media_type in JSON_TYPES)
    return Response(text, media_type=media_type)


@functools.lru_cache(maxsize=4)
def _text(app: FastAPI, as_json: bool) -> str:
    document = app.openapi()
    if as_json:
        return json.dumps(document, indent=2, ensure_ascii=False)
    return str(yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True))


def _media_type(form: str | None, accept: str) -> str:
    if form is not None:
        return JSON_TYPES[0] if form == "json" else YAML_TYPES[0]
    for wanted in (part.split(";")[0].strip().lower() for part in accept.split(",")):
        if wanted in (*JSON_TYPES, *YAML_TYPES):
            return wanted
    return YAML_TYPES[0]
